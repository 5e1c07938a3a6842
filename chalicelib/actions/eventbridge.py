"""eventbridge: puts an event on a bus."""

from __future__ import annotations

from typing import Any

from chalicelib.actions import material
from chalicelib.actions.toolbox import Toolbox
from chalicelib.core.action import Attempt, EventBridge, Json
from chalicelib.core.errors import ActionError
from chalicelib.net import aws


def perform(settings: EventBridge, attempt: Attempt, tools: Toolbox) -> Json:
    entry = _entry(settings, attempt)
    answer = aws.call(attempt.seconds_left(), tools.client("events").put_events, Entries=[entry])
    [result] = answer["Entries"]
    if "EventId" not in result:
        raise _refused(result.get("ErrorCode", "Unknown"), result.get("ErrorMessage", "no reason given"))
    return {"event_id": result["EventId"]}


def _entry(settings: EventBridge, attempt: Attempt) -> dict[str, Any]:
    detail = material.payload(settings.detail, attempt)
    if not isinstance(detail, dict):
        raise ActionError("template", "the detail of an event must be an object", permanent=True)
    return {
        "EventBusName": settings.bus,
        "Source": settings.source,
        "DetailType": material.filled_text(settings.detail_type, attempt),
        "Detail": material.as_text(detail),
        "Resources": [attempt.idempotency_key],
    }


def _refused(code: str, message: str) -> ActionError:
    permanent = code not in aws.PASSING
    return ActionError(code, f"the bus refused the event: {code}: {message}", permanent=permanent)
