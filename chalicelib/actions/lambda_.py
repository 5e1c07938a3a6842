"""lambda: invokes a function and waits; its result is the output."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

from chalicelib.actions import material
from chalicelib.actions.toolbox import Toolbox
from chalicelib.core.action import Attempt, Json, Lambda, plain
from chalicelib.core.errors import ActionError
from chalicelib.net import aws


def perform(settings: Lambda, attempt: Attempt, tools: Toolbox) -> Json:
    failure, raw = aws.call(
        attempt.seconds_left(),
        _invoke(tools.client("lambda").invoke),
        FunctionName=settings.function,
        InvocationType="RequestResponse",
        ClientContext=_context(attempt),
        Payload=json.dumps(material.payload(settings.payload, attempt)).encode(),
    )
    if failure:
        raise _function_error(settings.function, _output(raw))
    return _output(raw)


def _invoke(operation: Callable[..., Any]) -> Callable[..., tuple[str | None, bytes]]:
    """The invocation with its payload read, so that both are waited for together."""

    def invoke(**parameters: Any) -> tuple[str | None, bytes]:
        answer = operation(**parameters)
        with answer["Payload"] as body:
            return answer.get("FunctionError"), body.read()

    return invoke


def _context(attempt: Attempt) -> str:
    """The idempotency key, where a function finds it: `context.client_context.custom`."""
    custom = {"custom": {"Idempotency-Key": attempt.idempotency_key}}
    return base64.b64encode(json.dumps(custom).encode()).decode()


def _output(raw: bytes) -> Json:
    try:
        return plain(json.loads(raw))
    except (ValueError, RecursionError):
        return raw.decode(errors="replace") or None


def _function_error(function: str, output: Json) -> ActionError:
    said = output if isinstance(output, dict) else {}
    kind = str(said.get("errorType") or "FunctionError")
    message = said.get("errorMessage") or material.as_text(output)
    return ActionError(kind, f"the function {function} failed with {kind}: {message}")
