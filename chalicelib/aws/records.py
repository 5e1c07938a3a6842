"""The records table: everything that is neither a job, a run nor an agenda segment, by kind and key."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypedDict, Unpack

from chalicelib.aws.dynamo import ConditionFailed, Item, Table, transact

Record = dict[str, Any]


class Reading(TypedDict, total=False):
    """How a kind is read: by default from its first key on, consistently, in the largest pages."""

    newest_first: bool
    before: str | None  # only the keys that come before this one
    consistent: bool
    page: int | None  # rows a request


class Records:
    """A record is a JSON object under a kind and a key, and may expire."""

    def __init__(self, client: Any, table: str) -> None:
        self._client, self._table = client, Table(client, table)

    def get(self, kind: str, key: str) -> Record | None:
        item = self._table.get(_key(kind, key))
        return _record(item) if item else None

    def put(self, kind: str, key: str, record: Mapping[str, Any], expires_at: int | None = None) -> None:
        self._table.put(_item(kind, key, record, expires_at))

    def add(
        self, kind: str, key: str, record: Mapping[str, Any], expires_at: int | None = None
    ) -> Record | None:
        """Puts it if there is none; else the one that is there."""
        try:
            self._table.put(_item(kind, key, record, expires_at), "attribute_not_exists(kind)")
        except ConditionFailed as lost:
            return _record(lost.item)
        return None

    def replace(self, kind: str, key: str, record: Mapping[str, Any], before: Mapping[str, Any]) -> bool:
        """Puts it if it still stands as `before`, which was read; else changes nothing and gives False.

        It expires as it did.
        """
        values = {":after": _text(record), ":before": _text(before)}
        try:
            self._table.update(_key(kind, key), "SET document = :after", "document = :before", values)
        except ConditionFailed:
            return False
        return True

    def put_many(self, kind: str, records: Mapping[str, Mapping[str, Any]]) -> None:
        """Those of `records` by key, each as `put` would."""
        self._table.write_batch(_item(kind, key, record) for key, record in records.items())

    def get_many(self, kind: str, keys: Iterable[str]) -> dict[str, Record]:
        """Those of `keys` that are there."""
        return {key: record for (_, key), record in self.get_places((kind, key) for key in keys).items()}

    def get_places(self, places: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Record]:
        """Those of these kinds and keys that are there."""
        rows = self._table.get_batch([_key(*place) for place in dict.fromkeys(places)], consistent=True)
        return {(row["kind"], row["record_key"]): _record(row) for row in rows}

    def delete(self, kind: str, key: str) -> bool:
        return self._table.delete(_key(kind, key)) is not None

    def delete_many(self, kind: str, keys: Iterable[str]) -> None:
        self._table.write_batch(deletes=(_key(kind, key) for key in keys))

    def list(self, kind: str, **how: Unpack[Reading]) -> Iterator[tuple[str, Record]]:
        """Keys and records of a kind by key."""
        return ((key, json.loads(text)) for key, text in self.texts(kind, **how))

    def text(self, kind: str, key: str) -> str | None:
        """A record as it is stored."""
        item = self._table.get(_key(kind, key))
        return item["document"] if item else None

    def texts(self, kind: str, **how: Unpack[Reading]) -> Iterator[tuple[str, str]]:
        """As `list`, but each record as it is stored."""
        condition, values = "kind = :kind", {":kind": kind}
        if before := how.get("before"):
            condition, values = f"{condition} AND record_key < :before", values | {":before": before}
        options: dict[str, Any] = {
            "ScanIndexForward": not how.get("newest_first", False),
            "ConsistentRead": how.get("consistent", True),
        }
        options |= {"Limit": page} if (page := how.get("page")) else {}
        rows = self._table.query(condition, values, **options)
        return ((row["record_key"], row["document"]) for row in rows)

    def keys(self, kind: str, before: str) -> Iterator[Sequence[str]]:
        """The keys of a kind that come before the key `before`, page by page."""
        terms = Table.query_terms("kind = :kind AND record_key < :before", {":kind": kind, ":before": before})
        for rows, _ in self._table.pages(**terms, ProjectionExpression="kind, record_key"):
            yield [row["record_key"] for row in rows]

    def count(self, kind: str) -> int:
        return self._table.count(Table.query_terms("kind = :kind", {":kind": kind}))

    def adding(self, kind: str, key: str, record: Mapping[str, Any], expires_at: int | None = None) -> Item:
        """A put of a record that must not be there yet, for a transaction."""
        return self._table.put_item(_item(kind, key, record, expires_at), "attribute_not_exists(kind)")

    def replacing(self, kind: str, key: str, record: Mapping[str, Any], seen: str | None) -> Item:
        """A put in place of the record whose text was `seen`, for a transaction; None: there was none."""
        item = _item(kind, key, record)
        if seen is None:
            return self._table.put_item(item, "attribute_not_exists(kind)")
        return self._table.put_item(item, "#document = :seen", {":seen": seen})

    def delete_together(self, places: Iterable[tuple[str, str]]) -> None:
        """Deletes what is under these kinds and keys, at most a hundred: all of it or nothing."""
        transact(self._client, [self._table.delete_item(_key(kind, key)) for kind, key in places])

    def chain(
        self, kind: str, head: Record | None, key: str, entry: Record, next_head: Record, *also: Item
    ) -> bool:
        """Appends `entry` to a hash chain whose head is read as `head`, together with the writes `also`.

        False if the head has moved on, or a condition of `also` does not hold.
        """
        values: Item = {":seq": head["seq"]} if head else {}
        condition = "seq = :seq" if head else "attribute_not_exists(kind)"
        head_item = _item(kind, "head", next_head) | {"seq": next_head["seq"]}
        try:
            transact(
                self._client,
                [
                    self._table.put_item(head_item, condition, values),
                    self._table.put_item(
                        _item(f"{kind}#{entry['at'][:7]}", key, entry), "attribute_not_exists(kind)"
                    ),
                    *also,
                ],
            )
        except ConditionFailed:
            return False
        return True


def _key(kind: str, key: str) -> Item:
    return {"kind": kind, "record_key": key}


def _item(kind: str, key: str, record: Mapping[str, Any], expires_at: int | None = None) -> Item:
    return _key(kind, key) | {"document": _text(record), "expires_at": expires_at}


def _text(record: Mapping[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=False, separators=(",", ":"))


def _record(item: Item) -> Record:
    record: Record = json.loads(item["document"])
    return record
