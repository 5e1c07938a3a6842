"""The built-in maintenance tasks: what each does, and the ordinary job that runs it."""

from __future__ import annotations

from collections.abc import Callable

from chalicelib.core.action import Attempt, Json
from chalicelib.core.job import Origin
from chalicelib.scheduler.builtins import BuiltIn
from chalicelib.scheduler.engine import Engine
from chalicelib.tasks import agenda_sweep, audit_cleanup, build_status, health_check

TASKS: dict[str, Callable[[Engine, Attempt], Json]] = {
    "agenda-sweep": agenda_sweep.run,
    "audit-cleanup": audit_cleanup.run,
    "build-status-report": build_status.run,
    "health-check": health_check.run,
}

JOBS: tuple[BuiltIn, ...] = (
    BuiltIn(
        "job_agenda-sweep",
        {
            "name": "agenda-sweep",
            "goal": "Compares the jobs with the agenda and files what is missing.",
            "schedule": {"type": "cron", "expression": "7 * * * *", "timezone": "UTC"},
            "action": {"type": "task", "name": "agenda-sweep"},
            "max_consecutive_failures": 0,
        },
    ),
    BuiltIn(
        "job_health-check",
        {
            "name": "health-check",
            "goal": "Looks at each component and warns of those that are degraded.",
            "schedule": {"type": "every", "interval": 300},
            "action": {"type": "task", "name": "health-check"},
            "max_consecutive_failures": 0,
        },
        Origin.CODESPAR,
    ),
    BuiltIn(
        "job_build-status",
        {
            "name": "build-status-report",
            "goal": "Collects how the latest build of each linked repository went.",
            "schedule": {"type": "cron", "expression": "0 6 * * *"},
            "action": {"type": "task", "name": "build-status-report"},
            "timeout_seconds": 840,
            "max_consecutive_failures": 0,
        },
        Origin.CODESPAR,
    ),
    BuiltIn(
        "job_audit-clean",
        {
            "name": "audit-cleanup",
            "goal": "Removes audit entries past their retention; the log stays verifiable.",
            "schedule": {"type": "cron", "expression": "0 3 * * *"},
            "action": {"type": "task", "name": "audit-cleanup"},
            "timeout_seconds": 840,
            "max_consecutive_failures": 0,
        },
        Origin.CODESPAR,
    ),
)
