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


def _mission_control(
    job_id: str,
    name: str,
    goal: str,
    schedule: dict[str, Any],
    control: str,
    status: JobStatus = JobStatus.ACTIVE,
) -> BuiltIn:
    """A job of Mission Control's document, named as its task. It is never paused for its failures."""
    spec = {
        "name": name,
        "goal": goal,
        "schedule": schedule,
        "action": {"type": "task", "name": name},
        "max_consecutive_failures": 0,
    }
    return BuiltIn(job_id, spec, Origin.MISSION_CONTROL, status, control)


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
    _mission_control(
        "job_auto_backup",
        "auto_backup",
        "Backs up every table.",
        _daily(3),
        "general.auto_backup",
        JobStatus.PAUSED,
    ),
    _mission_control(
        "job_auto_cleanup",
        "auto_cleanup",
        "Removes records past their retention.",
        _daily(4),
        "general.auto_cleanup",
        JobStatus.PAUSED,
    ),
    _mission_control(
        "job_agent_beat",
        "agent_heartbeat",
        "Marks silent agents offline.",
        _every(300),
        "general.agent_heartbeat",
    ),
    _mission_control(
        "job_webhooks",
        "webhook_retry",
        "Retries failed webhook deliveries.",
        _every(60),
        "webhooks.retry_enabled",
    ),
    _mission_control(
        "job_sessions",
        "claude_session_scan",
        "Reads the transcripts of Claude Code sessions.",
        _every(60),
        "general.claude_session_scan",
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
