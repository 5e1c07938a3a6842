"""Text -> schedule, and schedule -> text that reads back to the same.

`grammar` reads what each clause says; here the clauses are made into one schedule that holds them exactly,
or refused. Minutes, hours and weeks that a cron cannot count ("every 45 minutes", "every other Tuesday")
are intervals; the rest is cron, or one instant. Pure: `now` is an argument.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from chalicelib.core import schedule
from chalicelib.core.cron import ALIASES
from chalicelib.core.english.clauses import Draft, read
from chalicelib.core.english.reader import in_part
from chalicelib.core.english.tokens import Clock, Refusal, Token, tokens
from chalicelib.core.english.words import LAST, MONTH_NAMES, RANKS, SECONDS, WEEKDAYS, ZONE_LABELS
from chalicelib.core.errors import Invalid

LONGEST = 500  # characters
SURE, PER_ASSUMPTION, LEAST = 0.95, 0.1, 0.05
MIDNIGHT = "no time is given: 00:00 is taken"
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
    return "".join(sign for sign in plain if not unicodedata.combining(sign))


def _sentence(text: str, refusal: Refusal) -> str:
    if refusal.read is None:
        return f"all of {_quoted(text)} was read, but {refusal}"
    left = text[refusal.read :].strip()
    reason = f": {refusal}" if str(refusal) else ""
    known = text[: refusal.read]
    return (
        f"understood {_quoted(known)}, but not {_quoted(left)}{reason}"
        if known
        else (f"not understood: {_quoted(left)}{reason}")
    )


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
    make = _interval if _is_interval(d) else _once if d.day or d.instant else _cron
    try:
        made = make(d, zone)
    except OverflowError:
        raise Refusal("that is outside of the calendar") from None
    return made


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
    said = [*times, *(d.window or ())]
    bare = [clock for clock in said if clock.form == "bare"]
    if any(clock.hour < 12 for clock in bare) and any(clock.form == "pm" for clock in times):
        raise Refusal("am or pm is given to one of the times only")
    if bare and not any(clock.form == "sure" and clock.hour > 12 for clock in said):
        d.assumptions.append(f"a bare hour is 24-hour time: {_hhmm(bare[0])}")
    return times


def _hhmm(clock: Clock) -> str:
    return f"{clock.hour:02}:{clock.minute:02}"


# --- at: one instant


def _once(d: Draft, zone: str) -> dict[str, Any]:
    if (
        d.repeats
        or d.given - {"day", "times", "part", "weekdays", "count", "next week"}
        or (d.count or 1) > 1
    ):
        raise Refusal("a single date and a repetition do not go together")
    instant = _instant(d)
    if instant <= d.now:
        raise Refusal(f"{instant.isoformat()} is past")
    return {"type": "at", "datetime": instant.isoformat(), "timezone": zone}


def _instant(d: Draft) -> datetime:
    """The instant of the draft's date and its one time."""
    if len(d.times) > 1:
        raise Refusal("one date can have one time only")
    if d.weekdays and d.day and d.weekdays != {d.day.isoweekday() % 7}:
        raise Refusal(f"{d.day} is a {WEEKDAYS[d.day.isoweekday() % 7].title()}")
    if d.instant and (d.times or d.weekdays):
        raise Refusal("the time is given twice")
    return d.instant or _wall(d, d.day or d.now.date(), _time(d))


def _time(d: Draft) -> Clock:
    """The one time, that of "in two days", or midnight, which is an assumption."""
    if d.times or d.time_of_day:
        return d.times[0] if d.times else d.time_of_day or Clock(0)
    d.assumptions.append(MIDNIGHT)
    return Clock(0)


def _wall(d: Draft, day: date, clock: Clock) -> datetime:
    """The instant of a wall time, the first of two. Raises Refusal in a gap."""
    wall = datetime(day.year, day.month, day.day, *clock[:3], tzinfo=d.now.tzinfo)
    if wall.astimezone(UTC).astimezone(d.now.tzinfo).replace(tzinfo=None) != wall.replace(tzinfo=None):
        raise Refusal(f"{_hhmm(clock)} on {day} is left out by the change of the clocks")
    return wall


