"""Chains: graphs over jobs, whose executions Step Functions carries out through the runs queue."""

from __future__ import annotations

import hashlib
import logging
from datetime import datetime, timedelta
from itertools import islice

from chalicelib.core.action import Json
from chalicelib.core.asl import start_input
from chalicelib.core.chain import Chain, ChainSpec, NodeRun, NodeTask, PipelineRun, roots
from chalicelib.core.errors import Conflict, Detail, Invalid, NotFound
from chalicelib.core.ids import is_id, manual_run_id, random_id, slot_id
from chalicelib.core.instants import from_iso, iso, millis
from chalicelib.core.job import Job
from chalicelib.core.run import Message, Run, RunStatus, Trigger
from chalicelib.scheduler import events
from chalicelib.scheduler.engine import Engine

_SETTLED = timedelta(minutes=1)  # by then an execution that was begun is known to Step Functions
_TRIES = 5  # to note a chain on a job that others change meanwhile
_STARTING = {RunStatus.COMPLETED, RunStatus.FAILED}  # ends of a root's own run that begin an execution

log = logging.getLogger(__name__)


# -- what people do


def create(engine: Engine, spec: ChainSpec, owner: str, now: datetime) -> Chain:
    """Raises Invalid where a job does not exist. The chain is there when all else of it is."""
    known = engine.jobs.definitions(spec.jobs, consistent=True)
    unknown = [_no_job(i, job_id) for i, job_id in enumerate(spec.jobs) if job_id not in known]
    if unknown:
        raise Invalid(*unknown)
    chain = Chain(
        chain_id=f"chain_{random_id(12)}", revision=millis(now), spec=spec, owner=owner, created_at=now
    )
    chain = chain.model_copy(update={"machine_arn": engine.workflows.create(chain)})
    try:
        for i, job_id in enumerate(spec.jobs):
            if not _note_on_job(engine, job_id, chain.chain_id, used=True):
                raise Invalid(_no_job(i, job_id))  # deleted meanwhile
        engine.records.put("chain", chain.chain_id, chain.model_dump(mode="json"))
    except Exception:
        _dismantle(engine, chain)
        raise
    return chain


def _no_job(i: int, job_id: str) -> Detail:
    return Detail(f"jobs.{i}", f"there is no job {job_id}")


def _dismantle(engine: Engine, chain: Chain) -> None:
    for job_id in chain.spec.jobs:
        _note_on_job(engine, job_id, chain.chain_id, used=False)
    engine.workflows.delete(chain.machine_arn)


def get(engine: Engine, chain_id: str) -> Chain:
    chain = _stored(engine, chain_id)
    if chain is None or chain.deleted_at:
        raise NotFound("chain", chain_id)
    return chain


def _stored(engine: Engine, chain_id: str) -> Chain | None:
    """The chain, also one that was deleted: its executions go on, and are remembered."""
    record = engine.records.get("chain", chain_id) if is_id(chain_id) else None
    return Chain.model_validate(record) if record else None


def list_chains(engine: Engine) -> list[Chain]:
    """Newest first."""
    chains = (Chain.model_validate(record) for _, record in engine.records.list("chain"))
    return sorted(
        (chain for chain in chains if not chain.deleted_at), key=lambda chain: chain.created_at, reverse=True
    )


def delete(engine: Engine, chain_id: str, now: datetime) -> None:
    """Executions in progress go on to their end. What fails half way can be done again."""
    chain = get(engine, chain_id)
    _dismantle(engine, chain)
    gone = chain.model_copy(update={"deleted_at": now})
    engine.records.put("chain", chain_id, gone.model_dump(mode="json"))


def using(engine: Engine, job: Job) -> list[Chain]:
    """The chains that have the job as a node."""
    chains = (_stored(engine, chain_id) for chain_id in job.chains)
    return [chain for chain in chains if chain and not chain.deleted_at]


def trigger(engine: Engine, chain_id: str, now: datetime) -> PipelineRun:
    """Starts an execution that runs every root."""
    chain = get(engine, chain_id)
    name = _execution_name(chain, None, manual_run_id(now), now)
    try:
        return _start(engine, chain, name, None, now)
    except Exception:  # nobody comes again for it; whoever asked is told
        if run := engine.pipelines.get(chain_id, name):
            _ended(engine, run, "failed", now)
        raise


