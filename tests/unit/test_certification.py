"""A certification on a given day: its reminders, its expiry, its renewal, and what people write."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core.certification import (
    THRESHOLDS,
    Certification,
    PausedBy,
    Status,
    due_reminder,
    expired,
    reminded,
    renewed,
    written,
)

TODAY = date(2026, 3, 26)


def held(days: int = 100, **fields: Any) -> Certification:
    """One that expires so many days from today."""
    return Certification(
        mentor="Ada", certification="First aid", expires_on=TODAY + timedelta(days=days), **fields
    )


PERSONS_PAUSE = {"status": Status.PAUSED, "paused_by": PausedBy.PERSON, "paused_reason": "on leave"}


@pytest.mark.parametrize(
    ("days", "done", "due"),
    [
        (61, (), None),
        (60, (), 60),
        (59, (), 60),
        (60, (60,), None),
        (31, (60,), None),
        (30, (60,), 30),
        (30, (60, 30), None),
        (8, (60, 30), None),
        (7, (60, 30), 7),
        (0, (60, 30), 7),
        (0, (60, 30, 7), None),
        (-1, (60, 30), None),
        (20, (), 30),  # jumped past 60: one reminder, the nearest
        (3, (60,), 7),
        (3, (), 7),
    ],
)
def test_the_nearest_reminder_that_is_reached_is_due_once(
    days: int, done: tuple[int, ...], due: int | None
) -> None:
    assert due_reminder(held(days, reminded=done), TODAY) == due


def test_a_reminder_makes_those_further_ahead_idle() -> None:
    assert reminded(held(5), 7).reminded == (60, 30, 7)
    assert reminded(held(20), 30).reminded == (60, 30)


@given(
    start=st.integers(-10, 120),
    steps=st.lists(st.integers(0, 40), max_size=40),
)
def test_over_any_days_each_threshold_is_reminded_of_at_most_once_and_in_time(
    start: int, steps: list[int]
) -> None:
    record, today = held(start), TODAY
    sent: list[int] = []
    for step in [0, *steps]:
        today += timedelta(days=step)
        record = expired(record, today)
        threshold = due_reminder(record, today)
        if threshold is not None:
            assert 0 <= record.days_left(today) <= threshold
            sent.append(threshold)
            record = reminded(record, threshold)
        assert due_reminder(record, today) is None
        assert expired(record, today) == record
        assert (record.status is Status.PAUSED) == (record.days_left(today) < 0)
    assert sent == sorted(set(sent), reverse=True)
    assert set(sent) <= set(THRESHOLDS)


def test_it_holds_through_its_last_day() -> None:
    assert expired(held(0), TODAY).status is Status.ACTIVE
    after = expired(held(-1), TODAY)
    assert (after.status, after.paused_by) == (Status.PAUSED, PausedBy.EXPIRY)
    assert after.paused_reason == "certification First aid expired on 2026-03-25"


def test_a_persons_pause_stays_theirs_when_it_expires() -> None:
    record = held(-1, **PERSONS_PAUSE)
    assert expired(record, TODAY) is record


def test_a_renewal_lifts_the_pause_of_expiry_only() -> None:
    record = expired(held(-1), TODAY)
    assert renewed(record, TODAY) is record
    again = written(record, fields(300))
    lifted = renewed(again, TODAY)
    assert (lifted.status, lifted.paused_by, lifted.paused_reason) == (Status.ACTIVE, None, None)
    persons = held(300, **PERSONS_PAUSE)
    assert renewed(persons, TODAY) is persons


def fields(days: int = 100, status: Status | None = None, reason: str | None = None) -> dict[str, Any]:
    return {
        "mentor": "Ada",
        "certification": "First aid",
        "expires_on": TODAY + timedelta(days=days),
        "status": status,
        "paused_reason": reason,
    }


def test_a_new_record_is_active_unless_a_person_pauses_it() -> None:
    assert written(None, fields()) == held()
    paused = written(None, fields(status=Status.PAUSED, reason="on leave"))
    assert paused == held(**PERSONS_PAUSE)


def test_writing_a_record_back_as_it_was_read_changes_nothing() -> None:
    for record in (held(), held(**PERSONS_PAUSE), expired(held(-1), TODAY), held(20, reminded=(60, 30))):
        days = record.days_left(TODAY)
        assert written(record, fields(days, record.status, record.paused_reason)) == record
        assert written(record, fields(days)) == record


def test_a_renewal_written_over_a_pause_that_was_read_leaves_it_the_expirys() -> None:
    record = expired(held(-1), TODAY)
    again = written(record, fields(300, record.status, record.paused_reason))
    assert again.paused_by is PausedBy.EXPIRY
    assert renewed(again, TODAY).status is Status.ACTIVE


def test_another_reason_makes_it_the_persons_pause() -> None:
    record = expired(held(-1), TODAY)
    after = written(record, fields(300, Status.PAUSED, "on leave"))
    assert after == held(300, **PERSONS_PAUSE)
    assert renewed(after, TODAY) is after


def test_another_date_begins_the_reminders_anew() -> None:
    record = held(20, reminded=(60, 30))
    assert written(record, fields(385)).reminded == ()
    assert written(record, fields(20)).reminded == (60, 30)


def test_a_person_lifts_any_pause() -> None:
    for record in (held(**PERSONS_PAUSE), expired(held(-1), TODAY)):
        after = written(record, fields(status=Status.ACTIVE))
        assert (after.status, after.paused_by, after.paused_reason) == (Status.ACTIVE, None, None)
