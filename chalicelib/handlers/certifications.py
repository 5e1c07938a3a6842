"""The checks of mentors' certifications. A dry run evaluates and counts, and says that it was one."""

from __future__ import annotations

from chalicelib.core.action import Attempt, Json
from chalicelib.handlers.marks import is_dry, marked
from chalicelib.scheduler import certifications
from chalicelib.scheduler.certifications import Check
from chalicelib.scheduler.engine import Engine


def check_expiry(engine: Engine, attempt: Attempt, settings: Json) -> Json:
    return marked(attempt, certifications.check_expiry(_check(engine, attempt)))


def lift_pauses(engine: Engine, attempt: Attempt, settings: Json) -> Json:
    return marked(attempt, certifications.lift_pauses(_check(engine, attempt)))


def weekly_report(engine: Engine, attempt: Attempt, settings: Json) -> Json:
    return marked(attempt, certifications.weekly_report(_check(engine, attempt)))


def _check(engine: Engine, attempt: Attempt) -> Check:
    return Check(engine, engine.now(), is_dry(attempt))
