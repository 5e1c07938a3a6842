"""auto_backup: backs up every table, and deletes the oldest backups."""

from __future__ import annotations

from chalicelib.core.action import Attempt, Json
from chalicelib.scheduler.backup import back_up, prune
from chalicelib.scheduler.engine import Engine

_MARGIN = 15  # seconds kept for the end of the attempt


def run(engine: Engine, attempt: Attempt) -> Json:
    if attempt.run["dry_run"]:
        return {"ok": True, "message": "Backup not created: this is a dry run"}
    now = engine.now()
    made = back_up(engine, now, lambda: attempt.seconds_left() > _MARGIN)
    return {
        "ok": True,
        "message": f"Backup created ({made.kilobytes}KB)",
        "backup": made.stamp,
        "sizes": {table: one.size for table, one in made.backups.items()},
        "deleted": prune(engine, now),
    }
