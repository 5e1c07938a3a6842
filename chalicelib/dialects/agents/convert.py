"""Schedules as the agents dialect writes and shows them, from and to jobs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from chalicelib.core.action import Callback
from chalicelib.core.errors import Detail, Invalid
from chalicelib.core.instants import parse_instant, short_iso
from chalicelib.core.job import AtSpec, CronSpec, Job, JobStatus, ScheduleSpec, Spec, State
from chalicelib.core.run import Run, RunStatus

JOB, SCHEDULE, EXECUTION = "job_", "schedule-", "exec-"  # how ids begin
CRON, ONCE, DELAYED = "cron", "once", "delayed"
WHEN = {CRON: "cron_expression", ONCE: "next_run", DELAYED: "delay_seconds"}  # the field that a type wants
EXECUTIONS = {
    RunStatus.COMPLETED: "success",
    RunStatus.FAILED: "failed",
    RunStatus.QUEUED: "running",
    RunStatus.RUNNING: "running",
    RunStatus.RETRYING: "running",
    RunStatus.SKIPPED: "skipped",
    RunStatus.MISSED: "skipped",
    RunStatus.CANCELLED: "cancelled",
}


def schedule_id(job: Job) -> str:
    return SCHEDULE + job.job_id.removeprefix(JOB)


def job_id(schedule: str) -> str | None:
    """The id of the job that is shown as `schedule`; None if the text is no schedule's id."""
    return JOB + schedule.removeprefix(SCHEDULE) if schedule.startswith(SCHEDULE) else None


# -- to jobs


def spec_fields(given: Mapping[str, Any], before: Spec | None, now: datetime) -> dict[str, Any]:
    """The fields of a spec: those of `before`, and over them what is `given` of a schedule."""
    fields = before.model_dump(mode="json", exclude_none=True) if before else {}
    if "name" in given:
        fields["name"] = given["name"]
    if given.keys() & {"type", *WHEN.values()}:
        fields["schedule"] = _schedule(given, before.schedule if before else None, now)
    callback = {name: given[name] for name in ("callback_type", "callback_id") if name in given}
    if callback:
        kept = fields["action"] if before and isinstance(before.action, Callback) else {}
        fields["action"] = {"type": "callback", **kept, **callback}
    return fields


def _schedule(given: Mapping[str, Any], before: ScheduleSpec | None, now: datetime) -> dict[str, Any]:
    """Raises Invalid where the field that the type wants is missing, or another type's is given."""
    kept = _when(before) if before else {}
    kind = given["type"] if "type" in given else _type(before)
    wanted = WHEN[kind]
    stray = [name for name in WHEN.values() if name in given and name != wanted]
    if stray:
        raise Invalid(*(Detail(name, f"is not for type {kind}, which takes {wanted}") for name in stray))
    value = given.get(wanted, kept.get(wanted))
    if value is None:
        raise Invalid.one(wanted, f"is required for type {kind}")
    zone = {"timezone": before.timezone} if before else {}
    if kind == CRON:
        return {"type": "cron", "expression": value, **zone}
    if kind == ONCE:
        return {"type": "at", "datetime": value, **zone}
    return {"type": "at", "datetime": _after(value, before, now), "delay_seconds": value, **zone}


def _after(seconds: int, before: ScheduleSpec | None, now: datetime) -> str:
    """When the delay ends. It counts from the creation, or from when the schedule became a delayed one."""
    start = now
    if isinstance(before, AtSpec) and before.delay_seconds:
        if seconds == before.delay_seconds:
            return before.datetime
        start = parse_instant(before.datetime) - timedelta(seconds=before.delay_seconds)
    end = start + timedelta(seconds=seconds)
    if end <= now:
        raise Invalid.one("delay_seconds", f"counts from {short_iso(start)} and is over; give a longer one")
    return short_iso(end)


# -- from jobs


def schedule_view(job: Job, state: State, now: datetime) -> dict[str, Any]:
    callback = job.spec.action if isinstance(job.spec.action, Callback) else None
    started = state.last_run.started_at if state.last_run else None
    return {
        **_summary(job, now),
        "last_run": short_iso(started) if started else None,
        "callback_type": callback.callback_type if callback else None,
        "callback_id": callback.callback_id if callback else None,
    }


def created_view(job: Job, now: datetime) -> dict[str, Any]:
    return {**_summary(job, now), "created_at": short_iso(job.created_at)}


def detail_view(job: Job, state: State, runs: Iterable[Run], now: datetime) -> dict[str, Any]:
    return {**schedule_view(job, state, now), "executions": [_execution(run) for run in runs]}


def shown_status(job: Job) -> str:
    if job.status is JobStatus.FAILED:
        return "completed" if isinstance(job.spec.schedule, AtSpec) else "paused"
    return job.status.value


def _summary(job: Job, now: datetime) -> dict[str, Any]:
    following = job.next_slot(now) if job.status is JobStatus.ACTIVE else None
    return {
        "id": schedule_id(job),
        "name": job.spec.name,
        "type": _type(job.spec.schedule),
        **_when(job.spec.schedule),
        "next_run": short_iso(following) if following else None,
        "status": shown_status(job),
    }


def _type(schedule: ScheduleSpec | None) -> str:
    """An interval, which other dialects can make of a schedule, recurs as cron does."""
    if not isinstance(schedule, AtSpec):
        return CRON
    return DELAYED if schedule.delay_seconds else ONCE


def _when(schedule: ScheduleSpec) -> dict[str, Any]:
    """The field of the type, as it was written."""
    if isinstance(schedule, CronSpec):
        return {"cron_expression": schedule.expression}
    if not isinstance(schedule, AtSpec):
        return {}
    return (
        {"delay_seconds": schedule.delay_seconds}
        if schedule.delay_seconds
        else {"next_run": schedule.datetime}
    )


def _execution(run: Run) -> dict[str, Any]:
    return {
        "id": EXECUTION + run.run_id,
        "executed_at": short_iso(run.started_at or run.scheduled_for),
        "status": EXECUTIONS[run.status],
    }
