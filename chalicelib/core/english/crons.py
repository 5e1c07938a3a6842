"""Draft -> the five fields of a cron that holds it exactly. Raises Refusal where none does."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from chalicelib.core.english.draft import Draft
from chalicelib.core.english.tokens import Clock, Refusal
from chalicelib.core.english.words import LAST, MONTH_NAMES

ONCE_OR_OFTEN = 'it is not said whether this is once or repeated: write "every" or "next", or give the year'


def fields(d: Draft) -> str:
    """The expression. Adds to the draft's assumptions what it takes for granted."""
    minute, hour = _clock_fields(d)
    every_month = _by_period(d)
    _check_days(d)
    _check_count(d)
    return " ".join([minute, hour, _month_day_field(d), every_month or _month_field(d), _weekday_field(d)])


# --- minute and hour


def _clock_fields(d: Draft) -> tuple[str, str]:
    if d.pulse:
        return _pulse_fields(d, *_reduced(*d.pulse))
    if d.minutes or d.window:
        return _minute_fields(d)
    times = d.times or [d.one_time()]
    minutes, hours = {clock.minute for clock in times}, {clock.hour for clock in times}
    if any(clock.second for clock in times):
        raise Refusal("cron has no seconds")
    if len(minutes) * len(hours) != len(times) or len({clock.minutes for clock in times}) != len(times):
        raise Refusal(f"one cron cannot hold {' and '.join(map(str, times))} together")
    return _listed(minutes), _listed(hours)


def _minute_fields(d: Draft) -> tuple[str, str]:
    """Minutes past every hour, past those of a window, or past given ones."""
    if not d.minutes:
        raise Refusal("it is not said how often within those hours")
    if d.times and (d.window or any(clock.minute or clock.second for clock in d.times)):
        raise Refusal("both minutes past the hour and times are given")
    if d.window:
        return _listed(d.minutes), _window_hours(d, *d.window, "minute", 1)
    return _listed(d.minutes), _listed({clock.hour for clock in d.times}) or "*"


def _reduced(count: int, unit: str) -> tuple[int, str]:
    for small, large in (("second", "minute"), ("minute", "hour")):
        if unit == small and count % 60 == 0:
            count, unit = count // 60, large
    return count, unit


def _pulse_fields(d: Draft, count: int, unit: str) -> tuple[str, str]:
    if d.times:
        raise Refusal("both an interval and a time of day are given")
    size = {"minute": 60, "hour": 24}.get(unit, 0)
    if not size or size % count or size == count:
        raise Refusal(f"every {count} {unit}s does not divide the {'hour' if size == 60 else 'day'} evenly")
    if unit == "minute" and d.minutes:
        raise Refusal("both an interval of minutes and minutes past the hour are given")
    step = "*" if count == 1 else f"*/{count}"
    if unit == "minute":
        return step, _window_hours(d, *d.window, unit, 1) if d.window else "*"
    if not d.window:
        return _listed(d.minutes or {0}), step
    return _listed(d.minutes or {d.window[0].minute}), _window_hours(d, *d.window, unit, count)


def _window_hours(d: Draft, start: Clock, end: Clock, unit: str, step: int) -> str:
    """The hours field of a window; it may run over midnight where no days are named."""
    _check_window(start, end)
    last = _last_hour(d, start, end, exact=unit == "hour" and not (d.minutes - {0}))
    if start.hour <= last:
        return _span(start.hour, last) + (f"/{step}" if step > 1 and start.hour < last else "")
    if d.given & {"weekdays", "days", "dates", "months", "except"} or d.period not in (None, (1, "day")):
        raise Refusal("hours that run over midnight belong to two days")
    if step == 1:
        return f"{_span(start.hour, 23)},{_span(0, last)}"
    return _listed({hour % 24 for hour in range(start.hour, last + 25, step)})


def _check_window(start: Clock, end: Clock) -> None:
    """A 12-hour reading that differs from the 24-hour one makes the window unclear."""
    half_day = 12 * 60
    if start.vague and end.form == "pm" and start.minutes + half_day < end.minutes:
        raise Refusal(f"it is not said whether {start} is am or pm")
    if start.form == "bare" and end.minutes == 0:
        raise Refusal(f"it is not said whether {start} is am or pm")
    if start.minutes == end.minutes:
        raise Refusal("the hours are one instant")
    evening = start.form == "sure" and start.hour > 12
    if end.vague and end.minutes < start.minutes < end.minutes + half_day and not evening:
        raise Refusal("the hours run backwards: write them with am and pm or as 24-hour time")


