"""What people do with jobs: create, read, change, pause, resume, delete."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from chalicelib.core.agenda import Slots
from chalicelib.core.errors import Conflict, Invalid, NotFound, TooLarge
from chalicelib.core.ids import is_id, named_id, new_job_id
from chalicelib.core.instants import floor_minute, millis
from chalicelib.core.job import AtSpec, Job, JobStatus, Origin, Spec, State
from chalicelib.scheduler.chains import using
from chalicelib.scheduler.engine import Engine
from chalicelib.scheduler.events import emit_of_job
from chalicelib.scheduler.settle import forget
from chalicelib.scheduler.tick import handle_at_once

IDEMPOTENCY_KEPT = timedelta(days=1)
STORED_LIMIT = 350_000  # bytes: an item of DynamoDB has 400 KB, and it holds more than this
_TRIES = 5  # of a change that others come in between of


log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Creation:
    """Who makes a job, and how. `request_key` is the caller's Idempotency-Key."""

    owner: str
    origin: Origin = Origin.NATIVE
    status: JobStatus = JobStatus.ACTIVE
    job_id: str | None = None
    request_key: str | None = None


def create(engine: Engine, spec: Spec, creation: Creation, now: datetime) -> Job:
    """Creates the job, with its first agenda entry in the same transaction.

    Raises Invalid where the schedule has no slot from now on, and Conflict where the Idempotency-Key
    was used for another job.
    """
    job = Job(
        job_id=creation.job_id or new_job_id(),
        revision=millis(now),
        version=1,
        spec=spec,
        status=creation.status,
        anchor=now.replace(microsecond=0),
        origin=creation.origin,
        owner=creation.owner,
        created_at=now,
        updated_at=now,
    )
    _require_slot(job, now)
    if creation.request_key is None:
        _write(engine, job, None, now)
        emit_of_job(engine, "job.created", job, now)
        return job
    return _create_once(engine, job, creation.owner, creation.request_key, now)


def _create_once(engine: Engine, job: Job, owner: str, request_key: str, now: datetime) -> Job:
    key = hashlib.sha256(f"{owner}\n{request_key}".encode()).hexdigest()
    asked = hashlib.sha256(f"{job.status}\n{job.spec.model_dump_json()}".encode()).hexdigest()
    first = engine.records.get("idempotency", key)
    if first is None:
        expires_at = int((now + IDEMPOTENCY_KEPT).timestamp())
        record = {"job_id": job.job_id, "asked": asked}
        try:
            _write(engine, job, None, now, engine.records.adding("idempotency", key, record, expires_at))
            emit_of_job(engine, "job.created", job, now)
            return job
        except Conflict:  # the same request beside this one was first
            first = engine.records.get("idempotency", key)
            if first is None:
                raise
    if first["asked"] != asked:
        raise Conflict("this Idempotency-Key was used for another job")
    made = engine.jobs.get(first["job_id"])
    if made is None:
        raise Conflict(f"this Idempotency-Key made job {first['job_id']}, which has been deleted")
    return made[0]


def get(engine: Engine, job_id: str) -> tuple[Job, State]:
    found = engine.jobs.get(job_id) if is_id(job_id) else None
    if found is None:
        raise NotFound("job", job_id)
    return found


def list_jobs(
    engine: Engine, filters: Mapping[str, str], limit: int, offset: int
) -> tuple[list[tuple[Job, State]], int]:
    """A page of the jobs that match, newest first, and how many match in all."""
    ids = islice(engine.jobs.ids(filters, max(offset + limit, 100)), offset, offset + limit)
    return engine.jobs.with_states(ids), engine.jobs.count(filters)


def all_jobs(engine: Engine, filters: Mapping[str, str]) -> list[tuple[Job, State]]:
    """The jobs that match, newest first."""
    return engine.jobs.with_states(engine.jobs.ids(filters))


def update(
    engine: Engine, job_id: str, change: Callable[[Job], tuple[Spec, JobStatus]], now: datetime
) -> tuple[Job, State]:
    """Gives the job another spec and status (active or paused). `change` may be called again."""

    def changed(job: Job, state: State) -> Job:
        spec, status = change(job)
        _keep_address(job, spec)
        after = _after(job, now, spec=spec, anchor=_anchor(job, spec, now))
        if _when(spec) != _when(job.spec):
            if job.status is JobStatus.COMPLETED:
                after = _rescheduled(after, JobStatus.ACTIVE, None, now)
            else:
                after = _rescheduled(after, job.status, job.status_reason, now)
            _require_slot(after, now)
        if status is not job.status and status in (JobStatus.ACTIVE, JobStatus.PAUSED):
            after = _resumed(after, now) if status is JobStatus.ACTIVE else _paused(after, None, now)
        return after

    return _change(engine, job_id, changed, now)


def pause(engine: Engine, job_id: str, reason: str | None, now: datetime) -> tuple[Job, State]:
    """Raises Conflict where the job is completed. Pausing twice is pausing once."""
    return _change(engine, job_id, lambda job, state: _paused(job, reason, now), now)


