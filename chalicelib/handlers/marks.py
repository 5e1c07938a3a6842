"""What handlers have to do with dry runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chalicelib.core.action import Attempt, Json


def is_dry(attempt: Attempt) -> bool:
    return bool(attempt.run["dry_run"])


def marked(attempt: Attempt, found: Mapping[str, Any]) -> Json:
    """What was found; that of a dry run says so."""
    return {**found, "dry_run": True} if is_dry(attempt) else {**found}
