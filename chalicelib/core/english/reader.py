"""A cursor over tokens, and what many clauses have in common: lists and ranges, durations, times of day."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fractions import Fraction
from functools import partial
from typing import TypeVar

from chalicelib.core.english.tokens import Clock, Refusal, Token
from chalicelib.core.english.words import LAST, PARTS, SECONDS

T = TypeVar("T")
SPOKEN_TO = (5, 10, 20, 25)  # "ten to nine"; other numbers before "to" are hours
END = Token("end", None, "", 0)
LINKS = ("on", "at", "in", "every", "the", "of", "only")


class Reader:
    """A cursor over tokens."""

    def __init__(self, found: list[Token]) -> None:
        self._tokens = found
        self.at = 0

    def peek(self, ahead: int = 0) -> Token:
        at = self.at + ahead
        return self._tokens[at] if 0 <= at < len(self._tokens) else END

    def take(self, *kinds: str) -> Token | None:
        token = self.peek()
        if token.kind not in kinds:
            return None
        self.at += 1
        return token

    def unit(self, *units: str) -> str | None:
        """The unit here, if it is one of `units`; any where none are named."""
        token = self.peek()
        if token.kind != "unit" or (units and token.value not in units):
            return None
        self.at += 1
        return str(token.value)

    def skip(self, *kinds: str) -> bool:
        start = self.at
        while self.take(*kinds):
            pass
        return self.at > start

    def attempt(self, read: Callable[[Reader], T | None]) -> T | None:
        """What `read` finds; where it finds nothing the cursor stays."""
        start = self.at
        found = read(self)
        if found is None:
            self.at = start
        return found

    def after(
        self, kinds: tuple[str, ...], read: Callable[[Reader], T | None], links: tuple[str, ...] = LINKS
    ) -> T | None:
        """What `read` finds behind one or more tokens of `kinds` and links such as "on the"."""
        start = self.at
        joined = self.skip(*kinds)
        self.skip(*links)
        found = read(self) if joined else None
        if found is None:
            self.at = start
        return found

    def spans(
        self, read: Callable[[Reader], T | None], joints: tuple[str, ...] = ("and",), *, between: bool = False
    ) -> list[tuple[T, T | None]]:
        """Items and ranges: `a, b and c to d`. With `between`, its `and` makes the one range."""
        found: list[tuple[T, T | None]] = []
        first = self.attempt(read)
        while first is not None:
            found.append((first, self.after(("to", "until", "and") if between else ("to", "until"), read)))
            first = None if between else self.after(joints, read)
        return found


def unfold(spans: Iterable[tuple[int, int | None]], low: int, high: int, *, wrap: bool = False) -> set[int]:
    """The values of spans within low to high. Raises Refusal for a value or a range outside."""
    return {value for first, last in spans for value in _range(first, last, low, high, wrap)}


def _range(first: int, last: int | None, low: int, high: int, wrap: bool) -> Iterable[int]:
    if first == LAST and last is None:
        return (LAST,)
    last = first if last is None else last
    for value in (first, last):
        if not low <= value <= high:
            raise Refusal(f"{'a last' if value == LAST else value} is not in {low} to {high}")
    if first <= last:
        return range(first, last + 1)
    if not wrap:
        raise Refusal(f"{first} to {last} runs backwards")
    return (*range(first, high + 1), *range(low, last + 1))


# --- durations: every 90 minutes, in an hour and a half


def duration(r: Reader, *, implicit: bool = False) -> tuple[int, str] | None:
    """(n, unit); several units or a fraction become seconds. With `implicit`, a unit alone is one of it."""
    amounts = [amount for amount in [r.attempt(_amount)] if amount]
    while amounts and (more := r.attempt(_further_amount)):
        amounts.append(more)
    if not amounts and implicit:
        amounts = [amount for amount in [r.attempt(partial(_amount, implicit=True))] if amount]
    return _total(amounts) if amounts else None


def _further_amount(r: Reader) -> tuple[Fraction, str] | None:
    return _amount(r) if r.skip("and") or r.peek().kind == "number" else None


def _total(amounts: list[tuple[Fraction, str]]) -> tuple[int, str]:
    number, unit = amounts[0]
    if len(amounts) > 1 or number.denominator > 1:
        if any(unit not in SECONDS for _, unit in amounts):
            raise Refusal("parts of months and years have no fixed length")
        number, unit = sum((number * SECONDS[unit] for number, unit in amounts), Fraction()), "second"
    if number < 1 or number.denominator > 1:
        raise Refusal("an interval is at least one second, and whole seconds")
    return int(number), unit


def _amount(r: Reader, *, implicit: bool = False) -> tuple[Fraction, str] | None:
    number = r.attempt(_quantity)
    if number is None and not implicit:
        return None
    unit = r.unit()
    if unit is None:
        return None
    number = (Fraction(1) if number is None else number) + (r.attempt(_and_a_half) or 0)
    in_hour = r.attempt(_of_an_hour) if unit == "quarter" else None
    return (number / 4, in_hour) if in_hour else (number, unit)


def _of_an_hour(r: Reader) -> str | None:
    r.skip("of", "article")
    return r.unit("hour")


def _quantity(r: Reader) -> Fraction | None:
    if r.take("half"):
        r.skip("article")
        return Fraction(1, 2)
    token = r.take("number", "decimal", "article")
    if token is None:
        return None
    return Fraction(1 if token.kind == "article" else token.value) + (r.attempt(_and_a_half) or 0)


def _and_a_half(r: Reader) -> Fraction | None:
    return Fraction(1, 2) if r.take("and") and r.take("article") and r.take("half") else None


# --- times of day


def clock(r: Reader, *, loose: bool = False, to: bool = True) -> Clock | None:
    """A time of day. `loose` takes a bare number too; `to` takes "ten to nine" (not so within a range)."""
    found = (
        r.attempt(_named_clock)
        or r.attempt(partial(_spoken_clock, loose=loose, to=to))
        or r.attempt(partial(_written_clock, loose=loose))
    )
    part = found and r.attempt(_part_of_day)
    return in_part(found, part) if found and part else found


def in_part(found: Clock, part: str) -> Clock:
    """The same as said of a part of the day: 8 "in the evening" is 20. Raises Refusal if it is not in it."""
    hours = PARTS[part]
    if found.form not in ("bare", "clock"):
        if found.hour not in hours.values():
            raise Refusal(f"{found.hour:02}:{found.minute:02} is not in the {part}")
        return found
    if (found.hour or 12) not in hours:
        raise Refusal(f"{found.hour} is no hour of the {part}")
    return found._replace(hour=hours[found.hour or 12], form="sure")


def _part_of_day(r: Reader) -> str | None:
    part = r.take("in", "at") and r.take("part")
    return str(part.value) if part else None


def _named_clock(r: Reader) -> Clock | None:
    token = r.take("time")
    return Clock(token.value) if token else None


def _spoken_clock(r: Reader, *, loose: bool, to: bool) -> Clock | None:
    """Half past eight, quarter to nine, ten minutes past six."""
    minutes, plain = spoken_minutes(r)
    sign = minutes is not None and r.take("past", "to")
    if not sign or minutes is None or (sign.kind == "to" and plain and not (to and minutes in SPOKEN_TO)):
        return None
    if sign.kind == "to" and plain and not loose and plain.text.isdigit():
        return None
    hour = r.attempt(_named_clock) or r.attempt(partial(_written_clock, loose=True))
    if hour is None or hour.minute or minutes > 59:
        return None
    total = (hour.minutes + (minutes if sign.kind == "past" else -minutes)) % 1440
    return Clock(total // 60, total % 60, form=hour.form)


def spoken_minutes(r: Reader) -> tuple[int | None, Token | None]:
    """The minutes, and their token if they are a number without the word "minutes"."""
    r.take("article")
    if r.take("half"):
        return 30, None
    if r.unit("quarter"):
        return 15, None
    number = r.take("number")
    return (number.value, None if r.unit("minute") else number) if number else (None, None)


def _written_clock(r: Reader, *, loose: bool) -> Clock | None:
    """9am, 9:30 pm, 09:00, 0900, 9.30, 17h, nine thirty, five o'clock; 9 if `loose`."""
    token = r.take("clock", "decimal", "number")
    found = token and _SHAPES[token.kind](r, token)
    if not found:
        return None
    meridiem = r.take("meridiem")
    if meridiem:
        return _twelve_hour(found, meridiem.value)
    in_part = r.peek().kind in ("in", "at") and r.peek(1).kind == "part"
    if not (loose or in_part) and found.form == "plain":
        return None
    if found.hour > 23:
        raise Refusal(f"{found.hour} is no hour of the day")
    sure = found.hour > 12 or found.hour == 0
    return found._replace(form="sure" if sure else found.form.replace("plain", "bare"))


