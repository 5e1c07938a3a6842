"""Schedules by example: each rule of the design, each refusal."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest

from chalicelib.core.errors import Invalid
from chalicelib.core.schedule import Cron, Dst, Fold, Gap, Schedule, at, cron, every, jitter, zone

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)  # a Sunday
DAY = timedelta(days=1)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def first(schedule: Schedule, count: int, after: datetime = NOON) -> list[str]:
    """The next slots in the schedule's own zone, as 2026-11-22T12:00."""
    return [f"{slot.astimezone(schedule.zone):%FT%R}" for slot in islice(following(schedule, after), count)]


def following(schedule: Schedule, after: datetime) -> Iterator[datetime]:
    return schedule.occurrences(after, after + timedelta(days=366 * 45))


def days(expression: str, year: int, month: int, after: str = "") -> list[int]:
    """The days of a month on which a schedule at midnight comes."""
    begin = datetime(year, month, 1, tzinfo=UTC)
    end = (begin + timedelta(days=32)).replace(day=1)
    second = timedelta(seconds=1)
    return [slot.day for slot in cron(expression, "UTC").occurrences(begin - second, end - second)]


def around(expression: str, zone_name: str, day: str, dst: Dst | None = None) -> list[str]:
    """All that comes on one local day, as 02:30+01:00."""
    schedule = cron(expression, zone_name, dst=dst or Dst())
    midday = datetime.fromisoformat(day).replace(hour=12, tzinfo=schedule.zone)
    local = (slot.astimezone(schedule.zone) for slot in schedule.occurrences(midday - DAY, midday + DAY))
    return [slot.isoformat(timespec="minutes")[11:] for slot in local if f"{slot:%F}" == day]


# Fields


@pytest.mark.parametrize(
    ("expression", "slots"),
    [
        ("* * * * *", ["2026-11-22T12:01", "2026-11-22T12:02"]),
        ("*/20 * * * *", ["2026-11-22T12:20", "2026-11-22T12:40"]),
        ("0 9 * * *", ["2026-11-23T09:00", "2026-11-24T09:00"]),
        ("0 9-17/4 * * *", ["2026-11-22T13:00", "2026-11-22T17:00"]),
        ("5,10 0 1 * *", ["2026-12-01T00:05", "2026-12-01T00:10"]),
        ("0 0 1 jan,JUL *", ["2027-01-01T00:00", "2027-07-01T00:00"]),
        ("0 0 * * Mon", ["2026-11-23T00:00", "2026-11-30T00:00"]),
        ("0 0 * mar-MAY mon-tue", ["2027-03-01T00:00", "2027-03-02T00:00"]),
        ("  0  0  *   * * ", ["2026-11-23T00:00", "2026-11-24T00:00"]),
        ("00 007 * * *", ["2026-11-23T07:00", "2026-11-24T07:00"]),
    ],
)
def test_five_fields_with_names_lists_ranges_and_steps(expression: str, slots: list[str]) -> None:
    assert first(cron(expression, "UTC"), 2) == slots


@pytest.mark.parametrize(
    ("alias", "expression"),
    [
        ("@hourly", "0 * * * *"),
        ("@daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@weekly", "0 0 * * 0"),
        ("@monthly", "0 0 1 * *"),
        ("@yearly", "0 0 1 1 *"),
        ("@Annually", "0 0 1 1 *"),
    ],
)
def test_an_alias_is_its_five_fields(alias: str, expression: str) -> None:
    assert cron(alias, "UTC").pattern == cron(expression, "UTC").pattern


@pytest.mark.parametrize(
    ("expression", "same"),
    [
        ("9-9 * * * *", "9 * * * *"),
        ("0 0 * jan-jan *", "0 0 * 1 *"),
        ("0 0 * * 7-7", "0 0 * * 0"),
        ("? ? ? ? ?", "* * * * *"),
        ("0 0 ? * 1", "0 0 * * 1"),
        ("50/4 * * * *", "50-59/4 * * * *"),
        ("0 0 1/10 * *", "0 0 1-31/10 * *"),
        ("59/15 * * * *", "59 * * * *"),
        ("0 0 * * 7-3", "0 0 * * 0-3"),
        ("0 0 * * 7-3/2", "0 0 * * 0,2"),
        ("0 0 * * 5-7", "0 0 * * 0,5,6"),
        ("0 0 * * fri-sun", "0 0 * * 0,5,6"),
        ("0 0 * * sun-tue", "0 0 * * 0-2"),
        ("0 0 * * 7-sun", "0 0 * * 0"),
        ("0 0 * * 0-7", "0 0 * * sun-sat"),
        ("0 0 * * 1/2", "0 0 * * 0,1,3,5"),
        ("0 0 * * 1/4", "0 0 * * 1,5"),
        ("0 0 * * 7/2", "0 0 * * 0"),
        ("5/100 * * * *", "5 * * * *"),
        ("10-20/1000 * * * *", "10 * * * *"),
        ("0 0 * * MONL", "0 0 * * 1L"),
        ("0 0 * * L5", "0 0 * * 5l"),
        ("0 0 * * Lfri", "0 0 * * L5"),
        ("0 0 * * 7L", "0 0 * * 0L"),
        ("0 0 * * fri#1", "0 0 * * 5#1"),
        ("0 0 LW,15w * *", "0 0 15W,lw * *"),
    ],
)
def test_two_ways_to_write_one_schedule(expression: str, same: str) -> None:
    one, other = (cron(text, "UTC").pattern for text in (expression, same))
    assert (one.minutes, one.hours, one.days) == (other.minutes, other.hours, other.days)


