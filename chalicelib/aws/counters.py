"""Counters by the quarter of an hour: runs by how they ended, their durations, and what people did."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from chalicelib.aws.dynamo import Item, Table
from chalicelib.core.insight import Tally, bucket
from chalicelib.core.instants import from_iso, iso
from chalicelib.core.run import FINISHED

_KEPT = timedelta(days=100)  # longer than anything that is read from them


class Counters:
    def __init__(self, client: Any, table: str) -> None:
        self._table = Table(client, table)

    def add(self, tally: Tally) -> None:
        """Adds to the counters of the tally's bucket, in one write."""
        amounts = {**tally.ended, "duration_ms": tally.duration_ms, "activity": tally.activity}
        given = {name: amount for name, amount in amounts.items() if amount}
        if not given:
            return
        adds = ", ".join(f"#{name} :{name}" for name in given)
        values = {f":{name}": amount for name, amount in given.items()}
        values[":expires"] = int((tally.at + _KEPT).timestamp())
        self._table.update(_key(tally.at), f"ADD {adds} SET expires_at = :expires", values=values)

    def since(self, start: datetime, now: datetime) -> Iterator[Tally]:
        """The buckets from `start` on, oldest first."""
        for month in _months(start, now):
            values = {":kind": _kind(month), ":start": iso(bucket(start))}
            for row in self._table.query("kind = :kind AND record_key >= :start", values):
                yield _tally(row)


def _months(start: datetime, now: datetime) -> list[datetime]:
    days = (start + timedelta(days=i) for i in range((now - start).days + 2))
    return list({f"{day:%Y-%m}": day for day in days if day <= now + timedelta(days=1)}.values())


def _kind(instant: datetime) -> str:
    return f"counters#{iso(instant)[:7]}"


def _key(at: datetime) -> Item:
    return {"kind": _kind(at), "record_key": iso(at)}


def _tally(row: Item) -> Tally:
    ended = {str(status): row[status.value] for status in FINISHED if status.value in row}
    return Tally(from_iso(row["record_key"]), ended, row.get("duration_ms", 0), row.get("activity", 0))
