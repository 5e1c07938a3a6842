"""Text -> tokens: each phrase with its kind and value, by the tables in `words` and the shapes of figures."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime, time
from fractions import Fraction
from typing import Any, NamedTuple, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from chalicelib.core.english.words import LEXICON, LONGEST_PHRASE, ZONE_REGIONS

T = TypeVar("T")
MAX_DIGITS = 6

_TOKEN = re.compile(
    rf"""
      (?P<instant>\d{{4}}-\d\d-\d\d[T\ ]\d\d:\d\d(?::\d\d)?(?:Z\b|[+-]\d\d:?\d\d)?)(?![\d:])
    | (?P<date>\d{{4}}-\d\d-\d\d)(?!\d)
    | (?P<offset>(?:UTC|GMT)\s?[+-]\s?\d{{1,2}}(?::?\d\d)?)(?![\d:])
    | (?P<path>(?:{"|".join(ZONE_REGIONS)})/[\w+/-]+)
    | (?P<clock>\d{{1,2}}(?::\d\d(?::\d\d)?|h\d\d))(?![\d:]|\s?m\b)
    | (?P<mark>:\d\d)(?!\d)
    | (?P<decimal>\d+\.\d+)
    | (?P<number>\d+)
    | (?P<word>[ap]\.m\.|[a-z]+(?:'[a-z]+)?)
    | (?P<sign>\S)
    """,
    re.VERBOSE | re.ASCII | re.IGNORECASE,
)


class Refusal(Exception):
    """The text is not to be held; the argument says why, `read` how far the text was understood."""

    read: int | None = None


class Token(NamedTuple):
    """A phrase of the text: what it is, its value, and where it ends."""

    kind: str
    value: Any
    text: str
    end: int


class Clock(NamedTuple):
    """A time of day as written. `form`: "bare" (5), "clock" (5:00), "am", "pm", or "sure" (noon, 17)."""

    hour: int
    minute: int = 0
    second: int = 0
    form: str = "sure"

    @property
    def minutes(self) -> int:
        return self.hour * 60 + self.minute

    @property
    def vague(self) -> bool:
        """Whether it may be meant as 12-hour time."""
        return self.form in ("bare", "clock") and self.hour < 12

    def __str__(self) -> str:
        return f"{self.hour:02}:{self.minute:02}"


def tokens(text: str) -> list[Token]:
    """Every phrase of the text; what is unknown or impossible is a token of kind "unknown" or "refused"."""
    raw = list(_TOKEN.finditer(text))
    words = [re.sub(r"'s$", "", match.group().lower()) for match in raw]
    found, at = [], 0
    while at < len(raw):
        width, (kind, value) = _longest(words, at) or (1, _figure(raw[at]))
        last = raw[at + width - 1].end()
        found.append(Token(kind, value, text[raw[at].start() : last], last))
        at += width
    return found


def _longest(words: list[str], at: int) -> tuple[int, tuple[str, Any]] | None:
    """The longest phrase of the lexicon that starts at `at`. Hyphens inside a phrase do not count."""
    for width in range(LONGEST_PHRASE + 1, 0, -1):
        window = words[at : at + width]
        if len(window) == width and (width == 1 or "-" not in (window[0], window[-1])):
            entry = LEXICON.get(" ".join(word for word in window if width == 1 or word != "-"))
            if entry:
                return width, entry
    return None


def _figure(match: re.Match[str]) -> tuple[str, Any]:
    kind, text = str(match.lastgroup), match.group()
    read = _FIGURES.get(kind)
    if read is None:
        return "unknown", text
    try:
        return kind, read(text)
    except (ValueError, Refusal) as error:
        return "refused", str(error) if isinstance(error, Refusal) else f"{text} is no date or time"


def _clock_figure(text: str) -> Clock:
    hour, minute, second = (int(part) for part in [*re.split("[:h]", text.lower()), "0"][:3])
    time(hour, minute, second)
    return Clock(hour, minute, second, "sure" if hour > 12 or hour == 0 else "clock")


def _number_figure(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise Refusal("the number is too large")
    return int(text)


def _decimal_figure(text: str) -> Fraction:
    return Fraction(text) if len(text) <= MAX_DIGITS else Fraction(_number_figure(text))


def _offset_zone(text: str) -> tuple[str, None]:
    """Whole hours have a zone in Etc/, with the sign turned round."""
    sign, hours, minutes = re.findall(r"([+-])\s?(\d\d?)(?::?(\d\d))?$", text)[0]
    if int(minutes or 0) or int(hours) > (14 if sign == "+" else 12):
        raise Refusal(f"no zone is always at {text}: name a city")
    return (f"Etc/GMT{'-' if sign == '+' else '+'}{int(hours)}" if int(hours) else "UTC"), None


def _path_zone(text: str) -> tuple[str, None]:
    """An IANA name in any case of letters."""
    titled = re.sub(r"[a-z]+", lambda word: _titled(word.group()), text.lower())
    for name in (text, titled):
        try:
            return ZoneInfo(name).key, None
        except (ZoneInfoNotFoundError, ValueError, OSError):
            continue
    raise Refusal(f"there is no zone {text}")


def _titled(word: str) -> str:
    return word if word in ("of", "au", "es") else word.upper() if word in ("gmt", "us") else word.title()


def _known_year(when: T) -> T:
    if not 1970 <= when.year <= 2200:  # type: ignore[attr-defined]
        raise Refusal("the year is out of reach")
    return when


_FIGURES: dict[str, Callable[[str], Any]] = {
    "instant": lambda text: _known_year(datetime.fromisoformat(text.upper())),
    "date": lambda text: _known_year(date.fromisoformat(text)),
    "offset": _offset_zone,
    "path": _path_zone,
    "clock": _clock_figure,
    "mark": lambda text: time(0, int(text[1:])).minute,
    "decimal": _decimal_figure,
    "number": _number_figure,
}
