"""When a job is due: Cron, Every and At, each the slots between two instants.

Everything is pure: instants come in as aware datetimes and go out as aware UTC datetimes; no clock is
read. Cron expressions are read by `chalicelib.core.cron`; what a wall time means in a zone whose clock
jumps is decided here.
"""

from __future__ import annotations

import difflib
import re
from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum
from functools import cache, cached_property, lru_cache
from hashlib import sha256
from zoneinfo import ZoneInfo, available_timezones

from chalicelib.core.cron import Pattern, parse
from chalicelib.core.errors import Invalid
from chalicelib.core.instants import EPOCH

MICROSECOND = timedelta(microseconds=1)
MILLISECOND = timedelta(milliseconds=1)
SECOND = timedelta(seconds=1)
SHORTEST, LONGEST = SECOND, timedelta(days=366)

EARLIEST = datetime(1, 1, 3, tzinfo=UTC)  # no sooner than this, so that every zone can show it

# How far to look for a change of a zone's clock: gaps and overlaps last 24 hours at most, and no zone in
# the database has two of them within six days.
LOOKAHEAD = timedelta(hours=25)

# A schedule whose slots fall into a gap this many times running (2:30 on every second Sunday of March,
# with Gap.SKIP) is taken to have no further one.
GAPS = 100

USES_HASH = re.compile(r"\bh\b", re.IGNORECASE)
NO_PLACES = {"localtime", "Factory", "posixrules"}


class Gap(StrEnum):
    """What becomes of a slot at a wall time that a forward jump leaves out."""

    RUN_AFTER = "run_after"
    """It moves to the first minute after the gap; several become one."""
    SKIP = "skip"
    """It does not come."""


class Fold(StrEnum):
    """When a slot comes whose wall time a backward jump makes happen twice."""

    FIRST = "first"
    """At the first pass only."""
    SECOND = "second"
    """At the second pass only."""
    BOTH = "both"
    """At each pass."""


@dataclass(frozen=True)
class Dst:
    """The rule at clock jumps. None: as Debian's cron does for the expression.

    That is, for a fixed time (neither minute nor hour field starts with `*`): run after the gap, first
    pass of the overlap. For a wildcard: skip the gap, both passes, which is to follow real time.
    """

    gap: Gap | None = None
    overlap: Fold | None = None


class Schedule(ABC):
    """Slots: the instants at which a job is due, ascending and each once."""

    zone: ZoneInfo

    @property
    def period(self) -> timedelta | None:
        """How far its slots lie apart, if always as far on the wall clock."""
        return None

    @abstractmethod
    def next(self, after: datetime) -> datetime | None:
        """The first slot strictly after `after`, else None."""

    def occurrences(self, after: datetime, until: datetime) -> Iterator[datetime]:
        """The slots s with after < s <= until, ascending, as UTC datetimes. Lazy."""
        slot = self.next(after)
        while slot is not None and slot <= until:
            yield slot
            slot = self.next(slot)

    def count(self, after: datetime, until: datetime) -> int:
        """How many slots `occurrences` would give."""
        return sum(1 for _ in self.occurrences(after, until))


