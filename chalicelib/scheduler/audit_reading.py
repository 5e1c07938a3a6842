"""The audit log as it is read: in pages, and along the whole chain in search of a broken link."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from chalicelib.core.audit import GENESIS, BrokenLink, Checkpoint, Entry, Head, Row, check, key
from chalicelib.core.errors import Invalid
from chalicelib.core.instants import iso
from chalicelib.scheduler.engine import Engine

_READ = 5000  # entries that one page looks at, in search of those that match
_LOST = timedelta(days=400)  # how far back entries are looked for whose head is gone
_CURSOR = re.compile(r"(\d{4}-(?:0[1-9]|1[0-2]))\.(\d{12})", re.ASCII)


@dataclass(frozen=True)
class Wanted:
    """Which entries: from `since` on, before `until`."""

    actor: str | None = None
    action: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def takes(self, entry: Entry) -> bool:
        return (
            self.actor in (None, entry["actor"])
            and self.action in (None, entry["action"])
            and (self.until is None or entry["at"] < iso(self.until))
        )


def entries(engine: Engine, wanted: Wanted, limit: int, cursor: str | None) -> tuple[list[Entry], str | None]:
    """A page of the entries that match, newest first, and the cursor of the next one if there may be one.

    A page may have fewer than `limit` though there are more: it ends after some thousands looked at.
    Raises Invalid where `cursor` is none.
    """
    found: list[Entry] = []
    place = None
    for looked_at, entry in enumerate(_newest_first(engine, wanted, cursor)):
        if wanted.since and entry["at"] < iso(wanted.since):
            break
        if len(found) == limit or looked_at == _READ:
            return found, place
        if wanted.takes(entry):
            found.append(entry)
        place = f"{entry['at'][:7]}.{key(entry['seq'])}"
    return found, None


def _newest_first(engine: Engine, wanted: Wanted, cursor: str | None) -> Iterator[Entry]:
    month, before = _place(cursor)
    record = engine.records.get("audit", "head")
    if record is None:
        return
    head = Head.model_validate(record)
    until = iso(wanted.until) if wanted.until else None
    newest = min(filter(None, (head.at[:7], month, until)))
    for each in reversed(months(head.first_at, newest)):
        for _, entry in engine.records.list(kind(each), newest_first=True, before=before):
            yield entry


def _place(cursor: str | None) -> tuple[str | None, str | None]:
    """The month to go on in, and the key to go on before."""
    if cursor is None:
        return None, None
    match = _CURSOR.fullmatch(cursor)
    if match is None:
        raise Invalid.one("cursor", "give the cursor that the page before ended with")
    return match[1], match[2]


@dataclass(frozen=True)
class Verified:
    """`entries` counts those of a sound chain; `broken` is the first link that is not sound."""

    entries: int
    head: Head | None
    checkpoint: Checkpoint | None
    broken: BrokenLink | None


def verify(engine: Engine, now: datetime) -> Verified:
    """Walks the chain from its first entry to its head."""
    while True:
        head = gap = None
        seen = engine.records.text("audit", "checkpoint")
        try:
            gap = Checkpoint.read(seen) if seen else None
            head = head_of(engine)
            return Verified(_sound(engine, head, gap, now), head, gap, None)
        except BrokenLink as broken:
            if engine.records.text("audit", "checkpoint") == seen:  # else a cleanup came between
                return Verified(0, head, gap, broken)


def _sound(engine: Engine, head: Head | None, gap: Checkpoint | None, now: datetime) -> int:
    """How many entries there are. Raises BrokenLink."""
    if head is None:
        lost = any(any(texts(engine, month)) for month in months(iso(now - _LOST), iso(now)))
        if lost or gap:
            raise BrokenLink(None, "the head is missing")
        return 0
    for at, seq in ((head.first_at, GENESIS), (head.at, head.seq)):  # so that the walk has an end
        if engine.records.text(kind(at), key(seq)) is None:
            raise BrokenLink(seq, "is missing, or the head is not as it was written")
    count = check(rows(engine, head), head, gap)
    _check_behind(engine, head)
    return count


def _check_behind(engine: Engine, head: Head) -> None:
    """Raises BrokenLink where entries stand behind the head, other than those of the meantime."""
    newest, _ = next(engine.records.texts(kind(head.at), newest_first=True))
    now = head_of(engine)
    if now is None or newest > key(now.seq):
        raise BrokenLink(head.seq + 1, "stands behind the head")


# -- where entries are


def head_of(engine: Engine) -> Head | None:
    """Raises BrokenLink where it is not as it was written."""
    text = engine.records.text("audit", "head")
    return Head.read(text) if text else None


def rows(engine: Engine, head: Head) -> Iterator[Row]:
    """All entries up to the head, by key."""
    for month in months(head.first_at, head.at):
        yield from texts(engine, month, head.seq)


def texts(engine: Engine, month: str, last: int | None = None) -> Iterator[Row]:
    """A month's entries by key, up to number `last`."""
    return engine.records.texts(kind(month), before=None if last is None else key(last + 1))


def kind(at: str) -> str:
    """Of the entries of an instant's month."""
    return f"audit#{at[:7]}"


def months(first: str, last: str) -> list[str]:
    """`2026-11` and so on, from that of one instant to that of another."""
    start, end = (int(at[:4]) * 12 + int(at[5:7]) - 1 for at in (first, last))
    return [f"{month // 12:04d}-{month % 12 + 1:02d}" for month in range(start, end + 1)]
