"""The clauses that say on which days: of the week, of the month, of one year."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import TypeVar

from chalicelib.core.english.draft import Draft, first_taken
from chalicelib.core.english.reader import Reader, unfold
from chalicelib.core.english.tokens import Refusal
from chalicelib.core.english.words import LAST, MONTH_NAMES, WORKDAYS

T = TypeVar("T")
Spans = list[tuple[int, int | None]]


def calendar_day(year: int, month: int, day: int) -> date:
    try:
        return date(year, month, day)
    except ValueError:
        raise Refusal(f"there is no {day} {MONTH_NAMES[month - 1]} {year}") from None


def relative_day(r: Reader, d: Draft) -> bool | None:
    """Today, tonight, this morning, tomorrow, the day after tomorrow."""
    token = r.take("today", "tonight", "tomorrow", "this")
    if not token or (token.kind == "this" and r.peek().kind != "part"):
        return None
    if token.kind == "tonight":
        d.claim("part")
        d.part = token.kind
    ahead = 0 if token.kind != "tomorrow" else 2 if " " in token.text else 1
    d.on(d.now.date() + timedelta(days=ahead))
    return True


def coming_day(r: Reader, d: Draft) -> bool | None:
    """Next Monday (the first after today), this Friday (of this week)."""
    which = r.take("next", "this")
    day = r.take("weekday")
    if not which or not day:
        return None
    ahead = (day.value[0] - d.now.isoweekday()) % 7 or (7 if which.kind == "next" else 0)
    coming = d.now.date() + timedelta(days=ahead)
    same_week = coming.isocalendar()[:2] == d.now.isocalendar()[:2]
    if which.kind == "this" and not same_week:
        raise Refusal(f"this week's {day.text} is past")
    if which.text.lower() == "next" and same_week:
        d.assumptions.append(f'"next {day.text}" is taken as the coming one, {coming}')
    d.on(coming)
    return True


def next_week(r: Reader, d: Draft) -> bool | None:
    """Its weekday is told beside it."""
    if not r.take("next") or not r.unit("week"):
        return None
    d.claim("next week")
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
    day = r.attempt(_day_number)
    return int(token.value) if token and day is None else None


def iso_date(r: Reader, d: Draft) -> bool | None:
    token = r.take("date")
    if token:
        d.on(token.value)
    return True if token else None


def dates(r: Reader, d: Draft) -> bool | None:
    """1 April 2027; April 1st; the 1st of January and July."""
    found = r.attempt(_date_group)
    if not found:
        return None
    year = r.attempt(_year)
    if year:
        if len(found) > 1:
            raise Refusal("several dates of one year need several schedules")
        ((day, month),) = found
        d.on(calendar_day(year, month, day))
        return True
    while more := r.after(("and",), _date_group):
        found |= more
    d.claim("dates")
    d.dates = found
    return True


def _date_group(r: Reader) -> set[tuple[int, int]] | None:
    """Days of months, all with all."""
    r.skip("the")
    days, months = r.attempt(_days_then_months) or _month_then_days(r)
    if not days or not months:
        return None
    return {(day, month) for day in unfold(days, 1, 31) for month in unfold(months, 1, 12, wrap=True)}


def _days_then_months(r: Reader) -> tuple[Spans, Spans] | None:
    days = r.spans(_day_number)
    r.skip("of")
    return (days, r.spans(_lone_month)) if days else None


def _month_then_days(r: Reader) -> tuple[Spans, Spans]:
    month = r.take("month")
    r.skip("the")
    return r.spans(_day_number), [(month.value, None)] if month else []


def _year(r: Reader) -> int | None:
    r.skip("and")
    token = r.take("number")
    if not token or len(token.text) != 4 or r.peek().kind in ("meridiem", "unit"):
        return None
    return int(token.value) if 1970 <= token.value <= 2200 else None


def _listed(
    r: Reader, read: Callable[[Reader], T | None], joints: tuple[str, ...] = ("and",)
) -> list[tuple[T, T | None]] | None:
    """A list, or after "from" or "between" one range."""
    between = r.take("between") is not None
    if between:
        r.skip("the")
    spans = r.spans(read, joints, between=between)
    return None if not spans or (between and spans[0][1] is None) else spans


def month_days(r: Reader, d: Draft) -> bool | None:
    """Days of the month by rank, number or weekday, and what they are of."""
    r.skip("the")
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
    return first_taken(r, d, (_edge, _nearest_day, _numbered_days, _ranked_days))


def _edge(r: Reader, d: Draft) -> bool | None:
    """Start or end of the month, the quarter, the year."""
    token = r.take("start", "end")
    if token:
        r.skip("of", "the", "every", "article")
    unit = r.unit("month", "quarter", "year") if token else None
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
        d.nearest = _workday([rank for rank, _ in ranks], weekday.value)
    else:
        named = r.unit("day") is not None
        d.days |= unfold(ranks, 1, 31)
        d.days_named = d.days_named or named
        if LAST in d.days and not named:
            raise Refusal("it is not said which last one")
    return True


def _workday(ranks: list[int], days: tuple[int, ...]) -> str:
    held = {1: "1W", LAST: "LW"}.get(ranks[0]) if len(ranks) == 1 and days == WORKDAYS else None
    if not held:
        raise Refusal("of weekdays only the first and the last can be held")
    return held


def weekdays(r: Reader, d: Draft) -> bool | None:
    plural = False

    def read(r: Reader) -> tuple[int, ...] | None:
        nonlocal plural
        token = r.take("weekday", "weekdays")
        plural = plural or (token is not None and token.kind == "weekdays")
        return token.value if token else None

    spans = _listed(r, read, ("and", "slash"))
    if not spans:
        return None
    d.claim("start weekday" if d.starting else "weekdays")
    d.weekdays |= {day for first, last in spans for day in _weekday_span(first, last)}
    d.repeats = d.repeats or plural or len(d.weekdays) > 1
    return True


def _weekday_span(first: tuple[int, ...], last: tuple[int, ...] | None) -> set[int]:
    if last is None:
        return set(first)
    if len(first) > 1 or len(last) > 1:
        raise Refusal("a range of days goes from one day to another")
    return unfold([(first[0], last[0])], 0, 6, wrap=True)


def months(r: Reader, d: Draft) -> bool | None:
    whole = r.peek(-1).kind == "every"
    spans = _listed(r, _lone_month)
    if not spans:
        return None
    d.claim("months")
    d.months, d.whole_months = unfold(spans, 1, 12, wrap=True), whole
    return True


def left_out(r: Reader, d: Draft) -> bool | None:
    """Except Sundays; but not in August."""
    if not r.take("except"):
        return None
    d.claim("except")
    r.skip("on", "in", "the", "every")
    left_out = Draft(d.now)
    if not (r.attempt(lambda r: weekdays(r, left_out)) or r.attempt(lambda r: months(r, left_out))):
        raise Refusal("only days of the week and months can be left out")
    d.without_weekdays, d.without_months = left_out.weekdays, left_out.months
    return True
