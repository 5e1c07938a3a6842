"""Cron expressions: text -> Pattern, the set of wall-clock minutes that an expression names.

Five fields in Debian's sense (AND where a day field starts with `*`, else OR), with the extensions
L, LW, nW, 5L and L5, #, H. croniter expands the plain fields; what it mis-reads (`9-9`, wrap-around
ranges, a weekday of 7, seconds, newlines, R) is settled here before it sees them. Zones are not this
module's matter.
"""

from __future__ import annotations

import re
from calendar import isleap
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache, partial
from hashlib import sha256
from typing import NamedTuple

from croniter import croniter

from chalicelib.core.errors import Invalid

LONGEST = 256
NONE = 99  # in a successor table: no further value in this hour or day

ALIASES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}

Rule = Callable[[int, int], int]
"""(length of a month, weekday of its first day with Monday 0) -> the days that match, day d as bit d."""


class Span(NamedTuple):
    """Every `step`th value from `low` to `high`, both included."""

    low: int
    high: int
    step: int = 1


class Field(NamedTuple):
    """One of the five fields: what it is called and what it may hold."""

    name: str
    low: int
    high: int
    hash_high: int  # H draws from low to this
    names: Mapping[str, int] = {}


def _numbered(names: str, first: int) -> dict[str, int]:
    return {name: number for number, name in enumerate(names.split(), first)}


MINUTE = Field("minute", 0, 59, 59)
HOUR = Field("hour", 0, 23, 23)
DAY = Field("day-of-month", 1, 31, 28)  # H stays where every month has the day, as in Jenkins
MONTH = Field("month", 1, 12, 12, _numbered("jan feb mar apr may jun jul aug sep oct nov dec", 1))
WEEKDAY = Field("day-of-week", 0, 7, 6, _numbered("sun mon tue wed thu fri sat", 0))
FIELDS = (MINUTE, HOUR, DAY, MONTH, WEEKDAY)


class Parsed(NamedTuple):
    """A field as read: its plain values, and the rules for those that depend on the month."""

    spans: list[Span]
    rules: list[Rule]


@dataclass(frozen=True)
class Pattern:
    """The wall-clock minutes that an expression names, as tables in which each look-up is one index."""

    fixed: bool  # neither the minute nor the hour field starts with `*`: decides the default DST rule
    minutes: tuple[int, ...]  # [m]: the first matching minute >= m, else NONE; m up to 60
    hours: tuple[int, ...]  # likewise, up to 24
    days: tuple[tuple[int, ...], ...]  # [kind of year][month]: the matching days, day d as bit d

    @property
    def is_daily(self) -> bool:
        """Whether it names one time of every day."""
        minute, hour = self.minutes[0], self.hours[0]
        is_one = self.minutes[minute + 1] == self.hours[hour + 1] == NONE
        return is_one and self.days == _every_day()

    def after(self, wall: datetime) -> datetime | None:
        """The first match in a minute after that of `wall`, in the same tzinfo; None past the year 9999."""
        hour = wall.hour
        if self.days[_KINDS[wall.year % 400]][wall.month] >> wall.day & 1:
            minute = self.minutes[wall.minute + 1] if self.hours[hour] == hour else NONE
            if minute == NONE:
                hour, minute = self.hours[hour + 1], self.minutes[0]
            if hour != NONE:
                return datetime(wall.year, wall.month, wall.day, hour, minute, tzinfo=wall.tzinfo)
        later = self._date_after(wall.year, wall.month, wall.day)
        return later and datetime(*later, self.hours[0], self.minutes[0], tzinfo=wall.tzinfo)

    def _date_after(self, year: int, month: int, day: int) -> tuple[int, int, int] | None:
        """Ends soon: a pattern that parsed has a match at least every 40 years (29 February on a given
        weekday, across a year such as 2100)."""
        matching = self.days[_KINDS[year % 400]][month] >> day + 1 << day + 1
        while not matching:
            year, month = (year, month + 1) if month < 12 else (year + 1, 1)
            if year > 9999:
                return None
            matching = self.days[_KINDS[year % 400]][month]
        return year, month, (matching & -matching).bit_length() - 1


def parse(expression: str, seed: str = "") -> Pattern:
    """`seed` resolves H. Raises Invalid("expression") for all that is refused, and nothing else."""
    texts = _split(expression)
    parsed = [_parse_field(field, text, seed) for field, text in zip(FIELDS, texts, strict=True)]
    _, _, day, _, weekday = parsed
    minutes, hours, days, months, weekdays = _expand(one.spans for one in parsed)
    match_day = partial(
        _match_days,
        [partial(_plain_days, days), *day.rules],
        [*(partial(_weekday, value) for value in weekdays), *weekday.rules],
        texts[2].startswith("*") or texts[4].startswith("*"),
    )
    table = _year_table(match_day, months)
    if not any(map(any, table)):
        raise _refused("names only dates that never come")
    return Pattern(
        fixed=not texts[0].startswith("*") and not texts[1].startswith("*"),
        minutes=_successors(minutes, 60),
        hours=_successors(hours, 24),
        days=table,
    )


