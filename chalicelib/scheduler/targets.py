"""Targets, which are actions under a name, and agents, which are targets that say they are alive."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from pydantic import TypeAdapter, ValidationError

from chalicelib.core.action import Action, Callback, Handler, Json, Lambda, NamedTarget
from chalicelib.core.errors import ActionError, Conflict, Invalid, NotFound
from chalicelib.core.ids import is_id
from chalicelib.core.instants import iso
from chalicelib.core.job import Job
from chalicelib.core.run import Run
from chalicelib.scheduler import chains, events, usage
from chalicelib.scheduler.engine import Engine

ONLINE, OFFLINE = "online", "offline"
_TRIES = 5  # to write an agent that others change meanwhile
_LAMBDA = "lambda:"
_ACTION: TypeAdapter[Action] = TypeAdapter(Action)


# -- targets


def put_target(engine: Engine, target_id: str, action: Action, now: datetime) -> dict[str, Any]:
    """Creates the target or replaces its action."""
    record = {"action": action.model_dump(mode="json"), "updated_at": iso(now)}
    engine.records.put("target", target_id, record)
    return {"id": target_id, **record}


def get_target(engine: Engine, target_id: str) -> dict[str, Any]:
    return {"id": target_id, **_record(engine, "target", target_id)}


def list_targets(engine: Engine) -> list[dict[str, Any]]:
    return _all(engine, "target")


def delete_target(engine: Engine, target_id: str) -> None:
    """Jobs that name it fail from then on, and say so."""
    _delete(engine, "target", target_id)


# -- agents


def put_agent(engine: Engine, agent_id: str, name: str, target: str, now: datetime) -> dict[str, Any]:
    """Registers the agent, or changes it. It counts as a heartbeat."""
    record = {"name": name, "target": target, "status": ONLINE, "last_seen": iso(now)}
    if engine.records.add("agent", agent_id, record) is not None:
        _change_agent(engine, agent_id, lambda before: record, now)
    return {"id": agent_id, **record}


def get_agent(engine: Engine, agent_id: str) -> dict[str, Any]:
    return {"id": agent_id, **_record(engine, "agent", agent_id)}


def list_agents(engine: Engine) -> list[dict[str, Any]]:
    return _all(engine, "agent")


def delete_agent(engine: Engine, agent_id: str) -> None:
    _delete(engine, "agent", agent_id)


def heartbeat(
    engine: Engine, agent_id: str, status: str | None, used: Mapping[str, Any] | None, now: datetime
) -> None:
    """Marks the agent seen, and records the tokens that it says it has used."""
    seen = {"status": status or ONLINE, "last_seen": iso(now)}
    _change_agent(engine, agent_id, lambda before: {**before, **seen}, now)
    if used:
        usage.record(engine, {"agent_id": agent_id, **used}, now)


def mark_silent_agents(engine: Engine, now: datetime, *, dry_run: bool = False) -> list[str]:
    """Marks offline the agents that have been silent for longer than the setting; their names.

    A heartbeat that comes in between wins. With a timeout of 0 none is ever silent.
    """
    minutes = engine.settings()["general.agent_timeout_minutes"]
    limit = iso(now - timedelta(minutes=minutes))
    silent = [
        (agent_id, agent)
        for agent_id, agent in engine.records.list("agent")
        if minutes and agent["status"] != OFFLINE and agent["last_seen"] < limit
    ]
    return [
        agent["name"] for agent_id, agent in silent if dry_run or _go_offline(engine, agent_id, agent, now)
    ]


def _go_offline(engine: Engine, agent_id: str, before: Mapping[str, Any], now: datetime) -> bool:
    after = {**before, "status": OFFLINE}
    if not engine.records.replace("agent", agent_id, after, before):
        return False
    _tell_change(engine, agent_id, before, after, now)
    return True


def _change_agent(
    engine: Engine, agent_id: str, change: Callable[[dict[str, Any]], dict[str, Any]], now: datetime
) -> None:
    """Raises NotFound, and Conflict where others keep changing it."""
    for _ in range(_TRIES):
        before = _record(engine, "agent", agent_id)
        after = change(before)
        if engine.records.replace("agent", agent_id, after, before):
            _tell_change(engine, agent_id, before, after, now)
            return
    raise Conflict(f"agent {agent_id} is being changed; try again")


def _tell_change(
    engine: Engine, agent_id: str, before: Mapping[str, Any], after: Mapping[str, Any], now: datetime
) -> None:
    """An event where an agent comes or goes; a notification where it goes."""
    if (before["status"] == OFFLINE) == (after["status"] == OFFLINE):
        return
    change = {
        "agent_id": agent_id,
        "name": after["name"],
        "status": after["status"],
        "previous": before["status"],
        "last_seen": after["last_seen"],
    }
    events.emit(engine, "agent.status_change", change, now)
    if after["status"] == OFFLINE:
        message = f"{after['name']} was last seen at {after['last_seen']}"
        events.notify(engine, "Agent offline", message, now)


def _all(engine: Engine, kind: str) -> list[dict[str, Any]]:
    return [{"id": key, **record} for key, record in engine.records.list(kind)]


def _delete(engine: Engine, kind: str, key: str) -> None:
    if not (is_id(key) and engine.records.delete(kind, key)):
        raise NotFound(kind, key)


def _record(engine: Engine, kind: str, key: str) -> dict[str, Any]:
    record = engine.records.get(kind, key) if is_id(key) else None
    if record is None:
        raise NotFound(kind, key)
    return record


# -- what a run is to do


def action_of(engine: Engine, job: Job) -> Action:
    """The job's action: its own, a named target's, a callback's, or its agent's.

    Raises ActionError, permanent, with a sentence that says what to register.
    """
    action = job.spec.action
    if isinstance(action, NamedTarget):
        return _target_action(engine, action.target)
    if isinstance(action, Callback):
        return _callback_action(engine, action)
    if action is not None:
        return action
    if job.spec.agent_id is None:
        raise _missing("the job has neither an action nor an agent_id: give it one of the two")
    agent = engine.records.get("agent", job.spec.agent_id)
    if agent is None:
        raise _missing(
            f"agent {job.spec.agent_id} is not registered: "
            f"PUT /api/agents/{job.spec.agent_id} with a name and a target, or give the job an action"
        )
    return _target_action(engine, agent["target"])


def action_named(engine: Engine, name: str) -> Action:
    """Of a Python handler, else of `lambda:NAME`, else of a registered target. Raises Invalid."""
    if name in engine.handlers:
        return Handler(type="handler", name=name)
    if name.startswith(_LAMBDA):
        return _lambda(name.removeprefix(_LAMBDA))
    if is_id(name) and engine.records.get("target", name):
        return NamedTarget(type="target", target=name)
    known = ", ".join(sorted(engine.handlers))
    raise Invalid.one("handler", f"{name!r} is none of {known}, no lambda:NAME and no registered target")


def _lambda(function: str) -> Lambda:
    try:
        return Lambda(type="lambda", function=function)
    except ValidationError as error:
        raise Invalid.one("handler", f"after {_LAMBDA} {error.errors()[0]['msg']}") from None


def _target_action(engine: Engine, target_id: str) -> Action:
    record = engine.records.get("target", target_id)
    if record is None:
        raise _missing(f"target {target_id} is not registered: PUT /api/targets/{target_id} with an action")
    return _ACTION.validate_python(record["action"])


def _callback_action(engine: Engine, callback: Callback) -> Action:
    name = callback.callback_id
    if callback.callback_type == "function" and name in engine.handlers:
        return Handler(type="handler", name=name)
    if callback.callback_type == "workflow":
        with suppress(NotFound):
            return _ACTION.validate_python({"type": "chain", "chain": chains.get(engine, name).chain_id})
    if target := engine.records.get("target", name):
        return _ACTION.validate_python(target["action"])
    raise _missing(f"{callback.callback_type} {name} is not registered")


def assignment_of(engine: Engine, job: Job, run: Run, action: Action, given: Json) -> Json:
    """What an agent is told: its goal, the input, and what came before. None: the action says what to send.

    It is data and no settings: placeholders in it are not filled. `given` is the attempt's input.
    """
    if job.spec.action is not None or action.type != "http" or action.body is not None:
        return None
    return {
        "run_id": run.run_id,
        "job_id": job.job_id,
        "goal": job.spec.goal,
        "input": run.input,
        "context": _context(engine, job, run, given),
    }


def _context(engine: Engine, job: Job, run: Run, given: Json) -> dict[str, Json]:
    """The job's last output, and in a chain the outputs of the nodes before it."""
    last = last_completed(engine, job.job_id)
    context: dict[str, Json] = {"last_output": last.output if last else None}
    if run.after:
        context["predecessors"] = given
    return context


def last_completed(engine: Engine, job_id: str) -> Run | None:
    """The job's last completed run, dry ones apart; None where there is none, or its row has expired."""
    found = engine.jobs.get(job_id)
    run_id = found[1].last_completed if found else None
    return engine.runs.get(job_id, run_id) if run_id else None


def outputs_before(engine: Engine, run: Run) -> dict[str, Json]:
    """In a chain: the outputs of the nodes before a run's, by job."""
    before = engine.runs.get_many(run.after.items())
    return {job_id: found.output for (job_id, _), found in before.items()}


def _missing(message: str) -> ActionError:
    return ActionError("not_registered", message, permanent=True)
