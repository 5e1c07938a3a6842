"""Chains: graphs over jobs, whose executions Step Functions carries out through the runs queue."""

from __future__ import annotations

import hashlib
import logging
from datetime import datetime
from itertools import islice

from chalicelib.core.asl import start_input
from chalicelib.core.chain import Chain, ChainSpec, NodeRun, NodeTask, PipelineRun, roots
from chalicelib.core.errors import Conflict, Detail, Invalid, NotFound
from chalicelib.core.ids import is_id, manual_run_id, random_id, slot_id
from chalicelib.core.instants import millis
from chalicelib.core.job import Job
from chalicelib.core.run import Message, Run, RunStatus, Trigger
from chalicelib.scheduler.engine import Engine

_TRIES = 5  # to note a chain on a job that others change meanwhile
_STARTING = {RunStatus.COMPLETED, RunStatus.FAILED}  # ends of a root's own run that begin an execution

log = logging.getLogger(__name__)


# -- what people do


def create(engine: Engine, spec: ChainSpec, owner: str, now: datetime) -> Chain:
    """Raises Invalid where a job does not exist. The chain is there when all else of it is."""
    known = engine.jobs.definitions(spec.jobs, consistent=True)
    unknown = [
        Detail(f"jobs.{i}", f"there is no job {job}") for i, job in enumerate(spec.jobs) if job not in known
    ]
    if unknown:
        raise Invalid(*unknown)
    chain = Chain(
        chain_id=f"chain_{random_id(12)}", revision=millis(now), spec=spec, owner=owner, created_at=now
    )
    chain = chain.model_copy(update={"machine_arn": engine.workflows.create(chain)})
    engine.records.put(
        "chain_revision", _snapshot(chain.chain_id, chain.revision), chain.model_dump(mode="json")
    )
    for job_id in spec.jobs:
        _note_on_job(engine, job_id, chain.chain_id, used=True)
    engine.records.put("chain", chain.chain_id, chain.model_dump(mode="json"))
    return chain


def get(engine: Engine, chain_id: str) -> Chain:
    record = engine.records.get("chain", chain_id) if is_id(chain_id) else None
    if record is None:
        raise NotFound("chain", chain_id)
    return Chain.model_validate(record)


def list_chains(engine: Engine) -> list[Chain]:
    """Newest first."""
    chains = [Chain.model_validate(record) for _, record in engine.records.list("chain")]
    return sorted(chains, key=lambda chain: chain.created_at, reverse=True)


def delete(engine: Engine, chain_id: str) -> None:
    """Executions in progress go on to their end, with the definition they began with."""
    chain = get(engine, chain_id)
    engine.records.delete("chain", chain_id)
    for job_id in chain.spec.jobs:
        _note_on_job(engine, job_id, chain_id, used=False)
    engine.workflows.delete(chain.machine_arn)


def using(engine: Engine, job: Job) -> list[Chain]:
    """The chains that have the job as a node."""
    records = (engine.records.get("chain", chain_id) for chain_id in job.chains)
    return [Chain.model_validate(record) for record in records if record]


def trigger(engine: Engine, chain_id: str, now: datetime) -> PipelineRun:
    """Starts an execution that runs every root."""
    chain = get(engine, chain_id)
    return _start(engine, chain, manual_run_id(now), None, now)


def list_executions(engine: Engine, chain_id: str, limit: int) -> list[PipelineRun]:
    """Newest first."""
    get(engine, chain_id)
    return list(islice(engine.pipelines.of_chain(chain_id, limit), limit))


def get_execution(engine: Engine, chain_id: str, execution: str) -> tuple[PipelineRun, ChainSpec]:
    """The execution, and the graph that it began with."""
    get(engine, chain_id)
    run = engine.pipelines.get(chain_id, execution) if len(execution) <= 80 else None
    if run is None:
        raise NotFound("execution", execution)
    return run, _spec_of(engine, run)


