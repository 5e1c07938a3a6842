"""The tick: reads what the agenda has due, sends the runs to the queue, files what comes next.

It may be repeated, doubled, late, or killed at any line: runs are named by their slots and segments
by their entries, so what it does twice it does once.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from chalicelib.core.agenda import CatchUps, Entry, Retry, Segment, Slots, pack
from chalicelib.core.ids import slot_id
from chalicelib.core.instants import MINUTE, ceil_minute, floor_minute, from_millis
from chalicelib.core.job import AtSpec, Job, JobStatus
from chalicelib.core.planning import Plan, Start, pace, plan
from chalicelib.core.run import Message
from chalicelib.core.settings import Settings
from chalicelib.scheduler.engine import Engine
from chalicelib.scheduler.missed import record_missed
from chalicelib.scheduler.settle import change_status

_AT_ONCE = 10  # messages to SQS
_INSTANT = timedelta(microseconds=1)  # turns "up to and without" into "up to and with"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Window:
    """What one tick looks at."""

    now: datetime
    horizon: datetime  # slots before it are handled; a whole minute, since an entry stands for one
    perhaps_sent: datetime  # slots before it may have been sent by an earlier tick
    settings: Settings


def tick(engine: Engine, now: datetime, scheduled_for: datetime | None = None) -> int:
    """Handles all that is due before now + lookahead; gives the number of jobs it looked at."""
    settings = engine.settings()
    checked = 0
    if not settings.is_paused:
        window = open_window(engine, now, settings)
        filed: set[str] = set()
        for segments in engine.agenda.due(window.horizon):
            fresh = [segment for segment in segments if segment.name not in filed]
            checked += handle(engine, fresh, window, filed)
    lateness = now - scheduled_for if scheduled_for else timedelta()
    engine.ticks.end(now, max(0, int(lateness.total_seconds() * 1000)), checked)
    return checked


def open_window(engine: Engine, now: datetime, settings: Settings) -> Window:
    horizon = ceil_minute(now + engine.lookahead)
    return Window(now, horizon, engine.ticks.begin(horizon), settings)


def handle_at_once(engine: Engine, job: Job, minute: datetime, now: datetime) -> None:
    """What was written to be due within the lookahead does not wait for the next tick."""
    if minute >= ceil_minute(now + engine.lookahead):
        return
    settings = engine.settings()
    if not settings.is_paused:
        segment = Segment(minute, (Slots(job.job_id, job.revision),))
        handle(engine, [segment], open_window(engine, now, settings), set())


@dataclass
class _Step:
    """What one read of the agenda leads to."""

    sends: list[tuple[Message, Entry]] = field(default_factory=list)
    files: list[tuple[datetime, Entry]] = field(default_factory=list)
    missed: list[tuple[Job, Plan]] = field(default_factory=list)
    exhausted: list[tuple[Job, str]] = field(default_factory=list)


def handle(engine: Engine, segments: list[Segment], window: Window, filed: set[str]) -> int:
    """Sends, files and only then deletes; gives the number of jobs.

    The names of what it files go to `filed`: this tick neither reads those again nor deletes them. A lone
    entry that SQS refuses is filed under the very name that it was read under.
    """
    due = _merge(segments)
    jobs = _definitions(engine, due)
    step = _Step()
    for entry, minute in due.items():
        if entry.job_id in jobs and jobs[entry.job_id] is None:
            step.files.append((minute, entry))  # until it can be read again
        else:
            _look_at(engine, step, entry, minute, jobs.get(entry.job_id), window)
    for job, planned in step.missed:
        record_missed(engine, job, planned, window.now, window.settings)
    files = [*step.files, *_send(engine, step)]
    engine.agenda.file(files)
    filed |= {segment.name for segment in pack(files)}
    for job, reason in step.exhausted:
        change_status(engine, job, JobStatus.COMPLETED, reason, window.now, {})
    engine.agenda.remove(segment for segment in segments if segment.name not in filed)
    return len({entry.job_id for entry in due})


def _merge(segments: Iterable[Segment]) -> dict[Entry, datetime]:
    """Each distinct entry with its earliest minute: two streams of one job become one here."""
    due: dict[Entry, datetime] = {}
    for segment in segments:
        for entry in segment.entries:
            due[entry] = min(segment.minute, due.get(entry, segment.minute))
    return due


def _definitions(engine: Engine, due: Iterable[Entry]) -> dict[str, Job | None]:
    """Definitions by id: read cheaply, and again with strong consistency where that is in doubt."""
    revisions: dict[str, int] = {}
    for entry in due:
        if not isinstance(entry, Retry):
            revisions[entry.job_id] = max(entry.revision, revisions.get(entry.job_id, 0))
    jobs = engine.jobs.definitions(revisions, consistent=False)
    doubtful = [
        job_id
        for job_id, revision in revisions.items()
        if job_id not in jobs or ((job := jobs[job_id]) and job.revision < revision)
    ]
    return jobs | engine.jobs.definitions(doubtful, consistent=True) if doubtful else jobs


def _look_at(
    engine: Engine, step: _Step, entry: Entry, minute: datetime, job: Job | None, window: Window
) -> None:
    if isinstance(entry, Retry):
        step.sends.append((entry.message, entry))
    elif job is None or entry.revision < job.revision:
        log.debug("dropping %s: its job is gone or has another schedule", entry)
    elif isinstance(entry, CatchUps):
        _catch_up(step, job, entry, minute, window.now)
    elif job.status is JobStatus.ACTIVE:
        _slots(engine, step, job, entry, minute, window)


def _slots(engine: Engine, step: _Step, job: Job, entry: Slots, minute: datetime, window: Window) -> None:
    begin = from_millis(entry.revision)
    slots = job.schedule.occurrences(max(begin, minute - _INSTANT), window.horizon - _INSTANT)
    perhaps_sent = max(window.perhaps_sent, ceil_minute(begin + engine.lookahead))
    planned = plan(job, slots, window.now, perhaps_sent)
    step.sends += [(_message(job, start), entry) for start in planned.starts]
    if planned.missed:
        step.missed.append((job, planned))
    if planned.catch_up:
        rest = CatchUps(job.job_id, job.revision, planned.catch_up.first, planned.catch_up.last)
        _catch_up(step, job, rest, floor_minute(window.now), window.now)
    following = job.next_slot(window.horizon - _INSTANT)
    if following:
        step.files.append((floor_minute(following), entry))
    elif not (isinstance(job.spec.schedule, AtSpec) and (planned.starts or planned.catch_up)):
        # of an `at` job that runs, the run's end decides
        step.exhausted.append((job, "its only slot was missed" if planned.missed else "no slot is left"))


def _catch_up(step: _Step, job: Job, entry: CatchUps, minute: datetime, now: datetime) -> None:
    slots = job.schedule.occurrences(entry.first - _INSTANT, entry.last)
    starts, rest = pace(job, slots, minute, now)
    step.sends += [(_message(job, start), entry) for start in starts]
    if rest:
        following = CatchUps(job.job_id, entry.revision, rest, entry.last)
        step.files.append((max(minute, floor_minute(now)) + MINUTE, following))


def _message(job: Job, start: Start) -> Message:
    return Message(job.job_id, slot_id(start.slot), job.revision, start.slot, start.due)


def _send(engine: Engine, step: _Step) -> list[tuple[datetime, Entry]]:
    """Sends what is to run; gives the entries of what SQS refused, under the minute of its slot."""
    if not step.sends:
        return []
    entries = dict(step.sends)
    messages = list(entries)
    failed: list[Message] = []
    for start in range(0, len(messages), _AT_ONCE):  # the delays are counted from when they are sent
        failed += engine.queue.send(messages[start : start + _AT_ONCE], engine.now())
    return [(floor_minute(message.slot), entries[message]) for message in failed]
