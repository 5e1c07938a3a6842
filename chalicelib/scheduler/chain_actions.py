"""Executions of chains that runs start: jobs whose action is a chain."""

from __future__ import annotations

from collections.abc import Iterator

from chalicelib.core.action import Action, Attempt
from chalicelib.core.chain import Chain
from chalicelib.core.errors import ActionError, NotFound
from chalicelib.core.instants import from_iso
from chalicelib.core.job import Job
from chalicelib.scheduler import chains
from chalicelib.scheduler.engine import Engine
from chalicelib.scheduler.targets import action_of


def start(engine: Engine, chain_id: str, attempt: Attempt) -> str:
    """Starts the execution of a chain that is this run's, and gives its id; every attempt gives the same.

    Raises ActionError, permanent, where there is no such chain; where the job is a node of it, also by way of
    other chains that its jobs start, since that would never end; and where a job of these is a built-in task:
    tasks are an admin's to run, and the job may be an operator's.
    """
    chain = _chain(engine, chain_id)
    if chain is None:
        raise _refused("not_registered", f"there is no chain {chain_id}")
    for within, job_id, action in _nodes(engine, chain):
        _check(within, job_id, action, str(attempt.job["id"]))
    at = from_iso(str(attempt.run["scheduled_for"]))
    run = chains.start_for(engine, chain, attempt.idempotency_key, at, engine.now())
    if run.status == "failed":
        raise _refused("not_registered", f"chain {chain_id} is being deleted")
    return run.execution


def _check(chain: Chain, job_id: str, action: Action | None, starter: str) -> None:
    if job_id == starter:
        message = f"chain {chain.chain_id} has this job, {job_id}, as a node: it would start itself for ever"
        raise _refused("endless_chain", message)
    if action and action.type == "task":
        message = f"chain {chain.chain_id} runs the built-in task {action.name}, which no other job may start"
        raise _refused("admin_task", message)


def _nodes(engine: Engine, chain: Chain) -> Iterator[tuple[Chain, str, Action | None]]:
    """Each job of the chain, and of the chains that these start in turn, with what it does."""
    met, todo = {chain.chain_id}, [chain]
    for one in todo:  # it grows
        jobs = engine.jobs.definitions(one.spec.jobs, consistent=True)
        for job_id in one.spec.jobs:
            action = _action(engine, jobs.get(job_id))
            yield one, job_id, action
            if action and action.type == "chain" and action.chain not in met:
                met.add(action.chain)
                todo += filter(None, [_chain(engine, action.chain)])


def _chain(engine: Engine, chain_id: str) -> Chain | None:
    try:
        return chains.get(engine, chain_id)
    except NotFound:
        return None


def _action(engine: Engine, job: Job | None) -> Action | None:
    """What the job does; None: what it names is not registered, and its own run will say so."""
    try:
        return action_of(engine, job) if job else None
    except ActionError:
        return None


def _refused(kind: str, message: str) -> ActionError:
    return ActionError(kind, message, permanent=True)
