"""What can be read from counters, runs and schedules: statistics, the heatmap, suggestions, the calendar."""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import groupby

from chalicelib.core.instants import from_millis
from chalicelib.core.job import Job, JobStatus
from chalicelib.core.run import Run, RunStatus

DAYS = 30  # that statistics and activity cover
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
TYPICAL = 0.25  # of the peak's activity: an hour with more is a typical one
ENOUGH = 20  # activities, for a suggestion


def bucket(instant: datetime) -> datetime:
    """The beginning of the quarter of an hour that holds the instant, in UTC."""
    utc = instant.astimezone(UTC)
    return utc.replace(minute=utc.minute - utc.minute % 15, second=0, microsecond=0)


@dataclass(frozen=True)
class Tally:
    """What happened in one quarter of an hour."""

    at: datetime
    ended: Mapping[str, int] = field(default_factory=dict)  # runs by status
    duration_ms: int = 0  # of the completed and failed ones
    activity: int = 0  # what people did


def tallies(runs: Iterable[Run]) -> list[Tally]:
    """Finished runs as counters, by the quarter of an hour of their end."""
    by_bucket: dict[datetime, list[Run]] = {}
    for run in runs:
        if not run.dry_run:
            by_bucket.setdefault(bucket(run.completed_at or run.created_at), []).append(run)
    return [
        Tally(at, _ended(some), sum(filter(None, map(duration_ms, some)))) for at, some in by_bucket.items()
    ]


def _ended(runs: Iterable[Run]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for run in runs:
        counts[run.status.value] += run.missed_count or 1
    return dict(counts)


def duration_ms(run: Run) -> int | None:
    """From the first attempt's start to the end, of a run that completed or failed."""
    if run.status not in (RunStatus.COMPLETED, RunStatus.FAILED) or not (run.started_at and run.completed_at):
        return None
    return (run.completed_at - run.started_at) // timedelta(milliseconds=1)


@dataclass(frozen=True)
class Statistics:
    runs_today: int
    success_rate: float | None  # of the runs that completed or failed; None if none did
    average_seconds: float | None


_STARTED = ("completed", "failed", "cancelled")


def statistics(counted: Iterable[Tally], today: datetime) -> Statistics:
    """Over all of `counted`; today's runs are those that ended at `today` (midnight) or later."""
    runs_today = duration = 0
    ended: Counter[str] = Counter()
    for tally in counted:
        ended.update(tally.ended)
        duration += tally.duration_ms
        if tally.at >= today:
            runs_today += sum(tally.ended.get(status, 0) for status in _STARTED)
    finished = ended["completed"] + ended["failed"]
    return Statistics(
        runs_today,
        round(ended["completed"] / finished, 4) if finished else None,
        round(duration / finished / 1000, 3) if finished else None,
    )


def midnight(now: datetime, zone: tzinfo) -> datetime:
    """The beginning of today in the zone."""
    return now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0, fold=0).astimezone(UTC)


@dataclass(frozen=True)
class JobStatistics:
    """Of a job's runs. Durations and latenesses in milliseconds; None where there is nothing to measure."""

    counts: dict[str, int]
    success_rate: float | None
    duration: Spread
    lateness: Spread
    last_failure: Run | None


@dataclass(frozen=True)
class Spread:
    average: float | None
    p50: int | None
    p95: int | None


def job_statistics(runs: Sequence[Run]) -> JobStatistics:
    """Over `runs`, newest first."""
    counts = _ended(runs)
    finished = counts.get("completed", 0) + counts.get("failed", 0)
    return JobStatistics(
        counts,
        round(counts.get("completed", 0) / finished, 4) if finished else None,
        spread([value for run in runs if (value := duration_ms(run)) is not None]),
        spread([run.lateness_ms for run in runs if run.lateness_ms is not None]),
        next((run for run in runs if run.status is RunStatus.FAILED), None),
    )


def spread(values: Sequence[int]) -> Spread:
    """The average, and the percentiles by nearest rank."""
    if not values:
        return Spread(None, None, None)
    ordered = sorted(values)

    def rank(share: float) -> int:
        return ordered[max(0, math.ceil(share * len(ordered)) - 1)]

    return Spread(round(sum(ordered) / len(ordered), 3), rank(0.5), rank(0.95))


def heatmap(counted: Iterable[Tally], zone: tzinfo) -> list[list[int]]:
    """Activity by hour (24 rows) and weekday (7 columns, from Monday) on the zone's clocks."""
    grid = [[0] * 7 for _ in range(24)]
    for tally in counted:
        local = tally.at.astimezone(zone)
        grid[local.hour][local.weekday()] += tally.activity
    return grid


@dataclass(frozen=True)
class Suggestion:
    time: str
    days: str
    reason: str


def suggestions(grid: Sequence[Sequence[int]]) -> list[Suggestion]:
    """Times around people's typical days: five minutes before the first hour, and the end of the last."""
    peak = max(max(row) for row in grid)
    if sum(map(sum, grid)) < ENOUGH:
        return []
    starts: dict[str, list[int]] = {}
    ends: dict[str, list[int]] = {}
    for day in range(7):
        hours = [hour for hour in range(24) if grid[hour][day] > peak * TYPICAL]
        if hours:
            for times, minutes in ((starts, hours[0] * 60 - 5), (ends, (hours[-1] + 1) * 60)):
                times.setdefault(_clock(minutes), []).append((day + minutes // 1440) % 7)
    return [
        *(Suggestion(time, days_label(days), "5 min before typical start") for time, days in starts.items()),
        *(Suggestion(time, days_label(days), "end of typical work day") for time, days in ends.items()),
    ]


def _clock(minutes: int) -> str:
    """`08:55`, also of the day before and of the day after."""
    return f"{minutes // 60 % 24:02d}:{minutes % 60:02d}"


def days_label(days: Sequence[int]) -> str:
    """`Mon-Fri` for 0..4; `Mon, Wed` for 0 and 2. Two days in a row are named both."""
    spans = []
    for _, group in groupby(enumerate(sorted(days)), lambda pair: pair[1] - pair[0]):
        run = [day for _, day in group]
        if len(run) > 2:
            spans.append(f"{WEEKDAYS[run[0]]}-{WEEKDAYS[run[-1]]}")
        else:
            spans += [WEEKDAYS[day] for day in run]
    return ", ".join(spans)


@dataclass(frozen=True, order=True)
class Event:
    """Something on the calendar: a slot to come, or a run that was."""

    start: datetime
    end: datetime
    job_id: str
    name: str
    kind: str
    status: str


def scheduled_events(jobs: Iterable[Job], start: datetime, end: datetime) -> Iterator[Event]:
    """The slots of active jobs from `start` until before `end`, by time."""
    active = [job for job in jobs if job.status is JobStatus.ACTIVE]
    slots = heapq.merge(*(_slots(i, job, start, end) for i, job in enumerate(active)))
    for slot, i in slots:
        yield Event(slot, slot, active[i].job_id, active[i].spec.name, "scheduled", "scheduled")


def _slots(i: int, job: Job, start: datetime, end: datetime) -> Iterator[tuple[datetime, int]]:
    instant = timedelta(microseconds=1)
    after = max(start - instant, from_millis(job.revision))
    return ((slot, i) for slot in job.schedule.occurrences(after, end - instant))