@dataclass(frozen=True)
class Cron(Schedule):
    """Made by `cron`. `start` and `end` are both inclusive. Slots end with the year 9999."""

    expression: str
    zone: ZoneInfo
    pattern: Pattern = field(repr=False)
    gap: Gap
    overlap: Fold
    start: datetime | None = None
    end: datetime | None = None

    @property
    def period(self) -> timedelta | None:
        return timedelta(days=1) if self.pattern.is_daily else None

    def next(self, after: datetime) -> datetime | None:
        after = after.astimezone(UTC)
        if after < self._before_all:
            after = self._before_all
        try:
            slot = self._unlimited(after)
        except OverflowError:  # past the year 9999
            return None
        return None if slot is None or (self.end is not None and slot > self.end) else slot

    @cached_property
    def _before_all(self) -> datetime:
        return EARLIEST if self.start is None else max(EARLIEST, self.start - MICROSECOND)

    @cached_property
    def _clock(self) -> tzinfo:
        return UTC if self.zone.key == "UTC" else self.zone  # the plain UTC is quicker

    def _unlimited(self, after: datetime) -> datetime | None:
        local = after.astimezone(self._clock)
        # Nearly always neither end is close to a change of the clock, and the next match is the next slot.
        if local.fold or _changes_soon(local):
            return self._near_change(local)
        match = self.pattern.after(local)
        if match is not None and _changes_soon(match):
            return self._later_on_the_clock(local)
        return match and match.astimezone(UTC)

    def _later_on_the_clock(self, local: datetime) -> datetime | None:
        """The first slot whose wall time is after that of `local` and still to come for the first time."""
        for _ in range(GAPS):
            match = self.pattern.after(local)
            if match is None:
                return None
            first, second = match.astimezone(UTC), _second(match)
            if first == second:
                return first
            if first < second:
                return second if self.overlap is Fold.SECOND else first
            resumed = _change(self.zone, second, first).astimezone(self.zone)
            if self.gap is Gap.RUN_AFTER:
                return (resumed + timedelta(seconds=-resumed.second % 60)).astimezone(UTC)
            local = resumed - MICROSECOND
        return None

    def _near_change(self, local: datetime) -> datetime | None:
        """The first slot after `local`. In an overlap the wall clock does not tell what comes next: look
        through what is left of its passes in turn."""
        first, second = local.replace(fold=0).astimezone(UTC), _second(local)
        if first == second:
            return self._later_on_the_clock(local)
        change = _change(self.zone, first, second)
        repeats = change.astimezone(self.zone)
        ends = (change - SECOND).astimezone(self.zone) + SECOND
        passes = []
        if not local.fold and self.overlap is not Fold.SECOND:
            passes.append((local, 0))
        if self.overlap is not Fold.FIRST:
            passes.append((local if local.fold else repeats - MICROSECOND, 1))
        for wall, fold in passes:
            match = self.pattern.after(wall)
            if match is not None and match < ends:
                return match.replace(fold=fold).astimezone(UTC)
        return self._later_on_the_clock(ends - MICROSECOND)


def _changes_soon(local: datetime) -> bool:
    """True in a gap, in a first pass, and in the day before; where False, the wall time comes once unless
    its fold says that it is a second pass. A look ahead is cheaper than reading each wall time twice."""
    return local.utcoffset() != (local + LOOKAHEAD).utcoffset()


def _second(local: datetime) -> datetime:
    """The instant of a wall time read as the second pass: later than the first in an overlap, earlier in
    a gap, else the same."""
    return local.replace(fold=1).astimezone(UTC)


