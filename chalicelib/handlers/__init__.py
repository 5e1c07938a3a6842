"""Python functions that a job may name as its handler.

A handler takes the attempt and the action's `input` (its placeholders filled), and returns JSON: the run's
output. What it raises fails the attempt, and the job's retry policy decides; ActionError(..., permanent=True)
says that another attempt would fail too. It runs at least once: one that must not act twice on a run
remembers `attempt.idempotency_key`. A long one looks at `attempt.is_cancelled()` and
`attempt.seconds_left()`; past that time nobody waits for it. To add one, write it in a module here and name
it in HANDLERS; one that works on the engine's own records is named in ENGINE_HANDLERS, and given the engine
first.
"""

from __future__ import annotations

from collections.abc import Callable

from chalicelib.core.action import Attempt, Json
from chalicelib.core.ids import named_id
from chalicelib.core.job import Origin
from chalicelib.handlers import certifications, run_log
from chalicelib.handlers.echo import echo
from chalicelib.scheduler.builtins import BuiltIn
from chalicelib.scheduler.engine import Engine

HANDLERS: dict[str, Callable[[Attempt, Json], Json]] = {"echo": echo}

ENGINE_HANDLERS: dict[str, Callable[[Engine, Attempt, Json], Json]] = {
    "checkCertificationExpiry": certifications.check_expiry,
    "liftRenewedPauses": certifications.lift_pauses,
    "generateWeeklyExpiryReport": certifications.weekly_report,
    "cleanRunLog": run_log.clean,
    "reportMissedRuns": run_log.report_missed,
}


def _nightly(name: str, expression: str, handler: str, goal: str) -> BuiltIn:
    spec = {
        "name": name,
        "goal": goal,
        "schedule": {"type": "cron", "expression": expression, "timezone": "UTC"},
        "action": {"type": "handler", "name": handler},
        "timeout_seconds": 840,
        "max_consecutive_failures": 0,
    }
    return BuiltIn(named_id(Origin.NIGHTLY, name), spec, Origin.NIGHTLY)


JOBS: tuple[BuiltIn, ...] = (
    _nightly(
        "certification-expiry-nightly",
        "0 2 * * *",
        "checkCertificationExpiry",
        "Pauses mentors whose certification has expired, and reminds those whose will.",
    ),
    _nightly(
        "pause-auto-lift-check",
        "0 6 * * *",
        "liftRenewedPauses",
        "Lifts the pauses of mentors whose certification was renewed.",
    ),
    _nightly(
        "scheduler-run-log-cleanup",
        "0 3 * * *",
        "cleanRunLog",
        "Removes what is past its retention from the run log.",
    ),
    _nightly(
        "scheduler-missed-run-report",
        "0 7 * * *",
        "reportMissedRuns",
        "Counts the slots missed and the runs failed in the last day, by job.",
    ),
)
"""The jobs of these handlers that are there from the start."""
