"""The routes of the native dialect: jobs, runs, chains, and what is known of them."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from typing import Any

from chalicelib.core.access import Role
from chalicelib.core.action import COMPLETION_TOKEN
from chalicelib.core.chain import ChainSpec, PipelineRun, diagram
from chalicelib.core.errors import Conflict
from chalicelib.core.insight import suggestions
from chalicelib.core.instants import parse_instant
from chalicelib.core.job import Job, JobStatus, Spec
from chalicelib.core.run import Run
from chalicelib.core.schedule import zone
from chalicelib.dialects.http import Answer, Api, Call
from chalicelib.dialects.native.chains_schema import (
    ChainList,
    ChainView,
    CreateChain,
    Definition,
    DiagramQuery,
    ExecutionDetailView,
    ExecutionList,
    ExecutionsQuery,
    Started,
)
from chalicelib.dialects.native.convert import (
    calendar_view,
    chain_view,
    execution_detail_view,
    execution_view,
    heatmap_view,
    job_statistics_view,
    job_view,
    patched,
    run_view,
    statistics_view,
    status_view,
    understood_view,
    validation_view,
)
from chalicelib.dialects.native.errors import render
from chalicelib.dialects.native.insight_schema import (
    CalendarQuery,
    CalendarView,
    HeatmapView,
    JobStatisticsView,
    ParseText,
    StatisticsView,
    StatusView,
    SuggestionList,
    UnderstoodView,
    ValidateQuery,
    ValidationView,
    ZoneQuery,
)
from chalicelib.dialects.native.schema import (
    CompleteRun,
    CreateJob,
    JobList,
    JobsQuery,
    JobView,
    NativeError,
    NoFields,
    PauseJob,
    Queued,
    RecentRuns,
    RecentRunsQuery,
    ReportProgress,
    RunList,
    RunsQuery,
    RunView,
    TriggerJob,
    UpdateJob,
)
from chalicelib.dialects.parsing import validated
from chalicelib.scheduler import chains, history, insight, jobs, language, reports, run_delivery, runs
from chalicelib.scheduler.status import engine_status

JOBS = "/api/scheduler/jobs"
JOB = f"{JOBS}/{{id}}"
RUNS = f"{JOB}/runs"
RUN = f"{RUNS}/{{run_id}}"
CHAINS = "/api/scheduler/chains"
CHAIN = f"{CHAINS}/{{id}}"
EXECUTION = f"{CHAIN}/executions/{{execution_id}}"

API = Api("native", ("/api/",), render, NativeError)


@API.route("GET", JOBS, gives=JobList)
def list_jobs(call: Call, query: JobsQuery) -> Answer:
    page, count = jobs.list_jobs(call.engine, query.filters(), query.limit, query.offset)
    return Answer({"jobs": [job_view(job, state, call.now) for job, state in page], "count": count})


@API.route("POST", JOBS, gives=JobView, status=201, role=Role.OPERATOR, writes="job.create")
def create_job(call: Call, body: CreateJob) -> Answer:
    _may_name_action(call, body)
    creation = jobs.Creation(call.who.id, status=JobStatus(body.status), request_key=call.idempotency_key)
    job = jobs.create(call.engine, body.spec(), creation, call.now)
    return Answer(_shown(call, job.job_id), target=job.job_id)


@API.route("GET", JOB, gives=JobView)
def get_job(call: Call) -> Answer:
    return Answer(_shown(call, call.path["id"]))


@API.route("PUT", JOB, gives=JobView, takes=UpdateJob, role=Role.OPERATOR, writes="job.update")
def update_job(call: Call) -> Answer:
    changes = call.json()

    def change(job: Job) -> tuple[Spec, JobStatus]:
        _may_name_action(call, job.spec)
        body = validated(CreateJob, patched(job.spec, changes))
        _may_name_action(call, body)
        return body.spec(), JobStatus(body.status) if changes.get("status") else job.status

    job, state = jobs.update(call.engine, call.path["id"], change, call.now)
    return Answer(job_view(job, state, call.now))


@API.route("DELETE", JOB, gives=None, status=204, role=Role.OPERATOR, writes="job.delete")
def delete_job(call: Call) -> Answer:
    _may_touch(call)
    jobs.delete(call.engine, call.path["id"])
    return Answer()


@API.route("POST", f"{JOB}/pause", gives=JobView, role=Role.OPERATOR, writes="job.pause")
def pause_job(call: Call, body: PauseJob) -> Answer:
    _may_touch(call)
    job, state = jobs.pause(call.engine, call.path["id"], body.reason, call.now)
    return Answer(job_view(job, state, call.now))


@API.route("POST", f"{JOB}/resume", gives=JobView, role=Role.OPERATOR, writes="job.resume")
def resume_job(call: Call, body: NoFields) -> Answer:
    _may_touch(call)
    job, state = jobs.resume(call.engine, call.path["id"], call.now)
    return Answer(job_view(job, state, call.now))


@API.route("POST", f"{JOB}/trigger", gives=Queued, status=202, role=Role.OPERATOR, writes="job.trigger")
def trigger_job(call: Call, body: TriggerJob) -> Answer:
    _may_touch(call)
    asked = runs.Asked(call.who.id, body.input, request_key=call.idempotency_key, dry_run=body.dry_run)
    return _queued(runs.trigger(call.engine, call.path["id"], asked, call.now))


@API.route("GET", RUNS, gives=RunList)
def list_runs(call: Call, query: RunsQuery) -> Answer:
    page = runs.list_runs(call.engine, call.path["id"], query.status, query.limit, query.offset)
    return Answer({"runs": _runs(call, page), "count": len(page)})


@API.route("GET", RUN, gives=RunView)
def get_run(call: Call) -> Answer:
    [run] = _runs(call, [runs.get_run(call.engine, call.path["id"], call.path["run_id"])])
    return Answer(run)


@API.route("POST", f"{RUN}/cancel", gives=RunView, role=Role.OPERATOR, writes="run.cancel")
def cancel_run(call: Call, body: NoFields) -> Answer:
    run, was_running = runs.cancel(call.engine, call.path["id"], call.path["run_id"], call.who.id, call.now)
    return Answer(run_view(run), 202 if was_running else 200)


@API.route("POST", f"{RUN}/rerun", gives=Queued, status=202, role=Role.OPERATOR, writes="run.rerun")
def rerun_run(call: Call, body: NoFields) -> Answer:
    _may_touch(call)
    asked = runs.Asked(call.who.id, request_key=call.idempotency_key)
    return _queued(runs.rerun(call.engine, call.path["id"], call.path["run_id"], asked, call.now))


@API.route("POST", f"{RUN}/complete", gives=RunView, role=None)
def complete_run(call: Call, body: CompleteRun) -> Answer:
    """By the run's target, with the completion token of its request. Like heartbeats it is not audited."""
    run = reports.complete(
        call.engine, call.path["id"], call.path["run_id"], _token(call), body.outcome(), call.now
    )
    return Answer(run_view(run))


