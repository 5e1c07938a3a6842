"""auto_cleanup: removes records that are past their retention."""

from __future__ import annotations

from chalicelib.core.action import Attempt, Json
from chalicelib.scheduler.cleanup import clean
from chalicelib.scheduler.engine import Engine

_MARGIN = 15  # seconds kept for the end of the attempt


def run(engine: Engine, attempt: Attempt) -> Json:
    dry_run = bool(attempt.run["dry_run"])
    cleaned = clean(engine, engine.now(), lambda: attempt.seconds_left() > _MARGIN, dry_run=dry_run)
    return {
        "ok": True,
        "message": cleaned.message,
        "counts": {**cleaned.counts},
        "complete": cleaned.complete,
        "dry_run": dry_run,
    }