def start_for(engine: Engine, chain: Chain, begun_by: str, at: datetime, now: datetime) -> PipelineRun:
    """The execution that runs every root for `begun_by`, which is of the instant `at`: always the same one.

    It is `failed` where the chain is being deleted. What fails half way can be done again.
    """
    return _start(engine, chain, _execution_name(chain, None, begun_by, at), None, now)


def list_executions(engine: Engine, chain_id: str, limit: int) -> list[PipelineRun]:
    """Newest first."""
    get(engine, chain_id)
    found = islice(engine.pipelines.of_chain(chain_id, limit), limit)
    return [_reconciled(engine, run, engine.now()) for run in found]


def get_execution(engine: Engine, chain_id: str, execution: str) -> tuple[PipelineRun, ChainSpec]:
    """The execution, and its graph; also of a chain that was deleted."""
    chain = _stored(engine, chain_id)
    if chain is None:
        raise NotFound("chain", chain_id)
    run = engine.pipelines.get(chain_id, execution) if len(execution) <= 80 else None
    if run is None:
        raise NotFound("execution", execution)
    return _reconciled(engine, run, engine.now()), chain.spec


def _reconciled(engine: Engine, run: PipelineRun, now: datetime) -> PipelineRun:
    """As it is. A machine that ended without its nodes' reports (stopped from outside, say) has ended."""
    if run.status != "running" or now - run.started_at < _SETTLED:
        return run
    status = engine.workflows.status(run.machine_arn, run.execution)
    if status == "running" or not _ended(engine, run, status, now):
        return run
    return run.model_copy(update={"status": status, "completed_at": now})


def cancel(engine: Engine, chain_id: str, execution: str, by: str, now: datetime) -> PipelineRun:
    """Stops the execution, but not the runs of its nodes that have begun. It can be repeated.

    Raises Conflict where it has ended by itself.
    """
    run, _ = get_execution(engine, chain_id, execution)
    if run.status not in ("running", "cancelled"):
        raise Conflict(f"execution {execution} is {run.status} and cannot be cancelled")
    engine.workflows.stop(run.machine_arn, execution, f"cancelled by {by}")
    _ended(engine, run, "cancelled", now)
    return get_execution(engine, chain_id, execution)[0]


# -- what runs do


def message_of(engine: Engine, body: str, now: datetime) -> Message:
    """The message that a body holds, or that a chain's node is queued by. Raises Invalid."""
    try:
        return Message.decode(body)
    except Invalid as error:
        try:
            task = NodeTask.decode(body)
        except Invalid:
            raise error from None
    return accept(engine, task, now)


def accept(engine: Engine, task: NodeTask, now: datetime) -> Message:
    """Queues a node's run, once however often its message comes; gives the message to go on with.

    A later message for the same node has the token that counts.
    """
    run = Run(
        job_id=task.job_id,
        run_id=task.run_id,
        status=RunStatus.QUEUED,
        trigger=Trigger.CHAIN,
        revision=0,
        scheduled_for=now,
        created_at=now,
        chain_id=task.chain_id,
        execution=task.execution,
        after=task.after,
        task_token=task.token,
    )
    is_new = engine.runs.add(run)
    if is_new:
        node = NodeRun(status="running", run_id=run.run_id)
        pipeline = engine.pipelines.note(task.chain_id, task.execution, task.job_id, node)
    else:
        engine.runs.set_token(task.job_id, task.run_id, task.token)
        pipeline = engine.pipelines.get(task.chain_id, task.execution)
    if pipeline and pipeline.status == "cancelled":
        engine.runs.end(run, RunStatus.CANCELLED, "its execution was cancelled", now, None)
    return Message.of(run)


def on_end(engine: Engine, job: Job | None, run: Run, now: datetime) -> None:
    """Reports a node's outcome to its execution, or begins executions where the job is a chain's root."""
    if run.task_token and run.chain_id and run.execution:
        _report(engine, run, run.chain_id, run.execution, run.task_token, now)
    elif job and run.trigger is not Trigger.CHAIN and run.status in _STARTING and not run.dry_run:
        for chain in using(engine, job):
            if job.job_id in roots(chain.spec):
                name = _execution_name(chain, job.job_id, run.run_id, run.scheduled_for)
                _start(engine, chain, name, run, now)


