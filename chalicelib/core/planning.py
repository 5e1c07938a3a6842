"""Decides; never does: which slots run, which are missed and why, and whether a waiting run still may."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice

from chalicelib.core.instants import MINUTE, from_millis
from chalicelib.core.job import Job, JobStatus, Misfire

MISSED_ROWS = 100  # this many of the newest missed slots get a row each, the older ones share one
STALE = timedelta(days=1)  # a message that waited longer is missed, whatever the policy


@dataclass(frozen=True)
class Start:
    """A slot that is to run, at `due`."""

    slot: datetime
    due: datetime


@dataclass(frozen=True)
class MissedRange:
    """`count` missed slots from `first` to `last`, both included."""

    first: datetime
    last: datetime
    count: int


@dataclass(frozen=True)
class CatchUp:
    """Late slots that are to run at a pace: all from `first` to `last`."""

    first: datetime
    last: datetime


@dataclass(frozen=True)
class Plan:
    starts: tuple[Start, ...] = ()
    missed: tuple[datetime, ...] = ()
    missed_range: MissedRange | None = None
    catch_up: CatchUp | None = None


def plan(job: Job, slots: Iterable[datetime], now: datetime, perhaps_sent: datetime) -> Plan:
    """The verdict on each of `slots` (ascending, perhaps very many).

    Slots before `perhaps_sent` may have been sent to the queue by a tick that died; if they are
    missed they always get a row of their own, since only a row can lose to the run itself.
    """
    starts: list[Start] = []
    late: deque[datetime] = deque()
    older = _Older(perhaps_sent)
    for slot in slots:
        due = job.due(slot)
        if now - due <= job.grace:
            starts.append(Start(slot, due))
            continue
        late.append(slot)
        if len(late) > MISSED_ROWS + job.spec.catch_up_limit:
            older.add(late.popleft())
    run, missed, catch_up = _misfire(job, list(late), now)
    for slot in missed[:-MISSED_ROWS]:
        older.add(slot)
    return Plan((*run, *starts), (*older.rows, *missed[-MISSED_ROWS:]), older.range, catch_up)


@dataclass
class _Older:
    """The missed slots before the newest hundred, folded into one range as far as that is safe."""

    perhaps_sent: datetime
    rows: list[datetime] = field(default_factory=list)
    range: MissedRange | None = None

    def add(self, slot: datetime) -> None:
        if slot < self.perhaps_sent:
            self.rows.append(slot)
        elif self.range is None:
            self.range = MissedRange(slot, slot, 1)
        else:
            self.range = MissedRange(self.range.first, slot, self.range.count + 1)


def _misfire(
    job: Job, late: list[datetime], now: datetime
) -> tuple[list[Start], list[datetime], CatchUp | None]:
    """Of the late slots: what runs now, what is missed, what is caught up with."""
    if not late or job.spec.misfire is Misfire.SKIP:
        return [], late, None
    if job.spec.misfire is Misfire.FIRE_ONCE:
        return [Start(late[-1], now)], late[:-1], None
    kept = late[-job.spec.catch_up_limit :]
    return [], late[: -len(kept)], CatchUp(kept[0], kept[-1])


def pace(
    job: Job, slots: Iterable[datetime], minute: datetime, now: datetime
) -> tuple[list[Start], datetime | None]:
    """The starts of one minute of catching up, and the first slot of the next minute's, if any is left."""
    per_minute = job.spec.catch_up_per_minute
    batch = list(islice(slots, per_minute + 1))
    begin = max(minute, now)
    starts = [Start(slot, begin + MINUTE * i / per_minute) for i, slot in enumerate(batch[:per_minute])]
    return starts, batch[per_minute] if len(batch) > per_minute else None


def refusal(job: Job, revision: int, slot: datetime) -> str | None:
    """Why a scheduled run sent under `revision` may no longer start, or None if it may.

    A run of an older schedule, or of a job that was paused since, runs only if its slot had come
    before that change.
    """

    until = job.held_until(revision)
    if until is not None and slot > from_millis(until):
        return "paused" if job.status in (JobStatus.PAUSED, JobStatus.FAILED) else "rescheduled"
    return None


def waited_too_long(job: Job, slot: datetime, due: datetime, now: datetime) -> str | None:
    """Why a run whose message waited is missed, or None if it still runs."""
    waited = now - due
    if waited > STALE:
        return "its message waited for more than a day"
    if waited <= job.grace or job.spec.misfire is Misfire.CATCH_UP:
        return None
    late = (
        f"it came {waited.total_seconds():.0f} s late, past the grace of {job.spec.misfire_grace_seconds} s"
    )
    if job.spec.misfire is Misfire.SKIP:
        return late
    following = job.next_slot(slot)
    if following is not None and now - job.due(following) > job.grace:
        return f"{late}, and a newer slot is late too"
    return None
