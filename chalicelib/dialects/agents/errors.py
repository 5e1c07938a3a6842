"""The envelope of the agents dialect: `{"error": {"code", "message", "details"}}`.

`details` names each wrong field, and is empty where none is to blame.
"""

from __future__ import annotations

from typing import Any

from chalicelib.core.errors import BelfryError, Detail, Invalid
from chalicelib.dialects.errors import told

# The core's names of what this dialect's fields become.
FIELDS = {
    "schedule": "cron_expression",
    "schedule.expression": "cron_expression",
    "schedule.datetime": "next_run",
    "action.callback_type": "callback_type",
    "action.callback_id": "callback_id",
}


def render(error: BelfryError | None) -> tuple[int, dict[str, Any]]:
    if isinstance(error, Invalid):
        error = Invalid(*(Detail(FIELDS.get(field, field), issue) for field, issue in error.details))
    status, code, message = told(error)
    details = [detail._asdict() for detail in error.details] if isinstance(error, Invalid) else []
    return status, {"error": {"code": code, "message": message, "details": details}}
