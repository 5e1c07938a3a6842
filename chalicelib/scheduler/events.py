"""Events: what happened is told to the feeds and to the webhooks."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from chalicelib.core.action import Json
from chalicelib.core.event import EVENTS, Sink
from chalicelib.core.ids import random_id
from chalicelib.core.instants import iso
from chalicelib.core.job import SYSTEM, Job
from chalicelib.core.run import Run, RunStatus
from chalicelib.scheduler import feed, webhooks
from chalicelib.scheduler.engine import Engine
from chalicelib.scheduler.feed import Entry, Feed

log = logging.getLogger(__name__)


def emit(
    engine: Engine, event: str, data: Mapping[str, Json], now: datetime, once: str | None = None
) -> None:
    """Tells of an event of EVENTS. `once` names what happened: the same event at the same time is one.

    What goes wrong is logged: nobody's write fails because of it.
    """
    try:
        _tell(engine, [_Happening(event, data, now, once or random_id(12))], now)
    except Exception:
        log.exception("nobody is told of %s (%s)", event, data.get("job_id"))


def notify(engine: Engine, title: str, message: str, now: datetime) -> None:
    """Adds a notification. What goes wrong is logged."""
    try:
        feed.add(
            engine, Feed.NOTIFICATIONS, [Entry(now, {"title": title, "message": message, "at": iso(now)})]
        )
    except Exception:
        log.exception("nobody is notified: %s: %s", title, message)


def emit_of_job(engine: Engine, event: str, job: Job, now: datetime) -> None:
    """`emit`, with what there is to say of a job."""
    data: dict[str, Json] = {
        "job_id": job.job_id,
        "job_name": job.spec.name,
        "status": job.status.value,
        "status_reason": job.status_reason,
        "schedule": job.spec.schedule.model_dump(mode="json"),
        "agent_id": job.spec.agent_id,
        "tags": [*job.spec.tags],
        "origin": job.origin.value,
        "owner": job.owner,
    }
    emit(engine, event, data, now)


def tell_of_runs(engine: Engine, ended: Iterable[tuple[Job | None, Run]], now: datetime) -> None:
    """Tells of runs that ended, in one go, once however often it is called for them.

    Dry runs are nobody's business, nor are built-in tasks that went well. Raises what goes wrong.
    """
    _tell(engine, [_of_run(job, run) for job, run in ended if _is_told(job, run)], now)


@dataclass(frozen=True)
class _Happening:
    event: str
    data: Mapping[str, Json]
    at: datetime
    what: str
    unwanted: frozenset[Sink] = frozenset()

    def goes_to(self, sink: Sink) -> bool:
        return sink in EVENTS[self.event].sinks - self.unwanted

    @property
    def message(self) -> str:
        return EVENTS[self.event].says.format_map(_Known(self.data))

    @property
    def suffix(self) -> str:
        return hashlib.sha256(f"{self.event}\n{self.what}".encode()).hexdigest()[:16]


class _Known(dict[str, Json]):
    def __missing__(self, name: str) -> str:
        return "?"


def _is_told(job: Job | None, run: Run) -> bool:
    if run.dry_run or run.completed_at is None:
        return False
    return not (run.status is RunStatus.COMPLETED and job is not None and _is_task(job))


def _is_task(job: Job) -> bool:
    return job.owner == SYSTEM and job.spec.action is not None and job.spec.action.type == "task"


def _of_run(job: Job | None, run: Run) -> _Happening:
    unwanted = frozenset[Sink]() if job and job.owner == SYSTEM else frozenset({Sink.NOTIFICATION})
    what = f"{run.job_id}/{run.run_id}"
    return _Happening(
        f"run.{run.status}", _run_data(job, run), run.completed_at or run.created_at, what, unwanted
    )


def _run_data(job: Job | None, run: Run) -> dict[str, Json]:
    """Without its input and output: those are the API's to give."""
    data: dict[str, Json] = {
        "job_id": run.job_id,
        "job_name": job.spec.name if job else None,
        "run_id": run.run_id,
        "status": run.status.value,
        "reason": run.reason or (run.error.message if run.error else None),
        "error": run.error.model_dump() if run.error else None,
        "trigger": run.trigger.value,
        "triggered_by": run.triggered_by,
        "scheduled_for": iso(run.scheduled_for),
        "started_at": iso(run.started_at) if run.started_at else None,
        "completed_at": iso(run.completed_at) if run.completed_at else None,
        "lateness_ms": run.lateness_ms,
        "attempts": len(run.attempts),
        "chain_id": run.chain_id,
        "execution": run.execution,
    }
    if run.missed_from:
        until = iso(run.scheduled_for)
        data["missed"] = {"from": iso(run.missed_from), "until": until, "count": run.missed_count}
    return data


def _tell(engine: Engine, happenings: Sequence[_Happening], now: datetime) -> None:
    """The webhooks first: what follows can be done again."""
    by_sink = {sink: [one for one in happenings if one.goes_to(sink)] for sink in Sink}
    sendings = [
        webhooks.Sending(one.event, one.data, one.at, f"{one.event}\n{one.what}")
        for one in by_sink[Sink.WEBHOOKS]
    ]
    webhooks.send(engine, sendings, now)
    feed.add(engine, Feed.ACTIVITIES, [_activity(one) for one in by_sink[Sink.ACTIVITY]])
    feed.add(engine, Feed.NOTIFICATIONS, [_notification(one) for one in by_sink[Sink.NOTIFICATION]])


def _activity(one: _Happening) -> Entry:
    record = {"type": one.event, "message": one.message, "data": dict(one.data), "at": iso(one.at)}
    return Entry(one.at, record, one.suffix)


def _notification(one: _Happening) -> Entry:
    record = {"title": EVENTS[one.event].title, "message": one.message, "at": iso(one.at)}
    return Entry(one.at, record, one.suffix)
