"""The one record of the tick: how far it has sent, and how the last one went."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from chalicelib.aws.dynamo import ConditionFailed, Item, Table
from chalicelib.core.instants import EPOCH, from_iso, iso

_KEY = {"kind": "engine", "record_key": "tick"}


class Ticks:
    def __init__(self, client: Any, table: str) -> None:
        self._table = Table(client, table)

    def begin(self, horizon: datetime) -> datetime:
        """Notes that a tick may send slots up to `horizon`; gives how far those before it may have."""
        try:
            old = self._table.update(
                _KEY,
                "SET sent_until = :horizon",
                "attribute_not_exists(sent_until) OR sent_until <= :horizon",
                {":horizon": iso(horizon)},
                returns="ALL_OLD",
            )
        except ConditionFailed as later:
            old = later.item
        return from_iso(old["sent_until"]) if "sent_until" in old else EPOCH

    def end(self, now: datetime, lateness_ms: int, jobs_checked: int) -> None:
        self._table.update(
            _KEY,
            "SET last_tick_at = :now, last_tick_lateness_ms = :late, jobs_checked = :checked",
            values={":now": iso(now), ":late": lateness_ms, ":checked": jobs_checked},
        )

    def last(self) -> Item:
        """last_tick_at, last_tick_lateness_ms, jobs_checked; empty before the first."""
        return self._table.get(_KEY) or {}