# --- every: an interval


def _is_interval(d: Draft) -> bool:
    """Whether the repetition is a count of seconds, and not of places on the clock or calendar."""
    if d.pulse:
        on_clock = (
            d.given & {"weekdays", "days", "months", "minutes", "window", "dates", "except"} or d.minutes
        )
        return d.starting or not (on_clock or d.times or d.day or d.period not in (None, (1, "day")))
    return bool(d.period) and d.period[0] > 1 and d.period[1] in SECONDS if d.period else False


def _interval(d: Draft, zone: str) -> dict[str, Any]:
    count, unit = d.pulse or d.period or (0, "second")
    if d.given - {"pulse", "period", "times", "weekdays", "day", "starting", "part", "count"} or d.minutes:
        raise Refusal(f"every {count} {unit}s is an interval, which has no place on the calendar")
    if d.pulse and d.period not in (None, (1, "day")):
        raise Refusal("two intervals are given")
    if (d.count or 1) > 1:
        raise Refusal("it is not said how the runs are spread")
    made: dict[str, Any] = {"type": "every", "interval": count * SECONDS[unit], "timezone": zone}
    start = _start(d, unit)
    if start:
        made["start_at"] = start.isoformat()
    try:
        schedule.every(timedelta(seconds=made["interval"]), d.now)
    except Invalid as error:
        raise Refusal(error.details[0].issue) from None
    return made


def _start(d: Draft, unit: str) -> datetime | None:
    """The first slot, where the text fixes it: the next that fits the weekday and the time."""
    if (d.day or d.instant) and not d.starting:
        raise Refusal("a single date and a repetition do not go together")
    if not d.given & {"day", "times", "weekdays"}:
        return _refused("it is not said when it starts") if d.starting else None
    if (
        len(d.times) > 1
        or (len(d.weekdays) > 1 and not d.day)
        or (d.weekdays and unit != "week" and not d.day)
    ):
        raise Refusal("an interval goes on from one time of one day")
    start = _instant(d) if d.day or d.instant else _next(d)
    if start <= d.now:
        raise Refusal(f"{start.isoformat()} is past")
    if unit in ("day", "week") and _clocks_change(d.now):
        d.assumptions.append("days are taken as 24 hours: where the clocks change, the local time shifts")
    return start


def _next(d: Draft) -> datetime:
    clock = _time(d)
    days = (d.now.date() + timedelta(days=ahead) for ahead in range(9))
    fits = (day for day in days if not d.weekdays or day.isoweekday() % 7 in d.weekdays)
    return next(start for start in (_wall(d, day, clock) for day in fits) if start > d.now)


def _clocks_change(now: datetime) -> bool:
    return len({(now + timedelta(days=30 * month)).utcoffset() for month in range(13)}) > 1


def _refused(reason: str) -> Any:
    raise Refusal(reason)


# --- cron


def _cron(d: Draft, zone: str) -> dict[str, Any]:
    if d.starting:
        raise Refusal("only an interval can hold a start: give the job a start_at")
    minute, hour = _clock_fields(d)
    _check_count(d)
    day, month, weekday = _day_fields(d)
    expression = f"{minute} {hour} {day} {month} {weekday}"
    try:
        schedule.cron(expression, zone)
    except Invalid as error:
        raise Refusal(error.details[0].issue) from None
    return {"type": "cron", "expression": expression, "timezone": zone}


def _clock_fields(d: Draft) -> tuple[str, str]:
    if d.pulse:
        return _pulse_fields(d, *d.pulse)
    if d.minutes or d.window:
        return _minute_fields(d)
    times = d.times or [_time(d)]
    minutes, hours = {clock.minute for clock in times}, {clock.hour for clock in times}
    if any(clock.second for clock in times):
        raise Refusal("cron has no seconds")
    if len(minutes) * len(hours) != len(set(times)) or len({(c.hour, c.minute) for c in times}) != len(times):
        raise Refusal(f"one cron cannot hold {' and '.join(map(_hhmm, times))} together")
    return _listed(minutes), _listed(hours)


