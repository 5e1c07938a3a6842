"""Jobs that are addressed by their name, which no other job of their origin has."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from chalicelib.core.errors import Conflict, NotFound
from chalicelib.core.ids import is_id, named_id
from chalicelib.core.job import Job, Origin, Spec, State
from chalicelib.core.run import Run
from chalicelib.scheduler.engine import Engine
from chalicelib.scheduler.jobs import Creation, create


def register(engine: Engine, spec: Spec, creation: Creation, now: datetime) -> Job:
    """Creates the job under its name. Raises Conflict where the name is taken, and what `create` does."""
    named = replace(creation, job_id=named_id(creation.origin, spec.name))
    try:
        return create(engine, spec, named, now)
    except Conflict:
        raise Conflict(f"job {spec.name!r} is registered already") from None


def find(engine: Engine, origin: Origin, name: str) -> tuple[Job, State]:
    found = engine.jobs.get(named_id(origin, name)) if is_id(name) else None
    if found is None:
        raise NotFound("job", name)
    return found


def list_by_name(
    engine: Engine, origin: Origin, limit: int, offset: int
) -> tuple[list[tuple[Job, State]], int]:
    """A page of the jobs of an origin by name, and how many there are in all."""
    names = engine.jobs.names({"origin": origin})
    ids = sorted(names, key=lambda job_id: names[job_id])
    return engine.jobs.with_states(ids[offset : offset + limit]), len(ids)


def last_run(engine: Engine, origin: Origin, name: str) -> Run:
    """The job's latest run that started and ended, dry runs apart. Raises NotFound where there is none."""
    job, state = find(engine, origin, name)
    run = engine.runs.get(job.job_id, state.last_run.run_id) if state.last_run else None
    if run is None:
        raise NotFound("finished run of", name)
    return run
