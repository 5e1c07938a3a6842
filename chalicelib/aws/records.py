"""The records table: everything that is neither a job, a run nor an agenda segment, by kind and key."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from chalicelib.aws.dynamo import ConditionFailed, Item, Table, transact

Record = dict[str, Any]


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
        """Replaces a record that still is as it was read, `before`; false if it is not."""
        values = {":before": _document(before)}
        try:
            self._table.put(_item(kind, key, record), "#document = :before", values)
        except ConditionFailed:
            return False
        return True

    def delete(self, kind: str, key: str) -> bool:
        return self._table.delete(_key(kind, key)) is not None

    def delete_many(self, kind: str, keys: Iterable[str]) -> None:
        self._table.write_batch(deletes=(_key(kind, key) for key in keys))

    def list(
        self, kind: str, *, newest_first: bool = False, before: str | None = None
    ) -> Iterator[tuple[str, Record]]:
        """Keys and records of a kind by key, those before the key `before` only."""
        condition, values = "kind = :kind", {":kind": kind}
        if before:
            condition, values = f"{condition} AND record_key < :before", values | {":before": before}
        rows = self._table.query(condition, values, ScanIndexForward=not newest_first, ConsistentRead=True)
        return ((row["record_key"], _record(row)) for row in rows)

    def count(self, kind: str) -> int:
        return self._table.count(Table.query_terms("kind = :kind", {":kind": kind}))

    def adding(self, kind: str, key: str, record: Mapping[str, Any], expires_at: int | None = None) -> Item:
        """A put of a record that must not be there yet, for a transaction."""
        return self._table.put_item(_item(kind, key, record, expires_at), "attribute_not_exists(kind)")

    def chain(self, kind: str, head: Record | None, key: str, entry: Record, next_head: Record) -> bool:
        """Appends `entry` to a hash chain whose head is read as `head`; false if the head has moved on."""
        values: Item = {":seq": head["seq"]} if head else {}
        condition = "seq = :seq" if head else "attribute_not_exists(kind)"
        head_item = _item(kind, "head", next_head) | {"seq": next_head["seq"]}
        try:
            transact(
                self._client,
                [
                    self._table.put_item(head_item, condition, values),
                    self._table.put_item(_item(f"{kind}#{entry['at'][:7]}", key, entry)),
                ],
            )
        except ConditionFailed:
            return False
        return True


def _key(kind: str, key: str) -> Item:
    return {"kind": kind, "record_key": key}


def _item(kind: str, key: str, record: Mapping[str, Any], expires_at: int | None = None) -> Item:
    return _key(kind, key) | {"document": _document(record), "expires_at": expires_at}


def _document(record: Mapping[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=False, separators=(",", ":"))


def _record(item: Item) -> Record:
    record: Record = json.loads(item["document"])
    return record
