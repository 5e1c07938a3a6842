"""What is planned for the slots that a tick finds, and for messages that waited."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core.instants import EPOCH, MINUTE, millis
from chalicelib.core.job import Job, JobStatus, Misfire, Origin, Spec
from chalicelib.core.planning import MISSED_ROWS, CatchUp, Plan, Start, pace, plan, refusal, waited_too_long

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def job(interval: int = 60, **fields: Any) -> Job:
    spec = Spec.model_validate({"name": "a", "schedule": {"type": "every", "interval": interval}, **fields})
    return Job(
        job_id="job_a",
        revision=millis(NOON),
        version=1,
        spec=spec,
        status=JobStatus.ACTIVE,
        anchor=NOON,
        origin=Origin.NATIVE,
        owner="me",
        created_at=NOON,
        updated_at=NOON,
    )


def slots(count: int, interval: int = 60) -> list[datetime]:
    return [NOON + i * interval * SECOND for i in range(1, count + 1)]


def verdicts(planned: Plan, some: Job) -> list[datetime]:
    """The slots that the plan speaks of."""
    spoken = [start.slot for start in planned.starts] + [*planned.missed]
    if planned.missed_range:
        many = [*_between(some, planned.missed_range.first, planned.missed_range.last)]
        assert len(many) == planned.missed_range.count
        spoken += many
    if planned.catch_up:
        spoken += _between(some, planned.catch_up.first, planned.catch_up.last)
    return sorted(spoken)


def _between(some: Job, first: datetime, last: datetime) -> list[datetime]:
    return [*some.schedule.occurrences(first - SECOND, last)]


@given(
    misfire=st.sampled_from(Misfire),
    count=st.integers(0, 320),
    late=st.integers(-300, 30_000),
    grace=st.integers(0, 600),
    limit=st.integers(1, 150),
    jitter=st.integers(0, 60),
    sent=st.integers(0, 400),
)
def test_each_slot_has_exactly_one_verdict(
    misfire: Misfire, count: int, late: int, grace: int, limit: int, jitter: int, sent: int
) -> None:
    some = job(misfire=misfire, misfire_grace_seconds=grace, catch_up_limit=limit, jitter_seconds=jitter)
    given_slots = slots(count)
    now, perhaps_sent = NOON + late * SECOND, NOON + sent * MINUTE
    planned = plan(some, given_slots, now, perhaps_sent)
    assert verdicts(planned, some) == given_slots
    if planned.missed_range:  # one row for many only where no run can have been sent
        assert planned.missed_range.first >= perhaps_sent
    on_time = [slot for slot in given_slots if now - some.due(slot) <= some.grace]
    assert {start.slot for start in planned.starts} >= set(on_time)
    assert all(start.due == some.due(start.slot) for start in planned.starts if start.slot in on_time)


@given(st.sampled_from(Misfire), st.integers(0, 400))
def test_the_newest_hundred_missed_slots_have_a_row_each(misfire: Misfire, count: int) -> None:
    some = job(misfire=misfire, catch_up_limit=1)
    planned = plan(some, slots(count), NOON + timedelta(days=2), EPOCH)
    left = count if misfire is Misfire.SKIP else max(0, count - 1)
    assert len(planned.missed) == min(left, MISSED_ROWS)
    assert (planned.missed_range.count if planned.missed_range else 0) == max(0, left - MISSED_ROWS)


def test_fire_once_starts_the_newest_late_slot_now() -> None:
    now = NOON + 10 * MINUTE
    planned = plan(job(), slots(12), now, EPOCH)
    assert planned.starts[0] == Start(NOON + 8 * MINUTE, now)
    assert planned.starts[1:] == tuple(Start(slot, slot) for slot in slots(12)[8:])
    assert planned.missed == tuple(slots(7))


def test_a_slot_late_by_no_more_than_the_grace_is_not_late() -> None:
    some = job(misfire="skip", misfire_grace_seconds=60)
    assert plan(some, [NOON], NOON + 60 * SECOND, EPOCH).starts == (Start(NOON, NOON),)
    assert plan(some, [NOON], NOON + 61 * SECOND, EPOCH).missed == (NOON,)


def test_catch_up_keeps_the_newest_of_its_limit() -> None:
    planned = plan(job(misfire="catch_up", catch_up_limit=3), slots(10), NOON + timedelta(hours=1), EPOCH)
    assert planned.catch_up == CatchUp(slots(10)[7], slots(10)[9])
    assert planned.missed == tuple(slots(7))
    assert planned.starts == ()


@given(st.integers(1, 600), st.integers(0, 700), st.integers(-600, 600))
def test_catching_up_keeps_its_pace_and_leaves_none_out(per_minute: int, count: int, late: int) -> None:
    some = job(1, catch_up_per_minute=per_minute, misfire="catch_up")
    minute, now = NOON, NOON + late * SECOND
    starts, rest = pace(some, iter(slots(count, 1)), minute, now)
    assert [start.slot for start in starts] == slots(count, 1)[:per_minute]
    assert rest == (slots(count, 1)[per_minute] if count > per_minute else None)
    assert all(max(minute, now) <= start.due < max(minute, now) + MINUTE for start in starts)
    gaps = {b.due - a.due for a, b in pairwise(starts)}
    assert all(abs(gap - MINUTE / per_minute) < timedelta(microseconds=2) for gap in gaps)


@pytest.mark.parametrize(
    ("status", "revised", "slot", "why"),
    [
        (JobStatus.ACTIVE, 0, 60, None),
        (JobStatus.ACTIVE, 30, 60, "rescheduled"),
        (JobStatus.ACTIVE, 60, 60, None),  # the slot came first
        (JobStatus.PAUSED, 30, 60, "paused"),
        (JobStatus.FAILED, 30, 60, "paused"),
        (JobStatus.PAUSED, 90, 60, None),
    ],
)
def test_a_run_sent_under_an_older_revision_runs_only_if_its_slot_came_before_the_change(
    status: JobStatus, revised: int, slot: int, why: str | None
) -> None:
    sent_under = millis(NOON)
    now = job().model_copy(update={"status": status, "revision": millis(NOON + revised * SECOND)})
    assert refusal(now, sent_under, NOON + slot * SECOND) == why


@pytest.mark.parametrize(
    ("misfire", "waited", "runs"),
    [
        ("skip", 60, True),
        ("skip", 61, False),
        ("fire_once", 61, True),
        ("fire_once", 120, True),
        ("fire_once", 121, False),  # the next slot is late too
        ("catch_up", 86_400, True),
        ("catch_up", 86_401, False),
        ("skip", 86_401, False),
    ],
)
def test_a_message_that_waited_runs_as_the_misfire_policy_says(misfire: str, waited: int, runs: bool) -> None:
    slot = NOON + MINUTE
    why = waited_too_long(job(misfire=misfire), slot, slot, slot + waited * SECOND)
    assert (why is None) == runs
    assert why is None or ("late" in why or "more than a day" in why)


def test_the_last_slot_of_a_schedule_runs_however_late_under_fire_once() -> None:
    some = job(end_at="2026-11-22T12:01:00Z")
    slot = NOON + MINUTE
    assert waited_too_long(some, slot, slot, slot + timedelta(hours=23)) is None
