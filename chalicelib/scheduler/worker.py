"""The worker: takes messages from the runs queue, claims their runs, acts, finishes and settles them.

A message is acknowledged only when its run is settled or will be by another message. Until then it
is kept: invisible, and due again when there is something to do.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Thread

from chalicelib.core.condition import judge
from chalicelib.core.delivery import planned
from chalicelib.core.errand import Errand, is_errand
from chalicelib.core.errors import ActionError, Invalid
from chalicelib.core.ids import new_token
from chalicelib.core.job import Gate, Job, Overlap, State
from chalicelib.core.planning import refusal, waited_too_long
from chalicelib.core.run import Message, Run, RunStatus, Trigger
from chalicelib.core.settings import Settings
from chalicelib.scheduler import errands, events
from chalicelib.scheduler.attempts import attempt, failed
from chalicelib.scheduler.chains import message_of, on_end
from chalicelib.scheduler.engine import Engine
from chalicelib.scheduler.history import count_runs, log_runs
from chalicelib.scheduler.missed import missed_run
from chalicelib.scheduler.run_delivery import dispatch
from chalicelib.scheduler.settle import LEASE_MARGIN, VISIBILITY_MARGIN, is_free, settle, wake

_PATIENCE = timedelta(seconds=5)  # a worker sleeps this long at most for a run that is not due yet
_PAUSED_DELAY = timedelta(seconds=60)
_ROW_DELAY = timedelta(seconds=1)  # for a row that is written just after the message
_TELL_AGAIN = timedelta(seconds=30)
_UNREADABLE_DELAY = timedelta(minutes=5)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Received:
    """A message as the queue hands it over."""

    message_id: str
    receipt: str
    body: str


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


def work(engine: Engine, received: Sequence[Received]) -> list[str]:
    """Handles a batch, each message in a thread; gives the ids of the messages that are to stay."""
    unread: list[Received] = []
    messages = {item: message for item in received if (message := _read(engine, item, unread))}
    settings = engine.settings()
    if settings.is_paused:
        return _put_off(engine, messages) + [item.message_id for item in unread]
    jobs = _jobs(engine, messages.values())
    visible = {item: _visibility(jobs, message) for item, message in messages.items()}
    engine.queue.hide(
        {item.receipt: math.ceil(time.total_seconds()) for item, time in visible.items() if time}
    )
    batch = Batch(engine, jobs, settings)
    verdicts = _told_of(batch, _in_threads(batch, messages))
    count_runs(engine, [verdict.run for verdict in verdicts.values() if verdict.run and verdict.counted])
    ended = [verdict.run for verdict in verdicts.values() if verdict.run]
    if ended:
        log_runs(
            engine, sorted(ended, key=lambda run: run.completed_at or run.created_at), engine.now(), settings
        )
    kept = {item: verdict.delay for item, verdict in verdicts.items() if isinstance(verdict, Keep)}
    engine.queue.hide({item.receipt: math.ceil(delay.total_seconds()) for item, delay in kept.items()})
    failed = [item for item in messages if item not in verdicts]
    return [item.message_id for item in [*kept, *failed, *unread]]


def _jobs(engine: Engine, messages: Iterable[Message | Errand]) -> dict[str, Job | None]:
    wanted = {message.job_id for message in messages if isinstance(message, Message)}
    return engine.jobs.definitions(wanted, consistent=True)


def _visibility(jobs: Mapping[str, Job | None], message: Message | Errand) -> timedelta | None:
    """How long a message is invisible while it is handled; None: as the queue has it."""
    if isinstance(message, Errand):
        return errands.VISIBILITY
    job = jobs.get(message.job_id)
    return job.timeout + VISIBILITY_MARGIN if job else None


def _read(engine: Engine, item: Received, unread: list[Received]) -> Message | Errand | None:
    """The message; one that cannot be parsed goes to the dead letters, and the batch goes on."""
    try:
        if is_errand(item.body):
            return Errand.decode(item.body)
        return message_of(engine, item.body, engine.now())
    except Invalid as error:
        log.error("to the dead letters: message %s: %s", item.message_id, error)
        engine.queue.bury(item.body)
    except Exception:
        log.exception("message %s stays in the queue", item.message_id)
        unread.append(item)
    return None


def _put_off(engine: Engine, messages: Mapping[Received, Message | Errand]) -> list[str]:
    """While the engine is paused every message is sent again, so that none runs out of receives."""
    now = engine.now()
    failed = engine.queue.send(messages.values(), now, at_least=_PAUSED_DELAY)
    return [item.message_id for item, message in messages.items() if message in failed]


def _in_threads(batch: Batch, messages: Mapping[Received, Message | Errand]) -> dict[Received, Keep | Done]:
    """The verdicts. A message whose handling broke has none: it comes again when its visibility ends."""
    verdicts: dict[Received, Keep | Done] = {}

    def one(item: Received, message: Message | Errand) -> None:
        try:
            verdicts[item] = handle(batch, message)
        except Exception:
            log.exception("the message stays in the queue: %s", message)

    threads = [Thread(target=one, args=pair, daemon=True) for pair in messages.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return verdicts


def _told_of(batch: Batch, verdicts: Mapping[Received, Keep | Done]) -> dict[Received, Keep | Done]:
    """Tells the world of the runs that ended. Where that fails, their messages come again to do it."""
    ended = [
        (batch.jobs.get(verdict.run.job_id), verdict.run) for verdict in verdicts.values() if verdict.run
    ]
    try:
        events.tell_of_runs(batch.engine, ended, batch.engine.now())
    except Exception:
        log.exception("%d runs are settled, but nobody is told of them yet", len(ended))
        return {
            item: Keep(_TELL_AGAIN, verdict.run, verdict.counted) if verdict.run else verdict
            for item, verdict in verdicts.items()
        }
    return dict(verdicts)


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
    last = next(batch.engine.runs.of_job(job.job_id, RunStatus.COMPLETED), None)
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
        return Keep(_TELL_AGAIN, run, counted)
    return Done(run, counted)
