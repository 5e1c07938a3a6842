"""The nightly envelope: `{"error": {"code", "message"}}`."""

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


def render(error: BelfryError | None) -> tuple[int, dict[str, Any]]:
    """Status and body; None is an error of ours, of which the caller learns no more than that."""
    kind = next((kind for kind in CODES if isinstance(error, kind)), None)
    status, code = CODES[kind] if kind else (500, "INTERNAL_ERROR")
    message = str(error) if kind else "something broke here; the log says what"
    return status, {"error": {"code": code, "message": message}}
