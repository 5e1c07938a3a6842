"""What people do with runs: start one now, read, cancel, run again; and what becomes of dead letters."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice

from chalicelib.core.action import Json
from chalicelib.core.delivery import planned
from chalicelib.core.errand import Errand, is_errand
from chalicelib.core.errors import Conflict, Invalid, NotFound, TooLarge
from chalicelib.core.ids import is_id, manual_run_id
from chalicelib.core.instants import from_iso, iso
from chalicelib.core.job import Job
from chalicelib.core.run import Message, Run, RunStatus, Trigger
from chalicelib.core.settings import Settings
from chalicelib.scheduler import errands, events
from chalicelib.scheduler.chains import message_of, on_end
from chalicelib.scheduler.engine import Engine
from chalicelib.scheduler.history import count_runs, log_runs
from chalicelib.scheduler.jobs import IDEMPOTENCY_KEPT, STORED_LIMIT, get
from chalicelib.scheduler.run_delivery import dispatch
from chalicelib.scheduler.settle import is_free, settle, wake

_GAVE_UP = "the queue gave up after its last receive"
_DEAD_LETTERS_KEPT = timedelta(days=30)
_POLL = 0.5  # seconds between two looks at a run that is waited for
_HOLD = timedelta(hours=2)  # for which a run that is never heard of again keeps others out

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Asked:
    """What a manual run was asked for with. `request_key` is the caller's Idempotency-Key."""

    by: str
    input: Json = None
    rerun_of: str | None = None
    request_key: str | None = None
    dry_run: bool = False


def trigger(engine: Engine, job_id: str, asked: Asked, now: datetime) -> Run:
    """Starts a run now, whatever the schedule and its status say. The run as it was queued."""
    job, _ = get(engine, job_id)
    run = _asked_for(job, asked, now)
    if asked.request_key:
        first = _first_asked(engine, run, asked.request_key)
        if first is not run and (there := engine.runs.get(job_id, first.run_id)):
            return there
        run = first
    _queue(engine, run, now)
    return run


def trigger_alone(engine: Engine, job_id: str, asked: Asked, now: datetime) -> Run:
    """As `trigger`, unless a run of the job goes on: of two at once one is refused. Raises Conflict.

    The run has the overlap lock from here on, for two hours if nothing is heard of it. A dry run
    takes no lock.
    """
    job, state = get(engine, job_id)
    run = _asked_for(job, asked, now)
    if run.dry_run:
        held = None if is_free(state, now) else state
    else:
        held = engine.jobs.lock(job_id, run.run_id, now + _HOLD, now)
    if held:
        holder = held.lock_run or (held.waiter and held.waiter.run_id)
        raise Conflict(f"job {job.spec.name!r} is running: run {holder} has not ended")
    try:
        _queue(engine, run, now)
    except Exception:
        wake(engine, engine.jobs.unlock(job_id, run.run_id), now)
        raise
    return run


def _asked_for(job: Job, asked: Asked, now: datetime) -> Run:
    """Raises TooLarge for its input."""
    run = Run(
        job_id=job.job_id,
        run_id=manual_run_id(now),
        status=RunStatus.QUEUED,
        trigger=Trigger.MANUAL,
        revision=job.revision,
        scheduled_for=now,
        created_at=now,
        input=asked.input,
        rerun_of=asked.rerun_of,
        triggered_by=asked.by,
        dry_run=asked.dry_run,
    )
    _check_size(run)
    return run


def _check_size(run: Run) -> None:
    """The input is kept in the row, which has room for 400 KB. Raises TooLarge."""
    if run.input is not None and len(json.dumps(run.input, ensure_ascii=False).encode()) > STORED_LIMIT:
        raise TooLarge(STORED_LIMIT)


def _queue(engine: Engine, run: Run, now: datetime) -> None:
    """Sends the run, then writes it as queued if its worker has not been there yet.

    In this order a crash between the two loses nothing that was answered for; a row without a
    message would wait for ever.
    """
    if engine.queue.send([Message.of(run)], now):
        raise RuntimeError("SQS refused the message of the run")
    engine.runs.add(run)


