"""Entries and segments of the agenda: packing and names."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core.agenda import CatchUps, Entry, Retry, Segment, Slots, minute_prefix, pack
from chalicelib.core.instants import MINUTE, floor_minute
from chalicelib.core.run import Message, Trigger

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)

ids = st.from_regex(r"job_[a-z2-9]{12}", fullmatch=True)
revisions = st.integers(1, 2**43)
# whole milliseconds: all that a text keeps
instants = st.integers(0, 4_102_444_800_000).map(
    lambda ms: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
)
messages = st.builds(
    Message, ids, st.text(min_size=1, max_size=40), revisions, instants, instants, st.sampled_from(Trigger),
    st.integers(1, 100),
)  # fmt: skip
entries: st.SearchStrategy[Entry] = st.one_of(
    st.builds(Slots, ids, revisions),
    st.builds(Retry, messages),
    st.builds(CatchUps, ids, revisions, instants, instants),
)


@given(st.lists(entries, min_size=1, max_size=20), instants)
def test_a_segment_is_read_as_it_was_written(some: list[Entry], instant: datetime) -> None:
    segment = Segment(floor_minute(instant), tuple(some))
    read = Segment.decode(segment.name, segment.encode())
    assert read.minute == segment.minute
    assert sorted(map(repr, read.entries)) == sorted(map(repr, some))
    assert read.name == segment.name


@given(st.lists(st.tuples(st.integers(0, 3), entries), max_size=40), st.randoms())
def test_the_same_entries_in_any_order_make_the_same_segments(
    some: list[tuple[int, Entry]], random: object
) -> None:
    filed = [(NOON + n * MINUTE, entry) for n, entry in some]
    shuffled = filed + filed[:3]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert {s.name for s in pack(filed)} == {s.name for s in pack(shuffled)}


@given(st.integers(0, 350), st.integers(1, 3))
def test_all_entries_are_packed_by_minute_and_by_the_hundred(count: int, minutes: int) -> None:
    filed = [(NOON + (i % minutes) * MINUTE, Slots(f"job_{i}", 1)) for i in range(count)]
    segments = [*pack(filed)]
    assert sorted((s.minute, e.job_id) for s in segments for e in s.entries) == sorted(
        (minute, entry.job_id) for minute, entry in filed
    )
    assert all(1 <= len(s.entries) <= 100 for s in segments)
    full = [-(-len([m for m, _ in filed if m == NOON + n * MINUTE]) // 100) for n in range(minutes)]
    assert len(segments) == sum(full)


def test_names_sort_by_minute() -> None:
    names = [Segment(NOON + n * 7 * MINUTE, (Slots("job_a", 1),)).name for n in range(300)]
    assert names == sorted(names)
    assert names[0].startswith(minute_prefix(NOON))
    assert all(minute_prefix(NOON) <= name for name in names)


def test_an_entry_is_as_short_as_it_can_be() -> None:
    assert Segment(NOON, (Slots("job_abcdefghijkm", 1795356030000),)).encode() == (
        '[["job_abcdefghijkm",1795356030000]]'
    )


@pytest.mark.parametrize(
    "text", ['[["job_a"]]', '[["retry"]]', '[["other","a","b"]]', "[[1,2]]", '[{"a":1}]']
)
def test_what_is_no_entry_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no agenda entry"):
        Segment.decode("2026-11-22T12:00#x", text)
