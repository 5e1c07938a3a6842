"""What a run does: one module a kind, one table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chalicelib.actions import (
    bedrock_agent,
    bedrock_model,
    chain,
    eventbridge,
    handler,
    http,
    lambda_,
    sns,
    sqs,
    step_functions,
    task,
)
from chalicelib.actions.toolbox import Toolbox
from chalicelib.core.action import Action, Attempt, Outcome

__all__ = ["ACTIONS", "Toolbox", "perform"]

ACTIONS: dict[str, Callable[[Any, Attempt, Toolbox], Outcome]] = {
    "http": http.perform,
    "lambda": lambda_.perform,
    "sqs": sqs.perform,
    "sns": sns.perform,
    "eventbridge": eventbridge.perform,
    "step_functions": step_functions.perform,
    "bedrock_model": bedrock_model.perform,
    "bedrock_agent": bedrock_agent.perform,
    "chain": chain.perform,
    "handler": handler.perform,
    "task": task.perform,
}


def perform(action: Action, attempt: Attempt, tools: Toolbox) -> Outcome:
    """Does what `action` says, within the attempt's time; returns the output. Raises ActionError."""
    return ACTIONS[action.type](action, attempt, tools)