def _first_asked(engine: Engine, run: Run, request_key: str) -> Run:
    """The run that the first request of this key asked for. Raises Conflict if it asked for another one."""
    names = [run.job_id, run.triggered_by, run.rerun_of, request_key]
    key = hashlib.sha256(json.dumps(names).encode()).hexdigest()
    asked = hashlib.sha256(json.dumps([run.input, run.dry_run], sort_keys=True).encode()).hexdigest()
    record = {"run_id": run.run_id, "at": iso(run.scheduled_for), "asked": asked}
    expires_at = int((run.created_at + IDEMPOTENCY_KEPT).timestamp())
    first = engine.records.add("idempotency", key, record, expires_at)
    if first is None:
        return run
    if first["asked"] != asked:
        raise Conflict("this Idempotency-Key was used with another input")
    at = from_iso(first["at"])
    return run.model_copy(update={"run_id": first["run_id"], "scheduled_for": at, "created_at": at})


def get_run(engine: Engine, job_id: str, run_id: str) -> Run:
    run = engine.runs.get(job_id, run_id) if is_id(job_id) and is_id(run_id) else None
    if run is None:
        get(engine, job_id)  # says so if it is the job that is unknown
        raise NotFound("run", run_id)
    return run


def wait(engine: Engine, run: Run, until: datetime) -> Run:
    """The run when it has finished, or as it is at `until`."""
    while not run.is_finished and engine.now() < until:
        engine.sleep(_POLL)
        run = engine.runs.get(run.job_id, run.run_id) or run
    return run


def list_runs(engine: Engine, job_id: str, status: RunStatus | None, limit: int, offset: int) -> list[Run]:
    """A page of a job's runs, newest first."""
    get(engine, job_id)
    runs = engine.runs.of_job(job_id, status, page=offset + limit)
    return list(islice(runs, offset, offset + limit))


def cancel(engine: Engine, job_id: str, run_id: str, by: str, now: datetime) -> tuple[Run, bool]:
    """Cancels the run; says whether it was running.

    A queued or retrying run never starts. A running one is marked at once; what it gives is dropped,
    and its worker settles it when the target has let go, so that the overlap lock holds till then. One
    whose target is to report has no worker, and is settled at once.
    Raises Conflict where the run is finished.
    """
    settings = engine.settings()
    while True:
        run = get_run(engine, job_id, run_id)
        if run.is_finished:
            raise Conflict(f"run {run_id} is {run.status} and cannot be cancelled")
        ended = engine.runs.end(run, RunStatus.CANCELLED, f"cancelled by {by}", now, settings.run_expiry(now))
        if ended:
            break
    was_running = run.status is RunStatus.RUNNING
    on_end(engine, None, ended, now)  # its chain does not wait for the target to let go
    if not was_running or run.is_awaited:
        found = engine.jobs.get(job_id)
        conclude(engine, found[0] if found else None, ended, now)
    log_runs(engine, [ended], now, settings)
    _tell(engine, ended, now)
    return ended, was_running


def _tell(engine: Engine, run: Run, now: datetime) -> None:
    """Where it fails, the run's message tells when it comes."""
    try:
        jobs = engine.jobs.definitions([run.job_id], consistent=False)
        events.tell_of_runs(engine, [(jobs.get(run.job_id), run)], now)
    except Exception:
        log.exception("nobody is told yet that run %s/%s is cancelled", run.job_id, run.run_id)


def rerun(engine: Engine, job_id: str, run_id: str, asked: Asked, now: datetime) -> Run:
    """A new manual run with a finished run's input. Raises Conflict where the run goes on."""
    old = get_run(engine, job_id, run_id)
    if not old.is_finished:
        raise Conflict(f"run {run_id} is {old.status}; only a finished run can be run again")
    if old.missed_count:
        raise Invalid.one(
            "run_id", f"{run_id} stands for {old.missed_count} missed slots; trigger the job instead"
        )
    again = replace(asked, input=old.input, rerun_of=run_id, dry_run=old.dry_run)
    return trigger(engine, job_id, again, now)


