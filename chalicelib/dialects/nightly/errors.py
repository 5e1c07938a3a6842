"""The nightly envelope: `{"error": {"code", "message"}}`."""

from __future__ import annotations

from typing import Any

from chalicelib.core.errors import BelfryError
from chalicelib.dialects.errors import told


def render(error: BelfryError | None) -> tuple[int, dict[str, Any]]:
    status, code, message = told(error)
    return status, {"error": {"code": code, "message": message}}
