"""chain: starts an execution of a chain, and does not wait for its end."""

from __future__ import annotations

from functools import partial

from chalicelib.actions.toolbox import Toolbox
from chalicelib.core.action import Attempt, Json, StartChain
from chalicelib.net import aws


def perform(settings: StartChain, attempt: Attempt, tools: Toolbox) -> Json:
    start = partial(tools.start_chain, settings.chain, attempt)
    return {"chain_id": settings.chain, "execution_id": aws.call(attempt.seconds_left(), start)}
