"""Text -> schedule, and schedule -> text that reads back to the same.

The package `english` reads what each clause says; here that is made into one schedule that holds it exactly,
or refused. Bare intervals and what a cron cannot count ("every 45 minutes", "every other Tuesday") are
`every`; places on the clock or the calendar are cron; a date is `at`. Pure: `now` is an argument.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from chalicelib.core import cron, schedule
from chalicelib.core.cron import ALIASES
from chalicelib.core.english import crons
from chalicelib.core.english.clauses import read
from chalicelib.core.english.draft import Draft
from chalicelib.core.english.reader import in_part
from chalicelib.core.english.tokens import Clock, Refusal, Token, tokens
from chalicelib.core.english.words import LAST, MONTH_NAMES, RANKS, SECONDS, WEEKDAYS, ZONE_LABELS
from chalicelib.core.errors import Invalid

LONGEST = 500  # characters
SURE, PER_ASSUMPTION, LEAST = 0.95, 0.1, 0.05
_SIGNS = str.maketrans({"\N{EN DASH}": "-", "\N{EM DASH}": ",", "’": "'", "‘": "'", "“": '"', "”": '"'})


@dataclass(frozen=True)
class Parsed:
    """`schedule` as the native API takes it: cron, every (with `start_at` where it matters) or at."""

    schedule: dict[str, Any]
    confidence: float
    assumptions: tuple[str, ...]


def parse(text: str, *, now: datetime, timezone: str = "UTC") -> Parsed:
    """The schedule that `text` says, in its own zone or else in `timezone`.

    Raises Invalid("text") with a sentence that says what was understood and what was not; Invalid
    ("timezone") where the default zone is none.
    """
    schedule.zone(timezone)
    text = _plain(text)
    try:
        found = tokens(text)
        zone = _zone_of(found) or timezone
        draft = Draft(now.astimezone(ZoneInfo(zone)).replace(microsecond=0))
        read(found, draft)
        made = _schedule(draft, zone)
    except Refusal as refusal:
        raise Invalid.one("text", _sentence(text, refusal)) from None
    confidence = max(LEAST, SURE - PER_ASSUMPTION * len(draft.assumptions))
    return Parsed(made, round(confidence, 2), tuple(draft.assumptions))


def _plain(text: str) -> str:
    """Without accents and typographic signs. Raises Invalid for what is no line of text."""
    if len(text) > LONGEST:
        raise Invalid.one("text", f"is longer than {LONGEST} characters")
    text = text.strip()
    if not text:
        raise Invalid.one("text", "is empty: write a schedule such as every weekday at 9am")
    if any(unicodedata.category(sign) in ("Cc", "Cs") for sign in text):
        raise Invalid.one("text", "has control characters")
    plain = unicodedata.normalize("NFKD", text.translate(_SIGNS))
    if len(plain) > 2 * LONGEST:
        raise Invalid.one("text", "has signs that are no letters or figures")
    return "".join(sign for sign in plain if not unicodedata.combining(sign))


def _sentence(text: str, refusal: Refusal) -> str:
    if refusal.read is None:
        return f"all of {_quoted(text)} was read, but {refusal}"
    left = text[refusal.read :].strip()
    reason = f": {refusal}" if str(refusal) else ""
    known = text[: refusal.read]
    if not known:
        return f"not understood: {_quoted(left)}{reason}"
    return f"understood {_quoted(known)}, but not {_quoted(left)}{reason}"


def _quoted(text: str) -> str:
    return ascii(text if len(text) <= 60 else f"{text[:57]}...")


def _zone_of(found: list[Token]) -> str | None:
    zones = {token.value[0] for token in found if token.kind in ("zone", "path", "offset")}
    if len(zones) > 1:
        raise Refusal("two zones are given")
    return next(iter(zones), None)


# --- which kind of schedule


def _schedule(d: Draft, zone: str) -> dict[str, Any]:
    if not d.given - {"part", "count"}:
        raise Refusal("neither a time nor a repetition is given")
    d.times = _settled(d)
    if "next week" in d.given:
        _place_next_week(d)
    dated = (d.day or d.instant) and not d.starting
    make = _interval if _is_interval(d) else _once if dated else _cron
    try:
        return {**make(d, zone), "timezone": zone}
    except OverflowError:
        raise Refusal("that is outside of the calendar") from None
    except Invalid as error:
        raise Refusal(error.details[0].issue) from None


def _place_next_week(d: Draft) -> None:
    """Weeks start on Monday."""
    if len(d.weekdays) != 1 or d.repeats or d.day:
        raise Refusal("it is not said which day of next week")
    (weekday,) = d.weekdays
    d.day = d.now.date() + timedelta(days=7 - d.now.weekday() + (weekday - 1) % 7)


def _settled(d: Draft) -> list[Clock]:
    """The times with the part of the day applied; what a bare hour means is an assumption."""
    if d.part and not d.times and not (d.part == "night" and d.period):
        raise Refusal(f"the hour of the {d.part} is not given")
    times = [in_part(clock, d.part) for clock in d.times] if d.part else d.times
    if d.part == "night" and d.given & _ON_DAYS and any(clock.hour < 6 for clock in times):
        raise Refusal("an hour after midnight may be of the next day: name the day and the hour only")
    said = [*times, *(d.window or ())]
    bare = [clock for clock in said if clock.form == "bare"]
    if bare and not _one_meridiem(times):
        raise Refusal("am or pm is given to some of the times only")
    if bare and not any(clock.form == "sure" and clock.hour > 12 for clock in said):
        d.assumptions.append(f"a bare hour is 24-hour time: {bare[0]}")
    return times


_ON_DAYS = {"weekdays", "days", "dates", "day"}


def _one_meridiem(times: list[Clock]) -> bool:
    """Whether bare hours beside am and pm are clear: only in "8 and 10 am"."""
    said = [clock for clock in times if clock.form in ("am", "pm")]
    return not said or (said == times[-1:] and said[0].form == "am" and times == sorted(times))


# --- at: one instant


_SINGLE = {"day", "times", "part", "weekdays", "count", "next week"}


def _once(d: Draft, zone: str) -> dict[str, Any]:
    if d.repeats or d.given - _SINGLE or d.count not in (None, 1):
        raise Refusal("a single date and a repetition do not go together")
    instant = _instant(d)
    if instant <= d.now:
        raise Refusal(f"{instant.isoformat()} is past")
    return {"type": "at", "datetime": instant.isoformat()}


def _instant(d: Draft) -> datetime:
    """The instant of the draft's date and its one time."""
    if len(d.times) > 1:
        raise Refusal("one date can have one time only")
    if d.weekdays and d.day and d.weekdays != {d.day.isoweekday() % 7}:
        raise Refusal(f"{d.day} is a {WEEKDAYS[d.day.isoweekday() % 7].title()}")
    if d.instant and (d.times or d.weekdays):
        raise Refusal("the time is given twice")
    return d.instant or _wall(d, d.day or d.now.date(), d.one_time())


