"""What follows from a run's end. Each step is idempotent: whoever finds a finished run settles it again."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from chalicelib.core.errors import Conflict
from chalicelib.core.job import AtSpec, Job, JobStatus, Overlap, State
from chalicelib.core.run import Run, RunStatus, Trigger
from chalicelib.scheduler.engine import Engine
from chalicelib.scheduler.events import emit_of_job

LEASE_MARGIN = timedelta(seconds=15)  # a lease outlives its attempt by this
VISIBILITY_MARGIN = timedelta(seconds=60)  # a message's invisibility by this: timeout < lease < visibility

log = logging.getLogger(__name__)


def settle(engine: Engine, job: Job | None, run: Run, now: datetime, *, is_news: bool) -> bool:
    """Counts the run, lets the run that waits go on, and changes the job's status where the run decides it.

    `is_news`: it was ended just now, not found ended. Gives whether it was counted now. Raises
    RuntimeError where SQS refuses the message of the run that waited: settle it again.
    """
    if run.dry_run:
        return is_news
    if job is None:
        forget(engine, run.job_id, now)
        return is_news
    holds_lock = job.spec.overlap is not Overlap.ALLOW and run.started_at is not None
    state, counted = engine.jobs.settle(run, holds_lock=holds_lock, is_news=is_news)
    wake(engine, state, now)
    ended = _ended(job, run, state)
    if ended:
        change_status(engine, job, *ended, now, job.rescheduled(now))
    return counted


def wake(engine: Engine, state: State, now: datetime) -> None:
    """Sends the run that waits, if the lock is free for it. Sending it twice does no harm."""
    if is_free(state, now):
        _send_waiter(engine, state, now)


def is_free(state: State, now: datetime) -> bool:
    """Whether no run holds the overlap lock, or only one whose worker was lost."""
    return state.lock_run is None or (state.lock_until is not None and state.lock_until < now)


def forget(engine: Engine, job_id: str, now: datetime) -> None:
    """Removes the state of a deleted job. A run that waited is sent, to find that its job is gone."""
    _send_waiter(engine, engine.jobs.delete_state(job_id), now)


def _send_waiter(engine: Engine, state: State, now: datetime) -> None:
    if state.waiter and engine.queue.send([replace(state.waiter, due=now)], now):
        raise RuntimeError("SQS refused the message of the run that waited")


def _ended(job: Job, run: Run, state: State) -> tuple[JobStatus, str] | None:
    """The status that this run's end gives to the job, and why."""
    if job.status is not JobStatus.ACTIVE:
        return None
    if isinstance(job.spec.schedule, AtSpec):
        if run.trigger is not Trigger.SCHEDULE or run.revision != job.revision:
            return None
        if run.status is RunStatus.FAILED:
            return JobStatus.FAILED, f"its run failed: {run.error.message if run.error else run.reason}"
        return JobStatus.COMPLETED, f"its run {run.run_id} is {run.status}"
    limit = job.spec.max_consecutive_failures
    if run.status is RunStatus.FAILED and 0 < limit <= state.consecutive_failures:
        last = run.error.message if run.error else run.reason
        return JobStatus.FAILED, f"{state.consecutive_failures} runs failed in a row; the last: {last}"
    return None


def change_status(
    engine: Engine, job: Job, status: JobStatus, reason: str, now: datetime, also: Mapping[str, Any]
) -> None:
    """Ends the job's schedule, unless it has another by now or is no longer active.

    A change of anything else does not count: it is read, and this one, with the fields `also`, made
    on top of it.
    """
    found: Job | None = job
    while found and found.status is JobStatus.ACTIVE and found.revision == job.revision:
        change = {
            "status": status,
            "status_reason": reason,
            "version": found.version + 1,
            "updated_at": now,
            **also,
        }
        try:
            after = found.model_copy(update=change)
            engine.jobs.replace(after, found)
        except Conflict:
            found = engine.jobs.definitions([job.job_id], consistent=True).get(job.job_id)
        else:
            log.warning("job %s is %s: %s", job.job_id, status, reason)
            emit_of_job(engine, _event(after), after, now)
            return
    log.info("job %s was changed meanwhile and is left as it is", job.job_id)


def _event(job: Job) -> str:
    if job.status is JobStatus.COMPLETED:
        return "job.completed"
    return "job.failed" if isinstance(job.spec.schedule, AtSpec) else "job.auto_paused"
