"""The routes of the agents dialect: the schedules of an agent, which need not be registered."""

from __future__ import annotations

from chalicelib.core.access import Role
from chalicelib.core.errors import NotFound
from chalicelib.core.job import Job, JobStatus, Origin, Spec, State
from chalicelib.dialects.agents.convert import (
    created_view,
    detail_view,
    job_id,
    schedule_id,
    schedule_view,
    shown_status,
    spec_fields,
)
from chalicelib.dialects.agents.errors import render
from chalicelib.dialects.agents.schema import (
    AgentsError,
    CreatedSchedule,
    CreateSchedule,
    ScheduleDetail,
    ScheduleList,
    SchedulesQuery,
    UpdateSchedule,
)
from chalicelib.dialects.http import Answer, Api, Call
from chalicelib.dialects.parsing import validated
from chalicelib.scheduler import jobs, runs

SCHEDULES = "/api/agents/{id}/schedules"
SCHEDULE = f"{SCHEDULES}/{{schedule_id}}"
_EXECUTIONS = 20  # shown of a schedule

API = Api("agents", (SCHEDULES,), render, AgentsError)


@API.route("GET", SCHEDULES, gives=ScheduleList)
def list_schedules(call: Call, query: SchedulesQuery) -> Answer:
    """All schedules of the agent, newest first."""
    found = jobs.all_jobs(call.engine, {"origin": Origin.AGENTS, "agent_id": call.path["id"]})
    shown = (schedule_view(job, state, call.now) for job, state in found)
    wanted = query.model_dump(exclude_none=True).items()
    return Answer({"schedules": [one for one in shown if wanted <= one.items()]})


@API.route("POST", SCHEDULES, gives=CreatedSchedule, status=201, role=Role.OPERATOR, writes="schedule.create")
def create_schedule(call: Call, body: CreateSchedule) -> Answer:
    fields = {**spec_fields(body.given(), None, call.now), "agent_id": call.new_id("id")}
    creation = jobs.Creation(call.who.id, Origin.AGENTS, JobStatus(body.status or "active"))
    job = jobs.create(call.engine, validated(Spec, fields), creation, call.now)
    return Answer(created_view(job, call.now), target=f"{call.path['id']}/{schedule_id(job)}")


@API.route("GET", SCHEDULE, gives=ScheduleDetail)
def get_schedule(call: Call) -> Answer:
    return Answer(_shown(call, *_found(call)))


@API.route("PUT", SCHEDULE, gives=ScheduleDetail, role=Role.OPERATOR, writes="schedule.update")
def update_schedule(call: Call, body: UpdateSchedule) -> Answer:
    def change(job: Job) -> tuple[Spec, JobStatus]:
        _may_change(call, job)
        spec = validated(Spec, spec_fields(body.given(), job.spec, call.now))
        again = shown_status(job) == "completed" and spec.schedule != job.spec.schedule
        kept = JobStatus.ACTIVE if again else job.status  # also where its only run failed
        return spec, JobStatus(body.status) if body.status else kept

    job, _ = _found(call)
    return Answer(_shown(call, *jobs.update(call.engine, job.job_id, change, call.now)))


@API.route("DELETE", SCHEDULE, gives=None, status=204, role=Role.OPERATOR, writes="schedule.delete")
def delete_schedule(call: Call) -> Answer:
    job, _ = _found(call)
    _may_change(call, job)
    jobs.delete(call.engine, job.job_id)
    return Answer()


def _found(call: Call) -> tuple[Job, State]:
    """The schedule's job. Raises NotFound, also where the schedule is another agent's."""
    unknown = NotFound("schedule", call.path["schedule_id"])
    known = job_id(call.path["schedule_id"])
    if known is None:
        raise unknown
    try:
        job, state = jobs.get(call.engine, known)
    except NotFound:
        raise unknown from None
    if job.origin is not Origin.AGENTS or job.spec.agent_id != call.path["id"]:
        raise unknown
    return job, state


def _may_change(call: Call, job: Job) -> None:
    """Another dialect may have given the job an action that is not the caller's to change."""
    if job.spec.action:
        call.may_use(job.spec.action)


def _shown(call: Call, job: Job, state: State) -> dict[str, object]:
    newest = runs.list_runs(call.engine, job.job_id, None, limit=_EXECUTIONS, offset=0)
    return detail_view(job, state, newest, call.now)