def _minute_fields(d: Draft) -> tuple[str, str]:
    """Minutes past every hour, past those of a window, or past given ones."""
    if not d.minutes:
        raise Refusal("it is not said how often within those hours")
    if d.times and (d.window or any(clock.minute or clock.second for clock in d.times)):
        raise Refusal("both minutes past the hour and times are given")
    hours = (
        _listed({clock.hour for clock in d.times}) if d.times else _window_hours(d, 1) if d.window else "*"
    )
    return _listed(d.minutes), hours


def _pulse_fields(d: Draft, count: int, unit: str) -> tuple[str, str]:
    if d.times:
        raise Refusal("both an interval and a time of day are given")
    for small, large in (("second", "minute"), ("minute", "hour")):
        if unit == small and count % 60 == 0:
            count, unit = count // 60, large
    size = {"minute": 60, "hour": 24}.get(unit, 0)
    if not size or size % count or size == count:
        raise Refusal(f"every {count} {unit}s does not divide the {'hour' if size == 60 else 'day'} evenly")
    step = "*" if count == 1 else f"*/{count}"
    if unit == "hour":
        start = d.window[0].minute if d.window else 0
        return _listed(d.minutes or {start}), _window_hours(d, count) if d.window else step
    if d.minutes:
        raise Refusal("both an interval of minutes and minutes past the hour are given")
    return step, _window_hours(d, 1) if d.window else "*"


def _window_hours(d: Draft, step: int) -> str:
    """The hours field of a window; it may run over midnight where no days are named."""
    assert d.window
    start, end = d.window
    _check_window(d, start, end)
    hourly = bool(d.pulse and d.pulse[1] == "hour") or ((d.pulse or (0, ""))[0] % 60 == 0 and bool(d.pulse))
    last = _last_hour(d, start, end, exact=hourly and d.minutes <= {0})
    if start.hour <= last:
        spread = f"{start.hour}-{last}" if start.hour < last else f"{last}"
        return spread if step == 1 else f"{spread}/{step}" if start.hour < last else f"{last}"
    if d.given & {"weekdays", "days", "dates", "months"}:
        raise Refusal("hours that run over midnight belong to two days")
    if step == 1:
        return f"{start.hour}-23,0-{last}"
    return _listed({hour % 24 for hour in range(start.hour, last + 25, step)})


def _check_window(d: Draft, start: Clock, end: Clock) -> None:
    vague = start.form in ("bare", "clock") and start.hour < 12
    if vague and (end.form == "pm" and start.minutes + 720 < end.minutes):
        raise Refusal(f"it is not said whether {start.hour} is am or pm")
    if start.minutes == end.minutes or (
        start.minutes > end.minutes and end.form in ("bare", "clock") and vague
    ):
        raise Refusal("the hours run backwards: write them with am and pm or as 24-hour time")


def _last_hour(d: Draft, start: Clock, end: Clock, *, exact: bool) -> int:
    """Of whole hours: the last one begun. Else `end` must end an hour, or begin one that is taken whole."""
    if end.minute == 59:
        return end.hour
    if exact:
        return (end.hour - (end.minute < start.minute)) % 24
    if start.minute or end.minute:
        raise Refusal("cron can hold whole hours only")
    if end.hour == 0:
        return 23
    d.assumptions.append(f"the hour from {_hhmm(end)} is included, until {end.hour:02}:59")
    return end.hour


def _check_count(d: Draft) -> None:
    """ "Twice a day" is held only where that many times are told."""
    said = {"day": d.times, "week": d.weekdays, "month": d.days or d.nth, "hour": d.minutes}
    unit = (d.pulse or d.period or (1, "day"))[1]
    if d.count and d.count > 1 and len(said.get(unit, ())) != d.count:
        raise Refusal(f"it is not said at which {d.count} times")


def _day_fields(d: Draft) -> tuple[str, str, str]:
    if d.dates:
        _spread_dates(d)
    every_month = _by_period(d)
    _check_days(d)
    months = (d.months or set(range(1, 13))) - d.without_months
    weekdays = (d.weekdays or set(range(7))) - d.without_weekdays
    if not months or not weekdays:
        raise Refusal("nothing is left of it")
    month = every_month or ("*" if len(months) == 12 else _runs(months))
    weekday = ",".join(_rank(*pair) for pair in sorted(d.nth, key=_rank_order)) or (
        "*" if len(weekdays) == 7 else _runs(weekdays)
    )
    return _month_day_field(d), month, weekday


