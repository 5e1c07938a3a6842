"""Quiet hours: when they end, over midnight and over clock changes; and what a run's end plans."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError

from chalicelib.core.condition import Verdict
from chalicelib.core.delivery import Delivery, QuietHours, planned
from chalicelib.core.run import RunStatus

NEW_YORK = ZoneInfo("America/New_York")
BERLIN = ZoneInfo("Europe/Berlin")


def until(
    start: str, end: str, now: datetime, zone: ZoneInfo = NEW_YORK, own: str | None = None
) -> str | None:
    """On the zone's clock."""
    ends = QuietHours(start=start, end=end, timezone=own).until(now, zone)
    return ends.astimezone(zone).isoformat() if ends else None


def local(text: str, zone: ZoneInfo = NEW_YORK, fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold).astimezone(UTC)


@pytest.mark.parametrize(
    ("now", "ends"),
    [
        ("2026-11-22T21:59:59", None),
        ("2026-11-22T22:00:00", "2026-11-23T07:00:00-05:00"),
        ("2026-11-22T23:59:59", "2026-11-23T07:00:00-05:00"),
        ("2026-11-23T00:00:00", "2026-11-23T07:00:00-05:00"),
        ("2026-11-23T06:59:59", "2026-11-23T07:00:00-05:00"),
        ("2026-11-23T07:00:00", None),
        ("2026-11-23T12:00:00", None),
    ],
)
def test_a_night_ends_in_the_morning(now: str, ends: str | None) -> None:
    assert until("22:00", "07:00", local(now)) == ends


@pytest.mark.parametrize(
    ("now", "ends"),
    [("12:59", None), ("13:00", "14:30"), ("14:29", "14:30"), ("14:30", None), ("23:00", None)],
)
def test_a_siesta_ends_the_same_day(now: str, ends: str | None) -> None:
    expected = f"2026-11-22T{ends}:00-05:00" if ends else None
    assert until("13:00", "14:30", local(f"2026-11-22T{now}:00")) == expected


@pytest.mark.parametrize(
    ("end", "now", "ends"),
    [
        # Clocks go from 02:00 to 03:00 on 8 March 2026: 02:30 is not there.
        ("02:30", "2026-03-08T01:00:00", "2026-03-08T03:00:00-04:00"),
        ("07:00", "2026-03-07T22:00:00", "2026-03-08T07:00:00-04:00"),
        ("03:00", "2026-03-08T01:59:00", "2026-03-08T03:00:00-04:00"),
    ],
)
def test_an_end_that_the_clock_skips_is_where_it_goes_on(end: str, now: str, ends: str) -> None:
    assert until("22:00", end, local(now)) == ends


@pytest.mark.parametrize(
    ("now", "fold", "ends"),
    [
        # Clocks go back from 02:00 to 01:00 on 1 November 2026: 01:30 comes twice.
        ("2026-10-31T23:00:00", 0, "2026-11-01T01:30:00-04:00"),
        ("2026-11-01T01:15:00", 0, "2026-11-01T01:30:00-04:00"),
        ("2026-11-01T01:45:00", 0, None),
        ("2026-11-01T01:15:00", 1, "2026-11-01T01:30:00-05:00"),
        ("2026-11-01T01:45:00", 1, None),
    ],
)
def test_an_end_that_comes_twice_is_the_next_one(now: str, fold: int, ends: str | None) -> None:
    assert until("22:00", "01:30", local(now, fold=fold)) == ends


def test_their_own_zone_comes_before_the_jobs() -> None:
    now = local("2026-11-22T23:00:00", BERLIN)
    assert until("22:00", "07:00", now, NEW_YORK) is None
    assert until("22:00", "07:00", now, NEW_YORK, own="Europe/Berlin") == "2026-11-23T01:00:00-05:00"


@pytest.mark.parametrize("zone", ["America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Pacific/Apia"])
def test_an_end_is_never_past_and_never_itself_quiet(zone: str) -> None:
    quiet = QuietHours(start="21:45", end="02:15")
    now = datetime(2026, 1, 1, tzinfo=UTC)
    while now.year == 2026:
        ends = quiet.until(now, ZoneInfo(zone))
        assert (ends is None) is not quiet.cover(now.astimezone(ZoneInfo(zone)).time())
        if ends:
            assert now < ends <= now + timedelta(hours=6)
            assert quiet.until(ends, ZoneInfo(zone)) is None
        now += timedelta(minutes=97)


@pytest.mark.parametrize(
    "fields",
    [
        {"start": "22:00"},
        {"start": "22:00", "end": "22:00"},
        {"start": "22:00", "end": "7:00"},
        {"start": "22:00", "end": "24:00"},
        {"start": "22:00", "end": "07:00", "timezone": "Nowhere"},
        {"start": "22:00", "end": "07:00", "days": "Mon"},
    ],
)
def test_wrong_hours_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        QuietHours.model_validate(fields)


@pytest.mark.parametrize(
    ("on", "status", "expected"),
    [
        ("always", "completed", "pending"),
        ("always", "failed", "pending"),
        ("success", "completed", "pending"),
        ("success", "failed", "not_due"),
        ("failure", "completed", "not_due"),
        ("failure", "failed", "pending"),
        ("always", "cancelled", None),
        ("always", "skipped", None),
        ("always", "missed", None),
    ],
)
def test_what_is_delivered_is_what_on_asks(on: str, status: str, expected: str | None) -> None:
    delivery = Delivery.model_validate({"channel": "slack:#alerts", "on": on})
    row = planned(delivery, RunStatus(status))
    assert (row and row["status"]) == expected
    if expected == "not_due":
        assert row
        assert row["reason"] == f"it is delivered on {on} only"


def test_a_false_condition_suppresses_and_a_dry_run_is_never_delivered() -> None:
    delivery = Delivery(channel="slack:#alerts")
    row = planned(delivery, RunStatus.COMPLETED, verdict=Verdict(False, "x > 1 is false"))
    assert row == {
        "channel": "slack:#alerts", "format": "markdown", "status": "suppressed", "reason": "x > 1 is false",
    }  # fmt: skip
    row = planned(delivery, RunStatus.COMPLETED, verdict=Verdict(True, "x > 1 is true"), dry_run=True)
    assert row
    assert row["status"] == "not_due"
    assert planned(None, RunStatus.COMPLETED) is None
