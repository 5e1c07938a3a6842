"""Text to schedule and back, over the table of phrasings in `natural_corpus`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from chalicelib.core.errors import Invalid
from chalicelib.core.natural import LONGEST, Parsed, describe, parse
from tests.unit.natural_corpus import HELD_OUT, REFUSED, UNDERSTOOD

NOW = datetime(2026, 11, 21, 10, 15, tzinfo=UTC)  # a Saturday
PHRASINGS = [(text, short) for form in UNDERSTOOD.values() for text, short in form.items()]
LEARNT = [(text, short) for text, short in HELD_OUT.items() if short]


def schedule_of(short: str) -> dict[str, Any]:
    """The schedule that the corpus writes in short."""
    words = short.split()
    if words[0] == "every":
        made: dict[str, Any] = {"type": "every", "interval": int(words[1])}
        rest = words[2:]
        if rest and "T" in rest[0] and ":" in rest[0]:
            made["start_at"] = rest.pop(0)
    elif words[0] == "at":
        made, rest = {"type": "at", "datetime": words[1]}, words[2:]
    else:
        made, rest = {"type": "cron", "expression": " ".join(words[:5])}, words[5:]
    return {**made, "timezone": rest[0] if rest else "UTC"}


def reason(text: str, **options: Any) -> str:
    with pytest.raises(Invalid) as refused:
        parse(text, now=NOW, **options)
    ((field, issue),) = refused.value.details
    assert field == "text"
    return issue


def read(text: str, timezone: str = "UTC", now: datetime = NOW) -> Parsed:
    return parse(text, now=now, timezone=timezone)


def test_the_corpus_is_as_large_as_asked_for() -> None:
    assert len(PHRASINGS) >= 220
    assert len(REFUSED) >= 45
    assert len(HELD_OUT) == 80


@pytest.mark.parametrize(("text", "short"), PHRASINGS + LEARNT)
def test_a_phrasing_becomes_its_schedule(text: str, short: str) -> None:
    assert read(text).schedule == schedule_of(short)


@pytest.mark.parametrize(("text", "word"), REFUSED.items())
def test_what_cannot_be_held_is_refused_with_the_reason(text: str, word: str) -> None:
    assert word in reason(text)


@pytest.mark.parametrize("text", [text for text, short in HELD_OUT.items() if not short])
def test_a_held_out_phrasing_without_a_schedule_is_refused(text: str) -> None:
    assert reason(text)


@pytest.mark.parametrize("text", [text for text, _ in PHRASINGS + LEARNT])
def test_the_description_reads_back_to_the_same_schedule(text: str) -> None:
    schedule = read(text).schedule
    assert read(describe(schedule)).schedule == schedule


@pytest.mark.parametrize("text", [text for text, _ in PHRASINGS])
def test_case_and_outer_spaces_do_not_matter(text: str) -> None:
    assert read(f"  {text.upper()} ").schedule == read(text).schedule


def test_the_example_of_the_document() -> None:
    parsed = read("every weekday at 9am Pacific")
    assert parsed == Parsed(
        {"type": "cron", "expression": "0 9 * * 1-5", "timezone": "America/Los_Angeles"}, 0.95, ()
    )
    assert describe(parsed.schedule) == "At 09:00 AM, Monday through Friday, Pacific Time"


@pytest.mark.parametrize(
    ("text", "confidence", "words"),
    [
        ("every day at 9am", 0.95, []),
        ("every day at noon", 0.95, []),
        ("every day at 09:00 UTC+2", 0.95, []),
        ("every day at 9 and 17", 0.95, []),
        ("every day", 0.85, ["00:00"]),
        ("every day at five", 0.85, ["05:00"]),
        ("every day at 9am IST", 0.85, ["India"]),
        ("every weekday at 5 CST", 0.75, ["China", "05:00"]),
        ("weekly", 0.75, ["00:00", "Sunday"]),
        ("monthly", 0.75, ["00:00", "1st"]),
        ("9am", 0.85, ["every day"]),
        ("every 10 minutes between 9am and 5pm", 0.85, ["17:59"]),
        ("every other Tuesday at 9am Pacific", 0.85, ["24 hours"]),
        ("every other Tuesday at 9am Tokyo", 0.95, []),
    ],
)
def test_confidence_falls_with_each_assumption(text: str, confidence: float, words: list[str]) -> None:
    parsed = read(text)
    assert parsed.confidence == confidence
    assert len(parsed.assumptions) == len(words)
    assert all(any(word in said for said in parsed.assumptions) for word in words)


def test_next_friday_is_the_coming_one_which_is_an_assumption_within_the_week() -> None:
    monday = datetime(2026, 11, 23, 8, tzinfo=UTC)
    parsed = read("next Friday at noon", now=monday)
    assert parsed.schedule["datetime"] == "2026-11-27T12:00:00+00:00"
    assert "2026-11-27" in parsed.assumptions[0]
    assert read("next Monday at noon", now=monday).schedule["datetime"] == "2026-11-30T12:00:00+00:00"


def test_the_text_is_read_in_the_default_zone_where_it_names_none() -> None:
    assert read("tomorrow at 09:00", "America/New_York").schedule == {
        "type": "at",
        "datetime": "2026-11-22T09:00:00-05:00",
        "timezone": "America/New_York",
    }


def test_the_zone_decides_what_day_today_is() -> None:
    assert read("tomorrow at noon", "Pacific/Auckland").schedule["datetime"] == "2026-11-22T12:00:00+13:00"
    late = datetime(2026, 11, 21, 23, 30, tzinfo=UTC)
    assert read("tomorrow at noon", "Asia/Tokyo", late).schedule["datetime"] == "2026-11-23T12:00:00+09:00"


def test_days_ahead_keep_the_time_of_day_across_a_change_of_clocks_and_hours_do_not() -> None:
    before = datetime(2027, 3, 13, 17, 0, tzinfo=UTC)  # noon in New York, the day before the change
    days = read("in 1 day", "America/New_York", before).schedule
    hours = read("in 24 hours", "America/New_York", before).schedule
    assert days["datetime"] == "2027-03-14T12:00:00-04:00"
    assert hours["datetime"] == "2027-03-14T13:00:00-04:00"


def test_a_wall_time_in_the_gap_is_refused() -> None:
    assert "left out" in reason("14 March 2027 at 02:30", timezone="America/New_York")


def test_a_wall_time_in_the_overlap_is_the_first_and_reads_back_as_itself_even_if_the_second() -> None:
    zone = "America/New_York"
    first = read("7 November 2027 at 01:30", zone).schedule
    assert first["datetime"] == "2027-11-07T01:30:00-04:00"
    second = {**first, "datetime": "2027-11-07T01:30:00-05:00"}
    assert read(describe(second), zone).schedule == second


def test_seconds_of_now_are_kept_and_fractions_are_not() -> None:
    now = datetime(2026, 11, 21, 10, 15, 32, 999, tzinfo=UTC)
    schedule = read("in 20 minutes", now=now).schedule
    assert schedule["datetime"] == "2026-11-21T10:35:32+00:00"
    assert read(describe(schedule), now=now).schedule == schedule


def test_a_refusal_tells_what_was_understood_and_what_was_not() -> None:
    assert reason("every day at 9am unless it rains") == (
        "understood 'every day at 9am', but not 'unless it rains'"
    )


def test_an_unknown_default_zone_is_its_own_fault() -> None:
    with pytest.raises(Invalid) as refused:
        parse("every day", now=NOW, timezone="Mars/Olympus")
    assert refused.value.details[0].field == "timezone"


def test_a_text_is_refused_for_its_length_before_it_is_read() -> None:
    assert "longer" in reason("\0" * (LONGEST + 1))
    assert read(f"{'every day'.ljust(LONGEST - 6)}at 9am").schedule["expression"] == "0 9 * * *"


@pytest.mark.parametrize(
    ("schedule", "text"),
    [
        ({"type": "every", "interval": 90, "timezone": "UTC"}, "Every 90 seconds, UTC"),
        ({"type": "every", "interval": 86400, "timezone": "UTC"}, "Every 24 hours, UTC"),
        ({"type": "every", "interval": 604800, "timezone": "UTC"}, "Every 7 days, UTC"),
        (
            {
                "type": "every",
                "interval": 1209600,
                "timezone": "Europe/Paris",
                "start_at": "2026-11-24T08:00:00+00:00",
            },
            "Every 2 weeks, starting Tuesday, November 24, 2026 at 09:00 AM, Europe/Paris",
        ),
        (
            {"type": "at", "datetime": "2027-04-01T07:00:00+00:00", "timezone": "Etc/GMT-2"},
            "On Thursday, April 1, 2027 at 09:00 AM, UTC+2",
        ),
        ({"type": "cron", "expression": "@daily", "timezone": "UTC"}, "At 12:00 AM, UTC"),
        ({"type": "cron", "expression": "*/10 * * * *", "timezone": "UTC"}, "Every 10 minutes, UTC"),
        ({"type": "cron", "expression": "H 3 * * *", "timezone": "UTC"}, "H 3 * * *, UTC"),
        (
            {"type": "cron", "expression": "0 9 * * 1#1,5L", "timezone": "UTC"},
            "At 09:00 AM, on the first Monday and the last Friday of the month, UTC",
        ),
        (
            {"type": "cron", "expression": "0 * * * *", "timezone": "America/New_York"},
            "At 0 minutes past the hour, Eastern Time",
        ),
    ],
)
def test_descriptions(schedule: dict[str, Any], text: str) -> None:
    assert describe(schedule) == text