def _wall(d: Draft, day: date, clock: Clock) -> datetime:
    """The instant of a wall time, the first of two. Raises Refusal in a gap."""
    wall = datetime(day.year, day.month, day.day, *clock[:3], tzinfo=d.now.tzinfo)
    if wall.astimezone(UTC).astimezone(d.now.tzinfo).replace(tzinfo=None) != wall.replace(tzinfo=None):
        raise Refusal(f"{clock} on {day} is left out by the change of the clocks")
    return wall


# --- every: an interval


def _is_interval(d: Draft) -> bool:
    """Whether the repetition is a count of seconds, and not of places on the clock or calendar."""
    if d.pulse:
        bare = d.given <= {"pulse", "period", "count"} and not d.minutes and d.period in (None, (1, "day"))
        return d.starting or bare
    return d.period is not None and d.period[0] > 1 and d.period[1] in SECONDS


_STARTED = {"pulse", "period", "times", "day", "starting", "start weekday", "part", "count"}


def _interval(d: Draft, zone: str) -> dict[str, Any]:
    count, unit = d.pulse or d.period or (0, "second")
    if d.minutes or d.given - _STARTED - ({"weekdays"} if unit == "week" else set()):
        raise Refusal(f"every {count} {unit}s is an interval, which holds to no other times or days")
    if d.pulse and d.period not in (None, (1, "day")):
        raise Refusal("two intervals are given")
    if d.count not in (None, 1):
        raise Refusal("it is not said how the runs are spread")
    interval, start = timedelta(seconds=count * SECONDS[unit]), _start(d, unit)
    schedule.every(interval, start or d.now, zone)
    made = {"type": "every", "interval": interval // timedelta(seconds=1)}
    return made | ({"start_at": start.isoformat()} if start else {})


def _start(d: Draft, unit: str) -> datetime | None:
    """The first slot, where the text fixes it: the next that fits the weekday and the time."""
    if (d.day or d.instant) and not d.starting:
        raise Refusal("a single date and a repetition do not go together")
    if not d.given & {"day", "times", "weekdays", "start weekday"}:
        if d.starting:
            raise Refusal("it is not said when it starts")
        return None
    if len(d.times) > 1 or (len(d.weekdays) > 1 and not d.day):
        raise Refusal("an interval goes on from one time of one day")
    start = _instant(d) if d.day or d.instant else _next(d)
    if start <= d.now:
        raise Refusal(f"{start.isoformat()} is past")
    if unit in ("day", "week") and _clocks_change(d.now):
        d.assumptions.append("days are taken as 24 hours: where the clocks change, the local time shifts")
    return start


def _next(d: Draft) -> datetime:
    clock = d.one_time()
    days = (d.now.date() + timedelta(days=ahead) for ahead in range(9))
    fits = (day for day in days if not d.weekdays or day.isoweekday() % 7 in d.weekdays)
    return next(start for start in (_wall(d, day, clock) for day in fits) if start > d.now)


def _clocks_change(now: datetime) -> bool:
    return len({(now + timedelta(days=30 * month)).utcoffset() for month in range(13)}) > 1


# --- cron


def _cron(d: Draft, zone: str) -> dict[str, Any]:
    if d.starting:
        raise Refusal("only an interval can hold a start: give the job a start_at")
    expression = crons.fields(d)
    schedule.cron(expression, zone)
    return {"type": "cron", "expression": expression}


# --- describe: the way back


def describe(schedule: dict[str, Any]) -> str:
    """A schedule in English, with its zone. What `parse` made reads back to the same."""
    text = _DESCRIBE[schedule["type"]](schedule)
    return f"{text}, {_zone_label(schedule['timezone'])}"


def _zone_label(zone: str) -> str:
    if zone.startswith("Etc/GMT") and zone[7:8] in ("+", "-"):
        return f"UTC{'-' if zone[7] == '+' else '+'}{zone[8:]}"
    return ZONE_LABELS.get(zone, zone)


def _describe_at(schedule: dict[str, Any]) -> str:
    when = datetime.fromisoformat(schedule["datetime"]).astimezone(ZoneInfo(schedule["timezone"]))
    return f"At {when.isoformat()}" if when.fold else f"On {_moment(when)}"


def _describe_every(schedule: dict[str, Any]) -> str:
    """In the largest unit that holds it, but "24 hours" and "7 days", as every day or week is a cron."""
    seconds = int(schedule["interval"])
    units = [(unit, size) for unit, size in reversed(SECONDS.items()) if seconds % size == 0]
    unit, size = next((unit, size) for unit, size in units if seconds > size or size < 86400)
    count = seconds // size
    text = f"Every {count} {unit}s" if count > 1 else f"Every {unit}"
    if not schedule.get("start_at"):
        return text
    when = datetime.fromisoformat(schedule["start_at"]).astimezone(ZoneInfo(schedule["timezone"]))
    return f"{text}, starting {when.isoformat() if when.fold else _moment(when)}"


def _moment(when: datetime) -> str:
    """Tuesday, November 24, 2026 at 09:00 AM."""
    clock = f"{when:%I:%M:%S %p}" if when.second else f"{when:%I:%M %p}"
    weekday = WEEKDAYS[when.isoweekday() % 7].title()
    return f"{weekday}, {MONTH_NAMES[when.month - 1]} {when.day}, {when.year} at {clock}"


def _describe_cron(schedule: dict[str, Any]) -> str:
    """cron-descriptor's text, but made unambiguous; the expression itself where it has none."""
    from cron_descriptor import (  # here, as the tick must not load it
        FormatError,
        MissingFieldError,
        Options,
        get_description,
    )

    given = str(schedule["expression"])
    fields = ALIASES.get(given.lower(), given).split()
    options = Options(use_24hour_time_format=False, locale_code="en_US")
    try:
        text = str(get_description(" ".join(_simpler(fields)), options))
    except (FormatError, MissingFieldError):
        return given
    text = _plainer(text, fields)
    return text if _is_plain(fields) or _reads_back(text, given) else given


_LIST = r"(\d+|[a-z]{3})(-(\d+|[a-z]{3}))?"
_PLAIN_FIELD = re.compile(rf"\*|{_LIST}(,{_LIST})*", re.IGNORECASE)
_SIZES = (60, 24)  # of the fields whose steps cron-descriptor says rightly, if they divide


def _is_plain(fields: list[str]) -> bool:
    """Whether cron-descriptor can be trusted: numbers, names and ranges, even steps, one kind of day."""
    if len(fields) != 5 or "*" not in (fields[2], fields[4]):
        return False
    return all(
        _PLAIN_FIELD.fullmatch(text) or (i < len(_SIZES) and _divides(text, _SIZES[i]))
        for i, text in enumerate(fields)
    )


def _divides(text: str, size: int) -> bool:
    step = re.fullmatch(r"\*/(\d{1,2})", text)
    return step is not None and 0 < int(step[1]) < size and size % int(step[1]) == 0


def _reads_back(text: str, expression: str) -> bool:
    """Whether the grammar reads the description as the schedule that it describes."""
    try:
        said = parse(text, now=datetime(2026, 1, 1, tzinfo=UTC)).schedule
    except Invalid:
        return False
    return said["type"] == "cron" and cron.parse(said["expression"]) == cron.parse(expression)


def _simpler(fields: list[str]) -> list[str]:
    """What cron-descriptor can say: hours over midnight as one range, one of several days by rank."""
    if len(fields) != 5:
        return fields
    minute, hour, *dates, weekday = fields
    over = re.fullmatch(r"(?:(\d+)-)?23,0(?:-(\d+))?", hour)
    hour = f"{over[1] or 23}-{over[2] or 0}" if over else hour
    return [minute, hour, *dates, weekday.split(",")[0] if _is_ranked(weekday) else weekday]


def _is_ranked(weekday: str) -> bool:
    return re.fullmatch(r"\d(L|#\d)(,\d(L|#\d))*", weekday) is not None


def _plainer(text: str, fields: list[str]) -> str:
    """`text` where it would be that of another schedule, or is no English, said otherwise."""
    minute, hour, day, _, weekday = (*fields, *[""] * 5)[:5]
    if minute == "0" and fields[2:] == ["*"] * 3 and re.fullmatch(r"\*(/\d+)?", hour):
        # "Every 2 hours" is the interval; these hours are the clock's.
        return "At 0 minutes past the hour" + (f", every {hour[2:]} hours" if "/" in hour else "")
    if _is_ranked(weekday):
        first, *others = (f"the {_ranked(item)}" for item in weekday.split(","))
        text = text.replace(f"{first} of", f"{' and '.join([first, *others])} of")
    return text.replace("L of the month", "the last day of the month") if ",L" in day else text


def _ranked(item: str) -> str:
    """ "5#2" is "second Friday"."""
    weekday, _, rank = item.replace("L", f"#{LAST}").partition("#")
    return f"{RANKS.get(int(rank), '')} {WEEKDAYS[int(weekday) % 7].title()}"


_DESCRIBE: dict[str, Callable[[dict[str, Any]], str]] = {
    "cron": _describe_cron,
    "every": _describe_every,
    "at": _describe_at,
}
