"""What a run does: one module a kind, one table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chalicelib.actions import eventbridge, handler, http, lambda_, sns, sqs, step_functions, task
from chalicelib.actions.toolbox import Toolbox
from chalicelib.core.action import Action, Attempt, Json

__all__ = ["ACTIONS", "Toolbox", "perform"]

ACTIONS: dict[str, Callable[[Any, Attempt, Toolbox], Json]] = {
    "http": http.perform,
    "lambda": lambda_.perform,
    "sqs": sqs.perform,
    "sns": sns.perform,
    "eventbridge": eventbridge.perform,
    "step_functions": step_functions.perform,
    "handler": handler.perform,
    "task": task.perform,
}


def perform(action: Action, attempt: Attempt, tools: Toolbox) -> Json:
    """Does what `action` says, within the attempt's time; returns the output. Raises ActionError."""
    return ACTIONS[action.type](action, attempt, tools)
