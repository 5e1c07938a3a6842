"""One attempt of a claimed run: the action within its time, and what its end makes of the run."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from queue import Empty, SimpleQueue
from threading import Thread

from chalicelib.core.action import Accepted, Attempt, Json, Outcome
from chalicelib.core.agenda import Retry
from chalicelib.core.condition import judge
from chalicelib.core.delivery import planned
from chalicelib.core.errors import ActionError
from chalicelib.core.instants import floor_minute, iso
from chalicelib.core.job import Gate, Job, Overlap
from chalicelib.core.run import LONGEST_DELAY, Message, Run, RunError, RunStatus, cut_output
from chalicelib.core.settings import Settings
from chalicelib.core.template import render, secret_placeholder
from chalicelib.scheduler.engine import Engine
from chalicelib.scheduler.settle import LEASE_MARGIN
from chalicelib.scheduler.targets import action_of, assignment_of, outputs_before

_POLL = 0.05  # seconds between looks at whether the worker is being stopped
_LAST_WORD = timedelta(seconds=2)  # for an action that ends itself in time, and says what it ended

log = logging.getLogger(__name__)


def attempt(
    engine: Engine, job: Job, message: Message, run: Run, settings: Settings, token: str
) -> Run | None:
    """Acts, and writes how it went: the run as it ended, is to be retried, or is reported on later.

    None if the run is no longer this claim's: it was cancelled, reported on, or its lease was lost.
    `token` is what the target may report with.
    """
    try:
        outcome = within(job.timeout, engine, lambda left: _perform(engine, job, run, left, token))
    except ActionError as error:
        return failed(engine, job, message, run, settings, error)
    if isinstance(outcome, Accepted):
        return _accepted(engine, job, run)
    return completed(engine, job, run, settings, outcome)


def _accepted(engine: Engine, job: Job, run: Run) -> Run | None:
    """The target goes on by itself. The overlap lock is held for as long as it may be silent."""
    until = engine.now() + job.completion_timeout
    hold_lock(engine, job, run, until)
    return engine.runs.await_report(run, until)


def hold_lock(engine: Engine, job: Job, run: Run, until: datetime) -> None:
    """Prolongs the overlap lock of a run that goes on until then, if it has one."""
    if job.spec.overlap is not Overlap.ALLOW:
        engine.jobs.prolong(job.job_id, run.run_id, until + LEASE_MARGIN)


def completed(engine: Engine, job: Job, run: Run, settings: Settings, output: Json) -> Run | None:
    """Ends the run with what it gave. None as in `attempt`."""
    kept, truncated = cut_output(output)
    condition = job.spec.condition
    verdict = judge(condition.expression, output) if condition and condition.gate is Gate.DELIVERY else None
    now = engine.now()
    return engine.runs.finish(
        run,
        RunStatus.COMPLETED,
        now,
        output=kept,
        truncated=truncated,
        condition=verdict,
        delivery=planned(job.spec.delivery, RunStatus.COMPLETED, verdict=verdict, dry_run=run.dry_run),
        expires_at=settings.run_expiry(now),
    )


def failed(
    engine: Engine, job: Job, message: Message, run: Run, settings: Settings, error: ActionError
) -> Run | None:
    """Ends the run's attempt: the run is to be retried, or has failed. None as in `attempt`."""
    now, why = engine.now(), RunError.of(error)
    log.warning(
        "run %s/%s attempt %d failed: %s: %s",
        job.job_id,
        run.run_id,
        len(run.attempts),
        why.type,
        why.message,
    )
    is_last = error.permanent or run.dry_run or len(run.attempts) >= job.spec.retry.max_attempts
    if not is_last:
        return _retry(engine, job, message, run, why, now)
    return engine.runs.finish(
        run,
        RunStatus.FAILED,
        now,
        error=why,
        delivery=planned(job.spec.delivery, RunStatus.FAILED, dry_run=run.dry_run),
        expires_at=settings.run_expiry(now),
    )


