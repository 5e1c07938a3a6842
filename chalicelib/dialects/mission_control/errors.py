"""Mission Control's envelope: `{"error": message}`."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

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

STATUSES: dict[type[BelfryError], int] = {
    BadRequest: 400,
    Invalid: 400,
    Unauthorized: 401,
    Forbidden: 403,
    NotFound: 404,
    MethodNotAllowed: 405,
    Conflict: 409,
    TooLarge: 413,
    UnsupportedMediaType: 415,
}


class MissionControlError(BaseModel):
    """What every error of Mission Control looks like."""

    error: str


def render(error: BelfryError | None) -> tuple[int, dict[str, Any]]:
    """Status and body; None is an error of ours, of which the caller learns no more than that."""
    if isinstance(error, Unauthorized):
        error = Unauthorized()  # one sentence for all of them, so the contract
    for kind, status in STATUSES.items():
        if isinstance(error, kind):
            return status, {"error": str(error)}
    return 500, {"error": "something broke here; the log says what"}