def _change(zone: ZoneInfo, early: datetime, late: datetime) -> datetime:
    """The instant of the one change of offset in (early, late]."""
    early = early.replace(microsecond=0)
    before = early.astimezone(zone).utcoffset()

    def changed(seconds: int) -> bool:
        return (early + timedelta(seconds=seconds)).astimezone(zone).utcoffset() != before

    span = range((late - early) // SECOND + 1)
    return early + timedelta(seconds=bisect_left(span, True, key=changed))


@dataclass(frozen=True)
class Every(Schedule):
    """The grid first + k * interval, k >= 0. Made by `every`; `end` is inclusive."""

    interval: timedelta
    first: datetime
    zone: ZoneInfo
    end: datetime | None = None

    @property
    def period(self) -> timedelta:
        return self.interval

    def next(self, after: datetime) -> datetime | None:
        try:
            slot = self.first + max(0, self._passed(after)) * self.interval
        except OverflowError:  # past the year 9999
            return None
        return None if self.end is not None and slot > self.end else slot

    def count(self, after: datetime, until: datetime) -> int:
        last = until if self.end is None else min(until, self.end)
        return max(0, self._passed(last) - max(0, self._passed(after)))

    def _passed(self, instant: datetime) -> int:
        """The slots at or before `instant`; zero or less where it is before the first."""
        return (instant - self.first) // self.interval + 1


@dataclass(frozen=True)
class At(Schedule):
    """One instant. Made by `at`."""

    instant: datetime
    zone: ZoneInfo

    def next(self, after: datetime) -> datetime | None:
        return self.instant if self.instant > after else None


def cron(
    expression: str,
    zone: str,
    *,
    dst: Dst = Dst(),
    start: datetime | None = None,
    end: datetime | None = None,
    seed: str = "",
) -> Cron:
    """`start` and `end` are inclusive; `seed` (the job's id) resolves H. What is parsed is cached.

    Raises Invalid for "expression", "timezone" or, where a limit has no offset, "datetime".
    """
    seed = seed if USES_HASH.search(expression) else ""
    return _cron(expression, zone, dst, start and _instant(start), end and _instant(end), seed)


@lru_cache(maxsize=4096)
def _cron(
    expression: str, zone: str, dst: Dst, start: datetime | None, end: datetime | None, seed: str
) -> Cron:
    pattern = parse(expression, seed)
    gap = dst.gap or (Gap.RUN_AFTER if pattern.fixed else Gap.SKIP)
    overlap = dst.overlap or (Fold.FIRST if pattern.fixed else Fold.BOTH)
    return Cron(expression, _zone(zone), pattern, gap, overlap, start, end)


def every(interval: timedelta, first: datetime, zone: str = "UTC", *, end: datetime | None = None) -> Every:
    """Slots at first + k * interval, k >= 0, up to `end` inclusive.

    Raises Invalid for "interval", "timezone" or, where an instant has no offset, "datetime".
    """
    if not SHORTEST <= interval <= LONGEST or interval % SECOND:
        seconds = f"{SHORTEST // SECOND} to {LONGEST // SECOND}"
        raise Invalid.one("interval", f"must be whole seconds, {seconds} ({LONGEST.days} days)")
    return Every(interval, _instant(first), _zone(zone), end and _instant(end))


def at(instant: datetime, zone: str = "UTC") -> At:
    """The one slot `instant`. Raises Invalid for "timezone" or, where it has no offset, "datetime"."""
    return At(_instant(instant), _zone(zone))


def zone(name: str) -> ZoneInfo:
    """An IANA zone by its exact name. Raises Invalid("timezone") that tells the nearest names."""
    return _zone(name)


def jitter(job_id: str, slot: datetime, limit: timedelta) -> timedelta:
    """A stable delay for the slot, in whole milliseconds: 0 <= jitter < limit, or 0."""
    choices = limit // MILLISECOND
    if choices < 1:
        return timedelta()
    digest = sha256(f"{job_id} {(slot - EPOCH) // MICROSECOND}".encode()).digest()
    return int.from_bytes(digest[:8]) % choices * MILLISECOND


def _instant(given: datetime) -> datetime:
    if given.utcoffset() is None:
        raise Invalid.one("datetime", "needs a zone or an offset from UTC")
    try:
        return given.astimezone(UTC)
    except OverflowError:
        raise Invalid.one("datetime", "is outside of the years 1 to 9999") from None


@cache
def _zone(name: str) -> ZoneInfo:
    if name not in _zone_names():
        raise Invalid.one("timezone", f"{name[:40]!a} is no IANA zone; {_advice(name)}")
    return ZoneInfo(name)


@cache
def _zone_names() -> frozenset[str]:
    return frozenset(available_timezones() - NO_PLACES)


def _advice(name: str) -> str:
    """What to write instead: the nearest by name or city, in any case. Long names are not compared."""
    spellings = {known.lower(): known for known in sorted(_zone_names())}
    spellings |= {known.rpartition("/")[2]: spellings[known] for known in spellings if "/" in known}
    wanted = name.lower().replace(" ", "_") if len(name) <= 64 else ""
    near = dict.fromkeys(spellings[match] for match in difflib.get_close_matches(wanted, spellings, 5))
    return f"did you mean {', '.join([*near][:3])}?" if near else "names look like Europe/Berlin"