@API.route("POST", f"{RUN}/progress", gives=RunView, role=None)
def report_progress(call: Call, body: ReportProgress) -> Answer:
    """By the run's target, with the completion token: it goes on, and may be silent for as long again."""
    said = body.model_dump(exclude_none=True)
    run = reports.progress(call.engine, call.path["id"], call.path["run_id"], _token(call), said, call.now)
    return Answer(run_view(run))


@API.route("GET", "/api/scheduler/runs", gives=RecentRuns)
def recent_runs(call: Call, query: RecentRunsQuery) -> Answer:
    page, cursor = history.recent_runs(
        call.engine,
        call.now,
        since=parse_instant(query.since) if query.since else None,
        status=query.status,
        limit=query.limit,
        cursor=query.cursor,
    )
    return Answer({"runs": _runs(call, page), "count": len(page), "next_cursor": cursor})


@API.route("GET", "/api/scheduler/status", gives=StatusView)
def get_status(call: Call) -> Answer:
    return Answer(status_view(engine_status(call.engine, call.now)))


@API.route("POST", "/api/scheduler/parse-nl", gives=UnderstoodView)
def parse_text(call: Call, body: ParseText) -> Answer:
    now = parse_instant(body.now) if body.now else call.now
    return Answer(understood_view(language.understand(call.engine, body.text, body.timezone, now)))


@API.route("GET", "/api/scheduler/validate", gives=ValidationView)
def validate_schedule(call: Call, query: ValidateQuery) -> Answer:
    start = parse_instant(query.from_) if query.from_ else call.now
    checked = language.validate(query.type, query.value, query.timezone, query.count, start, call.now)
    return Answer(validation_view(checked, zone(query.timezone)))


@API.route("GET", "/api/scheduler/stats", gives=StatisticsView)
def get_statistics(call: Call, query: ZoneQuery) -> Answer:
    found, by_status = insight.statistics(call.engine, zone(query.timezone), call.now)
    return Answer(statistics_view(found, by_status))


@API.route("GET", f"{JOB}/stats", gives=JobStatisticsView)
def get_job_statistics(call: Call) -> Answer:
    job_id = call.path["id"]
    return Answer(job_statistics_view(job_id, insight.job_statistics(call.engine, job_id, call.now)))


@API.route("GET", "/api/scheduler/smart/heatmap", gives=HeatmapView)
def get_heatmap(call: Call, query: ZoneQuery) -> Answer:
    grid = insight.heatmap(call.engine, zone(query.timezone), call.now)
    return Answer(heatmap_view(grid, query.timezone))


@API.route("GET", "/api/scheduler/smart/suggestions", gives=SuggestionList)
def get_suggestions(call: Call, query: ZoneQuery) -> Answer:
    grid = insight.heatmap(call.engine, zone(query.timezone), call.now)
    return Answer({"suggestions": [asdict(suggestion) for suggestion in suggestions(grid)]})


@API.route("GET", "/api/scheduler/calendar-data", gives=CalendarView)
def get_calendar(call: Call, query: CalendarQuery) -> Answer:
    start, end = query.window(call.now)
    events, truncated = insight.calendar(call.engine, start, end, call.now)
    return Answer(calendar_view(events, truncated, zone(query.timezone)))