@cache
def _every_day() -> tuple[tuple[int, ...], ...]:
    return parse("* * * * *").days


def _refused(why: str) -> Invalid:
    return Invalid.one("expression", why)


def _wrong(field: Field, item: str, wanted: str) -> Invalid:
    return _refused(f"{field.name} {item[:40]!r}: {wanted}")


# Text -> five texts


def _split(expression: str) -> list[str]:
    if len(expression) > LONGEST:
        raise _refused(f"is {len(expression)} characters long; at most {LONGEST}")
    odd = re.search(r"[^ -~]", expression)
    if odd:
        raise _refused(f"holds {odd[0]!a}; write plain ASCII on one line, fields apart by spaces")
    text = expression.lower().strip()
    texts = _alias(text).split() if text.startswith("@") else text.split()
    if len(texts) != 5:
        raise _refused(_field_count(len(texts)))
    return [text.replace("?", "*") for text in texts]


def _alias(text: str) -> str:
    if text == "@reboot":
        raise _refused("@reboot has no meaning here: nothing boots; give a time")
    if text not in ALIASES:
        raise _refused(f"{text[:40]!r} is none of {', '.join(ALIASES)}")
    return ALIASES[text]


def _field_count(count: int) -> str:
    needed = f"has {count} field{'' if count == 1 else 's'}; needs five: " + " ".join(f.name for f in FIELDS)
    return needed + (" (no seconds, no years; for less than a minute use an interval)" if count > 5 else "")


# One field's text -> spans and rules


def _parse_field(field: Field, text: str, seed: str) -> Parsed:
    parsed = Parsed([], [])
    for item in text.split(","):
        base, slash, step_text = item.partition("/")
        rule = _rule(field, base)
        if rule and slash:
            raise _wrong(field, item, "L, W and # take no step")
        if rule:
            parsed.rules.append(rule)
        else:
            step = _step(field, item, step_text) if slash else None
            parsed.spans.extend(_without_seven(field, _span(field, base, step, seed)))
    return parsed


def _step(field: Field, item: str, text: str) -> int:
    if not text.isdigit() or not text.strip("0"):
        raise _wrong(field, item, "a step is a number of at least 1")
    return min(int(text), 60)  # beyond the field it selects the first value only, however large


def _span(field: Field, base: str, step: int | None, seed: str) -> Span:
    if base == "*":
        return Span(field.low, field.high, step or 1)
    if base == "h" or base.startswith("h("):
        return _hashed(field, base, step, seed)
    if "-" in base:
        return Span(*_bounds(field, base), step or 1)
    low = _value(field, base)
    return Span(low, field.high, step) if step else Span(low, low)


def _bounds(field: Field, text: str) -> tuple[int, int]:
    first, _, last = text.partition("-")
    low, high = _value(field, first), _value(field, last)
    if field is WEEKDAY and low == 7 != high:
        low = 0
    if last == "sun" and low > 0:  # Sunday ends a week as well as it begins one
        high = 7
    if low > high:
        raise _wrong(
            field, text, f"a range runs upwards; write {first}-{field.high},{field.low}-{last} to go round"
        )
    return low, high


def _value(field: Field, text: str) -> int:
    if text in field.names:
        return field.names[text]
    if not text:
        raise _wrong(field, text, "a value is missing")
    if text == "r" or text.startswith("r("):
        raise _wrong(field, text, "R differs each time it is read; use H, which is stable for each job")
    if not text.isdigit():
        raise _wrong(field, text, "is no number" + (" or name" if field.names else ""))
    value = int(text)
    if not field.low <= value <= field.high:
        raise _wrong(field, text, f"must be {field.low}-{field.high}")
    return value


def _hashed(field: Field, base: str, step: int | None, seed: str) -> Span:
    """H, H(a-b), H/n, H(a-b)/n: with a step the hash picks the offset of the first value, else the value."""
    if base != "h" and not ("-" in base and base.endswith(")")):
        raise _wrong(field, base, "write H(a-b)")
    low, high = (field.low, field.hash_high) if base == "h" else _bounds(field, base[2:-1])
    digest = sha256(f"{seed} {field.name}".encode("utf-8", "surrogatepass")).digest()
    low += int.from_bytes(digest[:8]) % min(step or 60, high - low + 1)
    return Span(low, high, step) if step else Span(low, low)


def _without_seven(field: Field, span: Span) -> Iterable[Span]:
    """Sunday as 0 only. Debian counts a step up to 7: `1/2` in the weekday field takes Sunday in."""
    if field is not WEEKDAY or span.high < 7:
        return [span]
    sunday = [Span(0, 0)] if (7 - span.low) % span.step == 0 else []
    return [*([Span(span.low, 6, span.step)] if span.low < 7 else []), *sunday]