def test_a_step_beyond_the_field_leaves_its_first_value() -> None:
    assert first(cron("*/100 * * * *", "UTC"), 2) == ["2026-11-22T13:00", "2026-11-22T14:00"]
    assert first(cron(f"*/{'9' * 200} * * * *", "UTC"), 1) == ["2026-11-22T13:00"]


def test_days_are_joined_by_or_when_neither_field_starts_with_a_star() -> None:
    assert days("0 0 13 * 5", 2026, 11) == [6, 13, 20, 27]
    assert days("0 0 10 * 5", 2026, 11) == [6, 10, 13, 20, 27]


def test_days_are_joined_by_and_when_one_field_starts_with_a_star() -> None:
    assert days("0 0 * * 5", 2026, 11) == [6, 13, 20, 27]
    assert days("0 0 */2 * 5", 2026, 11) == [13, 27]
    assert days("0 0 10-20 * */5", 2026, 11) == [13, 15, 20]
    assert days("0 0 *,5 * 5", 2026, 11) == [6, 13, 20, 27]


def test_a_full_range_is_no_star() -> None:
    assert len(days("0 0 1-31 * 5", 2026, 11)) == 30


@pytest.mark.parametrize(
    ("expression", "month", "expected"),
    [
        ("0 0 L * *", (2026, 2), [28]),
        ("0 0 L * *", (2028, 2), [29]),
        ("0 0 1,L * *", (2026, 4), [1, 30]),
        ("0 0 LW * *", (2026, 5), [29]),  # the 31st is a Sunday
        ("0 0 LW * *", (2026, 1), [30]),  # the 31st is a Saturday
        ("0 0 LW * *", (2026, 11), [30]),
        ("0 0 15W * *", (2026, 8), [14]),  # a Saturday: the Friday before
        ("0 0 15W * *", (2026, 11), [16]),  # a Sunday: the Monday after
        ("0 0 15W * *", (2026, 10), [15]),
        ("0 0 1W * *", (2026, 8), [3]),  # a Saturday, but not into July
        ("0 0 31W * *", (2026, 5), [29]),  # a Sunday, but not into June
        ("0 0 31W * *", (2026, 6), []),  # no such day
        ("0 0 * * 5L", (2026, 11), [27]),
        ("0 0 * * L1,3L", (2026, 11), [25, 30]),
        ("0 0 * * mon#2,tue", (2026, 11), [3, 9, 10, 17, 24]),
        ("0 0 * * 5#5", (2026, 11), []),
        ("0 0 * * 6#1,7#2", (2026, 11), [7, 8]),
        ("0 0 * * 0#5", (2026, 11), [29]),
        ("0 0 L * 1#1", (2026, 11), [2, 30]),
        ("0 0 */2 * 1#1", (2026, 11), []),  # AND: Monday the 2nd is even
    ],
)
def test_last_nearest_and_nth_days(expression: str, month: tuple[int, int], expected: list[int]) -> None:
    assert days(expression, *month) == expected


# H


def test_h_is_stable_for_a_job_and_differs_between_jobs() -> None:
    texts = {seed: first(cron("H H * * *", "UTC", seed=seed), 3) for seed in map(str, range(20))}
    assert texts["1"] == first(cron("h h * * *", "UTC", seed="1"), 3)
    assert len({slots[0] for slots in texts.values()}) == 20


def test_the_hash_is_pinned_since_stored_jobs_depend_on_it() -> None:
    assert first(cron("H H * * *", "UTC", seed="job_a"), 1) == ["2026-11-23T10:22"]


def test_h_draws_the_fields_apart() -> None:
    drawn = {first(cron("H(0-11) H(0-11) * * *", "UTC", seed=str(seed)), 1)[0][11:] for seed in range(40)}
    assert any(slot[:2] != slot[3:] for slot in drawn)


