"""Retention: which months may hold records that are older than an instant."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

_FIRST = (2026, 1)  # no record is older: Belfry did not exist


def months_until(limit: datetime) -> Iterator[str]:
    """`2026-01` up to the limit's month.

    All of them are asked for each time: an empty month costs half a read unit, and no note of the oldest
    one can be wrong.
    """
    utc = limit.astimezone(UTC)
    year, month = _FIRST
    while (year, month) <= (utc.year, utc.month):
        yield f"{year}-{month:02d}"
        year, month = (year + month // 12, month % 12 + 1)
