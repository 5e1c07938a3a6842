"""Mission Control's envelope: `{"error": message}`."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from chalicelib.core.errors import BelfryError
from chalicelib.dialects.errors import told


class MissionControlError(BaseModel):
    """What every error of Mission Control looks like."""

    error: str


def render(error: BelfryError | None) -> tuple[int, dict[str, Any]]:
    status, _, message = told(error)
    return status, {"error": message}