def _last_hour(d: Draft, start: Clock, end: Clock, *, exact: bool) -> int:
    """With one run an hour, the hour of the last run in the window. Else hours are taken whole: `end` must
    end one (17:59), or begin one that is taken with it."""
    if start.minute and (d.minutes or not exact):
        raise Refusal("cron can hold whole hours only")
    if end.minute == 59:
        return end.hour
    if exact:
        return (end.hour - (end.minute < start.minute)) % 24
    if end.minute:
        raise Refusal("cron can hold whole hours only")
    if end.hour == 0:
        return 23
    d.assumptions.append(f"the hour from {end} is included, until {end.hour:02}:59")
    return end.hour


# --- day of month, month, day of week


def _month_day_field(d: Draft) -> str:
    parts = [_runs(d.days - {LAST}), "L" if LAST in d.days else ""]
    return d.nearest or ",".join(filter(None, parts)) or "*"


def _month_field(d: Draft) -> str:
    return _all_or_runs((d.months or set(range(1, 13))) - d.without_months, 12)


def _weekday_field(d: Draft) -> str:
    ranked = sorted(d.nth, key=lambda pair: (pair[0] == LAST, pair))
    if ranked:
        return ",".join(f"{weekday}L" if rank == LAST else f"{weekday}#{rank}" for rank, weekday in ranked)
    return _all_or_runs((d.weekdays or set(range(7))) - d.without_weekdays, 7)


def _all_or_runs(values: set[int], size: int) -> str:
    if not values:
        raise Refusal("nothing is left of it")
    return "*" if len(values) == size else _runs(values)


def _check_days(d: Draft) -> None:
    ranked = bool(d.nth or d.nearest)
    kinds = [bool(d.weekdays or d.without_weekdays), bool(d.days), bool(d.nth), bool(d.nearest)]
    if sum(kinds) > 1:
        raise Refusal("cron cannot hold days of the month and of the week together")
    several = len(d.days) > 1 or len(d.months) > 1
    if (d.weekdays or d.days or ranked) and not (d.repeats or d.scope or several):
        raise Refusal(ONCE_OR_OFTEN)
    if d.whole_months and not any(kinds):
        raise Refusal("the day of the month is not given")
    if not (d.scope or d.months or d.period):
        _check_rank(d)
    if not (any(kinds) or d.period or d.pulse or d.minutes or d.repeats):
        d.assume("no day is given: every day is taken", when=bool(d.times))


def _check_rank(d: Draft) -> None:
    """ "Every third Friday" may be every three weeks; "every first Monday" is of the month to most."""
    if d.days_named or any(rank not in (1, LAST) for rank, _ in d.nth):
        raise Refusal('it is not said what it is of: write "of the month", or "every other"')
    if d.nth:
        d.assumptions.append("it is taken as of every month")


def _check_count(d: Draft) -> None:
    """ "Twice a day" is held only where that many times are told."""
    if d.count is None or (d.count == 1 and d.pulse):
        return
    if not (d.pulse or d.period):
        raise Refusal(ONCE_OR_OFTEN)
    unit = (d.pulse or d.period or (1, "day"))[1]
    days = {"week": len(d.weekdays), "month": len(d.days) + len(d.nth)}.get(unit, 1)
    runs = len(d.minutes) if unit == "hour" else 0 if d.pulse else days * max(1, len(d.times))
    if runs != d.count:
        raise Refusal(f"it says {d.count} times but not which, or others")


def _spread_dates(d: Draft) -> None:
    """Dates of the year as days and months, if all days are in all months."""
    if d.given & {"days", "months"} or d.period not in (None, (1, "year")):
        raise Refusal("dates and other days cannot be held together")
    days, months = {day for day, _ in d.dates}, {month for _, month in d.dates}
    if len(days) * len(months) != len(d.dates):
        raise Refusal("one cron cannot hold these dates together")
    d.days, d.months = days, months
    d.repeats = d.repeats or len(d.dates) > 1


