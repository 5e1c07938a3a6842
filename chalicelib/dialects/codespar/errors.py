"""CodeSpar's envelope: `{"error": sentence, "code", "status"}`."""

from __future__ import annotations

from chalicelib.core.errors import BelfryError, NotFound
from chalicelib.dialects.errors import CODES, told

_CODES = {**CODES, NotFound: (404, "TASK_NOT_FOUND")}


def render(error: BelfryError | None) -> tuple[int, dict[str, str | int]]:
    status, code, message = told(error, _CODES)
    if isinstance(error, NotFound):
        message = "Task not found"
    return status, {"error": message, "code": code, "status": status}
