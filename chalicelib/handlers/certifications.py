"""The checks of mentors' certifications. A dry run evaluates and counts, and says that it was one."""

from __future__ import annotations

from chalicelib.core.action import Attempt, Json
from chalicelib.handlers.marks import is_dry, marked
from chalicelib.scheduler import certifications
from chalicelib.scheduler.engine import Engine


def check_expiry(engine: Engine, attempt: Attempt, settings: Json) -> Json:
    found = certifications.check_expiry(engine, engine.now(), dry_run=is_dry(attempt))
    return marked(attempt, found)


def lift_pauses(engine: Engine, attempt: Attempt, settings: Json) -> Json:
    found = certifications.lift_pauses(engine, engine.now(), dry_run=is_dry(attempt))
    return marked(attempt, found)


def weekly_report(engine: Engine, attempt: Attempt, settings: Json) -> Json:
    return marked(attempt, certifications.weekly_report(engine, engine.now()))
