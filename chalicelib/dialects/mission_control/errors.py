"""Mission Control's envelope: `{"error": message}`."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from chalicelib.core.errors import BelfryError, Unauthorized
from chalicelib.dialects.errors import told


class MissionControlError(BaseModel):
    """What every error of Mission Control looks like."""

    error: str


def render(error: BelfryError | None) -> tuple[int, dict[str, Any]]:
    """Every 401 has one sentence, by the contract."""
    status, _, message = told(Unauthorized() if isinstance(error, Unauthorized) else error)
    return status, {"error": message}