def _month_day_field(d: Draft) -> str:
    days = _runs(d.days - {LAST})
    return d.nearest or ",".join(part for part in (days, "L" if LAST in d.days else "") if part) or "*"


def _check_days(d: Draft) -> None:
    kinds = [bool(d.weekdays or d.without_weekdays), bool(d.days), bool(d.nth), bool(d.nearest)]
    if sum(kinds) > 1:
        raise Refusal("cron cannot hold days of the month and of the week together")
    if (d.weekdays or any(kinds[1:])) and not (d.repeats or d.scope or len(d.days) > 1 or len(d.months) > 1):
        raise Refusal(
            'it is not said whether this is once or repeated: write "every" or "next", or give the year'
        )
    if d.whole_months and not any(kinds):
        raise Refusal("the day of the month is not given")
    if d.nth and not (d.scope or d.months or d.period):
        if any(rank not in (1, LAST) for rank, _ in d.nth):
            raise Refusal('it is not said what it is of: write "of the month", or "every other"')
        d.assumptions.append("it is taken as of every month")
    if not (any(kinds) or d.period or d.pulse or d.minutes or d.repeats):
        _assume_daily(d)


def _assume_daily(d: Draft) -> None:
    if not d.times:
        raise Refusal("neither a day nor a time is given")
    d.assumptions.append("no day is given: every day is taken")


def _spread_dates(d: Draft) -> None:
    """Dates of the year as days and months, if all days are in all months."""
    if d.given & {"days", "months"} or (d.period and d.period != (1, "year")):
        raise Refusal("dates and other days cannot be held together")
    days, months = {day for day, _ in d.dates}, {month for _, month in d.dates}
    if len(days) * len(months) != len(d.dates):
        raise Refusal("one cron cannot hold these dates together")
    d.days, d.months = days, months
    d.repeats = d.repeats or len(d.dates) > 1


def _by_period(d: Draft) -> str:
    """Checks the days against "monthly" and its kin, adds what they leave open; the month field's step."""
    scope = d.scope or "month"
    if scope != "month" and not d.period:
        d.period = (1, scope)
    count, unit = d.period or (1, "")
    return _PERIODS[unit](d, count) or ""


def _daily(d: Draft, count: int) -> None:
    if d.days or d.nth or d.nearest or len(d.weekdays) == 1 or count > 1:
        raise Refusal("every day and certain days do not go together")


def _weekly(d: Draft, count: int) -> None:
    if d.days or d.nth or d.nearest or count > 1:
        raise Refusal("every week and days of the month do not go together")
    if not d.weekdays:
        d.assumptions.append("no day is given: Sunday is taken, as in @weekly")
        d.weekdays = {0}


def _monthly(d: Draft, count: int) -> str:
    """Every n months, counted from January."""
    if d.weekdays or d.without_weekdays:
        raise Refusal("it is not said which such day of the month")
    if 12 % count or (count > 1 and (d.months or d.without_months)):
        raise Refusal(f"every {count} months does not divide the year evenly")
    if not (d.days or d.nth or d.nearest):
        d.assumptions.append("no day is given: the 1st is taken")
        d.days = {1}
    return f"*/{count}" if count > 1 else ""


def _quarterly(d: Draft, count: int) -> str:
    """Days of a quarter are of its first month, last ones of its last."""
    last = LAST in d.days or d.nearest == "LW" or any(rank == LAST for rank, _ in d.nth)
    if last and d.scope != "month":
        if count > 1 or d.months or len(d.days | d.nth) > 1:
            raise Refusal("these days of the quarter need two schedules")
        d.months = {3, 6, 9, 12}
        return ""
    return _monthly(d, 3 * count)