def _rule(field: Field, base: str) -> Rule | None:
    if field is DAY:
        return _day_rule(base)
    return _weekday_rule(base) if field is WEEKDAY else None


def _day_rule(base: str) -> Rule | None:
    if base == "l":
        return _last_day
    if base == "lw":
        return _last_workday
    return partial(_nearest_workday, _value(DAY, base[:-1])) if base.endswith("w") else None


def _weekday_rule(base: str) -> Rule | None:
    if "#" in base:
        day, _, nth = base.partition("#")
        if nth not in tuple("12345"):
            raise _wrong(WEEKDAY, base, "# takes a number from 1 to 5 after it")
        return partial(_nth_weekday, _value(WEEKDAY, day), int(nth))
    if base == "l":
        raise _wrong(WEEKDAY, base, "L needs a weekday here: L5 or 5L is the last Friday")
    if base.startswith("l"):
        return partial(_last_weekday, _value(WEEKDAY, base[1:]))
    return partial(_last_weekday, _value(WEEKDAY, base[:-1])) if base.endswith("l") else None


def _expand(fields: Iterable[list[Span]]) -> list[frozenset[int]]:
    """The values of each field, by croniter. A field of rules only has none."""
    texts = [",".join(_plain(span) for span in spans) for spans in fields]
    expanded, _ = croniter.expand(" ".join(text or "*" for text in texts))
    return [
        frozenset(range(field.low, field.high + 1) if values == ["*"] else map(int, values))
        if text
        else frozenset()
        for field, text, values in zip(FIELDS, texts, expanded, strict=True)
    ]


def _plain(span: Span) -> str:
    return f"{span.low}-{span.high}/{span.step}" if span.low < span.high else str(span.low)


# Days: rules by the shape of the month


def _plain_days(days: Iterable[int], length: int, first: int) -> int:
    return sum(1 << day for day in days if day <= length)


def _last_day(length: int, first: int) -> int:
    return 1 << length


def _last_workday(length: int, first: int) -> int:
    return 1 << length - max(0, (first + length - 1) % 7 - 4)


def _nearest_workday(day: int, length: int, first: int) -> int:
    """The workday nearest to `day` within the month; none where the month has no such day."""
    weekday = (first + day - 1) % 7
    if day > length:
        return 0
    if weekday == 5:
        day += -1 if day > 1 else 2
    elif weekday == 6:
        day += 1 if day < length else -2
    return 1 << day


def _weekday(weekday: int, length: int, first: int) -> int:
    """All days of a cron weekday (0 and 7 are Sunday)."""
    earliest = 1 + (weekday - 1 - first) % 7
    return sum(1 << day for day in range(earliest, length + 1, 7))


def _nth_weekday(weekday: int, nth: int, length: int, first: int) -> int:
    seven = 0b1111111 << 7 * nth - 6
    return _weekday(weekday, length, first) & seven


def _last_weekday(weekday: int, length: int, first: int) -> int:
    return 1 << _weekday(weekday, length, first).bit_length() - 1


def _match_days(days: list[Rule], weekdays: list[Rule], both: bool, length: int, first: int) -> int:
    by_day, by_weekday = (_any(rules, length, first) for rules in (days, weekdays))
    return by_day & by_weekday if both else by_day | by_weekday


def _any(rules: Iterable[Rule], length: int, first: int) -> int:
    matching = 0
    for rule in rules:
        matching |= rule(length, first)
    return matching


# Tables. There are fourteen kinds of year: seven first weekdays, leap or not. The calendar repeats after 400.

_KINDS = tuple(date(2000 + year, 1, 1).weekday() + 7 * isleap(2000 + year) for year in range(400))


def _month_shapes(kind: int) -> Iterable[tuple[int, int, int]]:
    """(month, length, weekday of its first day) for each month of a kind of year."""
    leap, first = divmod(kind, 7)
    for month, length in enumerate((31, 28 + leap, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31), 1):
        yield month, length, first
        first = (first + length) % 7


_SHAPES = tuple(tuple(_month_shapes(kind)) for kind in range(14))


def _year_table(match: Rule, months: frozenset[int]) -> tuple[tuple[int, ...], ...]:
    masks = {(length, first): match(length, first) for length in range(28, 32) for first in range(7)}
    return tuple(
        (0, *(masks[length, first] if month in months else 0 for month, length, first in shapes))
        for shapes in _SHAPES
    )


def _successors(values: frozenset[int], size: int) -> tuple[int, ...]:
    table = [NONE] * (size + 1)
    for at in reversed(range(size)):
        table[at] = at if at in values else table[at + 1]
    return tuple(table)
