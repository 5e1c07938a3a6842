"""The built-in jobs: ordinary ones of owner `system`, registered once a deployment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from chalicelib.core.errors import Conflict, NotFound
from chalicelib.core.instants import EPOCH
from chalicelib.core.job import SYSTEM, Job, JobStatus, Origin, Spec, State, parsed
from chalicelib.core.run import Run
from chalicelib.scheduler import jobs, runs
from chalicelib.scheduler.engine import Engine
from chalicelib.scheduler.settle import is_free


@dataclass(frozen=True)
class BuiltIn:
    """A job as it is registered. `spec` has the fields that people would write.

    `control` is the key of the setting, if there is one, that is a view of the job's status.
    """

    job_id: str
    spec: Mapping[str, Any]
    origin: Origin = Origin.NATIVE
    status: JobStatus = JobStatus.ACTIVE
    control: str | None = None

    @property
    def name(self) -> str:
        return str(self.spec["name"])

    def next_slot(self, now: datetime) -> datetime:
        """Where it is not registered: the slot that it would have, an interval's counted from 1970."""
        slot = parsed(Spec.model_validate(self.spec).schedule, EPOCH).next(now)
        if slot is None:
            raise ValueError(f"the schedule of {self.job_id} ends")
        return slot


@dataclass(frozen=True)
class Standing:
    """How a built-in job stands. `job` is None where it was cancelled, which is to say deleted."""

    builtin: BuiltIn
    job: Job | None
    state: State
    last: Run | None  # the row of the state's last run, as long as it is kept
    next_slot: datetime  # by the schedule, of a paused one too
    is_running: bool

    @property
    def is_enabled(self) -> bool:
        return self.job is not None and self.job.status is JobStatus.ACTIVE


def register(engine: Engine, wanted: Iterable[BuiltIn], deployment: str, now: datetime) -> None:
    """Creates those of `wanted` that are not there; once, as the deployment's stamp tells."""
    done = engine.records.get("engine", "builtins")
    if done and done["deployment"] == deployment:
        return
    by_id = {builtin.job_id: builtin for builtin in wanted}
    present = engine.jobs.definitions(by_id, consistent=True)
    for job_id, builtin in by_id.items():
        if job_id not in present:
            create_one(engine, builtin, now)
    engine.records.put("engine", "builtins", {"deployment": deployment})


def create_one(engine: Engine, builtin: BuiltIn, now: datetime) -> None:
    creation = jobs.Creation(SYSTEM, builtin.origin, status=builtin.status, job_id=builtin.job_id)
    with suppress(Conflict):  # another instance was first
        jobs.create(engine, Spec.model_validate(builtin.spec), creation, now)


def named(engine: Engine, origin: Origin, name: str) -> BuiltIn:
    """Raises NotFound."""
    for builtin in engine.builtins:
        if (builtin.origin, builtin.name) == (origin, name):
            return builtin
    raise NotFound("task", name)


def standings(engine: Engine, origin: Origin, now: datetime) -> list[Standing]:
    """The built-in jobs of an origin, in the order in which they are registered."""
    wanted = [builtin for builtin in engine.builtins if builtin.origin is origin]
    found = {job.job_id: (job, state) for job, state in engine.jobs.with_states(b.job_id for b in wanted)}
    last = engine.runs.get_many(
        (state.job_id, state.last_run.run_id) for _, state in found.values() if state.last_run
    )
    rows = {run.job_id: run for run in last.values()}
    return [_standing(b, found.get(b.job_id), rows.get(b.job_id), now) for b in wanted]


def _standing(builtin: BuiltIn, found: tuple[Job, State] | None, last: Run | None, now: datetime) -> Standing:
    if found is None:
        state = State(job_id=builtin.job_id)
        return Standing(builtin, None, state, None, builtin.next_slot(now), is_running=False)
    job, state = found
    next_slot = job.next_slot(now) or builtin.next_slot(now)  # people may have given it another schedule
    return Standing(builtin, job, state, last, next_slot, is_running=not is_free(state, now))


def switch(engine: Engine, builtin: BuiltIn, *, on: bool, now: datetime) -> None:
    """Resumes or pauses the job; a cancelled one is registered again.

    Raises Conflict where it has no slot left.
    """
    found = engine.jobs.get(builtin.job_id)
    if on and found is None:
        create_one(engine, replace(builtin, status=JobStatus.ACTIVE), now)
    elif on:
        jobs.resume(engine, builtin.job_id, now)
    elif found and found[0].status is JobStatus.ACTIVE:
        jobs.pause(engine, builtin.job_id, f"{builtin.control} is false", now)


def run_now(engine: Engine, builtin: BuiltIn, by: str, patience: timedelta, now: datetime) -> Run:
    """Runs the job, a paused one too; the run when it has finished, or as it is when patience ends.

    Raises Conflict where it runs already, and where it was cancelled.
    """
    if engine.jobs.get(builtin.job_id) is None:
        raise Conflict(f"{builtin.name} was cancelled; enable {builtin.control} to register it again")
    run = runs.trigger_alone(engine, builtin.job_id, runs.Asked(by), now)
    return runs.wait(engine, run, now + patience)