@pytest.mark.parametrize("seed", ["job_a", "job_b", "job_c", "job_d", ""])
def test_h_stays_in_its_range_and_keeps_its_step(seed: str) -> None:
    def values(text: str) -> list[int]:
        minutes = cron(f"{text} * * * *", "UTC", seed=seed).pattern.minutes
        return [minute for minute in range(60) if minutes[minute] == minute]

    def gaps(found: list[int]) -> set[int]:
        return {late - early for early, late in pairwise(found)}

    assert len(values("H")) == 1
    assert 10 <= values("H(10-12)")[0] <= 12
    assert len(values("H/15")) == 4
    assert gaps(values("H/15")) == {15}
    assert values("H/15")[0] < 15
    assert {30 <= minute <= 59 for minute in values("H(30-59)/10")} == {True}
    assert len(values("H(30-59)/10")) == 3
    assert len(values("H/100")) == 1
    assert values("H(7-7)") == [7]


def test_h_comes_in_every_month_and_on_a_weekday_that_exists() -> None:
    for seed in map(str, range(60)):
        schedule = cron("0 0 H * *", "UTC", seed=seed)
        assert schedule.count(NOON, NOON + 365 * DAY) == 12
        assert cron("0 0 * * H", "UTC", seed=seed).count(NOON, NOON + 70 * DAY) == 10


def test_jobs_share_one_parsed_schedule_unless_it_has_an_h() -> None:
    assert cron("@hourly", "UTC", seed="a") is cron("@hourly", "UTC", seed="b")
    assert cron("0 0 * * thu", "UTC", seed="a") is cron("0 0 * * thu", "UTC", seed="b")
    assert cron("H * * * *", "UTC", seed="a") is not cron("H * * * *", "UTC", seed="b")


