"""Cleanup: removes the records that are past their retention, and counts them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from chalicelib.core.instants import iso
from chalicelib.core.retention import months_until
from chalicelib.scheduler import audit
from chalicelib.scheduler.engine import Engine

_BATCH = 25  # deletes a request

# By the name of setting and table: records that are kept by the month, and keyed by their instant.
_MONTHLY = {"activities": "activity", "notifications": "notification", "token_usage": "token_usage"}
TABLES = ("activities", "audit_log", "notifications", "pipeline_runs", "token_usage")

Pages = Iterator[tuple[Sequence[str], Callable[[Iterable[str]], None]]]  # keys, and what deletes some of them


@dataclass(frozen=True)
class Cleaned:
    """How many records of each table were removed (or would be), and whether the time was enough for all."""

    counts: dict[str, int]
    complete: bool

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def message(self) -> str:
        cleaned = f"Cleaned {self.total} stale record{'' if self.total == 1 else 's'}"
        return cleaned if self.complete else f"{cleaned}; the time was up, the next run goes on"


def clean(engine: Engine, now: datetime, has_time: Callable[[], bool], *, dry_run: bool) -> Cleaned:
    """Removes what is older than its table's retention, step by step while there is time.

    A dry run removes nothing, and counts the same.
    """
    counts = dict.fromkeys(TABLES, 0)
    for table, step in _steps(engine, now, dry_run):
        if not has_time():
            return Cleaned(counts, complete=False)
        counts[table] += step()
    return Cleaned(counts, complete=True)


def _steps(engine: Engine, now: datetime, dry_run: bool) -> Iterator[tuple[str, Callable[[], int]]]:
    """Each removes some of a table's stale records, and gives how many.

    The audit log comes last: a broken one raises, and the other tables are clean by then.
    """
    settings = engine.settings()
    for table in sorted(TABLES, key=lambda table: table == "audit_log"):
        days = settings[f"retention.{table}"]
        if not days:
            continue
        if table == "audit_log":
            yield table, partial(audit.prune, engine, now, dry_run)
            continue
        for keys, delete in _stale(engine, table, now - timedelta(days=days)):
            for batch in (keys[start : start + _BATCH] for start in range(0, len(keys), _BATCH)):
                yield table, partial(_remove, batch, None if dry_run else delete)


def _remove(keys: Sequence[str], delete: Callable[[Iterable[str]], None] | None) -> int:
    if delete:
        delete(keys)
    return len(keys)


def _stale(engine: Engine, table: str, limit: datetime) -> Pages:
    """What is older than `limit`."""
    if table == "pipeline_runs":
        for chain_id, _ in engine.records.list("chain"):  # those that were deleted too
            for keys in engine.pipelines.ended(chain_id, limit):
                yield keys, partial(engine.pipelines.delete_many, chain_id)
        return
    for month in months_until(limit):
        kind = f"{_MONTHLY[table]}#{month}"
        for keys in engine.records.keys(kind, iso(limit)):
            yield keys, partial(engine.records.delete_many, kind)
