"""A run's messages and outputs, and the delays between its attempts."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core.errors import ActionError, Invalid
from chalicelib.core.job import Retry, RetryJitter, Strategy
from chalicelib.core.run import FINISHED, OUTPUT_LIMIT, Message, RunError, RunStatus, cut_output
from tests.unit.test_agenda import messages

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
MESSAGE = Message("job_a", "20261122T120000Z", 1, NOON, NOON)


@given(messages)
def test_a_message_is_read_as_it_was_sent(message: Message) -> None:
    assert Message.decode(message.encode()) == message


@given(
    st.text() | st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists).map(json.dumps)
)
def test_what_is_no_message_is_refused_and_nothing_else_happens(text: str) -> None:
    with pytest.raises(Invalid):
        Message.decode(text)


@pytest.mark.parametrize(
    "change",
    [
        {"job_id": ""},
        {"job_id": 7},
        {"run_id": "x" * 129},
        {"revision": "a"},
        {"slot": "2026-11-22T12:00:00"},  # no offset
        {"slot": "soon"},
        {"due": None},
        {"trigger": "magic"},
        {"dispatch": []},
    ],
)
def test_a_message_with_a_wrong_field_is_refused(change: dict[str, Any]) -> None:
    text = json.dumps(json.loads(MESSAGE.encode()) | change)
    with pytest.raises(Invalid, match="is no run message"):
        Message.decode(text)


def test_a_message_without_a_field_is_refused() -> None:
    fields = json.loads(MESSAGE.encode())
    for name in fields:
        with pytest.raises(Invalid):
            Message.decode(json.dumps({key: value for key, value in fields.items() if key != name}))


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(Invalid):
        Message.decode("[" * 100_000)


def test_the_next_message_of_a_run_has_the_next_number() -> None:
    later = NOON + timedelta(minutes=1)
    again = MESSAGE.again(later)
    assert (again.dispatch, again.due, again.slot, again.run_id) == (2, later, NOON, MESSAGE.run_id)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(json_values)
def test_a_short_output_is_kept_as_it_is(output: Any) -> None:
    assert cut_output(output) == (output, False)


@given(st.text(min_size=1), st.integers(1, 3))
def test_a_long_output_is_cut_to_its_limit_and_marked(part: str, nesting: int) -> None:
    output: Any = part * (OUTPUT_LIMIT * 2 // len(part.encode()) + 1)
    for _ in range(nesting - 1):
        output = {"a": [output]}
    kept, truncated = cut_output(output)
    assert truncated
    assert isinstance(kept, str)
    assert len(json.dumps(kept, ensure_ascii=False).encode()) <= OUTPUT_LIMIT
    whole = (
        output if isinstance(output, str) else json.dumps(output, ensure_ascii=False, separators=(",", ":"))
    )
    assert whole.startswith(kept)


def test_an_error_is_kept_with_its_kind_and_cut() -> None:
    error = RunError.of(ActionError("http_status", "x" * 5000, permanent=True))
    assert (error.type, len(error.message), error.permanent) == ("http_status", 500, True)


def test_finished_is_what_never_changes_again() -> None:
    assert set(RunStatus) - FINISHED == {RunStatus.QUEUED, RunStatus.RUNNING, RunStatus.RETRYING}


@pytest.mark.parametrize(
    ("strategy", "seconds"),
    [("fixed", [7, 7, 7, 7]), ("linear", [7, 14, 21, 28]), ("exponential", [7, 14, 28, 50])],
)
def test_the_delay_follows_the_strategy_up_to_the_most(strategy: str, seconds: list[int]) -> None:
    retry = Retry(max_attempts=9, strategy=Strategy(strategy), base_delay=7, max_delay=50)
    assert [retry.delay(n, 0.3).total_seconds() for n in range(1, 5)] == seconds


@given(
    st.sampled_from(Strategy), st.integers(1, 100), st.floats(0, 1, exclude_max=True), st.integers(0, 86_400)
)
def test_no_delay_is_negative_or_longer_than_the_most(
    strategy: Strategy, attempt: int, chance: float, most: int
) -> None:
    for jitter in RetryJitter:
        retry = Retry(max_attempts=100, strategy=strategy, base_delay=60, max_delay=most, jitter=jitter)
        assert timedelta() <= retry.delay(attempt, chance) <= timedelta(seconds=most)


def test_full_jitter_is_anywhere_up_to_the_delay() -> None:
    retry = Retry(max_attempts=2, strategy=Strategy.FIXED, base_delay=60, jitter=RetryJitter.FULL)
    assert [retry.delay(1, chance).total_seconds() for chance in (0, 0.25, 0.5)] == [0, 15, 30]
