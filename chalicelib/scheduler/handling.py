"""What becomes of one message: its run is claimed, acts, is finished and settled, or waits for its turn.

A message is acknowledged only when its run is settled or will be by another message. Until then it
is kept: invisible, and due again when there is something to do.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from chalicelib.core.condition import judge
from chalicelib.core.delivery import planned
from chalicelib.core.errand import Errand
from chalicelib.core.errors import ActionError
from chalicelib.core.ids import new_token
from chalicelib.core.job import Gate, Job, Overlap, State
from chalicelib.core.planning import refusal, waited_too_long
from chalicelib.core.run import Message, Run, RunStatus, Trigger
from chalicelib.core.settings import Settings
from chalicelib.scheduler import errands
from chalicelib.scheduler.attempts import attempt, failed
from chalicelib.scheduler.chains import on_end
from chalicelib.scheduler.engine import Engine
from chalicelib.scheduler.missed import missed_run
from chalicelib.scheduler.run_delivery import dispatch
from chalicelib.scheduler.settle import LEASE_MARGIN, is_free, settle, wake
from chalicelib.scheduler.targets import last_completed

_PATIENCE = timedelta(seconds=5)  # a worker sleeps this long at most for a run that is not due yet
_ROW_DELAY = timedelta(seconds=1)  # for a row that is written just after the message
TELL_AGAIN = timedelta(seconds=30)
_UNREADABLE_DELAY = timedelta(minutes=5)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Keep:
    """The message stays in the queue, invisible for this long. `run` and `counted` as in Done."""

    delay: timedelta
    run: Run | None = None
    counted: bool = False


_AGAIN = Keep(timedelta())


@dataclass(frozen=True)
class Done:
    """The message is acknowledged. `run` is the run that is ended, `counted` if it was settled now."""

    run: Run | None = None
    counted: bool = False


@dataclass(frozen=True)
class Batch:
    """What the messages of one receipt share."""

    engine: Engine
    jobs: dict[str, Job | None]
    settings: Settings


def handle(batch: Batch, message: Message | Errand) -> Keep | Done:
    return _errand(batch, message) if isinstance(message, Errand) else _run(batch, message)


def _errand(batch: Batch, errand: Errand) -> Keep | Done:
    engine = batch.engine
    early = errand.due - engine.now()
    if early > timedelta():
        return Keep(early)
    again = errands.run(engine, errand, engine.now())
    return Done() if again is None else Keep(again)


def _run(batch: Batch, message: Message) -> Keep | Done:
    engine, job = batch.engine, batch.jobs.get(message.job_id)
    if job is None:
        return Keep(_UNREADABLE_DELAY) if message.job_id in batch.jobs else _of_deleted_job(batch, message)
    early = message.due - engine.now()
    if early > _PATIENCE:
        return Keep(early)
    while (left := (message.due - engine.now()).total_seconds()) > 0:
        engine.sleep(left)
    if engine.stopping.is_set():
        return Keep(timedelta())
    verdict = _policies(batch, job, message)
    return verdict or _claim(batch, job, message)


def _of_deleted_job(batch: Batch, message: Message) -> Keep | Done:
    """It never runs. A row that it has says so."""
    engine, now = batch.engine, batch.engine.now()
    run = engine.runs.get(message.job_id, message.run_id)
    if run is None:
        return Done()
    if run.is_finished:
        settle(engine, None, run, now, is_news=False)
        return _told(engine, None, run, False)
    expires_at = batch.settings.run_expiry(now)
    ended = engine.runs.end(run, RunStatus.CANCELLED, "its job was deleted", now, expires_at)
    return _settled(batch, None, ended)


def _policies(batch: Batch, job: Job, message: Message) -> Keep | Done | None:
    """What keeps a scheduled run from its first start: a changed schedule, or too long a wait."""
    if message.trigger is not Trigger.SCHEDULE or message.dispatch > 1:
        return None
    if why := refusal(job, message.revision, message.slot):
        log.info("run %s/%s is dropped: the job was %s", job.job_id, message.run_id, why)
        return Done()
    engine, now = batch.engine, batch.engine.now()
    if reason := waited_too_long(job, message.slot, message.due, now):
        run = missed_run(job, message.slot, now, batch.settings, reason)
        if engine.runs.add(run):
            return _settled(batch, job, run)
    return None


def _claim(batch: Batch, job: Job, message: Message) -> Keep | Done:
    engine, now = batch.engine, batch.engine.now()
    counted_from = job.due(message.slot) if message.trigger is Trigger.SCHEDULE else message.slot
    token = new_token()
    claim = engine.runs.claim(message, counted_from, now, now + job.timeout + LEASE_MARGIN, token)
    if claim.run is None:
        return Keep(_ROW_DELAY)
    if not claim.won:
        return _lost(batch, job, message, claim.run)
    if len(claim.run.attempts) > job.spec.retry.max_attempts:
        delivery = planned(job.spec.delivery, RunStatus.FAILED, dry_run=claim.run.dry_run)
        lost = engine.runs.abandon(claim.run, now, batch.settings.run_expiry(now), delivery)
        return _settled(batch, job, lost)
    return (
        _yield_to_holder(batch, job, message, claim.run)
        or _unmet_condition(batch, job, claim.run)
        or _act(batch, job, message, claim.run, token)
    )


def _lost(batch: Batch, job: Job, message: Message, run: Run) -> Keep | Done:
    """The run is not to be had: it is finished, another message's, its target's, or not ready."""
    engine, now = batch.engine, batch.engine.now()
    if run.is_finished:
        return _told(engine, job, run, settle(engine, job, run, now, is_news=False))
    if run.dispatch > message.dispatch:
        return Done()
    if run.dispatch < message.dispatch:
        return Keep(_ROW_DELAY)  # a retry's message overtook the row
    if run.is_awaited and run.lease_until:
        return _awaited(batch, job, message, run, run.lease_until)
    until = run.lease_until if run.status is RunStatus.RUNNING else run.not_before
    return Keep(max((until or now) - now, timedelta()) + timedelta(seconds=1))


def _awaited(batch: Batch, job: Job, message: Message, run: Run, until: datetime) -> Keep | Done:
    """The run's target is to report. A new message looks again: this one would grow too old in the queue."""
    engine, now = batch.engine, batch.engine.now()
    if now <= until:
        refused = engine.queue.send([message], now, at_least=until - now + timedelta(seconds=1))
        return _AGAIN if refused else Done()
    taken = engine.runs.take_silent(run, now + LEASE_MARGIN)
    if taken is None:
        return _AGAIN
    silence = f"its target said nothing for {job.completion_timeout.total_seconds():.0f} s"
    error = ActionError("completion_timeout", silence)
    return _after(batch, job, message, failed(engine, job, message, taken, batch.settings, error))