# Refusals


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("", "has 0 fields; needs five"),
        ("* * * *", "has 4 fields; needs five: minute hour day-of-month month day-of-week"),
        ("*", "has 1 field; needs five"),
        ("0 * * * * *", "has 6 fields; needs five"),
        ("0 0 * * * * 2026", "no seconds, no years"),
        ("0 0 * * *\n", "holds '\\n'"),
        ("0 0 * *\n* *", "holds '\\n'"),
        ("0 0 * *\t*", "holds '\\t'"),
        ("0 0 * *\r*", "plain ASCII on one line"),
        ("0 0 * *\x00*", "holds '\\x00'"),
        ("0 0 * *\u00a0*", "holds '\\xa0'"),
        ("0 0 * *\u2028*", "holds '\\u2028'"),
        ("0 0 * *\x0b*", "holds '\\x0b'"),
        ("0 0 * * \ud800", "holds '\\ud800'"),
        ("٣ 0 * * *", "holds '\\u0663'"),
        ("² 0 * * *", "holds '\\xb2'"),
        ("R * * * *", "R differs each time it is read; use H"),
        ("R(0-9) * * * *", "R differs each time"),
        ("R/5 * * * *", "R differs each time"),
        ("@reboot", "nothing boots"),
        ("@every 5m", "is none of @hourly"),
        ("@", "is none of @hourly"),
        ("0 22-2 * * *", "hour '22-2': a range runs upwards; write 22-23,0-2"),
        ("0 0 * * fri-mon", "day-of-week 'fri-mon': a range runs upwards; write fri-7,0-mon"),
        ("0 0 * * 5-0", "a range runs upwards"),
        ("0 0 * nov-feb *", "month 'nov-feb': a range runs upwards"),
        ("30-10/5 * * * *", "a range runs upwards"),
        ("60 * * * *", "minute '60': must be 0-59"),
        ("0 24 * * *", "hour '24': must be 0-23"),
        ("0 0 0 * *", "day-of-month '0': must be 1-31"),
        ("0 0 32 * *", "must be 1-31"),
        ("0 0 * 0 *", "month '0': must be 1-12"),
        ("0 0 * 13 *", "must be 1-12"),
        ("0 0 * * 8", "day-of-week '8': must be 0-7"),
        ("50-70 * * * *", "minute '70': must be 0-59"),
        ("-1 * * * *", "a value is missing"),
        ("+1 * * * *", "is no number"),
        ("1.5 * * * *", "is no number"),
        ("1_0 * * * *", "is no number"),
        ("1,,2 * * * *", "a value is missing"),
        (",1 * * * *", "a value is missing"),
        ("1, * * * *", "a value is missing"),
        ("1- * * * *", "a value is missing"),
        ("1-2-3 * * * *", "is no number"),
        ("*/0 * * * *", "minute '*/0': a step is a number of at least 1"),
        ("1-5/00 * * * *", "a step is a number of at least 1"),
        ("*/ * * * *", "a step is a number of at least 1"),
        ("*/-5 * * * *", "a step is a number of at least 1"),
        ("*/2/3 * * * *", "a step is a number of at least 1"),
        ("/5 * * * *", "a value is missing"),
        ("*5 * * * *", "is no number"),
        ("mon * * * *", "minute 'mon': is no number"),
        ("0 0 * foo *", "month 'foo': is no number or name"),
        ("0 0 * * monday", "is no number or name"),
        ("L * * * *", "is no number"),
        ("0 0 * * L", "L needs a weekday here"),
        ("0 0 * * LW", "is no number or name"),
        ("0 0 W * *", "a value is missing"),
        ("0 0 32W * *", "must be 1-31"),
        ("0 0 1-5W * *", "is no number"),
        ("0 0 15W/2 * *", "L, W and # take no step"),
        ("0 0 L-3 * *", "is no number"),
        ("0 0 L/2 * *", "take no step"),
        ("0 0 * * 5#2/2", "take no step"),
        ("0 0 * * 5#0", "# takes a number from 1 to 5"),
        ("0 0 * * 5#6", "# takes a number from 1 to 5"),
        ("0 0 * * 5#", "# takes a number from 1 to 5"),
        ("0 0 * * #2", "a value is missing"),
        ("0 0 * * 8#2", "must be 0-7"),
        ("0 0 * * 1-5#2", "is no number or name"),
        ("H( * * * *", "write H(a-b)"),
        ("H(5 * * * *", "write H(a-b)"),
        ("H() * * * *", "write H(a-b)"),
        ("H(5) * * * *", "write H(a-b)"),
        ("H(5-99) * * * *", "must be 0-59"),
        ("H(9-5) * * * *", "a range runs upwards"),
        ("H(0-9)x * * * *", "write H(a-b)"),
        ("H/0 * * * *", "a step is a number of at least 1"),
        ("H5 * * * *", "is no number"),
        ("0 0 30 2 *", "dates that never come"),
        ("0 0 31 4 *", "dates that never come"),
        ("0 0 31 2,4,6,9,11 *", "dates that never come"),
        ("0 0 30W 2 *", "dates that never come"),
        ("0 0 29W 2 */7", "dates that never come"),  # AND: the workday nearest to it is no Sunday
        ("*" * 257, "is 257 characters long; at most 256"),
        ("9" * 5000 + " * * * *", "at most 256"),
        ("9" * 200 + " * * * *", "must be 0-59"),
        ("0 0 * * *" + " " * 300, "at most 256"),
        ("(" * 100 + " * * * *", "is no number"),
        ("0 0 * * '; DROP TABLE jobs", "needs five"),
    ],
)
def test_a_bad_expression_is_refused_with_its_reason(expression: str, reason: str) -> None:
    with pytest.raises(Invalid) as refused:
        cron(expression, "UTC")
    (detail,) = refused.value.details
    assert detail.field == "expression"
    assert reason in detail.issue
    assert len(detail.issue) < 250


@pytest.mark.parametrize(
    "name",
    [
        *("", "x" * 10_000, "../x", "../../etc/passwd", "/etc/passwd", "\0", "UTC\0", "UTC\n", "localtime"),
        *("Factory", "posixrules", "right/UTC", "posix/UTC", "Europe", "Europe/", "utc ", "europe/berlin"),
        *("\ud800", "🕰", "UTC+2", "America/New York", "Mars/Olympus", "zone.tab", "Europe/../UTC", "."),
    ],
)
def test_what_is_no_iana_zone_is_refused(name: str) -> None:
    for make in (zone, lambda name: cron("* * * * *", name), lambda name: at(NOON, name)):
        with pytest.raises(Invalid) as refused:
            make(name)
        (detail,) = refused.value.details
        assert detail.field == "timezone"
        assert "is no IANA zone" in detail.issue
        assert len(detail.issue) < 250


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("europe/berlin", "Europe/Berlin"),
        ("Europe/Berln", "Europe/Berlin"),
        ("Amerca/New_York", "America/New_York"),
        ("New York", "America/New_York"),
        ("tokyo", "Asia/Tokyo"),
        ("Asia/Calcuta", "Asia/Calcutta"),
    ],
)
def test_an_unknown_zone_is_answered_with_the_nearest_names(name: str, meant: str) -> None:
    with pytest.raises(Invalid, match=f"did you mean .*{meant}"):
        zone(name)


