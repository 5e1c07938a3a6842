"""Agenda entries and their packing into segments: which jobs have slots in which minute.

An entry stands for all of a job's slots in its minute. A segment never changes: it is named by what
it holds, so that writing it twice writes one row.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from chalicelib.core.instants import from_iso, iso
from chalicelib.core.run import Message

SEGMENT_ENTRIES = 100


@dataclass(frozen=True)
class Slots:
    """The job's slots of this minute, under the schedule that holds since `revision`."""

    job_id: str
    revision: int


@dataclass(frozen=True)
class Retry:
    """A further attempt that is too far off for the queue's longest delay."""

    message: Message

    @property
    def job_id(self) -> str:
        return self.message.job_id


@dataclass(frozen=True)
class CatchUps:
    """Late slots from `first` to `last`, to be started at the job's pace from this minute on."""

    job_id: str
    revision: int
    first: datetime
    last: datetime


Entry = Slots | Retry | CatchUps


@dataclass(frozen=True)
class Segment:
    minute: datetime
    entries: tuple[Entry, ...]

    @property
    def name(self) -> str:
        """`2026-11-22T14:00#` and a hash of the entries: sorts by minute."""
        digest = hashlib.sha256(self.encode().encode()).hexdigest()[:20]
        return f"{minute_prefix(self.minute)}#{digest}"

    def encode(self) -> str:
        return json.dumps(sorted(map(_fields, self.entries), key=str), separators=(",", ":"))

    @classmethod
    def decode(cls, name: str, entries: str) -> Segment:
        minute = datetime.strptime(name.partition("#")[0], "%Y-%m-%dT%H:%M").replace(tzinfo=UTC)
        return cls(minute, tuple(map(_entry, json.loads(entries))))


def minute_prefix(minute: datetime) -> str:
    return f"{minute.astimezone(UTC):%Y-%m-%dT%H:%M}"


def pack(entries: Iterable[tuple[datetime, Entry]]) -> Iterator[Segment]:
    """Segments of at most 100 entries, the same ones for the same entries in any order."""
    by_minute: defaultdict[datetime, set[Entry]] = defaultdict(set)
    for minute, entry in entries:
        by_minute[minute].add(entry)
    for minute, some in by_minute.items():
        ordered = sorted(some, key=lambda entry: str(_fields(entry)))
        for start in range(0, len(ordered), SEGMENT_ENTRIES):
            yield Segment(minute, tuple(ordered[start : start + SEGMENT_ENTRIES]))


def _fields(entry: Entry) -> list[str | int]:
    if isinstance(entry, Slots):
        return [entry.job_id, entry.revision]
    if isinstance(entry, Retry):
        return ["retry", entry.message.encode()]
    return ["catch_up", entry.job_id, entry.revision, iso(entry.first), iso(entry.last)]


def _entry(fields: list[str | int]) -> Entry:
    match fields:
        case [str(job_id), int(revision)]:
            return Slots(job_id, revision)
        case ["retry", str(message)]:
            return Retry(Message.decode(message))
        case ["catch_up", str(job_id), int(revision), str(first), str(last)]:
            return CatchUps(job_id, revision, from_iso(first), from_iso(last))
    raise ValueError(f"no agenda entry: {fields}")
