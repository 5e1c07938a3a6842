"""The built-in maintenance tasks: what each does, and the ordinary job that runs it."""

from __future__ import annotations

from collections.abc import Callable

from chalicelib.core.action import Attempt, Json
from chalicelib.scheduler.builtins import BuiltIn
from chalicelib.scheduler.engine import Engine
from chalicelib.tasks import agenda_sweep, webhook_retry

TASKS: dict[str, Callable[[Engine, Attempt], Json]] = {
    "agenda-sweep": agenda_sweep.run,
    "webhook_retry": webhook_retry.run,
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
)
