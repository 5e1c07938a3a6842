"""audit-cleanup: removes audit entries past their retention; the log stays verifiable."""

from __future__ import annotations

from chalicelib.core.action import Attempt, Json
from chalicelib.scheduler.audit import prune
from chalicelib.scheduler.engine import Engine


def run(engine: Engine, attempt: Attempt) -> Json:
    """A dry run counts what it would delete."""
    deleted = prune(engine, engine.now(), dry_run=bool(attempt.run["dry_run"]))
    return {"deleted": deleted, "checkpoint": engine.records.get("audit", "checkpoint")}
