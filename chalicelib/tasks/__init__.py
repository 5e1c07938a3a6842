"""The built-in maintenance tasks: what each does, and the ordinary job that runs it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chalicelib.core.action import Attempt, Json
from chalicelib.core.job import JobStatus, Origin
from chalicelib.scheduler.builtins import BuiltIn
from chalicelib.scheduler.engine import Engine
from chalicelib.tasks import (
    agenda_sweep,
    agent_heartbeat,
    audit_cleanup,
    auto_backup,
    auto_cleanup,
    build_status,
    claude_session_scan,
    health_check,
    webhook_retry,
)

TASKS: dict[str, Callable[[Engine, Attempt], Json]] = {
    "agenda-sweep": agenda_sweep.run,
    "agent_heartbeat": agent_heartbeat.run,
    "audit-cleanup": audit_cleanup.run,
    "auto_backup": auto_backup.run,
    "auto_cleanup": auto_cleanup.run,
    "build-status-report": build_status.run,
    "claude_session_scan": claude_session_scan.run,
    "health-check": health_check.run,
    "webhook_retry": webhook_retry.run,
}


def _daily(hour: int) -> dict[str, Any]:
    return {"type": "cron", "expression": f"0 {hour} * * *", "timezone": "UTC"}


def _every(seconds: int) -> dict[str, Any]:
    return {"type": "every", "interval": seconds, "timezone": "UTC"}


def _runs(
    task: str,
    job_id: str,
    goal: str,
    schedule: dict[str, Any],
    origin: Origin,
    status: JobStatus = JobStatus.ACTIVE,
    control: str | None = None,
    **more: Any,
) -> BuiltIn:
    """The job that runs a task, and is named as it is. It is never paused for its failures."""
    spec = {
        "name": task,
        "goal": goal,
        "schedule": schedule,
        "action": {"type": "task", "name": task},
        "max_consecutive_failures": 0,
        **more,
    }
    return BuiltIn(job_id, spec, origin, status, control)


JOBS: tuple[BuiltIn, ...] = (
    _runs(
        "agenda-sweep",
        "job_agenda-sweep",
        "Compares the jobs with the agenda and files what is missing.",
        {"type": "cron", "expression": "7 * * * *", "timezone": "UTC"},
        Origin.NATIVE,
    ),
    _runs(
        "auto_backup",
        "job_auto_backup",
        "Backs up every table.",
        _daily(3),
        Origin.MISSION_CONTROL,
        JobStatus.PAUSED,
        control="general.auto_backup",
    ),
    _runs(
        "auto_cleanup",
        "job_auto_cleanup",
        "Removes records past their retention.",
        _daily(4),
        Origin.MISSION_CONTROL,
        JobStatus.PAUSED,
        control="general.auto_cleanup",
    ),
    _runs(
        "agent_heartbeat",
        "job_agent_beat",
        "Marks silent agents offline.",
        _every(300),
        Origin.MISSION_CONTROL,
        control="general.agent_heartbeat",
    ),
    _runs(
        "webhook_retry",
        "job_webhooks",
        "Retries failed webhook deliveries.",
        _every(60),
        Origin.MISSION_CONTROL,
        control="webhooks.retry_enabled",
    ),
    _runs(
        "claude_session_scan",
        "job_sessions",
        "Reads the transcripts of Claude Code sessions.",
        _every(60),
        Origin.MISSION_CONTROL,
        control="general.claude_session_scan",
    ),
    _runs(
        "health-check",
        "job_health-check",
        "Looks at each component and warns of those that are degraded.",
        _every(300),
        Origin.CODESPAR,
    ),
    _runs(
        "build-status-report",
        "job_build-status",
        "Collects how the latest build of each linked repository went.",
        _daily(6),
        Origin.CODESPAR,
        timeout_seconds=840,
    ),
    _runs(
        "audit-cleanup",
        "job_audit-clean",
        "Removes audit entries past their retention; the log stays verifiable.",
        _daily(3),
        Origin.CODESPAR,
        timeout_seconds=840,
    ),
)
