"""The envelope of the agents dialect: `{"error": {"code", "message", "details"}}`.

`details` names each wrong field, and is empty where none is to blame.
"""

from __future__ import annotations

from typing import Any

from chalicelib.core.errors import (
    BadRequest,
    BelfryError,
    Conflict,
    Detail,
    Forbidden,
    Invalid,
    MethodNotAllowed,
    NotFound,
    TooLarge,
    Unauthorized,
    UnsupportedMediaType,
)

CODES: dict[type[BelfryError], tuple[int, str]] = {
    BadRequest: (400, "VALIDATION_ERROR"),
    Invalid: (400, "VALIDATION_ERROR"),
    Unauthorized: (401, "UNAUTHORIZED"),
    Forbidden: (403, "FORBIDDEN"),
    NotFound: (404, "NOT_FOUND"),
    MethodNotAllowed: (405, "METHOD_NOT_ALLOWED"),
    Conflict: (409, "CONFLICT"),
    TooLarge: (413, "PAYLOAD_TOO_LARGE"),
    UnsupportedMediaType: (415, "UNSUPPORTED_MEDIA_TYPE"),
}
# The core's names of what this dialect's fields become.
FIELDS = {
    "schedule": "cron_expression",
    "schedule.expression": "cron_expression",
    "schedule.datetime": "next_run",
    "action.callback_type": "callback_type",
    "action.callback_id": "callback_id",
}


def render(error: BelfryError | None) -> tuple[int, dict[str, Any]]:
    """Status and body; None is an error of ours, of which the caller learns no more than that."""
    if isinstance(error, Invalid):
        error = Invalid(*(Detail(FIELDS.get(field, field), issue) for field, issue in error.details))
    kind = next((kind for kind in CODES if isinstance(error, kind)), None)
    status, code = CODES[kind] if kind else (500, "INTERNAL_ERROR")
    message = str(error) if kind else "something broke here; the log says what"
    details = [detail._asdict() for detail in error.details] if isinstance(error, Invalid) else []
    return status, {"error": {"code": code, "message": message, "details": details}}