def _report(engine: Engine, run: Run, chain_id: str, execution: str, token: str, now: datetime) -> None:
    status = "completed" if run.status is RunStatus.COMPLETED else "failed"
    pipeline = engine.pipelines.note(
        chain_id, execution, run.job_id, NodeRun(status=status, run_id=run.run_id)
    )
    engine.workflows.report(token, status, run.run_id)
    chain = _stored(engine, chain_id)
    if pipeline and chain:
        _end(engine, pipeline, chain.spec, now)


def _end(engine: Engine, pipeline: PipelineRun, spec: ChainSpec, now: datetime) -> None:
    outcome = pipeline.outcome(spec)
    if outcome:
        _ended(engine, pipeline, outcome, now)


def _ended(engine: Engine, pipeline: PipelineRun, status: str, now: datetime) -> bool:
    """Ends the execution if it goes on, and tells of its end, once however often that is found out."""
    is_news = engine.pipelines.end(pipeline, status, now)
    ended_at = now if is_news else pipeline.completed_at
    if ended_at is None:
        return False  # another ends it at this moment
    status = status if is_news else pipeline.status
    log.info("chain %s: execution %s is %s", pipeline.chain_id, pipeline.execution, status)
    chain = _stored(engine, pipeline.chain_id)
    data: dict[str, Json] = {
        "chain_id": pipeline.chain_id,
        "chain_name": chain.spec.name if chain else None,
        "execution": pipeline.execution,
        "status": status,
        "root": pipeline.root,
        "started_at": iso(pipeline.started_at),
        "completed_at": iso(ended_at),
    }
    once = f"{pipeline.chain_id}/{pipeline.execution}"
    events.emit(engine, "chain.completed", data, from_iso(iso(ended_at)), once)
    return is_news


def _start(engine: Engine, chain: Chain, name: str, root: Run | None, now: datetime) -> PipelineRun:
    """Starts the execution of that name, if it has not been started."""
    run = PipelineRun(
        chain_id=chain.chain_id,
        execution=name,
        revision=chain.revision,
        machine_arn=chain.machine_arn,
        root=root.job_id if root else None,
        started_at=now,
    )
    engine.pipelines.add(run)
    resolved: dict[str, dict[str, str | None]] = {}
    if root:
        node = NodeRun(status=root.status, run_id=root.run_id)
        resolved = {root.job_id: node.model_dump()}
        run = engine.pipelines.note(chain.chain_id, name, root.job_id, node) or run
    if engine.workflows.start(chain.machine_arn, name, start_input(chain.spec, resolved)):
        _end(engine, run, chain.spec, now)  # a root whose end leads nowhere is all there is
        return run
    _ended(engine, run, "failed", now)  # the chain is being deleted
    return run.model_copy(update={"status": "failed"})


def _execution_name(chain: Chain, root: str | None, begun_by: str, at: datetime) -> str:
    """Of the one execution that `begun_by` begins. It begins with a time, so that executions sort by it.

    80 characters at most.
    """
    digest = hashlib.sha256("\n".join([chain.chain_id, root or "", begun_by]).encode()).hexdigest()
    return f"{slot_id(at.replace(microsecond=0))}-{digest[:16]}"


def _note_on_job(engine: Engine, job_id: str, chain_id: str, *, used: bool) -> bool:
    """Writes on the job's definition that the chain uses it, or no longer does; false if there is no job."""
    for _ in range(_TRIES):
        job = engine.jobs.definitions([job_id], consistent=True).get(job_id)
        if job is None or (chain_id in job.chains) is used:
            return job is not None
        chains = (*job.chains, chain_id) if used else tuple(one for one in job.chains if one != chain_id)
        try:
            engine.jobs.replace(job.model_copy(update={"chains": chains, "version": job.version + 1}), job)
        except Conflict:
            continue
        return True
    raise Conflict(f"job {job_id} is being changed; try again")