# --- periods: what "monthly" and its kin leave open, and what goes with them


def _by_period(d: Draft) -> str:
    """Gives the month field where it is a step."""
    if d.dates:
        _spread_dates(d)
    if d.scope in ("quarter", "year"):
        if d.period not in (None, (1, d.scope)):
            raise Refusal(f"days of the {d.scope} and another frequency do not go together")
        if max(d.days, default=0) > 30 or any(rank == 5 for rank, _ in d.nth):
            raise Refusal(f"such a day of the {d.scope} is in no one month")
        d.period = (1, d.scope)
    count, unit = d.period or (1, "")
    return _PERIODS[unit](d, count) or ""


def _on_month_days(d: Draft) -> bool:
    return bool(d.days or d.nth or d.nearest)


def _daily(d: Draft, count: int) -> None:
    if _on_month_days(d) or len(d.weekdays) == 1 or count > 1:
        raise Refusal("every day and certain days do not go together")


def _weekly(d: Draft, count: int) -> None:
    if _on_month_days(d) or count > 1:
        raise Refusal("every week and days of the month do not go together")
    if not d.weekdays:
        _take_day(d, "Sunday is taken, as in @weekly")
        d.weekdays = {0}


def _monthly(d: Draft, count: int) -> str:
    """Every n months, counted from January."""
    if d.weekdays or d.without_weekdays:
        raise Refusal("it is not said which such day of the month")
    if 12 % count or (count > 1 and (d.months or d.without_months)):
        raise Refusal(f"every {count} months does not divide the year evenly")
    if not _on_month_days(d):
        _take_day(d, "the 1st is taken")
        d.days = {1}
    if count > 1:
        d.repeats = True
    return {1: "", 12: "1"}.get(count, f"*/{count}")


def _quarterly(d: Draft, count: int) -> str:
    """Days of a quarter are of its first month, last ones of its last."""
    if not _last_of(d) or d.scope == "month":
        return _monthly(d, 3 * count)
    if count > 1 or d.months:
        raise Refusal("these days of the quarter need two schedules")
    d.months = {3, 6, 9, 12}
    return ""


def _yearly(d: Draft, count: int) -> None:
    if count > 1:
        raise Refusal("cron counts no years")
    if d.weekdays or d.without_weekdays or (_on_month_days(d) and not d.months and d.scope != "year"):
        raise Refusal("it is not said which such day of the year")
    if not _on_month_days(d):
        _take_day(d, f"1 {MONTH_NAMES[min(d.months, default=1) - 1]} is taken")
        d.days, d.months = {1}, {min(d.months, default=1)}
    d.months = d.months or {12 if _last_of(d) else 1}


def _last_of(d: Draft) -> bool:
    """Whether the days are the last of something. First and last ones are in different months."""
    ranks = {*d.days, *(rank for rank, _ in d.nth), *({"LW": [LAST]}.get(d.nearest or "", []))}
    if LAST in ranks and ranks != {LAST} and d.scope != "month":
        raise Refusal("first and last days need two schedules")
    return LAST in ranks


def _take_day(d: Draft, taken: str) -> None:
    if d.pulse or d.minutes or d.window:
        raise Refusal("it is not said on which day")
    d.assumptions.append(f"no day is given: {taken}")


_PERIODS: dict[str, Callable[[Draft, int], str | None]] = {
    "": lambda d, count: None,
    "day": _daily,
    "week": _weekly,
    "month": _monthly,
    "quarter": _quarterly,
    "year": _yearly,
}


# --- how a field is written


def _listed(values: Iterable[int]) -> str:
    return ",".join(map(str, sorted(values)))


def _span(first: int, last: int) -> str:
    return f"{first}-{last}" if first < last else f"{first}"


def _runs(values: set[int]) -> str:
    """Three and more in a row as a range: 1-5; 1,2; 0,2-6. The same values are always written the same."""
    starts = sorted(value for value in values if value - 1 not in values)
    ends = sorted(value for value in values if value + 1 not in values)
    spans = zip(starts, ends, strict=True)
    return ",".join(f"{a}-{b}" if b - a > 1 else _listed({a, b}) for a, b in spans)
