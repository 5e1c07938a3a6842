"""Jobs and runs as the nightly dialect shows them, and its jobs as the core takes them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from chalicelib.core.action import Action
from chalicelib.core.instants import short_iso
from chalicelib.core.job import CronSpec, EverySpec, Job, JobStatus, ScheduleSpec, Spec, State
from chalicelib.core.run import Run, RunStatus
from chalicelib.dialects.nightly.schema import NightlyQuery, RegisterJob

_STATUS = {RunStatus.COMPLETED: "success"}  # the others are called as they are in the core


def spec_of(body: RegisterJob, action: Action) -> Spec:
    schedule = CronSpec(type="cron", expression=body.cron_expression)
    return Spec(name=body.job_name, schedule=schedule, action=action)


def status_of(body: RegisterJob) -> JobStatus:
    return JobStatus.ACTIVE if body.is_active else JobStatus.PAUSED


def list_view(page: Sequence[tuple[Job, State]], total: int, query: NightlyQuery, now: datetime) -> Any:
    return {
        "data": [job_view(job, state, now) for job, state in page],
        "pagination": {"page": query.page, "limit": query.limit, "total": total},
    }


def job_view(job: Job, state: State, now: datetime) -> dict[str, Any]:
    last = state.last_run
    return {
        **_outline(job),
        "last_run_at": _utc(last.started_at) if last else None,
        "last_run_status": _run_status(RunStatus(last.status)) if last else None,
        "next_run_at": _next_run_at(job, now),
    }


def registered_view(job: Job, now: datetime) -> dict[str, Any]:
    return {
        **_outline(job),
        "created_at": short_iso(job.created_at),
        "next_run_at": _next_run_at(job, now),
    }


def triggered_view(name: str, run: Run) -> dict[str, Any]:
    """The run is queued, which this dialect calls running."""
    return {
        "job_name": name,
        "triggered_at": short_iso(run.created_at),
        "run_id": _run_id(run),
        "status": "running",
    }


def result_view(name: str, run: Run) -> dict[str, Any]:
    shown = {
        "job_name": name,
        "run_id": _run_id(run),
        "started_at": _utc(run.started_at),
        "completed_at": _utc(run.completed_at),
        "status": _run_status(run.status),
        "result_summary": run.output,
    }
    why = run.error.message if run.error else run.reason
    return {**shown, "error": why} if why else shown


def _outline(job: Job) -> dict[str, Any]:
    return {
        "job_name": job.spec.name,
        "cron_expression": _expression(job.spec.schedule),
        "is_active": job.status is JobStatus.ACTIVE,
    }


def _expression(schedule: ScheduleSpec) -> str:
    """Through another dialect the job may have been given a schedule that cron cannot say."""
    if isinstance(schedule, CronSpec):
        return schedule.expression
    if isinstance(schedule, EverySpec):
        return f"@every {schedule.interval}s"
    return f"@at {schedule.datetime}"


def _next_run_at(job: Job, now: datetime) -> str | None:
    return _utc(job.next_slot(now)) if job.status is JobStatus.ACTIVE else None


def _run_status(status: RunStatus) -> str:
    return _STATUS.get(status, status.value)


def _run_id(run: Run) -> str:
    return f"run-{run.run_id}"


def _utc(instant: datetime | None) -> str | None:
    return short_iso(instant) if instant else None
