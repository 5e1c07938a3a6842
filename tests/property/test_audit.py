"""The audit log's chain: whatever is changed in it, anywhere, is found."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from chalicelib.core.audit import (
    PRUNE,
    BrokenLink,
    Checkpoint,
    Head,
    Row,
    check,
    digest,
    gap_after,
    key,
    linked,
    write,
)

FIRST_AT = "2026-11-22T14:00:00.000Z"


@dataclass(frozen=True)
class Log:
    """As it is stored: the rows, the texts of the head and of the checkpoint."""

    rows: tuple[Row, ...]
    head: str
    gap: str | None

    def entries(self) -> int:
        gap = Checkpoint.read(self.gap) if self.gap else None
        return check(self.rows, Head.read(self.head), gap)

    def is_sound(self) -> bool:
        try:
            self.entries()
        except BrokenLink:
            return False
        return True

    def with_rows(self, *rows: Row) -> Log:
        return Log(tuple(sorted(rows)), self.head, self.gap)

    def with_text(self, index: int, text: str) -> Log:
        return self.with_rows(*self.rows[:index], (self.rows[index][0], text), *self.rows[index + 1 :])

    @property
    def texts(self) -> list[str]:
        return [text for _, text in self.rows] + [self.head] + ([self.gap] if self.gap else [])

    def with_nth_text(self, nth: int, text: str) -> Log:
        if nth < len(self.rows):
            return self.with_text(nth, text)
        return Log(self.rows, text, self.gap) if nth == len(self.rows) else Log(self.rows, self.head, text)


class Writer:
    """Writes a log as the scheduler does, and cleans it up."""

    def __init__(self) -> None:
        self.head: Head | None = None
        self.gap: Checkpoint | None = None
        self.entries: dict[int, dict[str, Any]] = {}

    def append(self, **facts: Any) -> None:
        at = f"2026-11-22T14:00:00.{len(self.entries):03d}Z"
        entry = linked(self.head, at, {"actor": "key_a", "action": "job.create", "details": {}, **facts})
        self.head = Head.behind(entry, self.head.first_at if self.head else entry["at"])
        self.entries[entry["seq"]] = entry

    def prune(self, boundary: int, left: int = 0) -> None:
        """Up to the entry `boundary`; a kill leaves the last `left` of what was to be deleted."""
        gap = gap_after(self.entries.get(boundary), self.gap)
        if gap and gap != self.gap:
            self.gap = gap
            self.append(action=PRUNE, details=gap.voucher(self.entries[1]))
        for seq in range(2, (self.gap.last_seq if self.gap else 0) - left + 1):
            self.entries.pop(seq, None)

    def log(self) -> Log:
        assert self.head
        rows = tuple((key(seq), write(entry)) for seq, entry in sorted(self.entries.items()))
        return Log(rows, write(self.head.model_dump()), write(self.gap.model_dump()) if self.gap else None)


@st.composite
def logs(draw: st.DrawFn) -> Log:
    """With none, one or several cleanups behind them, the last of which may have been killed."""
    writer = Writer()
    for target in draw(st.lists(st.text(max_size=8), min_size=1, max_size=8)):
        writer.append(target=target)
    for boundary in sorted(draw(st.lists(st.integers(1, 12), max_size=3))):
        writer.prune(boundary, left=draw(st.integers(0, 3)))
        for target in draw(st.lists(st.text(max_size=3), max_size=3)):
            writer.append(target=target)
    return writer.log()


@given(logs())
def test_what_was_written_is_sound(log: Log) -> None:
    assert log.entries() == len(log.rows)


@given(logs(), st.data())
def test_a_changed_byte_anywhere_is_found(log: Log, data: st.DataObject) -> None:
    nth = data.draw(st.integers(0, len(log.texts) - 1))
    raw = bytearray(log.texts[nth].encode())
    raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    changed = raw.decode(errors="replace")
    assume(changed != log.texts[nth])
    assert not log.with_nth_text(nth, changed).is_sound()


@given(logs(), st.data())
def test_an_entry_with_other_content_and_its_right_hash_is_found(log: Log, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(log.rows) - 1))
    entry = json.loads(log.rows[index][1])
    entry["target"] = data.draw(st.text().filter(lambda target: target != entry.get("target")))
    assert not log.with_text(index, write({**entry, "hash": digest(entry)})).is_sound()


@given(logs(), st.data())
def test_a_removed_entry_is_found(log: Log, data: st.DataObject) -> None:
    """Except the oldest of what a killed cleanup was to delete, which is as if it had been deleted."""
    index = data.draw(st.integers(0, len(log.rows) - 1))
    gap = Checkpoint.read(log.gap) if log.gap else None
    assume(index != 1 or gap is None or json.loads(log.rows[1][1])["seq"] > gap.last_seq)
    rows = [*log.rows]
    del rows[index]
    assert not log.with_rows(*rows).is_sound()


@given(logs(), st.data())
def test_two_swapped_entries_are_found(log: Log, data: st.DataObject) -> None:
    assume(len(log.rows) > 1)
    one, other = data.draw(st.sets(st.integers(0, len(log.rows) - 1), min_size=2, max_size=2))
    swapped = log.with_text(one, log.rows[other][1]).with_text(other, log.rows[one][1])
    assert not swapped.is_sound()


@given(logs(), st.data())
def test_an_inserted_entry_is_found(log: Log, data: st.DataObject) -> None:
    """One that has a right hash, and names one of the others as the one before it."""
    before = json.loads(data.draw(st.sampled_from(log.rows))[1])
    seq = data.draw(st.integers(0, len(log.rows) + 20).filter(lambda seq: key(seq) not in dict(log.rows)))
    entry = {**before, "seq": seq, "prev_hash": before["hash"]}
    forged = (key(seq), write({**entry, "hash": digest(entry)}))
    assert not log.with_rows(*log.rows, forged).is_sound()


@given(logs())
def test_the_first_broken_link_is_named(log: Log) -> None:
    rows = [(place, text.replace("key_a", "key_b")) for place, text in log.rows]
    with pytest.raises(BrokenLink) as raised:
        log.with_rows(*rows).entries()
    assert raised.value.seq == 1


@given(st.lists(st.integers(1, 30), min_size=1, max_size=5))
def test_after_any_cleanups_genesis_boundary_and_what_is_newer_are_there(boundaries: list[int]) -> None:
    writer = Writer()
    for number in range(20):
        writer.append(target=str(number))
    for boundary in boundaries:
        writer.prune(min(boundary, 20))
    newest = max(min(boundary, 20) for boundary in boundaries)
    kept = {1} | set(range(newest, 21))
    assert kept <= set(writer.entries)
    assert not set(range(2, newest)) & set(writer.entries)
    assert writer.log().is_sound()


def test_an_instant_of_the_log_never_goes_back() -> None:
    writer = Writer()
    writer.append()
    assert linked(writer.head, "1999-01-01T00:00:00.000Z", {})["at"] == FIRST_AT


@pytest.mark.parametrize("text", ["[]", "null", "{", "[" * 100_000, '{"seq":1}', '{"seq":"1","hash":"x"}'])
def test_what_is_no_entry_is_a_broken_link(text: str) -> None:
    writer = Writer()
    writer.append()
    log = writer.log()
    assert not log.with_text(0, text).is_sound()
    assert not Log(log.rows, text, None).is_sound()
    assert not Log(log.rows, log.head, text).is_sound()
