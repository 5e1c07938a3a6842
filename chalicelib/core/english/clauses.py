"""Tokens -> Draft: what each clause of a text says, before it is made one schedule.

Clauses come in any order. Each is read by one function of CLAUSES, which consumes its tokens, fills its slot
of the draft and gives True, or leaves the reader where it was. A slot is filled once, so "weekdays at 9,
weekends at 11" cannot melt into one schedule; a token that no clause takes is refused by name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any, TypeVar

from chalicelib.core.english.reader import END, Reader, clock, duration, spoken_minutes, unfold
from chalicelib.core.english.tokens import Clock, Refusal, Token
from chalicelib.core.english.words import LAST, MONTH_NAMES, MONTHS_IN, SECONDS, WORKDAYS

T = TypeVar("T")
REACH = 20 * 366 * 86400  # seconds that "in ..." may look ahead


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


def _zone(r: Reader, d: Draft) -> bool | None:
    token = r.take("zone", "path", "offset")
    if not token:
        return None
    _, note = token.value
    if note and note not in d.assumptions:
        d.assumptions.append(note)
    return True


def _every(r: Reader, d: Draft) -> bool | None:
    if not r.take("every"):
        return None
    d.repeats = True
    step = r.attempt(_stride)
    if step:
        d.step(*step)
    elif not (_names_days(r) or r.peek().kind == "refused"):
        raise Refusal('"every" is not followed by a unit, a day or a number of units')
    return True


def _names_days(r: Reader) -> bool:
    """Whether what follows "every" is a day, a month, a rank or a date."""
    known = r.peek().kind in ("weekday", "weekdays", "month", "ordinal", "start", "end")
    return known or r.peek(1).kind in ("suffix", "month", "of") or _second_as_rank(r)


def _stride(r: Reader) -> tuple[int, str] | None:
    """What follows "every": other day, other Friday (two weeks), third day, 20 minutes, morning."""
    if r.peek().kind in ("part", "parts"):
        return 1, "day"
    if r.take("other"):
        kind = r.peek().kind
        unit = "week" if kind == "weekday" else "day" if kind == "part" else r.unit()
        return (2, unit) if unit else None
    return r.attempt(_ordinal_stride) or (None if _second_as_rank(r) else duration(r, implicit=True))


def _ordinal_stride(r: Reader) -> tuple[int, str] | None:
    rank, unit = ordinal(r), r.unit()
    return (rank, unit) if rank and rank > 1 and unit and r.peek().kind not in ("of", "in") else None


def _second_as_rank(r: Reader) -> bool:
    ahead = r.peek(2 if r.peek(1).kind == "and" else 1).kind
    return r.peek().text.lower() == "second" and ahead in ("weekday", "weekdays", "ordinal")


def _adverb(r: Reader, d: Draft) -> bool | None:
    token = r.take("adverb")
    if not token:
        return None
    d.step(*token.value)
    if token.value == (1, "hour"):
        d.minutes = d.minutes or {0}
    return True


def _count(r: Reader, d: Draft) -> bool | None:
    """Once a day, three times per week, twice; the times themselves must be told."""
    token = r.take("count")
    number = None if token else r.take("number")
    if not token and not (number and r.take("times")):
        return None
    d.claim("count")
    d.count = (token or number or END).value
    unit = r.attempt(lambda r: r.unit() if r.skip("article", "per", "in", "every") else None)
    if unit:
        d.step(1, unit)
    return True


def _moment(r: Reader, d: Draft) -> bool | None:
    token = r.take("instant")
    if not token:
        return None
    d.claim("day")
    zone = d.now.tzinfo
    d.instant = token.value.astimezone(zone) if token.value.tzinfo else token.value.replace(tzinfo=zone)
    return True


def _from_now(r: Reader, d: Draft) -> bool | None:
    """In 20 minutes; two days from now."""
    ahead = r.take("in")
    found = r.attempt(duration)
    if not found or not (ahead or r.take("now")):
        return None
    count, unit = found
    if count * SECONDS.get(unit, MONTHS_IN.get(unit, 0) * 2678400) > REACH:
        raise Refusal("that is too far ahead")
    if unit in ("second", "minute", "hour"):
        d.claim("day")
        d.instant = (d.now.astimezone(UTC) + timedelta(seconds=count * SECONDS[unit])).astimezone(
            d.now.tzinfo
        )
        return True
    d.time_of_day = Clock(d.now.hour, d.now.minute, d.now.second)
    d.on(_days_ahead(d.now.date(), count, unit))
    return True


def _days_ahead(day: date, count: int, unit: str) -> date:
    if unit in SECONDS:
        return day + timedelta(days=count * SECONDS[unit] // 86400)
    months = day.year * 12 + day.month - 1 + count * MONTHS_IN[unit]
    return calendar_day(months // 12, months % 12 + 1, day.day)


def calendar_day(year: int, month: int, day: int) -> date:
    try:
        return date(year, month, day)
    except ValueError:
        raise Refusal(f"there is no {day} {MONTH_NAMES[month - 1]} {year}") from None


def _relative_day(r: Reader, d: Draft) -> bool | None:
    """Today, tonight, this morning, tomorrow, the day after tomorrow."""
    token = r.take("today", "tonight", "tomorrow")
    if not token and not (r.take("this") and r.peek().kind == "part"):
        return None
    kind = token.kind if token else "today"
    if kind == "tonight":
        d.claim("part")
        d.part = kind
    ahead = 0 if kind != "tomorrow" else 2 if " " in (token or END).text else 1
    d.on(d.now.date() + timedelta(days=ahead))
    return True


def _coming_day(r: Reader, d: Draft) -> bool | None:
    """Next Monday (the first after today), this Friday (of this week), Tuesday next week."""
    which = r.take("next", "this")
    day = which and r.take("weekday")
    if which and which.kind == "next" and r.unit("week"):
        d.claim("next week")
        return True
    if not which or not day:
        return None
    ahead = (day.value[0] - d.now.isoweekday()) % 7 or (7 if which.kind == "next" else 0)
    coming = d.now.date() + timedelta(days=ahead)
    same_week = coming.isocalendar()[:2] == d.now.isocalendar()[:2]
    if which.text.lower() == "this" and not same_week:
        raise Refusal(f"this week's {day.text} is past")
    if which.kind == "next" and same_week:
        d.assumptions.append(f'"next {day.text}" is taken as the coming one, {coming}')
    d.on(coming)
    return True


def ordinal(r: Reader) -> int | None:
    """First, 15th, last (LAST), twenty first."""
    token = r.take("ordinal")
    if token:
        return int(token.value)
    token = r.take("number")
    if token and r.take("suffix"):
        return int(token.value)
    is_rank = r.peek(1).kind in ("weekday", "weekdays", "unit", "and", "of")
    return 2 if not token and is_rank and r.peek().text.lower() == "second" and r.take("unit") else None


def _day_number(r: Reader) -> int | None:
    """A day of the month: 15, 15th, fifteenth; no hour."""
    rank = r.attempt(ordinal)
    if rank is not None:
        return None if rank == LAST else rank
    token = r.take("number")
    if not token or len(token.text) == 4 or r.peek().kind in ("meridiem", "unit", "oclock", "times", "past"):
        return None
    return int(token.value)


def _lone_month(r: Reader) -> int | None:
    """A month that no day follows."""
    token = r.take("month")
    return None if not token or r.attempt(_day_number) else int(token.value)


def _dates(r: Reader, d: Draft) -> bool | None:
    """1 April 2027; April 1st; the 1st of January and July; 2027-04-01."""
    iso = r.take("date")
    if iso:
        d.on(iso.value)
        return True
    dates = r.attempt(_date_group)
    if not dates:
        return None
    year = r.attempt(_year)
    if year:
        ((day, month),) = (
            dates if len(dates) == 1 else _refuse("several dates of one year need several schedules")
        )
        d.on(calendar_day(year, month, day))
        return True
    while more := r.after(("and",), _date_group):
        dates |= more
    d.claim("dates")
    d.dates = dates
    return True


def _refuse(reason: str) -> Any:
    raise Refusal(reason)


def _date_group(r: Reader) -> set[tuple[int, int]] | None:
    """Days of months, all with all."""
    r.skip("the")
    days = r.spans(_day_number)
    if days:
        r.skip("of")
        months = r.spans(_lone_month)
    else:
        month = r.take("month")
        months = [(month.value, None)] if month else []
        r.skip("the")
        days = r.spans(_day_number)
    if not days or not months:
        return None
    return {(day, month) for day in unfold(days, 1, 31) for month in unfold(months, 1, 12, wrap=True)}


def _year(r: Reader) -> int | None:
    r.skip("and")
    token = r.take("number")
    if not token or len(token.text) != 4 or r.peek().kind in ("meridiem", "unit"):
        return None
    return int(token.value) if 1970 <= token.value <= 2200 else None


def _listed(r: Reader, read: Callable[[Reader], T | None]) -> list[tuple[T, T | None]] | None:
    """A list, or after "from" or "between" one range."""
    between = r.take("between") is not None
    r.skip("the", "on")
    spans = r.spans(read, between=between)
    return None if not spans or (between and spans[0][1] is None) else spans


def _month_days(r: Reader, d: Draft) -> bool | None:
    """Days of the month by rank, number or weekday, and what they are of."""
    if not r.attempt(lambda r: _day_group(r, d)):
        return None
    d.claim("days")
    while r.after(("and",), lambda r: _day_group(r, d)):
        pass
    d.scope = d.scope or r.attempt(_scope)
    if not d.scope and r.peek().kind == "of":
        months = r.after(("of",), lambda r: r.spans(_lone_month) or None)
        if months:
            d.claim("months")
            d.months = unfold(months, 1, 12, wrap=True)
    return True


def _scope(r: Reader) -> str | None:
    """Of the month, in each quarter, of every year."""
    if not r.take("of", "in"):
        return None
    r.skip("the", "every", "article")
    return r.unit("month", "quarter", "year")


def _day_group(r: Reader, d: Draft) -> bool | None:
    return any(_taken(r, d, group) for group in (_edge, _nearest_day, _numbered_days, _ranked_days)) or None


def _edge(r: Reader, d: Draft) -> bool | None:
    """Start or end of the month, the quarter, the year."""
    token = r.take("start", "end")
    r.skip("of", "the", "every", "article")
    unit = token and r.unit("month", "quarter", "year")
    if not token or not unit:
        return None
    d.scope = unit
    d.days.add(LAST if token.kind == "end" else 1)
    return True


def _nearest_day(r: Reader, d: Draft) -> bool | None:
    """The weekday nearest the 15th, nearest day 15."""
    token = r.take("weekdays")
    if not token or token.value != WORKDAYS or not r.take("nearest"):
        return None
    r.skip("the")
    r.unit("day")
    day = _day_number(r)
    if not day:
        return None
    d.nearest = f"{day}W"
    return True


def _numbered_days(r: Reader, d: Draft) -> bool | None:
    """Day 15; days 1 to 5; between day 1 and 7."""
    between = r.take("between") is not None
    r.skip("the")
    days = r.spans(_day_n, between=between) if r.peek().value == "day" else []
    if not days or (between and days[0][1] is None):
        return None
    d.days |= unfold(days, 1, 31)
    return True


def _day_n(r: Reader) -> int | None:
    r.unit("day")
    return _day_number(r)


def _ranked_days(r: Reader, d: Draft) -> bool | None:
    """The 1st and 15th; the first and third Friday; the last day; the last weekday."""
    ranks = _listed(r, ordinal)
    if not ranks:
        return None
    weekday = r.take("weekday", "weekdays")
    if weekday and len(weekday.value) == 1:
        d.nth |= {(rank, weekday.value[0]) for rank in unfold(ranks, 1, 5)}
    elif weekday:
        rank = ranks[0][0] if len(ranks) == 1 and weekday.value == WORKDAYS else 0
        d.nearest = {1: "1W", LAST: "LW"}.get(rank) or _refuse(
            "of weekdays only the first and the last can be held"
        )
    else:
        named = r.unit("day")
        d.days |= unfold(ranks, 1, 31)
        if LAST in d.days and not named:
            _refuse("it is not said which last one")
    return True


def _weekdays(r: Reader, d: Draft) -> bool | None:
    plural = False

    def read(r: Reader) -> tuple[int, ...] | None:
        nonlocal plural
        token = r.take("weekday", "weekdays")
        plural = plural or (token is not None and token.kind == "weekdays")
        return token.value if token else None

    spans = _listed(r, read)
    if not spans:
        return None
    d.claim("weekdays")
    d.weekdays = set().union(*(_weekday_span(first, last) for first, last in spans))
    d.repeats = d.repeats or plural or len(d.weekdays) > 1
    return True


def _weekday_span(first: tuple[int, ...], last: tuple[int, ...] | None) -> set[int]:
    if last is None:
        return set(first)
    if len(first) > 1 or len(last) > 1:
        raise Refusal("a range of days goes from one day to another")
    return unfold([(first[0], last[0])], 0, 6, wrap=True)


def _months(r: Reader, d: Draft) -> bool | None:
    whole = r.peek(-1).kind == "every"
    spans = _listed(r, _lone_month)
    if not spans:
        return None
    d.claim("months")
    d.months, d.whole_months = unfold(spans, 1, 12, wrap=True), whole
    return True


def _except(r: Reader, d: Draft) -> bool | None:
    """Except Sundays; but not in August."""
    if not r.take("except"):
        return None
    d.claim("except")
    r.skip("on", "in", "the", "every")
    left_out = Draft(d.now)
    if not (r.attempt(lambda r: _weekdays(r, left_out)) or r.attempt(lambda r: _months(r, left_out))):
        raise Refusal("only days of the week and months can be left out")
    d.without_weekdays, d.without_months = left_out.weekdays, left_out.months
    return True


def _past_the_hour(r: Reader, d: Draft) -> bool | None:
    """At 5 and 35 minutes past the hour; at :15; at minute 20; on the hour."""
    r.skip("at")
    minutes = r.attempt(_marks) or r.attempt(_minute_numbers)
    if not minutes:
        return None
    r.attempt(_the_hour)
    d.claim("minutes")
    d.minutes = unfold(minutes, 0, 59)
    d.repeats = True
    return True


def _the_hour(r: Reader) -> str | None:
    """Past the hour, of every hour."""
    r.skip("past", "of")
    r.skip("the", "every", "article")
    return r.unit("hour")


def _marks(r: Reader) -> list[tuple[int, int | None]] | None:
    found = r.spans(lambda r: (r.take("mark") or END).value)
    if found:
        r.take("past")
    return found or None


def _minute_numbers(r: Reader) -> list[tuple[int, int | None]] | None:
    if r.unit("minute"):
        return r.spans(_plain_number) or None
    found = r.spans(lambda r: spoken_minutes(r)[0])
    past = found and r.take("past") and r.peek().kind not in ("number", "time", "clock")
    return found if past else None


def _plain_number(r: Reader) -> int | None:
    token = r.take("number")
    return int(token.value) if token else None


def _times(r: Reader, d: Draft) -> bool | None:
    loose = r.take("at") is not None
    found = r.attempt(partial(clock, loose=loose))
    if not found or (not loose and r.peek().kind in ("to", "until")):
        return None
    d.claim("times")
    while found:
        d.times.append(found)
        found = r.after(("and",), partial(clock, loose=True), links=("at",))
    return True


def _window(r: Reader, d: Draft) -> bool | None:
    """Between 9 and 17; from 9am to 5pm; 9-17."""
    between = r.take("between") is not None
    start = r.attempt(partial(clock, loose=True, to=False))
    joints = ("to", "until", "and") if between else ("to", "until")
    end = start and r.after(joints, partial(clock, loose=True, to=False), links=("at",))
    if not start or not end:
        return None
    d.claim("window")
    d.window = start, end
    return True


def _part(r: Reader, d: Draft) -> bool | None:
    token = r.take("part", "parts")
    if not token:
        return None
    d.claim("part")
    d.part = token.value
    d.repeats = d.repeats or token.kind == "parts"
    return True


def _starting(r: Reader, d: Draft) -> bool | None:
    if not r.take("starting"):
        return None
    d.claim("starting")
    d.starting = True
    return True


def _only(r: Reader, d: Draft) -> bool | None:
    if not r.take("only"):
        return None
    d.repeats = True
    return True


def _filler(r: Reader, d: Draft) -> bool | None:
    return True if r.take("filler", "on", "at", "in", "the", "and", "article", "start") else None


Clause = Callable[[Reader, Draft], bool | None]
CLAUSES: tuple[Clause, ...] = (
    _zone,
    _from_now,
    _every,
    _adverb,
    _count,
    _moment,
    _relative_day,
    _coming_day,
    _starting,
    _except,
    _past_the_hour,
    _dates,
    _month_days,
    _weekdays,
    _months,
    _times,
    _window,
    _part,
    _only,
    _filler,
)


def read(found: list[Token], draft: Draft) -> None:
    """Fills the draft. Raises Refusal for the first token that no clause takes."""
    r = Reader(found)
    while r.peek() is not END:
        start = r.at
        try:
            if not any(_taken(r, draft, clause) for clause in CLAUSES):
                raise Refusal(_stray(r.peek()))
        except Refusal as refusal:
            refusal.read = found[start - 1].end if start else 0
            raise


def _taken(r: Reader, d: Draft, clause: Clause) -> bool:
    return r.attempt(lambda r: clause(r, d)) is not None


def _stray(token: Token) -> str:
    return str(token.value) if token.kind == "refused" else _STRAY.get(token.kind, "")


_STRAY = {
    "until": "an end is no part of a schedule: give the job an end_at",
    "between": "there is no end to that range",
    "to": "there is no range there",
}
