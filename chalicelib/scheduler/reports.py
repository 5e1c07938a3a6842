"""What targets that go on by themselves report: how far they are, and how they ended.

A report carries the token that the attempt's request brought; whoever has it may report, and nobody else.
"""

from __future__ import annotations

import hmac
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from chalicelib.core.action import Http, Json
from chalicelib.core.errors import ActionError, Conflict, WrongToken
from chalicelib.core.ids import token_digest
from chalicelib.core.instants import iso
from chalicelib.core.job import Job
from chalicelib.core.redaction import Redaction
from chalicelib.core.run import Message, Run, RunStatus
from chalicelib.core.settings import Settings
from chalicelib.scheduler.attempts import completed, failed, hold_lock
from chalicelib.scheduler.engine import Engine
from chalicelib.scheduler.jobs import get
from chalicelib.scheduler.runs import follow_up, get_run
from chalicelib.scheduler.secrets import value_of
from chalicelib.scheduler.targets import action_of

_TRIES = 5  # of a write that others come in between of

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Failure:
    """The target failed. `permanent`: another attempt would too."""

    message: str
    permanent: bool = False


def complete(
    engine: Engine, job_id: str, run_id: str, token: str | None, outcome: Json | Failure, now: datetime
) -> Run:
    """Ends the run's attempt as its target says; a failed one is retried where the job allows.

    Raises WrongToken, and Conflict where the attempt is over.
    """
    settings = engine.settings()
    job, _ = get(engine, job_id)
    outcome = _without_secrets(engine, job, outcome)
    run = _changed(engine, job_id, run_id, token, lambda run: _ended(engine, job, run, settings, outcome))
    if run.is_finished:
        _follow_up(engine, job, run, settings, now)
    return run


def _follow_up(engine: Engine, job: Job, run: Run, settings: Settings, now: datetime) -> None:
    """All that follows from the end. What fails is done by a worker: the target's report has been taken."""
    try:
        follow_up(engine, job, run, settings, now)
    except Exception:
        log.exception("run %s/%s has ended, but not all know of it yet", run.job_id, run.run_id)
        if engine.queue.send([Message.of(run)], now):
            raise


def progress(
    engine: Engine, job_id: str, run_id: str, token: str | None, said: dict[str, Json], now: datetime
) -> Run:
    """Keeps what the target says, which may be silent for the job's completion timeout again.

    Raises WrongToken, and Conflict where the attempt is over.
    """
    job, _ = get(engine, job_id)
    until = now + job.completion_timeout
    hidden = _hiding(engine, job)
    report = {"at": iso(now), **{name: hidden.value(value) for name, value in said.items()}}
    run = _changed(engine, job_id, run_id, token, lambda run: engine.runs.note_progress(run, report, until))
    hold_lock(engine, job, run, until)
    return run


def _without_secrets(engine: Engine, job: Job, outcome: Json | Failure) -> Json | Failure:
    hidden = _hiding(engine, job)
    if isinstance(outcome, Failure):
        return replace(outcome, message=hidden.text(outcome.message))
    return hidden.value(outcome)


def _hiding(engine: Engine, job: Job) -> Redaction:
    """Hides the secrets that the target was sent, where it sends them back."""
    try:
        action = action_of(engine, job)
    except ActionError:  # what it was is gone
        return Redaction(())
    named = action.secrets if isinstance(action, Http) else ()
    return Redaction(value for name in named if (value := value_of(engine, name)))


def _changed(
    engine: Engine, job_id: str, run_id: str, token: str | None, change: Callable[[Run], Run | None]
) -> Run:
    for _ in range(_TRIES):
        run = get_run(engine, job_id, run_id)
        if not (token and run.token_digest and hmac.compare_digest(token_digest(token), run.token_digest)):
            raise WrongToken
        if run.status is not RunStatus.RUNNING:
            raise Conflict(f"run {run_id} is {run.status}: this attempt of it is over")
        if after := change(run):
            return after
    raise Conflict(f"run {run_id} is being changed; try again")


def _ended(engine: Engine, job: Job, run: Run, settings: Settings, outcome: Json | Failure) -> Run | None:
    if not isinstance(outcome, Failure):
        return completed(engine, job, run, settings, outcome)
    error = ActionError("reported", outcome.message, permanent=outcome.permanent)
    return failed(engine, job, Message.of(run), run, settings, error)