def _yearly(d: Draft, count: int) -> None:
    if count > 1:
        raise Refusal("cron counts no years")
    named = bool(d.days or d.nth or d.nearest)
    if d.weekdays or d.without_weekdays or (named and not d.months and d.scope != "year"):
        raise Refusal("it is not said which such day of the year")
    if not named:
        d.assumptions.append(f"no day is given: 1 {MONTH_NAMES[min(d.months or {1}) - 1]} is taken")
        d.days = {1}
    if not d.months:
        last = LAST in d.days or d.nearest == "LW" or any(rank == LAST for rank, _ in d.nth)
        if last and len(d.days | d.nth) > 1:
            raise Refusal("these days of the year need two schedules")
        d.months = {12 if last else 1}


_PERIODS: dict[str, Callable[[Draft, int], str | None]] = {
    "": lambda d, count: None,
    "day": _daily,
    "week": _weekly,
    "month": _monthly,
    "quarter": _quarterly,
    "year": _yearly,
}


def _listed(values: Iterable[int]) -> str:
    return ",".join(map(str, sorted(values)))


def _runs(values: set[int]) -> str:
    """Values as a cron field, three and more in a row as a range: 1-5, 1,2, 0,2-6."""
    starts = sorted(value for value in values if value - 1 not in values)
    ends = sorted(value for value in values if value + 1 not in values)
    spans = zip(starts, ends, strict=True)
    return ",".join(f"{a}-{b}" if b - a > 1 else _listed({a, b}) for a, b in spans)


def _rank(rank: int, weekday: int) -> str:
    return f"{weekday}L" if rank == LAST else f"{weekday}#{rank}"


def _rank_order(pair: tuple[int, int]) -> tuple[bool, int, int]:
    return pair[0] == LAST, pair[0], pair[1]


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
    return f"{WEEKDAYS[when.isoweekday() % 7].title()}, {MONTH_NAMES[when.month - 1]} {when.day}, {when.year} at {clock}"


def _describe_cron(schedule: dict[str, Any]) -> str:
    """cron-descriptor's text, except where it is one of two schedules or none; else the expression."""
    from cron_descriptor import FormatError, MissingFieldError, Options, get_description  # not for the tick

    given = str(schedule["expression"])
    fields = ALIASES.get(given.lower(), given).split()
    try:
        text = get_description(
            " ".join(_simpler(fields)), Options(use_24hour_time_format=False, locale_code="en_US")
        )
    except (FormatError, MissingFieldError):
        return given
    return _plainer(text, fields) if len(fields) == 5 else text


def _simpler(fields: list[str]) -> list[str]:
    """With hours that run over midnight as one range, and the first only of several days by rank."""
    minute, hour, day, month, weekday = (*fields, *[""] * 5)[:5]
    over = re.fullmatch(r"(\d+-|)23,0(?:-(\d+))?", hour)
    if over:
        hour = f"{over[1] or '23-'}{over[2] or 0}"
    if "#" in weekday or "L" in weekday:
        weekday = weekday.split(",")[0]
    return [minute, hour, day, month, weekday, *fields[5:]]


def _plainer(text: str, fields: list[str]) -> str:
    minute, hour, day, _, weekday = fields
    if minute == "0" and fields[2:] == ["*"] * 3 and hour.lstrip("*/").isdigit() == ("/" in hour) and hour[0] == "*":
        # "Every 2 hours" is the interval; the clock's hours are these.
        return "At 0 minutes past the hour" + (f", every {hour[2:]} hours" if "/" in hour else "")
    if "," in weekday and ("#" in weekday or "L" in weekday):
        first, *others = (f"the {_ranked(item)}" for item in weekday.split(","))
        text = text.replace(f"{first} of", f"{' and '.join([first, *others])} of")
    return text.replace("L of the month", "the last day of the month") if "L" in day else text


def _ranked(item: str) -> str:
    """ "5#2" is "second Friday"."""
    weekday, _, rank = item.replace("L", f"#{LAST}").partition("#")
    return f"{RANKS[int(rank)]} {WEEKDAYS[int(weekday)].title()}"


_DESCRIBE: dict[str, Callable[[dict[str, Any]], str]] = {
    "cron": _describe_cron,
    "every": _describe_every,
    "at": _describe_at,
}
