"""What the clauses of a text said, before it is made one schedule."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import partial
from typing import Protocol

from chalicelib.core.english.reader import Reader
from chalicelib.core.english.tokens import Clock, Refusal


@dataclass
class Draft:
    """What the clauses said. `now` is local to the zone; sets are empty and the rest None where unsaid."""

    now: datetime
    given: set[str] = field(default_factory=set)
    assumptions: list[str] = field(default_factory=list)
    repeats: bool = False  # said to: "every", a plural, a list
    pulse: tuple[int, str] | None = None  # every n seconds, minutes or hours
    period: tuple[int, str] | None = None  # every n days, weeks, months, quarters or years
    count: int | None = None  # "twice"
    times: list[Clock] = field(default_factory=list)
    part: str | None = None
    minutes: set[int] = field(default_factory=set)  # past each hour
    window: tuple[Clock, Clock] | None = None
    weekdays: set[int] = field(default_factory=set)
    days: set[int] = field(default_factory=set)  # of the month; LAST is the last
    days_named: bool = False  # "the first day", which may be of anything
    nth: set[tuple[int, int]] = field(default_factory=set)  # (rank, weekday) of the month
    nearest: str | None = None  # LW or nW
    scope: str | None = None  # the month, quarter or year that the days are of
    months: set[int] = field(default_factory=set)
    whole_months: bool = False  # "every March", which needs a day
    dates: set[tuple[int, int]] = field(default_factory=set)  # (day, month) of every year
    without_weekdays: set[int] = field(default_factory=set)
    without_months: set[int] = field(default_factory=set)
    day: date | None = None
    time_of_day: Clock | None = None  # of `day`, where no time is said
    instant: datetime | None = None
    starting: bool = False  # the date and the time are those of an interval's first slot

    def claim(self, slot: str) -> None:
        """A slot is filled once: what is said twice may be two schedules."""
        if slot in self.given:
            raise Refusal(f"{_SLOTS.get(slot, slot)} are given twice, which may need two schedules")
        self.given.add(slot)

    def assume(self, note: str, *, when: bool) -> None:
        if not when:
            raise Refusal("neither a day nor a time is given")
        self.assumptions.append(note)

    def one_time(self) -> Clock:
        """The one time, that of "in two days", or midnight, which is an assumption."""
        if self.times or self.time_of_day:
            return self.times[0] if self.times else self.time_of_day or Clock(0)
        self.assumptions.append("no time is given: 00:00 is taken")
        return Clock(0)

    def step(self, count: int, unit: str) -> None:
        slot = "pulse" if unit in ("second", "minute", "hour") else "period"
        if getattr(self, slot) != (count, unit):
            self.claim(slot)
        setattr(self, slot, (count, unit))
        self.repeats = True

    def on(self, day: date) -> None:
        self.claim("day")
        self.day = day


_SLOTS = {
    "pulse": "intervals",
    "period": "frequencies",
    "window": "hours",
    "day": "dates",
    "part": "parts of the day",
}


class Clause(Protocol):
    """Consumes its tokens, fills its slot and gives True, or None."""

    def __call__(self, r: Reader, /, d: Draft) -> bool | None: ...


def first_taken(r: Reader, d: Draft, clauses: Iterable[Clause]) -> bool | None:
    """True if one of the clauses is here, else None."""
    return next((True for clause in clauses if r.attempt(partial(clause, d=d))), None)