def test_a_known_zone_is_given_as_it_is() -> None:
    assert zone("Europe/Berlin") is ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    "refused",
    [
        lambda: cron(",".join(["0-59/1"] * 35) + " * * * x", "UTC"),
        lambda: cron("9" * 5000, "UTC"),
        lambda: cron(",".join(["L"] * 120) + " * * * *", "UTC"),
        lambda: cron("0 0 30 2 *", "UTC"),
        lambda: zone("x" * 10_000),
        lambda: zone("Amerika/" + "x" * 50),
    ],
)
def test_a_refusal_is_quick(refused: Callable[[], object]) -> None:
    assert zone("UTC")  # the list of zones is read once, at the first use
    began = time.perf_counter()
    with pytest.raises(Invalid):
        refused()
    assert time.perf_counter() - began < 0.05


# Rare dates and the ends of the calendar


def test_29_february_is_found_across_a_century_that_is_no_leap_year() -> None:
    assert first(cron("0 0 29 2 *", "UTC"), 2) == ["2028-02-29T00:00", "2032-02-29T00:00"]
    assert first(cron("0 0 29 2 *", "UTC"), 1, utc("2096-03-01")) == ["2104-02-29T00:00"]


def test_29_february_on_one_weekday_is_found_forty_years_on() -> None:
    sundays = cron("0 0 29 2 */7", "UTC")
    assert first(sundays, 1, utc("2088-03-01")) == ["2128-02-29T00:00"]


def test_the_schedule_ends_with_the_calendar() -> None:
    assert cron("0 0 1 1 *", "Pacific/Apia").next(utc("9999-06-01")) is None
    assert cron("* * * * *", "Asia/Tokyo").next(datetime.max.replace(tzinfo=UTC)) is None
    assert every(timedelta(days=300), NOON).next(utc("9999-12-15")) is None


def test_it_can_be_asked_from_the_beginning_of_time() -> None:
    start = utc("2026-01-01")
    for name in ("UTC", "Asia/Tokyo", "America/New_York"):
        assert cron("0 0 1 * *", name, start=start).next(datetime.min.replace(tzinfo=UTC)) is not None
        assert cron("0 0 1 * *", name).next(datetime.min.replace(tzinfo=UTC)) is not None


def test_a_slot_that_always_falls_into_a_gap_is_not_sought_for_ever() -> None:
    second_sunday_of_march = "30 2 8-14 3 */7"
    never = cron(second_sunday_of_march, "America/New_York", dst=Dst(gap=Gap.SKIP))
    assert never.next(NOON) is None
    assert cron(second_sunday_of_march, "America/New_York").next(NOON) == utc("2027-03-14T07:00")


# Limits


def test_a_slot_lies_strictly_after_and_at_most_at_until() -> None:
    schedule = cron("0 * * * *", "UTC")
    assert schedule.next(NOON) == NOON + timedelta(hours=1)
    assert schedule.next(NOON - timedelta(microseconds=1)) == NOON
    assert schedule.next(NOON + timedelta(seconds=59, microseconds=1)) == NOON + timedelta(hours=1)
    assert list(schedule.occurrences(NOON, NOON + timedelta(hours=2))) == [
        NOON + timedelta(hours=1),
        NOON + timedelta(hours=2),
    ]
    assert list(schedule.occurrences(NOON, NOON)) == []
    assert schedule.count(NOON, NOON - DAY) == 0


def test_start_and_end_are_inclusive() -> None:
    schedule = cron("0 * * * *", "UTC", start=NOON, end=NOON + timedelta(hours=2))
    assert schedule.next(NOON - 30 * DAY) == NOON
    assert schedule.count(NOON - 30 * DAY, NOON + 30 * DAY) == 3
    assert schedule.next(NOON + timedelta(hours=2)) is None


def test_slots_are_utc_whatever_zone_is_asked_in() -> None:
    asked = NOON.astimezone(ZoneInfo("Asia/Kathmandu"))
    slot = cron("0 9 * * *", "Europe/Berlin").next(asked)
    assert slot == utc("2026-11-23T08:00")
    assert slot.tzinfo is UTC


def test_a_wall_time_that_does_not_exist_can_be_asked_from() -> None:
    new_york = ZoneInfo("America/New_York")
    imaginary = datetime(2026, 3, 8, 2, 30, tzinfo=new_york)  # read as 3:30
    assert cron("0 * * * *", "America/New_York").next(imaginary) == utc("2026-03-08T08:00")


def test_limits_that_repeat_on_the_clock_are_told_apart_in_the_cache() -> None:
    twice = datetime(2026, 11, 1, 1, 30, tzinfo=ZoneInfo("America/New_York"))
    early, late = (cron("*/30 * * * *", "UTC", start=twice.replace(fold=fold)) for fold in (0, 1))
    assert (early.start, late.start) == (utc("2026-11-01T05:30"), utc("2026-11-01T06:30"))