def _twelve_hour(found: Clock, meridiem: str) -> Clock:
    if not 1 <= found.hour <= 12:
        raise Refusal(f"{found.hour} is no hour of a 12-hour clock")
    return found._replace(hour=found.hour % 12 + 12 * (meridiem == "p"), form=f"{meridiem}m")


def _decimal_clock(r: Reader, token: Token) -> Clock | None:
    hour, minute = token.text.split(".")
    return Clock(int(hour), int(minute), form="clock") if len(minute) == 2 and int(minute) < 60 else None


def _number_clock(r: Reader, token: Token) -> Clock | None:
    """The form is "plain" where only the context can tell that it is an hour."""
    value, after = int(token.value), r.peek()
    if len(token.text) == 4 and token.text.isdigit():
        form = "clock" if r.unit("hour") or token.text[0] == "0" else "plain"
        return Clock(value // 100, value % 100, form=form) if value % 100 < 60 else None
    if _spelled(token) and _spelled(after) and 10 <= after.value < 60:
        r.take("number")
        return Clock(value, after.value, form="bare")
    if r.take("oclock"):
        return Clock(value, form="bare")
    if (after.text == "h" or r.peek(-2).kind == "at") and r.unit("hour"):
        return Clock(value, form="clock")
    return None if after.kind in ("suffix", "month", "unit", "times", "of") else Clock(value, form="plain")


def _spelled(token: Token) -> bool:
    return token.kind == "number" and not token.text.isdigit()


_SHAPES: dict[str, Callable[[Reader, Token], Clock | None]] = {
    "clock": lambda r, token: token.value,
    "decimal": _decimal_clock,
    "number": _number_clock,
}
