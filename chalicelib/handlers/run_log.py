"""The run log's upkeep, and what it tells of the last day."""

from __future__ import annotations

from chalicelib.core.action import Attempt, Json
from chalicelib.handlers.marks import is_dry, marked
from chalicelib.scheduler import history
from chalicelib.scheduler.engine import Engine
from chalicelib.scheduler.slot_report import missed_runs


def clean(engine: Engine, attempt: Attempt, settings: Json) -> Json:
    removed = history.clean_log(engine, engine.now(), engine.settings(), dry_run=is_dry(attempt))
    return marked(attempt, {"removed": removed})


def report_missed(engine: Engine, attempt: Attempt, settings: Json) -> Json:
    return marked(attempt, missed_runs(engine, engine.now()))