@pytest.mark.parametrize(
    "make",
    [
        lambda naive: cron("* * * * *", "UTC", start=naive),
        lambda naive: cron("* * * * *", "UTC", end=naive),
        lambda naive: every(DAY, naive),
        lambda naive: every(DAY, NOON, end=naive),
        at,
    ],
)
def test_an_instant_needs_an_offset(make: Callable[[datetime], object]) -> None:
    with pytest.raises(Invalid, match="datetime: needs a zone or an offset"):
        make(NOON.replace(tzinfo=None))
    with pytest.raises(Invalid, match="datetime: is outside of the years"):
        make(datetime.min.replace(tzinfo=ZoneInfo("Asia/Tokyo")))


# DST: the default is Debian's rule


def test_a_fixed_time_in_the_gap_runs_at_the_first_minute_after_it() -> None:
    assert around("30 2 * * *", "America/New_York", "2026-03-08") == ["03:00-04:00"]


def test_several_slots_in_one_gap_are_one_run() -> None:
    assert around("0,15,30 2 * * *", "America/New_York", "2026-03-08") == ["03:00-04:00"]
    assert around("30 1-3 * * *", "America/New_York", "2026-03-08") == [
        "01:30-05:00",
        "03:00-04:00",
        "03:30-04:00",
    ]


def test_a_slot_at_the_end_of_the_gap_is_not_doubled_by_one_within_it() -> None:
    assert around("0 2,3 * * *", "America/New_York", "2026-03-08") == ["03:00-04:00"]


def test_a_fixed_time_in_the_overlap_runs_once_at_the_first_pass() -> None:
    assert around("30 1 * * *", "America/New_York", "2026-11-01") == ["01:30-04:00"]
    assert around("0,30 1,2 * * *", "America/New_York", "2026-11-01") == [
        "01:00-04:00",
        "01:30-04:00",
        "02:00-05:00",
        "02:30-05:00",
    ]


def test_a_wildcard_gets_nothing_extra_in_the_gap() -> None:
    assert around("*/30 2 * * *", "America/New_York", "2026-03-08") == []
    assert around("30 */2 * * *", "America/New_York", "2026-03-08")[:2] == ["00:30-05:00", "04:30-04:00"]
    assert len(around("0 * * * *", "America/New_York", "2026-03-08")) == 23


def test_a_wildcard_comes_at_both_passes_of_the_overlap() -> None:
    assert around("*/30 1 * * *", "America/New_York", "2026-11-01") == [
        "01:00-04:00",
        "01:30-04:00",
        "01:00-05:00",
        "01:30-05:00",
    ]
    assert len(around("0 * * * *", "America/New_York", "2026-11-01")) == 25


def test_only_the_first_character_makes_a_wildcard() -> None:
    assert around("0,*/30 2 * * *", "America/New_York", "2026-03-08") == ["03:00-04:00"]
    assert around("? 2 * * *", "America/New_York", "2026-03-08") == []
    assert around("0-59 2 * * *", "America/New_York", "2026-03-08") == ["03:00-04:00"]


@pytest.mark.parametrize(
    ("dst", "gap_day", "overlap_day"),
    [
        (Dst(gap=Gap.SKIP), [], ["01:30-04:00"]),
        (Dst(gap=Gap.RUN_AFTER), ["03:00-04:00"], ["01:30-04:00"]),
        (Dst(overlap=Fold.FIRST), ["03:00-04:00"], ["01:30-04:00"]),
        (Dst(overlap=Fold.SECOND), ["03:00-04:00"], ["01:30-05:00"]),
        (Dst(overlap=Fold.BOTH), ["03:00-04:00"], ["01:30-04:00", "01:30-05:00"]),
        (Dst(Gap.SKIP, Fold.SECOND), [], ["01:30-05:00"]),
    ],
)
def test_a_job_may_choose_its_rule(dst: Dst, gap_day: list[str], overlap_day: list[str]) -> None:
    assert around("30 2 * * *", "America/New_York", "2026-03-08", dst) == gap_day
    assert around("30 1 * * *", "America/New_York", "2026-11-01", dst) == overlap_day


def test_a_wildcard_may_choose_its_rule_too() -> None:
    chosen = Dst(Gap.RUN_AFTER, Fold.SECOND)
    assert around("*/30 2 * * *", "America/New_York", "2026-03-08", chosen) == ["03:00-04:00"]
    assert around("*/30 0-2 * * *", "America/New_York", "2026-11-01", chosen) == [
        "00:00-04:00",
        "00:30-04:00",
        "01:00-05:00",
        "01:30-05:00",
        "02:00-05:00",
        "02:30-05:00",
    ]


