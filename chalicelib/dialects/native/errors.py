"""The native envelope: `{"error": code, "message", "status"}`, with `details` where fields are wrong."""

from __future__ import annotations

from typing import Any

from chalicelib.core.errors import BadRequest, BelfryError, Invalid
from chalicelib.dialects.errors import CODES, told

_CODES = {**CODES, BadRequest: (400, "BAD_REQUEST"), Invalid: (422, "VALIDATION_ERROR")}


def render(error: BelfryError | None) -> tuple[int, dict[str, Any]]:
    status, code, message = told(error, _CODES)
    body: dict[str, Any] = {"error": code.lower(), "message": message, "status": status}
    if isinstance(error, Invalid):
        body["details"] = [detail._asdict() for detail in error.details]
    return status, body
