"""Jobs as CodeSpar's tasks, and the audit log's state."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from chalicelib.core.errors import NotFound
from chalicelib.core.instants import short_iso
from chalicelib.core.job import Job, JobStatus, State
from chalicelib.core.run import RunStatus
from chalicelib.scheduler.audit_reading import Verified

NAMES = {
    "job_health-check": "health-check",
    "job_build-status": "build-status-report",
    "job_audit-clean": "audit-cleanup",
    "job_auto_backup": "auto_backup",
    "job_auto_cleanup": "auto_cleanup",
    "job_agent_beat": "agent_heartbeat",
    "job_webhooks": "webhook_retry",
    "job_sessions": "claude_session_scan",
}
"""The tasks that go first, by job: CodeSpar's own, then Mission Control's, each in its document's order."""
_PLACES = {job_id: place for place, job_id in enumerate(NAMES)}


def tasks(jobs: Iterable[tuple[Job, State]]) -> list[tuple[Job, State]]:
    """The tasks among the system's jobs, in order: the known ones, then all that run at an interval."""
    listed = [(job, state) for job, state in jobs if job.job_id in NAMES or job.schedule.period]
    return sorted(listed, key=lambda task: (_PLACES.get(task[0].job_id, len(NAMES)), name_of(task[0])))


def name_of(job: Job) -> str:
    return NAMES.get(job.job_id, job.spec.name)


def named(jobs: Iterable[tuple[Job, State]], name: str) -> Job:
    """The task of this name. Raises NotFound."""
    found = next((job for job, _ in tasks(jobs) if name_of(job) == name), None)
    if found is None:
        raise NotFound("task", name)
    return found


def task_view(job: Job, state: State, now: datetime) -> dict[str, Any]:
    """The next run moves on also while the task is paused."""
    following = job.next_slot(now)
    last = state.last_run.started_at if state.last_run else None
    return {
        "name": name_of(job),
        "intervalMs": _interval(job, following),
        "lastRun": short_iso(last) if last else None,
        "nextRun": short_iso(following) if following else None,
        "runCount": state.counts.get(RunStatus.COMPLETED, 0),
        "errors": state.counts.get(RunStatus.FAILED, 0),
        "enabled": job.status is JobStatus.ACTIVE,
    }


def _interval(job: Job, following: datetime | None) -> int | None:
    """In milliseconds. Of a task that was given another schedule: until the slot after the next."""
    period = job.schedule.period
    after = job.next_slot(following) if following and not period else None
    if following and after:
        period = after - following
    return period // timedelta(milliseconds=1) if period else None


def verified_view(found: Verified) -> dict[str, Any]:
    broken = found.broken
    return {
        "valid": broken is None,
        "entries": found.entries,
        "broken": {"seq": broken.seq, "issue": broken.issue} if broken else None,
        "head": found.head.model_dump() if found.head else None,
        "checkpoint": found.checkpoint.model_dump() if found.checkpoint else None,
    }
