"""The routes of the nightly dialect: jobs under a cron expression and a handler, by their names."""

from __future__ import annotations

from chalicelib.core.access import Role
from chalicelib.core.instants import short_iso
from chalicelib.core.job import Job, Origin
from chalicelib.dialects.http import Answer, Api, Call
from chalicelib.dialects.nightly.convert import (
    list_view,
    registered_view,
    result_view,
    spec_of,
    status_of,
    triggered_view,
)
from chalicelib.dialects.nightly.errors import render
from chalicelib.dialects.nightly.schema import (
    DeregisteredJob,
    LastResult,
    NightlyError,
    NightlyJobList,
    NightlyQuery,
    RegisteredJob,
    RegisterJob,
    TriggeredRun,
    TriggerNightly,
)
from chalicelib.scheduler import jobs, named_jobs, runs
from chalicelib.scheduler.targets import action_named

JOBS = "/api/v1/scheduler/jobs"
JOB = f"{JOBS}/{{job_name}}"

API = Api("nightly", ("/api/v1/",), render, NightlyError)


@API.route("GET", JOBS, gives=NightlyJobList)
def list_jobs(call: Call, query: NightlyQuery) -> Answer:
    offset = (query.page - 1) * query.limit
    page, total = named_jobs.list_by_name(call.engine, Origin.NIGHTLY, query.limit, offset)
    return Answer(list_view(page, total, query, call.now))


@API.route("POST", JOBS, gives=RegisteredJob, status=201, role=Role.OPERATOR, writes="job.create")
def register_job(call: Call, body: RegisterJob) -> Answer:
    spec = spec_of(body, action_named(call.engine, body.handler))
    creation = jobs.Creation(call.who.id, Origin.NIGHTLY, status_of(body))
    job = named_jobs.register(call.engine, spec, creation, call.now)
    return Answer(registered_view(job, call.now), target=job.job_id)


@API.route("POST", f"{JOB}/trigger", gives=TriggeredRun, status=202, role=Role.OPERATOR, writes="job.trigger")
def trigger_job(call: Call, body: TriggerNightly) -> Answer:
    job = _writable(call)
    asked = runs.Asked(body.triggered_by or call.who.id, dry_run=body.dry_run)
    run = runs.trigger_alone(call.engine, job.job_id, asked, call.now)
    return Answer(triggered_view(job.spec.name, run), target=f"{run.job_id}/{run.run_id}")


@API.route("GET", f"{JOB}/last-result", gives=LastResult)
def get_last_result(call: Call) -> Answer:
    name = call.path["job_name"]
    return Answer(result_view(name, named_jobs.last_run(call.engine, Origin.NIGHTLY, name)))


@API.route("DELETE", JOB, gives=DeregisteredJob, role=Role.OPERATOR, writes="job.delete")
def deregister_job(call: Call) -> Answer:
    job = _writable(call)
    jobs.delete(call.engine, job.job_id)
    body = {"deleted": True, "job_name": job.spec.name, "cancelled_at": short_iso(call.now)}
    return Answer(body, target=job.job_id)


def _writable(call: Call) -> Job:
    """The job, which the caller may change."""
    job, _ = named_jobs.find(call.engine, Origin.NIGHTLY, call.path["job_name"])
    if job.spec.action:
        call.may_use(job.spec.action)
    return job
