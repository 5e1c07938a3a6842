"""What to say of a schedule that is valid and yet may surprise: clock jumps, uneven steps, rare dates."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from chalicelib.core.schedule import Cron, Every, Fold, Gap, Schedule

YEAR = timedelta(days=366)
_DAY = timedelta(days=1)
_RARE = timedelta(days=370)  # between two slots: not even once a year
_FIELDS = (("minute", 60), ("hour", 24), ("day of the month", 31), ("month", 12), ("weekday", 7))
_STEP = re.compile(r"[*?]/(\d+)", re.ASCII)

_AFTER_GAP = {
    Gap.RUN_AFTER: "the run that is due then starts at {after:%H:%M}",
    Gap.SKIP: "nothing runs in that time",
}
_IN_OVERLAP = {
    Fold.FIRST: "it runs once, at the first pass",
    Fold.SECOND: "it runs once, at the second pass",
    Fold.BOTH: "it runs at both passes",
}


def warnings(schedule: Schedule, now: datetime) -> list[str]:
    """Sentences for people about the year from `now` on; none for a schedule that does what it seems to."""
    if isinstance(schedule, Cron):
        return [*_jumps(schedule, now), *_uneven_steps(schedule.expression), *_rare_dates(schedule, now)]
    if isinstance(schedule, Every) and schedule.interval % _DAY == timedelta():
        return [*_shift(schedule, now)]
    return []


def _uneven_steps(expression: str) -> Iterator[str]:
    for (name, size), text in zip(_FIELDS, expression.split(), strict=False):
        for step in map(int, _STEP.findall(text)):
            if size % step or step > size:
                last = size - (size - 1) // step * step
                yield f"*/{step} does not divide the {name} field: the last step is {last}, not {step}"


def _rare_dates(schedule: Cron, now: datetime) -> Iterator[str]:
    first = schedule.next(now)
    second = schedule.next(first) if first else None
    if first and second and second - first > _RARE:
        yield f"its dates are rare: after {first:%Y-%m-%d} the next is {second:%Y-%m-%d}"


def _jumps(schedule: Cron, now: datetime) -> Iterator[str]:
    """The clock's jumps at which a slot is moved, left out or doubled. Real time surprises nobody."""
    every_hour = all(schedule.pattern.hours[hour] == hour for hour in range(24))
    if every_hour and (schedule.gap, schedule.overlap) == (Gap.SKIP, Fold.BOTH):
        return
    for before, after in transitions(schedule.zone, now, now + YEAR):
        low, high = sorted((before.replace(tzinfo=None), after.replace(tzinfo=None)))
        met = schedule.pattern.after(low - timedelta(microseconds=1))
        if met is None or met >= high:
            continue
        if before.replace(tzinfo=None) < after.replace(tzinfo=None):
            what = _AFTER_GAP[schedule.gap].format(after=after)
        else:
            what = _IN_OVERLAP[schedule.overlap]
        clock = f"the clock in {schedule.zone.key} goes from {before:%H:%M} to {after:%H:%M}"
        yield f"on {after:%Y-%m-%d} {clock}: {what}"


def _shift(schedule: Every, now: datetime) -> Iterator[str]:
    for before, after in transitions(schedule.zone, now, now + YEAR):
        yield (
            f"an interval is real time: from {after:%Y-%m-%d} on, when the clock in {schedule.zone.key} "
            f"goes from {before:%H:%M} to {after:%H:%M}, it shows another time of day"
        )


def odd_wall_time(text: str, zone: ZoneInfo) -> Iterator[str]:
    """Of a time without an offset: that the zone's clock never shows it, or shows it twice."""
    try:
        wall = datetime.fromisoformat(text)
    except ValueError:
        return
    if wall.tzinfo:
        return
    first, second = (wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    if first > second:
        taken = first.astimezone(zone)
        yield f"the clock in {zone.key} never shows {wall:%H:%M} that day: it is taken as {taken:%H:%M}"
    elif first < second:
        yield f"the clock in {zone.key} shows {wall:%H:%M} twice that day: the first is taken"


def transitions(zone: ZoneInfo, start: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Where the zone's clock jumps: what it would show without the jump, and what it shows."""
    early = start.astimezone(UTC).replace(microsecond=0)
    while early < end:
        late = early + _DAY
        was, becomes = (instant.astimezone(zone).utcoffset() for instant in (early, late))
        if was != becomes and was is not None:
            at = _changed(zone, early, late)
            yield (at + was).replace(tzinfo=UTC), at.astimezone(zone)
        early = late


def _changed(zone: ZoneInfo, early: datetime, late: datetime) -> datetime:
    """The first second in (early, late] with the offset of `late`."""
    offset = late.astimezone(zone).utcoffset()
    span = range((late - early) // timedelta(seconds=1) + 1)
    return early + timedelta(
        seconds=bisect_left(
            span, True, key=lambda s: (early + timedelta(seconds=s)).astimezone(zone).utcoffset() == offset
        )
    )