@pytest.mark.parametrize(
    ("after", "overlap", "expected"),
    [
        ("05:30", Fold.FIRST, "2026-11-02T06:30"),  # after the first pass's 1:30
        ("05:30", Fold.BOTH, "2026-11-01T06:30"),
        ("05:30", Fold.SECOND, "2026-11-01T06:30"),
        ("05:45", Fold.BOTH, "2026-11-01T06:30"),
        ("06:10", Fold.FIRST, "2026-11-02T06:30"),  # within the second pass, before its 1:30
        ("06:10", Fold.SECOND, "2026-11-01T06:30"),
        ("06:10", Fold.BOTH, "2026-11-01T06:30"),
        ("06:30", Fold.BOTH, "2026-11-02T06:30"),
        ("06:59", Fold.SECOND, "2026-11-02T06:30"),
    ],
)
def test_a_start_within_the_overlap_knows_its_pass(after: str, overlap: Fold, expected: str) -> None:
    schedule = cron("30 1 * * *", "America/New_York", dst=Dst(overlap=overlap))
    assert schedule.next(utc(f"2026-11-01T{after}")) == utc(expected)


def test_the_second_pass_begins_on_the_second_wherever_one_starts_from() -> None:
    start = utc("2026-11-01T05:30") + timedelta(seconds=12, microseconds=345)
    assert cron("0 1 * * *", "America/New_York", dst=Dst(overlap=Fold.BOTH)).next(start) == utc(
        "2026-11-01T06:00"
    )


def test_the_second_pass_of_a_yearly_wildcard_is_not_passed_over() -> None:
    schedule = cron("*/60 1 1 11 *", "America/New_York")
    assert schedule.next(utc("2026-11-01T05:00")) == utc("2026-11-01T06:00")


def test_a_jump_of_half_an_hour() -> None:
    assert around("15 2 * * *", "Australia/Lord_Howe", "2026-10-04") == ["02:30+11:00"]
    assert around("45 1 * * *", "Australia/Lord_Howe", "2026-04-05") == ["01:45+11:00"]
    assert around("*/15 1 * * *", "Australia/Lord_Howe", "2026-04-05") == [
        "01:00+11:00",
        "01:15+11:00",
        "01:30+11:00",
        "01:45+11:00",
        "01:30+10:30",
        "01:45+10:30",
    ]


@pytest.mark.parametrize(
    ("zone_name", "day", "expected"),
    [
        ("America/Havana", "2026-03-08", "01:00-04:00"),
        ("Africa/Cairo", "2026-04-24", "01:00+03:00"),
        ("Asia/Beirut", "2026-03-29", "01:00+03:00"),
    ],
)
def test_a_midnight_that_does_not_exist_runs_at_one(zone_name: str, day: str, expected: str) -> None:
    assert around("0 0 * * *", zone_name, day) == [expected]
    assert around("@daily", zone_name, day, Dst(gap=Gap.SKIP)) == []


def test_a_midnight_that_comes_twice_runs_once() -> None:
    assert around("0 0 * * *", "America/Havana", "2026-11-01") == ["00:00-04:00"]
    assert around("30 23 * * *", "Africa/Cairo", "2026-10-29") == ["23:30+03:00"]
    assert around("*/30 23 * * *", "Africa/Cairo", "2026-10-29") == [
        "23:00+03:00",
        "23:30+03:00",
        "23:00+02:00",
        "23:30+02:00",
    ]


def test_a_day_that_does_not_exist_runs_once_after_it() -> None:
    schedule = cron("0 6,18 * * *", "Pacific/Apia")
    assert first(schedule, 4, utc("2011-12-29T12:00")) == [
        "2011-12-29T06:00",
        "2011-12-29T18:00",
        "2011-12-31T00:00",
        "2011-12-31T06:00",
    ]
    skipping = cron("0 6 30 12 *", "Pacific/Apia", dst=Dst(gap=Gap.SKIP))
    assert first(skipping, 1, utc("2011-12-29")) == ["2012-12-30T06:00"]


def test_daylight_saving_that_is_negative_changes_nothing() -> None:
    assert around("30 1 * * *", "Europe/Dublin", "2026-03-29") == ["02:00+01:00"]
    assert around("30 1 * * *", "Europe/Dublin", "2026-10-25") == ["01:30+01:00"]


def test_an_offset_in_seconds_yields_the_first_whole_minute() -> None:
    assert around("30 0 * * *", "Africa/Monrovia", "1972-01-07") == ["00:45+00:00"]  # 44:30 were left out


# Every


def test_every_is_a_grid_from_its_first_slot() -> None:
    schedule = every(timedelta(seconds=7), NOON)
    assert schedule.next(NOON - DAY) == NOON
    assert schedule.next(NOON) == NOON + timedelta(seconds=7)
    assert schedule.next(NOON + timedelta(seconds=6.5)) == NOON + timedelta(seconds=7)
    assert schedule.count(NOON - DAY, NOON + timedelta(seconds=70)) == 11
    assert schedule.count(NOON, NOON + timedelta(seconds=70)) == 10