def _retry(engine: Engine, job: Job, message: Message, run: Run, why: RunError, now: datetime) -> Run | None:
    """Sends or files the next attempt first, then says so in the row: a crash between repeats this one."""
    not_before = now + job.spec.retry.delay(len(run.attempts), engine.chance())
    following = message.again(not_before)
    if not_before - now > LONGEST_DELAY:
        engine.agenda.file([(floor_minute(not_before), Retry(following))])
    elif engine.queue.send([following], now):
        raise RuntimeError("SQS refused the message of the next attempt")
    hold_lock(engine, job, run, not_before + job.timeout)
    return engine.runs.retry(run, why, not_before, now)


def within(limit: timedelta, engine: Engine, work: Callable[[Callable[[], float]], Outcome]) -> Outcome:
    """What `work` gives, or its error; ActionError "timeout" once the limit is over.

    `work` is given a function that says how many seconds are left. A thread cannot be ended from
    outside: one that does not stop by itself is left behind, and what it gives is dropped.
    """
    results: SimpleQueue[Outcome | ActionError] = SimpleQueue()
    deadline = engine.now() + limit

    def left() -> float:
        return max(0.0, (deadline - engine.now()).total_seconds())

    def run() -> None:
        try:
            results.put(work(left))
        except ActionError as error:
            results.put(error)
        except Exception as error:
            log.exception("an action broke")
            results.put(ActionError(type(error).__name__, f"the action broke: {error}"))

    Thread(target=run, daemon=True).start()
    last_word = deadline + _LAST_WORD
    while not engine.stopping.is_set() and (seconds := (last_word - engine.now()).total_seconds()) > 0:
        try:
            result = results.get(timeout=min(seconds, _POLL))
        except Empty:
            continue
        if isinstance(result, ActionError):
            raise result
        return result
    if engine.stopping.is_set():
        raise ActionError("worker_stopped", "its worker was stopped before it was done")
    raise ActionError("timeout", f"took longer than its {limit.total_seconds():.0f} s")


def _perform(engine: Engine, job: Job, run: Run, left: Callable[[], float], token: str) -> Outcome:
    """Acts. A dry run calls handlers and tasks, which know of it, and shows what others would be told."""
    given = _given(engine, job, run, left, token)
    action = action_of(engine, job)
    assignment = assignment_of(engine, job, run, action, given.input)
    if not run.dry_run or action.type in ("handler", "task"):
        return engine.perform(action, replace(given, assignment=assignment))
    scope: dict[str, Json] = {"job": dict(given.job), "run": dict(given.run), "input": given.input}
    shown = {
        name: render(value, scope, secret_placeholder)
        for name, value in action.model_dump(mode="json").items()
    }
    return {"dry_run": True, "action": shown | ({"body": assignment} if assignment is not None else {})}


def _given(engine: Engine, job: Job, run: Run, left: Callable[[], float], token: str) -> Attempt:
    """What the action sees of the job and the run."""
    number = len(run.attempts)
    return Attempt(
        job={
            "id": job.job_id,
            "name": job.spec.name,
            "goal": job.spec.goal,
            "agent_id": job.spec.agent_id,
            "tags": [*job.spec.tags],
        },
        run={
            "id": run.run_id,
            "job_id": job.job_id,
            "trigger": run.trigger.value,
            "scheduled_for": iso(run.scheduled_for),
            "attempt": number,
            "dry_run": run.dry_run,
        },
        input=outputs_before(engine, run) if run.after else run.input,
        idempotency_key=f"{job.job_id}/{run.run_id}",
        number=number,
        completion_token=token,
        seconds_left=left,
        is_cancelled=lambda: _is_ended(engine, run),
    )


def _is_ended(engine: Engine, run: Run) -> bool:
    now = engine.runs.get(run.job_id, run.run_id)
    return now is None or now.is_finished
