"""What the tests of actions share: an attempt, a toolbox, settings by kind."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from pydantic import TypeAdapter

from chalicelib.actions import Toolbox, perform
from chalicelib.core.action import Action, Attempt, Json
from chalicelib.core.errors import ActionError
from chalicelib.net.addresses import networks

ACTION: TypeAdapter[Action] = TypeAdapter(Action)
JOB: dict[str, Json] = {"id": "job_abc", "name": "Daily digest", "goal": "Summarize"}
RUN: dict[str, Json] = {"id": "20261122T140000Z", "scheduled_for": "2026-11-22T14:00:00Z"}
KEY = "job_abc/20261122T140000Z"
DEFAULT: dict[str, Json] = {
    "job_id": "job_abc",
    "run_id": "20261122T140000Z",
    "name": "Daily digest",
    "goal": "Summarize",
    "input": {"x": 1},
    "scheduled_for": "2026-11-22T14:00:00Z",
    "attempt": 1,
}


TOKEN = "a completion token"


def attempt(
    value: Json = None,
    seconds: float = 10,
    number: int = 1,
    is_cancelled: Callable[[], bool] = lambda: False,
) -> Attempt:
    end = time.monotonic() + seconds
    return Attempt(
        job=JOB,
        run=RUN,
        input={"x": 1} if value is None else value,
        idempotency_key=KEY,
        number=number,
        completion_token=TOKEN,
        seconds_left=lambda: end - time.monotonic(),
        is_cancelled=is_cancelled,
    )


def toolbox(client: Callable[[str], Any] = lambda name: None, allow: str = "", **tables: Any) -> Toolbox:
    known: dict[str, Any] = {
        "handlers": {},
        "tasks": {},
        "secret": lambda name: None,
        "record_usage": lambda facts: None,
        "start_chain": lambda chain, given: "an execution",
        **tables,
    }
    return Toolbox(client=client, networks=networks(allow), **known)


def act(settings: dict[str, Any], given: Attempt | None = None, tools: Toolbox | None = None) -> Any:
    return perform(ACTION.validate_python(settings), given or attempt(), tools or toolbox())


def failure(
    settings: dict[str, Any], given: Attempt | None = None, tools: Toolbox | None = None
) -> ActionError:
    try:
        output = act(settings, given, tools)
    except ActionError as error:
        return error
    raise AssertionError(f"it gave {output!r}")
