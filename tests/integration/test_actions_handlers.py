"""handler and task: Python functions by name."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from chalicelib.core.action import Attempt, Json
from chalicelib.core.errors import ActionError
from chalicelib.handlers import HANDLERS
from tests.integration.actions_support import KEY, act, attempt, failure, toolbox

ECHO = {"type": "handler", "name": "echo"}
SWEEP = {"type": "task", "name": "agenda-sweep"}


def handling(function: Callable[[Attempt, Json], Any]) -> Any:
    return toolbox(handlers={"echo": function})


def raising(error: BaseException) -> Callable[[Attempt, Json], Json]:
    def function(given: Attempt, settings: Json) -> Json:
        raise error

    return function


def test_the_example_gives_back_what_it_was_given() -> None:
    tools = toolbox(handlers=HANDLERS)
    assert act(ECHO, tools=tools) == {"x": 1}
    assert act(ECHO | {"input": {"change": "{{input.x}}"}}, tools=tools) == {"change": 1}


def test_a_handler_gets_the_attempt_and_its_settings() -> None:
    seen: list[Any] = []
    tools = handling(lambda given, settings: seen.append((given, settings)))
    assert act(ECHO | {"input": ["{{job.name}}"]}, tools=tools) is None
    [(given, settings)] = seen
    assert given.idempotency_key == KEY
    assert given.seconds_left() > 0
    assert not given.is_cancelled()
    assert settings == ["Daily digest"]


@pytest.mark.parametrize(("settings", "folder"), [(ECHO, "chalicelib/handlers"), (SWEEP, "chalicelib/tasks")])
def test_an_unregistered_name_says_where_to_add_it(settings: dict[str, Any], folder: str) -> None:
    error = failure(settings)
    assert (error.kind, error.permanent) == ("not_registered", True)
    assert str(error) == f"{settings['type']} {settings['name']} is not registered; add it to {folder}"


@pytest.mark.parametrize(
    ("raised", "kind", "message"),
    [
        (ValueError("no price today"), "ValueError", "no price today"),
        (TimeoutError("the bank is slow"), "TimeoutError", "the bank is slow"),
        (KeyError("price"), "KeyError", "'price'"),
        (RuntimeError(), "RuntimeError", "handler echo raised it"),
        (SystemExit(1), "SystemExit", "1"),
    ],
)
def test_what_a_handler_raises_may_pass(raised: BaseException, kind: str, message: str) -> None:
    error = failure(ECHO, tools=handling(raising(raised)))
    assert (error.kind, str(error), error.permanent) == (kind, message, False)


def test_a_handler_may_say_that_its_failure_is_permanent() -> None:
    raised = ActionError("no_account", "the account is closed", permanent=True)
    assert failure(ECHO, tools=handling(raising(raised))) is raised


@pytest.mark.parametrize("result", [object(), {1, 2}, b"bytes", float("nan"), "\ud800"])
def test_a_result_that_is_no_json_is_refused(result: Any) -> None:
    error = failure(ECHO, tools=handling(lambda given, settings: result))
    assert (error.kind, error.permanent) == ("not_json", True)
    assert str(error).startswith("what handler echo returned is not JSON: ")


def test_a_result_is_kept_as_json_has_it() -> None:
    assert act(ECHO, tools=handling(lambda given, settings: {1: (True, None)})) == {"1": [True, None]}


def test_a_handler_that_does_not_return_is_left_behind() -> None:
    ended = threading.Event()
    began = time.monotonic()
    try:
        error = failure(ECHO, attempt(seconds=0.1), handling(lambda given, settings: ended.wait(5)))
    finally:
        ended.set()
    assert time.monotonic() - began < 3
    assert (error.kind, error.permanent) == ("timeout", False)


def test_a_handler_does_not_start_when_the_time_is_up() -> None:
    seen: list[Any] = []
    tools = handling(lambda given, settings: seen.append(given))
    assert failure(ECHO, attempt(seconds=0), tools).kind == "timeout"
    assert not seen


def test_a_task_gets_the_attempt() -> None:
    tools = toolbox(tasks={"agenda-sweep": lambda given: {"repairs": 0, "run": given.idempotency_key}})
    assert act(SWEEP, tools=tools) == {"repairs": 0, "run": KEY}
