"""Instants as text and numbers. All are aware; text is UTC with milliseconds, so that it sorts by time."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo

MINUTE = timedelta(minutes=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# Dates alone and ISO week dates are instants to fromisoformat, but not to the people who write them.
_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d([.,]\d{1,9})?)?([Zz]|[+-]\d\d:?\d\d)?", re.ASCII)


def iso(instant: datetime) -> str:
    """`2026-11-22T14:00:00.123Z`: always 24 characters, so text order is time order."""
    utc = instant.astimezone(UTC)
    return f"{utc:%Y-%m-%dT%H:%M:%S}.{utc.microsecond // 1000:03d}Z"


def short_iso(instant: datetime) -> str:
    """`2026-11-22T14:00:00Z`: for people, rounded down to the second."""
    return f"{instant.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def exact_iso(instant: datetime) -> str:
    """`2026-11-22T14:00:00Z`, with milliseconds where there are any."""
    return iso(instant) if instant.microsecond else short_iso(instant)


def parse_instant(text: str, zone: tzinfo = UTC) -> datetime:
    """An ISO 8601 date and time as a UTC instant; one without an offset is taken in `zone`.

    Raises ValueError with a sentence that says what is wanted.
    """
    if not _INSTANT.fullmatch(text):
        raise ValueError("give a date and time as 2027-04-01T09:00:00Z, or without Z in the schedule's zone")
    try:
        given = datetime.fromisoformat(text.upper().replace(",", "."))
        instant = (given if given.tzinfo else given.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{text!r} is no date and time: {error}") from None
    if not 1970 <= instant.year < 9000:  # beyond, zones and text leave the calendar
        raise ValueError("give a year from 1970 to 8999")
    return instant


def from_iso(text: str) -> datetime:
    """The instant that `iso` wrote."""
    return datetime.fromisoformat(text)


def millis(instant: datetime) -> int:
    """Milliseconds since 1970, rounded down."""
    return (instant - EPOCH) // timedelta(milliseconds=1)


def from_millis(value: int) -> datetime:
    return EPOCH + timedelta(milliseconds=value)


def floor_minute(instant: datetime) -> datetime:
    return instant.replace(second=0, microsecond=0)


def ceil_minute(instant: datetime) -> datetime:
    floor = floor_minute(instant)
    return floor if floor == instant else floor + MINUTE