def _yield_to_holder(batch: Batch, job: Job, message: Message, run: Run) -> Keep | Done | None:
    """None if the run may act: runs may overlap, or it holds the lock. Else it waits or is skipped."""
    if job.spec.overlap is Overlap.ALLOW or run.dry_run:
        return None
    engine, now = batch.engine, batch.engine.now()
    state = engine.jobs.lock(job.job_id, run.run_id, now + job.timeout + LEASE_MARGIN, now)
    if state is None:
        return None
    if state.waiter and is_free(state, now):
        wake(engine, state, now)
        return _skip(batch, job, run, f"run {state.waiter.run_id} waited to run before it")
    if job.spec.overlap is Overlap.SKIP:
        return _skip(batch, job, run, f"run {state.lock_run} was still running")
    return _wait(batch, job, message, run, state)


def _wait(batch: Batch, job: Job, message: Message, run: Run, state: State) -> Keep | Done:
    """The run becomes the one that waits for the lock, if none does."""
    engine, now = batch.engine, batch.engine.now()
    waiting = engine.runs.give_back(run, RunStatus.QUEUED, f"waits for run {state.lock_run}", now)
    if waiting is None:
        return _AGAIN  # it was cancelled in between
    now_held = engine.jobs.wait(message, now)
    if now_held is None:
        return Done()  # it is sent when the lock becomes free
    if now_held.waiter is None or is_free(now_held, now):
        return _AGAIN
    reason = f"run {now_held.lock_run} was still running and run {now_held.waiter.run_id} waited for it"
    expires_at = batch.settings.run_expiry(now)
    return _settled(batch, job, engine.runs.end(waiting, RunStatus.SKIPPED, reason, now, expires_at))


def _skip(batch: Batch, job: Job, run: Run, reason: str) -> Keep | Done:
    now = batch.engine.now()
    expires_at = batch.settings.run_expiry(now)
    return _settled(batch, job, batch.engine.runs.give_back(run, RunStatus.SKIPPED, reason, now, expires_at))


def _unmet_condition(batch: Batch, job: Job, run: Run) -> Keep | Done | None:
    """Skips the run where its condition does not hold for the last output. The first run has none."""
    condition = job.spec.condition
    if condition is None or condition.gate is not Gate.RUN or len(run.attempts) > 1:
        return None
    last = last_completed(batch.engine, job.job_id)
    if last is None:
        return None
    verdict = judge(condition.expression, last.output)
    return None if verdict.holds else _skip(batch, job, run, verdict.reason)


def _act(batch: Batch, job: Job, message: Message, run: Run, token: str) -> Keep | Done:
    after = attempt(batch.engine, job, message, run, batch.settings, token)
    return _after(batch, job, message, after)


def _after(batch: Batch, job: Job, message: Message, after: Run | None) -> Keep | Done:
    """What an attempt's end leaves to do."""
    if after and after.status is RunStatus.RETRYING:
        return Done()
    if after and after.is_awaited and after.lease_until:
        return _awaited(batch, job, message, after, after.lease_until)
    return _settled(batch, job, after)


def _settled(batch: Batch, job: Job | None, run: Run | None) -> Keep | Done:
    """Settles the run that a write ended; where the write came too late, the message finds out why."""
    if run is None:
        return _AGAIN
    return _told(batch.engine, job, run, settle(batch.engine, job, run, batch.engine.now(), is_news=True))


def _told(engine: Engine, job: Job | None, run: Run, counted: bool) -> Keep | Done:
    """Sends a settled run's result on its way and tells its chains; what fails is done when its message
    comes again.
    """
    try:
        dispatch(engine, job, run, engine.now())
        on_end(engine, job, run, engine.now())
    except Exception:
        log.exception("run %s/%s is settled, but not all know of it yet", run.job_id, run.run_id)
        return Keep(TELL_AGAIN, run, counted)
    return Done(run, counted)