@API.route("GET", CHAINS, gives=ChainList)
def list_chains(call: Call) -> Answer:
    found = chains.list_chains(call.engine)
    return Answer({"chains": [chain_view(chain) for chain in found], "count": len(found)})


@API.route("POST", CHAINS, gives=ChainView, status=201, role=Role.OPERATOR, writes="chain.create")
def create_chain(call: Call, body: CreateChain) -> Answer:
    _may_run(call, body)
    chain = chains.create(call.engine, body, call.who.id, call.now)
    return Answer(chain_view(chain), target=chain.chain_id)


@API.route("GET", CHAIN, gives=ChainView)
def get_chain(call: Call) -> Answer:
    return Answer(chain_view(chains.get(call.engine, call.path["id"])))


@API.route("DELETE", CHAIN, gives=None, status=204, role=Role.OPERATOR, writes="chain.delete")
def delete_chain(call: Call) -> Answer:
    chains.delete(call.engine, call.path["id"], call.now)
    return Answer()


@API.route("POST", f"{CHAIN}/trigger", gives=Started, status=202, role=Role.OPERATOR, writes="chain.trigger")
def trigger_chain(call: Call, body: NoFields) -> Answer:
    _may_run(call, chains.get(call.engine, call.path["id"]).spec)
    run = chains.trigger(call.engine, call.path["id"], call.now)
    return Answer({"execution_id": run.execution, "chain_id": run.chain_id, "status": "running"})


@API.route("GET", f"{CHAIN}/executions", gives=ExecutionList)
def list_executions(call: Call, query: ExecutionsQuery) -> Answer:
    found = chains.list_executions(call.engine, call.path["id"], query.limit)
    return Answer({"executions": [execution_view(run) for run in found], "count": len(found)})


@API.route("GET", EXECUTION, gives=ExecutionDetailView)
def get_execution(call: Call) -> Answer:
    return Answer(execution_detail_view(*_execution(call, call.path["execution_id"])))


@API.route(
    "POST", f"{EXECUTION}/cancel", gives=ExecutionDetailView, role=Role.OPERATOR, writes="execution.cancel"
)
def cancel_execution(call: Call, body: NoFields) -> Answer:
    """Stops the execution, and cancels the runs of its nodes that have begun."""
    chain_id, execution = call.path["id"], call.path["execution_id"]
    run = chains.cancel(call.engine, chain_id, execution, call.who.id, call.now)
    for job_id, node in run.nodes.items():
        if node.status == "running":
            with suppress(Conflict):  # it has ended by itself
                runs.cancel(call.engine, job_id, node.run_id, call.who.id, call.now)
    return Answer(execution_detail_view(*_execution(call, execution)))


@API.route("GET", f"{CHAIN}/definition", gives=Definition)
def get_definition(call: Call) -> Answer:
    return Answer(call.engine.workflows.definition(chains.get(call.engine, call.path["id"])))


@API.route("GET", f"{CHAIN}/diagram", gives=None)
def get_diagram(call: Call, query: DiagramQuery) -> Answer:
    """Mermaid text; with each node's state where an execution is named."""
    chain = chains.get(call.engine, call.path["id"])
    spec, states = chain.spec, None
    if query.execution:
        run, spec = _execution(call, query.execution)
        states = run.states(spec)
    named = call.engine.jobs.definitions(spec.jobs, consistent=False)
    names = {job_id: job.spec.name for job_id, job in named.items() if job}
    return Answer(diagram(spec, states, names), headers={"Content-Type": "text/plain; charset=utf-8"})


def _token(call: Call) -> str | None:
    token: str | None = call.request.headers.get(COMPLETION_TOKEN.lower())
    return token


def _execution(call: Call, execution: str) -> tuple[PipelineRun, ChainSpec]:
    return chains.get_execution(call.engine, call.path["id"], execution)


def _shown(call: Call, job_id: str) -> dict[str, object]:
    return job_view(*jobs.get(call.engine, job_id), call.now)


def _runs(call: Call, found: list[Run]) -> list[dict[str, Any]]:
    """As they are shown, each with what became of its delivery."""
    return [run_view(run) for run in run_delivery.with_outcomes(call.engine, found)]


def _queued(run: Run) -> Answer:
    body = {"run_id": run.run_id, "status": "queued", "job_id": run.job_id}
    return Answer(body, target=f"{run.job_id}/{run.run_id}")


def _may_name_action(call: Call, spec: Spec) -> None:
    if spec.action:
        call.may_use(spec.action)


def _may_touch(call: Call) -> None:
    """Whether the job is one that the caller may change."""
    _may_name_action(call, jobs.get(call.engine, call.path["id"])[0].spec)


def _may_run(call: Call, spec: ChainSpec) -> None:
    """Whether the caller may have each of a chain's jobs run."""
    for job in call.engine.jobs.definitions(spec.jobs, consistent=True).values():
        if job:
            _may_name_action(call, job.spec)
