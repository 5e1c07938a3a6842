"""What HTTP says of each error: the status, and the code that most dialects call it by."""

from __future__ import annotations

from collections.abc import Mapping

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

Codes = Mapping[type[BelfryError], tuple[int, str]]

CODES: Codes = {
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


def told(error: BelfryError | None, codes: Codes = CODES) -> tuple[int, str, str]:
    """Status, code and message; None is an error of ours, of which the caller learns no more than that."""
    for kind, (status, code) in codes.items():
        if isinstance(error, kind):
            return status, code, str(error)
    return 500, "INTERNAL_ERROR", "something broke here; the log says what"
