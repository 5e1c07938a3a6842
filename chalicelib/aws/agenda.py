"""The agenda table: segments by minute. It is only appended to and deleted from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from chalicelib.aws.dynamo import Item, Table
from chalicelib.core.agenda import Entry, Segment, minute_prefix, pack

# One partition takes a thousand writes a second, some ten thousand jobs' moves; the key has room for more.
_SHARD = "0"
_STEP = 50  # segments read and handled at a time: five thousand entries at most


class Agenda:
    def __init__(self, client: Any, table: str) -> None:
        self._table = Table(client, table)

    def due(self, horizon: datetime) -> Iterator[list[Segment]]:
        """The segments of all minutes before `horizon`, oldest first, in steps. Strongly consistent."""
        terms = Table.query_terms(
            "#shard = :shard AND minute_name < :horizon",
            {":shard": _SHARD, ":horizon": minute_prefix(horizon)},
        )
        for page, _ in self._table.pages(**terms, ConsistentRead=True, Limit=_STEP):
            if page:
                yield [_segment(item) for item in page]

    def entries(self) -> Iterator[tuple[datetime, Entry]]:
        """All there is, by time. For the sweep; nothing on the way of a run reads it."""
        rows = self._table.query("#shard = :shard", {":shard": _SHARD}, ConsistentRead=True)
        for segment in map(_segment, rows):
            for entry in segment.entries:
                yield segment.minute, entry

    def file(self, entries: Iterable[tuple[datetime, Entry]]) -> None:
        self._table.write_batch(puts=map(_item, pack(entries)))

    def remove(self, segments: Iterable[Segment]) -> None:
        self._table.write_batch(deletes=map(_key, segments))

    def filing(self, minute: datetime, entry: Entry) -> Item:
        """The write of a single entry, for a transaction."""
        return self._table.put_item(_item(Segment(minute, (entry,))))


def _key(segment: Segment) -> Item:
    return {"shard": _SHARD, "minute_name": segment.name}


def _item(segment: Segment) -> Item:
    return _key(segment) | {"entries": segment.encode()}


def _segment(item: Item) -> Segment:
    return Segment.decode(item["minute_name"], item["entries"])
