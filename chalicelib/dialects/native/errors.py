"""The native envelope: `{"error": code, "message", "status"}`, with `details` where fields are wrong."""

from __future__ import annotations

from typing import Any

from chalicelib.core.errors import (
    BadRequest,
    BelfryError,
    Conflict,
    Forbidden,
    Invalid,
    MethodNotAllowed,
    NotFound,
    TooLarge,
    Unauthorized,
    UnsupportedMediaType,
)

CODES: dict[type[BelfryError], tuple[int, str]] = {
    BadRequest: (400, "bad_request"),
    Unauthorized: (401, "unauthorized"),
    Forbidden: (403, "forbidden"),
    NotFound: (404, "not_found"),
    MethodNotAllowed: (405, "method_not_allowed"),
    Conflict: (409, "conflict"),
    TooLarge: (413, "payload_too_large"),
    UnsupportedMediaType: (415, "unsupported_media_type"),
    Invalid: (422, "validation_error"),
}


def render(error: BelfryError | None) -> tuple[int, dict[str, Any]]:
    """Status and body; None is an error of ours, of which the caller learns no more than that."""
    kind = next((kind for kind in CODES if isinstance(error, kind)), None)
    status, code = CODES[kind] if kind else (500, "internal_error")
    message = str(error) if kind else "something broke here; the log says what"
    body: dict[str, Any] = {"error": code, "message": message, "status": status}
    if isinstance(error, Invalid):
        body["details"] = [detail._asdict() for detail in error.details]
    return status, body