def resume(engine: Engine, job_id: str, now: datetime) -> tuple[Job, State]:
    """Raises Conflict where no slot is left. Resuming forgets the failures in a row."""
    return _change(engine, job_id, lambda job, state: _resumed(job, now), now)


def delete(engine: Engine, job_id: str) -> None:
    """Its runs in the queue will not start; one that waited for another is sent to find that out.

    Raises Conflict where a chain uses the job.
    """
    job, _ = get(engine, job_id)
    if chains := using(engine, job):
        named = ", ".join(chain.chain_id for chain in chains)
        raise Conflict(f"job {job_id} is used by {named}; delete that first")
    engine.jobs.delete(job)
    forget(engine, job_id, engine.now())
    emit_of_job(engine, "job.deleted", job, engine.now())


def _change(
    engine: Engine, job_id: str, changed: Callable[[Job, State], Job], now: datetime
) -> tuple[Job, State]:
    """Reads, changes, writes; again where another write came in between."""
    for left in reversed(range(_TRIES)):
        job, state = get(engine, job_id)
        after = changed(job, state)
        if after is job:
            return job, state
        if job.status is JobStatus.FAILED and after.status is JobStatus.ACTIVE:
            engine.jobs.forget_failures(job_id)
        try:
            _write(engine, after, job, now)
        except Conflict:
            if not left:
                raise
            continue
        for event in _events(job, after):
            emit_of_job(engine, event, after, now)
        return get(engine, job_id)
    raise AssertionError("unreachable")


def _events(before: Job, after: Job) -> Iterator[str]:
    """What a write has changed, in the words of EVENTS."""
    if after.status is not before.status:
        yield "job.resumed" if after.status is JobStatus.ACTIVE else "job.paused"
    elif after.status_reason != before.status_reason:
        yield "job.updated"
    if after.spec != before.spec:
        yield "job.updated"


def _write(engine: Engine, job: Job, before: Job | None, now: datetime, *also: dict[str, object]) -> None:
    """The definition, and its agenda entry where its schedule is new; what is due soon is sent at once."""
    if len(job.model_dump_json().encode()) > STORED_LIMIT:
        raise TooLarge(STORED_LIMIT)
    is_new = before is None or job.revision != before.revision
    first = job.next_slot(now) if is_new and job.status is JobStatus.ACTIVE else None
    if first is None:
        engine.jobs.write(job, before, *also)
        return
    minute = floor_minute(first)
    entry = engine.agenda.filing(minute, Slots(job.job_id, job.revision))
    engine.jobs.write(job, before, entry, *also)
    try:
        handle_at_once(engine, job, minute, now)
    except Exception:
        log.exception("job %s is written; what of it is due now is left to the next tick", job.job_id)


def _after(job: Job, now: datetime, **changes: object) -> Job:
    return job.model_copy(update={"version": job.version + 1, "updated_at": now, **changes})


def _rescheduled(job: Job, status: JobStatus, reason: str | None, now: datetime) -> Job:
    """From now on another schedule holds, or none."""
    return job.model_copy(update={**job.rescheduled(now), "status": status, "status_reason": reason})


def _paused(job: Job, reason: str | None, now: datetime) -> Job:
    if job.status is JobStatus.COMPLETED:
        raise Conflict(f"job {job.job_id} is completed and cannot be paused")
    if job.status is JobStatus.PAUSED and reason in (None, job.status_reason):
        return job
    return _rescheduled(_after(job, now), JobStatus.PAUSED, reason, now)


def _resumed(job: Job, now: datetime) -> Job:
    if job.status is JobStatus.ACTIVE:
        return job
    after = _rescheduled(_after(job, now), JobStatus.ACTIVE, None, now)
    if after.next_slot(now) is None:
        raise Conflict(f"job {job.job_id} has no slot left; give it another schedule")
    return after


def _require_slot(job: Job, now: datetime) -> None:
    if job.next_slot(now) is not None:
        return
    if isinstance(job.spec.schedule, AtSpec):
        raise Invalid.one(
            "schedule.datetime", f"{job.spec.schedule.datetime} has passed; give a time to come"
        )
    if job.spec.end_at:
        raise Invalid.one("end_at", "no slot of the schedule lies between now and then")
    raise Invalid.one("schedule", "has no slot from now on")


def _keep_address(job: Job, spec: Spec) -> None:
    if spec.name != job.spec.name and job.job_id == named_id(job.origin, job.spec.name):
        raise Invalid.one("name", "is the job's address; delete the job and register another")


def _when(spec: Spec) -> tuple[object, ...]:
    """What of a spec decides its slots."""
    return (spec.schedule, spec.dst, spec.start_at, spec.end_at)


def _anchor(job: Job, spec: Spec, now: datetime) -> datetime:
    """The grid begins anew with another schedule; pausing and restarting never move it."""
    return job.anchor if spec.schedule == job.spec.schedule else now.replace(microsecond=0)