def cancel(engine: Engine, chain_id: str, execution: str, by: str, now: datetime) -> PipelineRun:
    """Stops the execution, but not the runs of its nodes that have begun.

    Raises Conflict where it has ended.
    """
    run, _ = get_execution(engine, chain_id, execution)
    if not engine.pipelines.end(run, "cancelled", now):
        raise Conflict(f"execution {execution} is {run.status} and cannot be cancelled")
    engine.workflows.stop(run.machine_arn, execution, f"cancelled by {by}")
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
    if engine.runs.add(run):
        node = NodeRun(status="running", run_id=run.run_id)
        engine.pipelines.note(task.chain_id, task.execution, task.job_id, node)
    else:
        engine.runs.set_token(task.job_id, task.run_id, task.token)
    return Message(task.job_id, task.run_id, 0, now, now, Trigger.CHAIN)


def on_end(engine: Engine, job: Job | None, run: Run, now: datetime) -> None:
    """Reports a node's outcome to its execution, or begins executions where the job is a chain's root."""
    if run.task_token and run.chain_id and run.execution:
        _report(engine, run, run.chain_id, run.execution, run.task_token, now)
    elif job and job.chains and run.trigger is not Trigger.CHAIN and run.status in _STARTING:
        for chain in using(engine, job):
            if job.job_id in roots(chain.spec):
                _start(engine, chain, run.run_id, run, now)


def _report(engine: Engine, run: Run, chain_id: str, execution: str, token: str, now: datetime) -> None:
    status = "completed" if run.status is RunStatus.COMPLETED else "failed"
    pipeline = engine.pipelines.note(
        chain_id, execution, run.job_id, NodeRun(status=status, run_id=run.run_id)
    )
    engine.workflows.report(token, status, run.run_id)
    if pipeline:
        _end(engine, pipeline, now)


def _end(engine: Engine, pipeline: PipelineRun, now: datetime) -> None:
    outcome = pipeline.outcome(_spec_of(engine, pipeline))
    if outcome and engine.pipelines.end(pipeline, outcome, now):
        log.info("chain %s: execution %s is %s", pipeline.chain_id, pipeline.execution, outcome)


def _start(engine: Engine, chain: Chain, begun_by: str, root: Run | None, now: datetime) -> PipelineRun:
    """Starts the execution that `begun_by` names: a root's run begins one only."""
    name = _execution_name(chain, begun_by, root, now)
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
        resolved = {root.job_id: {"status": node.status, "run_id": node.run_id}}
        noted = engine.pipelines.note(chain.chain_id, name, root.job_id, node)
        run = noted or run
    engine.workflows.start(chain.machine_arn, name, start_input(chain.spec, resolved))
    _end(engine, run, now)  # a root alone, or one whose end leads nowhere, is all there is
    return run


def _execution_name(chain: Chain, begun_by: str, root: Run | None, now: datetime) -> str:
    """Begins with a time, so that executions sort by it; 80 characters at most."""
    names = [chain.chain_id, root.job_id if root else "", begun_by]
    digest = hashlib.sha256("\n".join(names).encode()).hexdigest()
    begun = root.scheduled_for if root else now
    return f"{slot_id(begun.replace(microsecond=0))}-{digest[:16]}"


def _spec_of(engine: Engine, run: PipelineRun) -> ChainSpec:
    record = engine.records.get("chain_revision", _snapshot(run.chain_id, run.revision))
    if record is None:
        raise NotFound("chain revision", _snapshot(run.chain_id, run.revision))
    return Chain.model_validate(record).spec


def _snapshot(chain_id: str, revision: int) -> str:
    return f"{chain_id}#{revision}"


def _note_on_job(engine: Engine, job_id: str, chain_id: str, *, used: bool) -> None:
    """Writes on the job's definition that the chain uses it, or no longer does."""
    for _ in range(_TRIES):
        job = engine.jobs.definitions([job_id], consistent=True).get(job_id)
        if job is None or (chain_id in job.chains) is used:
            return
        chains = (*job.chains, chain_id) if used else tuple(one for one in job.chains if one != chain_id)
        try:
            engine.jobs.replace(job.model_copy(update={"chains": chains, "version": job.version + 1}), job)
        except Conflict:
            continue
        return
    raise Conflict(f"job {job_id} is being changed; try again")