def test_every_keeps_real_time_across_dst_and_ends_inclusively() -> None:
    schedule = every(DAY, utc("2026-03-07T17:00"), "America/New_York", end=utc("2026-03-09T17:00"))
    assert first(schedule, 9, utc("2026-01-01")) == [
        "2026-03-07T12:00",
        "2026-03-08T13:00",
        "2026-03-09T13:00",
    ]
    assert schedule.count(NOON - 400 * DAY, NOON) == 3


def test_a_long_count_is_arithmetic() -> None:
    assert every(timedelta(seconds=1), NOON).count(NOON, NOON + 36_500 * DAY) == 36_500 * 86_400


@pytest.mark.parametrize(
    "interval",
    [
        timedelta(),
        timedelta(seconds=-5),
        timedelta(seconds=0.5),
        timedelta(seconds=1.5),
        timedelta(days=366, seconds=1),
        timedelta(seconds=1e12),
        timedelta.max,
        timedelta.min,
    ],
)
def test_an_interval_is_whole_seconds_within_a_year(interval: timedelta) -> None:
    with pytest.raises(Invalid) as refused:
        every(interval, NOON)
    (detail,) = refused.value.details
    assert detail == ("interval", "must be whole seconds, 1 to 31622400 (366 days)")


@pytest.mark.parametrize("interval", [timedelta(seconds=1), timedelta(days=366)])
def test_the_limits_of_an_interval_are_allowed(interval: timedelta) -> None:
    assert every(interval, NOON).next(NOON) == NOON + interval


# At


def test_at_is_one_instant() -> None:
    schedule = at(NOON.astimezone(ZoneInfo("Asia/Tokyo")), "Asia/Tokyo")
    assert schedule.next(NOON - DAY) == NOON
    assert schedule.next(NOON) is None
    assert list(schedule.occurrences(NOON - DAY, NOON)) == [NOON]
    assert schedule.count(NOON - DAY, NOON - timedelta(seconds=1)) == 0


# Jitter


def test_jitter_is_stable_and_below_its_limit() -> None:
    limit = timedelta(seconds=600)
    delays = [jitter("job_a", NOON + n * DAY, limit) for n in range(200)]
    assert delays == [jitter("job_a", NOON + n * DAY, limit) for n in range(200)]
    assert all(timedelta() <= delay < limit for delay in delays)
    assert len(set(delays)) > 190
    assert all(delay % timedelta(milliseconds=1) == timedelta() for delay in delays)


def test_jitter_differs_by_job_and_not_by_the_zone_of_the_slot() -> None:
    limit = timedelta(seconds=600)
    assert jitter("job_a", NOON, limit) != jitter("job_b", NOON, limit)
    assert jitter("job_a", NOON, limit) == jitter("job_a", NOON.astimezone(ZoneInfo("Asia/Tokyo")), limit)


@pytest.mark.parametrize("limit", [timedelta(), timedelta(microseconds=999), timedelta(milliseconds=1)])
def test_no_limit_is_no_jitter(limit: timedelta) -> None:
    assert jitter("job_a", NOON, limit) == timedelta()


def test_a_parsed_schedule_is_cached_and_cannot_be_changed() -> None:
    schedule = cron("0 9 * * *", "Europe/Berlin")
    assert cron("0 9 * * *", "Europe/Berlin") is schedule
    assert isinstance(schedule, Cron)
    with pytest.raises(AttributeError):
        schedule.end = NOON  # type: ignore[misc]


@pytest.mark.parametrize(
    ("expression", "days"),
    [
        ("0 3 * * *", 1),
        ("@daily", 1),
        ("5 4 ? * *", 1),
        ("H H * * *", 1),
        ("0 3 1-31 * *", 1),
        ("0 3 * * 0-7", 1),
        ("7 * * * *", None),
        ("0 3,15 * * *", None),
        ("0 3 * * 1-5", None),
        ("0 3 1-30 * *", None),
        ("0 3 * 1-11 *", None),
        ("0 3 */2 * *", None),
    ],
)
def test_a_cron_at_one_time_of_every_day_has_a_period_of_a_day(expression: str, days: int | None) -> None:
    assert cron(expression, "Europe/Berlin", seed="job_a").period == (timedelta(days=days) if days else None)


def test_an_interval_is_its_own_period_and_an_instant_has_none() -> None:
    instant = datetime(2026, 11, 22, tzinfo=UTC)
    assert every(timedelta(seconds=90), instant).period == timedelta(seconds=90)
    assert at(instant).period is None
