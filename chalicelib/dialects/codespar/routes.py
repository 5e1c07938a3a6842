"""CodeSpar's routes: the recurring tasks, and the audit log."""

from __future__ import annotations

from chalicelib.core.access import Role
from chalicelib.core.instants import parse_instant
from chalicelib.core.job import SYSTEM, Job, State
from chalicelib.dialects.codespar.convert import name_of, named, task_view, tasks, verified_view
from chalicelib.dialects.codespar.errors import render
from chalicelib.dialects.codespar.schema import (
    AuditPage,
    AuditQuery,
    AuditVerified,
    CancelledView,
    CodesparError,
    NoBody,
    ScheduledTasks,
    SwitchedView,
)
from chalicelib.dialects.http import Answer, Api, Call
from chalicelib.scheduler import audit_reading, jobs

TASKS = "/api/scheduler"
TASK = f"{TASKS}/{{name}}"
AUDIT = "/api/audit"

API = Api("codespar", (TASK, AUDIT), render, CodesparError)


@API.route("GET", TASKS, gives=ScheduledTasks)
def list_tasks(call: Call) -> Answer:
    return Answer([task_view(job, state, call.now) for job, state in tasks(_of_system(call))])


@API.route("POST", f"{TASK}/pause", gives=SwitchedView, role=Role.ADMIN, writes="task.pause")
def pause_task(call: Call, body: NoBody) -> Answer:
    job = _named(call)
    jobs.pause(call.engine, job.job_id, None, call.now)
    return Answer({"name": name_of(job), "enabled": False, "message": "Task paused"}, target=job.job_id)


@API.route("POST", f"{TASK}/resume", gives=SwitchedView, role=Role.ADMIN, writes="task.resume")
def resume_task(call: Call, body: NoBody) -> Answer:
    job = _named(call)
    jobs.resume(call.engine, job.job_id, call.now)
    return Answer({"name": name_of(job), "enabled": True, "message": "Task resumed"}, target=job.job_id)


@API.route("DELETE", TASK, gives=CancelledView, role=Role.ADMIN, writes="task.cancel")
def cancel_task(call: Call) -> Answer:
    """A built-in task comes back with the next deployment."""
    job = _named(call)
    jobs.delete(call.engine, job.job_id)
    return Answer({"name": name_of(job), "message": "Task cancelled"}, target=job.job_id)


@API.route("GET", AUDIT, gives=AuditPage)
def list_audit_entries(call: Call, query: AuditQuery) -> Answer:
    wanted = audit_reading.Wanted(
        actor=query.actor,
        action=query.action,
        since=parse_instant(query.since) if query.since else None,
        until=parse_instant(query.until) if query.until else None,
    )
    found, cursor = audit_reading.entries(call.engine, wanted, query.limit, query.cursor)
    return Answer({"entries": found, "count": len(found), "next_cursor": cursor})


@API.route("GET", f"{AUDIT}/verify", gives=AuditVerified)
def verify_audit_log(call: Call) -> Answer:
    """Walks the whole chain of hashes, and names the first link that is broken."""
    return Answer(verified_view(audit_reading.verify(call.engine, call.now)))


def _of_system(call: Call) -> list[tuple[Job, State]]:
    return jobs.all_jobs(call.engine, {"owner": SYSTEM})


def _named(call: Call) -> Job:
    """The task of the path. Raises NotFound."""
    return named(_of_system(call), call.path["name"])
