"""The audit log as a chain of hashes: what links an entry to the one before it, and where a link is broken.

An entry is kept as JSON text under its number `seq`, with the hash of the entry before it and its own: the
SHA-256 of its canonical JSON without that hash. Cleanup leaves one gap, between the first entry (the genesis)
and the newest expired one (the boundary). A checkpoint says what stood there, and an entry of the chain
repeats it, so that neither can be changed alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from chalicelib.core.errors import Conflict

Entry = dict[str, Any]
Row = tuple[str, str]  # an entry's key and its JSON text
Instant = Annotated[str, StringConstraints(pattern=r"^[0-9]{4}-(0[1-9]|1[0-2])-")]
Whole = Annotated[int, Field(ge=0)]

PRUNE = "audit.prune"  # the action of the entries that vouch for a checkpoint
GENESIS = 1


class BrokenLink(Conflict):
    """The log is not what was written. `seq` is the entry's number, None of the head or the checkpoint."""

    def __init__(self, seq: int | None, issue: str) -> None:
        self.seq, self.issue = seq, issue if seq is None else f"entry {seq} {issue}"
        super().__init__(f"the audit log is broken: {self.issue}")


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    @classmethod
    def read(cls, text: str) -> Self:
        """Raises BrokenLink where the text is not what `write` makes."""
        with suppress(ValueError):
            found = cls.model_validate_json(text)
            if write(found.model_dump()) == text:
                return found
        raise BrokenLink(None, f"the {cls.__name__.lower()} is not as it was written")


class Head(_Document):
    """The newest entry's place, and when the chain began."""

    seq: Whole
    hash: str
    at: Instant
    first_at: Instant

    @classmethod
    def behind(cls, entry: Entry, first_at: str) -> Self:
        return cls(seq=entry["seq"], hash=entry["hash"], at=entry["at"], first_at=first_at)


class Checkpoint(_Document):
    """The gap that cleanup has left: its first and last entry, how many there were, the last one's hash."""

    first_seq: Whole
    last_seq: Whole
    count: Whole
    last_hash: str

    def voucher(self, genesis: Entry) -> dict[str, Any]:
        """The details of the entry that vouches for it, and for the entry before the gap."""
        return {"checkpoint": self.model_dump(), "genesis": genesis["hash"]}


def write(document: Mapping[str, Any]) -> str:
    """The text that a document is kept as."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


def key(seq: int) -> str:
    """The key of an entry: sorts by its number."""
    return f"{seq:012d}"


def digest(entry: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical JSON of an entry without its own hash."""
    facts = {name: value for name, value in entry.items() if name != "hash"}
    text = json.dumps(facts, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def linked(head: Head | None, at: str, facts: Mapping[str, Any]) -> Entry:
    """The next entry. Machines' clocks differ, but the log's own never goes back: `at` grows with `seq`."""
    entry = {
        "seq": head.seq + 1 if head else GENESIS,
        "prev_hash": head.hash if head else "",
        "at": max(at, head.at) if head else at,
        **facts,
    }
    return {**entry, "hash": digest(entry)}


def check(rows: Iterable[Row], head: Head, gap: Checkpoint | None) -> int:
    """How many entries there are, if the whole chain is sound. Raises BrokenLink with what is not.

    `rows` are all up to the head, by key.
    """
    count, first, last, voucher = 0, None, None, None
    for entry in follow(rows, gap):
        count, first, last = count + 1, first or entry, entry
        if entry.get("action") == PRUNE:
            voucher = entry.get("details")
    if first is None or last is None or last["seq"] < head.seq:
        raise BrokenLink(last["seq"] + 1 if last else GENESIS, "is missing")
    if head != Head.behind(last, first["at"]):
        raise BrokenLink(None, f"the head does not name the last entry, which is {last['seq']}")
    if voucher != (gap.voucher(first) if gap else None):
        raise BrokenLink(None, "the checkpoint or the first entry is not what the last cleanup wrote of it")
    return count


def follow(rows: Iterable[Row], gap: Checkpoint | None) -> Iterator[Entry]:
    """The entries of `rows` from the first on, each when it and its link are found sound.

    Raises BrokenLink at the first that is not. In the gap may stand what a cleanup has yet to delete: it
    hangs together up to the boundary.
    """
    before: Entry | None = None
    for row in rows:
        entry = _read(*row, due=before["seq"] + 1 if before else GENESIS)
        _check_link(before, entry, gap)
        yield entry
        before = entry


def gap_after(boundary: Entry | None, gap: Checkpoint | None) -> Checkpoint | None:
    """What cleanup is to leave: all between the genesis and `boundary`, the newest expired entry.

    `gap` is what it has left so far, which never shrinks.
    """
    first, last = GENESIS + 1, boundary["seq"] - 1 if boundary else 0
    if boundary is None or last < first or (gap and last <= gap.last_seq):
        return gap
    return Checkpoint(first_seq=first, last_seq=last, count=last - first + 1, last_hash=boundary["prev_hash"])


def _read(key_: str, text: str, due: int) -> Entry:
    """The entry; raises BrokenLink where a byte of it is another than was written."""
    place = int(key_) if key_.isascii() and key_.isdigit() else due
    try:
        entry: Entry = json.loads(text)
        as_written = isinstance(entry, dict) and write(entry) == text
    except (ValueError, RecursionError):
        as_written = False
    if not as_written or entry.get("hash") != digest(entry):
        raise BrokenLink(place, "is not as it was written")
    seq = entry.get("seq")
    if type(seq) is not int or key(seq) != key_:
        raise BrokenLink(place, "stands in another's place")
    return entry


def _check_link(before: Entry | None, entry: Entry, gap: Checkpoint | None) -> None:
    """Raises BrokenLink where `entry` is not what follows `before`."""
    seq, due = entry["seq"], before["seq"] + 1 if before else GENESIS
    previous: str | None = before["hash"] if before else ""
    if seq < due:
        raise BrokenLink(seq, "stands there twice")
    if seq > due:
        if gap is None or due != gap.first_seq or seq > gap.last_seq + 1:
            raise BrokenLink(due, "is missing")
        previous = gap.last_hash if seq > gap.last_seq else None  # of what was deleted
    if previous is not None and entry.get("prev_hash") != previous:
        raise BrokenLink(seq, "does not follow from the one before it")
    if gap and seq == gap.last_seq and entry["hash"] != gap.last_hash:
        raise BrokenLink(seq, "is not the one that the checkpoint names")