def bury(engine: Engine, message_id: str, body: str, now: datetime) -> None:
    """What becomes of a message that the queue gave up on: no run stays running because of it.

    A finished run is settled; one with a live lease gets its message again; any other fails, with the
    reason. A record of the letter is kept.
    """
    log.error("dead letter %s: %s", message_id, body[:500])
    expires_at = int((now + _DEAD_LETTERS_KEPT).timestamp())
    record = {"at": iso(now), "body": body[:10_000]}
    try:
        if is_errand(body):
            errands.give_up(engine, Errand.decode(body), _GAVE_UP, now)
            engine.records.put("dead_letter", message_id, record | {"reason": _GAVE_UP}, expires_at)
            return
        message = message_of(engine, body, now)
    except (Invalid, KeyError, ValueError) as error:  # an errand may lack what its kind needs
        reason = str(error) if isinstance(error, Invalid) else f"is no whole errand ({type(error).__name__})"
        engine.records.put("dead_letter", message_id, record | {"reason": reason}, expires_at)
        return
    if _give_up(engine, message, now):
        engine.records.put("dead_letter", message_id, record | {"reason": _GAVE_UP}, expires_at)


def _give_up(engine: Engine, message: Message, now: datetime) -> bool:
    """Whether the letter is dead for good: false where it is sent again."""
    found = engine.jobs.get(message.job_id)
    job = found[0] if found else None
    run = engine.runs.get(message.job_id, message.run_id)
    if run is None and (message.needs_row or job is None):
        return True  # what asked for it was told of the failure, or the job is deleted
    if run is not None and run.dispatch > message.dispatch:
        return True  # a later message has it
    if run is not None and run.is_finished:
        conclude(engine, job, run, now, is_news=False)
        events.tell_of_runs(engine, [(job, run)], now)
        return True
    if run is not None and run.lease_until and run.lease_until > now:
        if engine.queue.send([message], now, at_least=run.lease_until - now):
            raise RuntimeError("SQS refused the message of a run that goes on")
        return False
    _fail(engine, job, run or _unstarted(message, now), now, is_new=run is None)
    return True


def _fail(engine: Engine, job: Job | None, run: Run, now: datetime, *, is_new: bool) -> None:
    settings = engine.settings()
    if is_new and not engine.runs.add(run):
        return  # a worker has it after all
    ended = engine.runs.end(
        run,
        RunStatus.FAILED,
        "its message came back from the worker until the queue gave up",
        now,
        settings.run_expiry(now),
        planned(job.spec.delivery, RunStatus.FAILED, dry_run=run.dry_run) if job else None,
    )
    if ended:
        follow_up(engine, job, ended, settings, now)


def follow_up(engine: Engine, job: Job | None, run: Run, settings: Settings, now: datetime) -> None:
    """All that follows from a run's end, just now, outside of a worker."""
    conclude(engine, job, run, now)
    log_runs(engine, [run], now, settings)
    events.tell_of_runs(engine, [(job, run)], now)


def conclude(engine: Engine, job: Job | None, run: Run, now: datetime, *, is_news: bool = True) -> None:
    """Settles an ended run, sends its result on its way and tells its chains."""
    if settle(engine, job, run, now, is_news=is_news):
        count_runs(engine, [run])
    dispatch(engine, job, run, now)
    on_end(engine, job, run, now)


def _unstarted(message: Message, now: datetime) -> Run:
    return Run(
        job_id=message.job_id,
        run_id=message.run_id,
        status=RunStatus.QUEUED,
        trigger=message.trigger,
        revision=message.revision,
        scheduled_for=message.slot,
        created_at=now,
    )
