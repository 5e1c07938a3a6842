"""DynamoDB, a little closer to Python: plain dicts in and out, pages and unprocessed items seen to.

Numbers are whole ones only: money, fractions and other people's JSON are stored as text.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.exceptions import ClientError

Item = dict[str, Any]

_TRIES = 8  # of a batch of which DynamoDB leaves a part unprocessed


class _Numbers(TypeDeserializer):
    def _deserialize_n(self, value: str) -> int:
        return int(value)


_pack = TypeSerializer().serialize
_unpack = _Numbers().deserialize


class ConditionFailed(Exception):
    """A conditional write did not apply. `item` is the row as it stands, empty if there is none."""

    def __init__(self, item: Item) -> None:
        self.item = item
        super().__init__("the condition does not hold")


def pack(item: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes in the wire's types; those that are None are left out."""
    return {name: _pack(value) for name, value in item.items() if value is not None}


def unpack(item: Mapping[str, Any]) -> Item:
    return {name: _unpack(value) for name, value in item.items()}


class Table:
    """One table, by a boto3 DynamoDB client."""

    def __init__(self, client: Any, name: str) -> None:
        self.client, self.name = client, name

    def get(self, key: Item, *, consistent: bool = True) -> Item | None:
        answer = self.client.get_item(TableName=self.name, Key=pack(key), ConsistentRead=consistent)
        return unpack(answer["Item"]) if "Item" in answer else None

    def put(self, item: Item, condition: str | None = None, values: Item | None = None) -> None:
        """Raises ConditionFailed."""
        self._conditional("put_item", {"Item": pack(item)} | self.terms(condition, values))

    def delete(self, key: Item, condition: str | None = None, values: Item | None = None) -> Item | None:
        """The row that was deleted, if there was one. Raises ConditionFailed."""
        call = {"Key": pack(key), "ReturnValues": "ALL_OLD"} | self.terms(condition, values)
        old = self._conditional("delete_item", call).get("Attributes")
        return unpack(old) if old else None

    def update(
        self,
        key: Item,
        change: str,
        condition: str | None = None,
        values: Item | None = None,
        returns: str = "ALL_NEW",
        names: Mapping[str, str] | None = None,
    ) -> Item:
        """The row as it is after the change (or as `returns` says). Raises ConditionFailed.

        Names in `change` and `condition` that DynamoDB reserves are written `#name`; `names` says what
        others stand for.
        """
        call: Item = {"Key": pack(key), "ReturnValues": returns, **self.terms(condition, values, change)}
        if names:
            call["ExpressionAttributeNames"].update(names)
        return unpack(self._conditional("update_item", call).get("Attributes", {}))

    def pages(self, **query: Any) -> Iterator[tuple[list[Item], Item | None]]:
        """The pages of a Query, each with the key to go on after it (None for the last)."""
        call = {"TableName": self.name, **query}
        while True:
            answer = self.client.query(**call)
            last = answer.get("LastEvaluatedKey")
            yield [unpack(item) for item in answer["Items"]], unpack(last) if last else None
            if not last:
                return
            call["ExclusiveStartKey"] = last

    def query(
        self, condition: str, values: Item, filter_: str | None = None, **options: Any
    ) -> Iterator[Item]:
        """The rows of a Query, page after page."""
        for page, _ in self.pages(**self.query_terms(condition, values, filter_), **options):
            yield from page

    def count(self, terms: Item) -> int:
        """How many rows a Query finds, without fetching them."""
        call = {"TableName": self.name, "Select": "COUNT", **terms}
        total = 0
        while True:
            answer = self.client.query(**call)
            total += int(answer["Count"])
            if "LastEvaluatedKey" not in answer:
                return total
            call["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def write_batch(self, puts: Iterable[Item] = (), deletes: Iterable[Item] = ()) -> None:
        """Unconditional puts and deletes, 25 a request. RuntimeError if DynamoDB keeps refusing some."""
        requests = [{"PutRequest": {"Item": pack(item)}} for item in puts]
        requests += [{"DeleteRequest": {"Key": pack(key)}} for key in deletes]
        for chunk in chunks(requests, 25):
            for _ in tries(f"writing to {self.name}"):
                answer = self.client.batch_write_item(RequestItems={self.name: chunk})
                chunk = answer["UnprocessedItems"].get(self.name, [])
                if not chunk:
                    break

    def get_batch(self, keys: Iterable[Item], *, consistent: bool) -> list[Item]:
        """The rows that exist of `keys` (distinct), in no order, 100 a request."""
        found: list[Item] = []
        for chunk in chunks([pack(key) for key in keys], 100):
            left: Item = {self.name: {"Keys": chunk, "ConsistentRead": consistent}}
            for _ in tries(f"reading {self.name}"):
                answer = self.client.batch_get_item(RequestItems=left)
                found += [unpack(item) for item in answer["Responses"].get(self.name, [])]
                left = answer["UnprocessedKeys"]
                if not left:
                    break
        return found

    def put_item(self, item: Item, condition: str | None = None, values: Item | None = None) -> Item:
        """A put for `transact`."""
        return {"Put": {"TableName": self.name, "Item": pack(item)} | self.terms(condition, values)}

    def delete_item(self, key: Item) -> Item:
        """A delete for `transact`."""
        return {"Delete": {"TableName": self.name, "Key": pack(key)}}

    @staticmethod
    def terms(condition: str | None, values: Item | None, change: str | None = None) -> Item:
        """The expression arguments of a call."""
        call: Item = {"UpdateExpression": change} if change else {}
        if condition:
            call["ConditionExpression"] = condition
        if values:
            call["ExpressionAttributeValues"] = pack(values)
        return call | names_in(f"{change} {condition}")

    @staticmethod
    def query_terms(condition: str, values: Item, filter_: str | None = None) -> Item:
        call: Item = {"KeyConditionExpression": condition, "ExpressionAttributeValues": pack(values)}
        if filter_:
            call["FilterExpression"] = filter_
        return call | names_in(f"{condition} {filter_}")

    def _conditional(self, operation: str, call: Item) -> Item:
        if "ConditionExpression" in call:
            call["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
        try:
            answer: Item = getattr(self.client, operation)(TableName=self.name, **call)
        except ClientError as error:
            refusal: Item = {**error.response}
            if refusal["Error"]["Code"] != "ConditionalCheckFailedException":
                raise
            raise ConditionFailed(unpack(refusal.get("Item", {}))) from None
        return answer


def names_in(text: str) -> Item:
    """`#status` stands for the attribute status: many plain words are reserved."""
    names = {name: name[1:] for name in re.findall(r"#\w+", text)}
    return {"ExpressionAttributeNames": names} if names else {}


def transact(client: Any, actions: Sequence[Item]) -> None:
    """All of the writes or none. Raises ConditionFailed where one's condition does not hold."""
    for _ in tries("a transaction"):
        try:
            client.transact_write_items(TransactItems=actions)
            return
        except client.exceptions.TransactionCanceledException as error:
            reasons = error.response.get("CancellationReasons", [])
            codes = {reason.get("Code") for reason in reasons}
            if "ConditionalCheckFailed" in codes:
                raise ConditionFailed({}) from None
            if "TransactionConflict" not in codes:
                raise


def tries(what: str) -> Iterator[int]:
    """Attempts with growing pauses; RuntimeError after the last: nothing is dropped in silence."""
    for number in range(_TRIES):
        if number:
            time.sleep(min(0.05 * 2**number, 2))
        yield number
    raise RuntimeError(f"DynamoDB left a part of {what} undone after {_TRIES} tries")


def chunks(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
