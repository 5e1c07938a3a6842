"""The audit log: one entry for each write that was made, chained by hashes from the first one on."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from itertools import chain, islice, takewhile
from typing import Any

from chalicelib.core.access import Principal, Role
from chalicelib.core.audit import (
    GENESIS,
    PRUNE,
    BrokenLink,
    Checkpoint,
    Entry,
    Head,
    follow,
    gap_after,
    key,
    linked,
)
from chalicelib.core.instants import iso
from chalicelib.scheduler import audit_reading
from chalicelib.scheduler.engine import Engine

SYSTEM = Principal("system", Role.ADMIN)
_TRIES = 50
_DELETED_TOGETHER = 25


def append(
    engine: Engine, who: Principal, action: str, target: str | None, details: Mapping[str, Any], now: datetime
) -> None:
    """Adds an entry behind the head. Raises RuntimeError where others keep coming in between."""
    facts = _facts(who, action, target, details)
    for _ in _tries(engine):
        if _link(engine, facts, now):
            return


def _facts(who: Principal, action: str, target: str | None, details: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "actor": who.id,
        "role": who.role.value,
        "action": action,
        "target": target,
        "details": dict(details),
    }


def _link(engine: Engine, facts: Mapping[str, Any], now: datetime, *also: dict[str, Any]) -> bool:
    """Writes an entry, together with `also`. False where the head, or what `also` replaces, has moved on."""
    record = engine.records.get("audit", "head")
    head = Head.model_validate(record) if record else None
    entry = linked(head, iso(now), facts)
    after = Head.behind(entry, head.first_at if head else entry["at"])
    return engine.records.chain("audit", record, key(entry["seq"]), entry, after.model_dump(), *also)


def _tries(engine: Engine) -> Iterator[None]:
    for number in range(_TRIES):
        yield
        engine.sleep(min(0.002 * 2**number, 0.1) * engine.chance())
    raise RuntimeError(f"the audit log's head moved on {_TRIES} times")


# -- cleanup


def prune(engine: Engine, now: datetime, dry_run: bool = False) -> int:
    """Deletes what is past retention.audit_log; gives how many entries that were, or would be.

    Keeps the first entry and the newest expired one. The checkpoint is written first, with the entry that
    vouches for it, and what it covers is deleted then, oldest first: whatever a killed cleanup has left, the
    next one deletes. Raises BrokenLink, and deletes nothing, where an expired entry is not as it was written.
    """
    days = engine.settings()["retention.audit_log"]
    seen, head = engine.records.text("audit", "checkpoint"), audit_reading.head_of(engine)
    if not days or head is None:
        return 0
    known = Checkpoint.read(seen) if seen else None
    try:
        genesis, boundary = _ends(engine, head, known, iso(now - timedelta(days=days)))
    except BrokenLink:
        if engine.records.text("audit", "checkpoint") == seen:
            raise
        return 0  # another cleanup came between
    gap = gap_after(boundary, known)
    if gap is None:
        return 0
    if dry_run:
        return sum(1 for _ in _doomed(engine, head, gap))
    if gap != known and not _note(engine, gap, seen, genesis, now):
        return 0
    return _delete(engine, head, gap)


def _ends(engine: Engine, head: Head, gap: Checkpoint | None, cutoff: str) -> tuple[Entry, Entry | None]:
    """The first entry of all and the newest expired one, if all up to there are found sound."""
    entries = follow(audit_reading.rows(engine, head), gap)
    genesis = next(entries, None)
    if genesis is None:
        raise BrokenLink(GENESIS, "is missing")
    expired = takewhile(lambda entry: entry["at"] < cutoff, chain([genesis], entries))
    newest = deque(expired, maxlen=1)
    return genesis, newest[0] if newest else None


def _note(engine: Engine, gap: Checkpoint, seen: str | None, genesis: Entry, now: datetime) -> bool:
    """Writes the checkpoint in place of the one that was `seen`. False where another cleanup did."""
    facts = _facts(SYSTEM, PRUNE, None, gap.voucher(genesis))
    put = engine.records.replacing("audit", "checkpoint", gap.model_dump(), seen)
    for _ in _tries(engine):
        if _link(engine, facts, now, put):
            return True
        if engine.records.text("audit", "checkpoint") != seen:
            return False
    raise AssertionError("unreachable")


def _doomed(engine: Engine, head: Head, gap: Checkpoint) -> Iterator[tuple[str, str]]:
    """Kinds and keys of what still stands in the gap, oldest first."""
    for month in audit_reading.months(head.first_at, head.at):
        for place, _ in audit_reading.texts(engine, month, gap.last_seq):
            if place >= key(gap.first_seq):
                yield audit_reading.kind(month), place


def _delete(engine: Engine, head: Head, gap: Checkpoint) -> int:
    """All of a batch goes or none, so that what a killed cleanup leaves hangs together."""
    doomed, count = _doomed(engine, head, gap), 0
    while batch := [*islice(doomed, _DELETED_TOGETHER)]:
        engine.records.delete_together(batch)
        count += len(batch)
    return count
