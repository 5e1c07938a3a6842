"""Tokens -> Draft: what each clause of a text says, before it is made one schedule.

Clauses come in any order. Each is read by one function of CLAUSES, which consumes its tokens, fills its slot
of the draft and gives True, or leaves the reader where it was. A slot is filled once, so "weekdays at 9,
weekends at 11" cannot melt into one schedule; a token that no clause takes is refused by name.
"""

from __future__ import annotations

from datetime import UTC, date, timedelta
from functools import partial

from chalicelib.core.english import days
from chalicelib.core.english.draft import Clause, Draft, first_taken
from chalicelib.core.english.reader import END, Reader, clock, duration, spoken_minutes, unfold
from chalicelib.core.english.tokens import Clock, Refusal, Token
from chalicelib.core.english.words import MONTHS_IN, SECONDS

REACH = 20 * 366 * 86400  # seconds that "in ..." may look ahead


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
    rank, unit = days.ordinal(r), r.unit()
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
        later = d.now.astimezone(UTC) + timedelta(seconds=count * SECONDS[unit])
        d.instant = later.astimezone(d.now.tzinfo)
        return True
    d.time_of_day = Clock(d.now.hour, d.now.minute, d.now.second)
    d.on(_days_ahead(d.now.date(), count, unit))
    return True


def _days_ahead(day: date, count: int, unit: str) -> date:
    if unit in SECONDS:
        return day + timedelta(days=count * SECONDS[unit] // 86400)
    months = day.year * 12 + day.month - 1 + count * MONTHS_IN[unit]
    return days.calendar_day(months // 12, months % 12 + 1, day.day)


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


CLAUSES: tuple[Clause, ...] = (
    _zone,
    _from_now,
    _every,
    _adverb,
    _count,
    _moment,
    days.relative_day,
    days.coming_day,
    days.next_week,
    _starting,
    days.left_out,
    _past_the_hour,
    days.iso_date,
    days.dates,
    days.month_days,
    days.weekdays,
    days.months,
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
            if not first_taken(r, draft, CLAUSES):
                raise Refusal(_stray(r.peek()))
        except Refusal as refusal:
            refusal.read = found[start - 1].end if start else 0
            raise


def _stray(token: Token) -> str:
    return str(token.value) if token.kind == "refused" else _STRAY.get(token.kind, "")


_STRAY = {
    "until": "an end is no part of a schedule: give the job an end_at",
    "between": "there is no end to that range",
    "to": "there is no range there",
}
