"""What holds of any text whatever, and of any sequence of the grammar's own words."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.core import schedule
from chalicelib.core.english import clauses
from chalicelib.core.english.reader import Reader
from chalicelib.core.english.tokens import Token
from chalicelib.core.english.words import LEXICON
from chalicelib.core.errors import Invalid
from chalicelib.core.natural import LONGEST, Parsed, describe, parse

NOW = datetime(2026, 11, 21, 10, 15, tzinfo=UTC)
_COMMON = """
every day at 9 5pm 17:30 0900 noon weekday weekdays monday friday on in the first last second of month and to
between from 10 15 2 other hours minutes days weeks january march twice except tomorrow next starting quarter
year 1st 15th once per half past 2027 :15 hourly monthly weekly pacific utc+2 morning night a - ,
"""
COMMON = _COMMON.split()
ZONES = st.sampled_from(["UTC", "America/New_York", "Europe/London", "Australia/Lord_Howe"])
SENTENCES = st.lists(st.sampled_from(COMMON) | st.sampled_from(sorted(LEXICON)), max_size=12).map(" ".join)
STEPS = 100  # a character
modest = settings(derandomize=True, max_examples=400, deadline=None, database=None)


def read(text: str, timezone: str = "UTC") -> Parsed | None:
    """None if refused; no other exception may come."""
    try:
        return parse(text, now=NOW, timezone=timezone)
    except Invalid as error:
        refused = error
    ((field, issue),) = refused.details
    assert field == "text"
    assert issue.isascii()
    return None


def is_valid(made: dict[str, object]) -> bool:
    if made["type"] == "cron":
        return schedule.cron(str(made["expression"]), str(made["timezone"])).next(NOW) is not None
    if made["type"] == "every":
        first = made.get("start_at")
        return int(str(made["interval"])) > 0 and (not first or datetime.fromisoformat(str(first)) > NOW)
    return datetime.fromisoformat(str(made["datetime"])) > NOW


@modest
@given(st.text(max_size=LONGEST + 20), ZONES)
def test_any_text_is_read_or_refused(text: str, timezone: str) -> None:
    parsed = read(text, timezone)
    assert parsed is None or is_valid(parsed.schedule)


@modest
@given(SENTENCES, ZONES)
def test_any_words_are_read_or_refused_and_what_is_read_reads_back_to_the_same(text: str, zone: str) -> None:
    parsed = read(text, zone)
    if parsed is None:
        return
    assert is_valid(parsed.schedule)
    assert 0 < parsed.confidence <= 0.95
    again = read(describe(parsed.schedule))
    assert again is not None
    assert again.schedule == parsed.schedule


class Counting(Reader):
    steps = 0

    def peek(self, ahead: int = 0) -> Token:
        Counting.steps += 1
        return super().peek(ahead)


@modest
@given(st.sampled_from(COMMON), st.sampled_from(COMMON), st.sampled_from(["", "and", "to", ","]))
def test_the_steps_taken_are_in_proportion_to_the_length(one: str, two: str, joint: str) -> None:
    text = (f"{one} {joint} {two} {joint} " * LONGEST)[:LONGEST]
    Counting.steps = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clauses, "Reader", Counting)
        read(text)
    assert Counting.steps < STEPS * LONGEST
