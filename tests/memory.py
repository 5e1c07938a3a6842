"""DynamoDB as far as Belfry uses it, in memory: for tests of thousands of calls, far faster than moto.

Expressions are translated to Python and evaluated. What it does must be what DynamoDB does: the tests of the
protocol hold on all three (tests/integration/conftest.py).
"""

# ruff: noqa: N803  the arguments' names are AWS's own

from __future__ import annotations

import re
import threading
from copy import deepcopy
from functools import lru_cache
from types import CodeType, SimpleNamespace
from typing import Any

from botocore.exceptions import ClientError

from chalicelib.aws.dynamo import pack, unpack
from infra import template

Item = dict[str, Any]

_TOKEN = re.compile(r"\s*(<>|<=|>=|[=<>(),]|[#:]?\w+(?:\[\d+\])?)")
_WORDS = {"=": "==", "<>": "!=", "AND": "and", "OR": "or", "NOT": "not"}
_BETWEEN = re.compile(r"(\S+) BETWEEN (\S+) AND (\S+)")
_FUNCTIONS = (
    "attribute_exists",
    "attribute_not_exists",
    "contains",
    "list_append",
    "if_not_exists",
    "begins_with",
)


class _Missing:
    """An attribute that is not there: less, equal or more than nothing, and other than all."""

    def _never(self, other: object) -> bool:
        return False

    __eq__ = __lt__ = __le__ = __gt__ = __ge__ = _never
    __hash__ = None  # type: ignore[assignment]


MISSING = _Missing()


@lru_cache(maxsize=1000)
def _compiled(expression: str) -> CodeType:
    expression = _BETWEEN.sub(r"( \1 >= \2 AND \1 <= \3 )", expression)
    words = []
    for token in _TOKEN.findall(expression):
        if token in _WORDS or token in "()<>=<=,>=" or token in _FUNCTIONS:
            words.append(_WORDS.get(token, token))
        else:
            words.append(f"v({token!r})" if token[0] == ":" else f"a({token!r})")
    return compile(" ".join(words), expression, "eval")


class _Scope:
    """What the names and values of a call's expressions stand for, over an item."""

    def __init__(self, item: Item, call: Item) -> None:
        self.item = item
        self._names = call.get("ExpressionAttributeNames", {})
        self._values = unpack(call.get("ExpressionAttributeValues", {}))

    def path(self, text: str) -> tuple[str, int | None]:
        name, _, index = text.partition("[")
        return self._names.get(name, name), int(index[:-1]) if index else None

    def attribute(self, text: str) -> Any:
        name, index = self.path(text)
        value = self.item.get(name, MISSING)
        return value if index is None or value is MISSING else value[index]

    def value(self, text: str) -> Any:
        return self._values[text]

    def evaluate(self, expression: str) -> Any:
        return eval(
            _compiled(expression),
            {
                "a": self.attribute,
                "v": self.value,
                "attribute_exists": lambda value: value is not MISSING,
                "attribute_not_exists": lambda value: value is MISSING,
                "contains": lambda value, part: value is not MISSING and part in value,
                "begins_with": lambda value, start: value is not MISSING and value.startswith(start),
                "list_append": lambda one, other: [*one, *other],
                "if_not_exists": lambda value, other: other if value is MISSING else value,
            },
        )

    def holds(self, expression: str | None) -> bool:
        return not expression or bool(self.evaluate(expression))


def _updated(item: Item, call: Item) -> Item:
    scope, after = _Scope(item, call), deepcopy(item)
    parts = re.split(r"\b(SET|ADD|REMOVE)\b", call["UpdateExpression"])[1:]
    clauses = dict(zip(parts[::2], parts[1::2], strict=True))
    for term in _terms(clauses.get("SET", "")):
        target, _, expression = term.partition(" = ")
        name, index = scope.path(target)
        value = deepcopy(scope.evaluate(expression))
        if index is None:
            after[name] = value
        else:
            after[name][index] = value
    for term in _terms(clauses.get("ADD", "")):
        target, amount = term.split()
        name, _ = scope.path(target)
        after[name] = item.get(name, 0) + scope.value(amount)
    for term in _terms(clauses.get("REMOVE", "")):
        name, index = scope.path(term)
        if index is None:
            after.pop(name, None)
        elif index < len(after.get(name, [])):
            del after[name][index]
    return after


def _terms(clause: str) -> list[str]:
    return [term.strip() for term in re.split(r",(?![^(]*\))", clause) if term.strip()]


def _refused(item: Item | None) -> ClientError:
    response: Any = {"Error": {"Code": "ConditionalCheckFailedException", "Message": "no"}}
    return ClientError(response | ({"Item": pack(item)} if item else {}), "a write")


class Cancelled(ClientError):
    """The error of a transaction."""


class Memory:
    """A client. `tables` gives each table's name with the names of its hash and range key."""

    exceptions = SimpleNamespace(TransactionCanceledException=Cancelled)

    def __init__(self, tables: dict[str, tuple[str, str]]) -> None:
        self._keys = tables
        self._rows: dict[str, dict[tuple[str, str], Item]] = {name: {} for name in tables}
        self._lock = threading.RLock()

    @classmethod
    def environment(cls) -> tuple[dict[str, str], Memory]:
        """A client with the tables of infra/template.yaml, and the environment that names them."""
        tables = template.of_type(template.load(), "AWS::DynamoDB::Table")
        keys = {
            name: tuple(part["AttributeName"] for part in properties["KeySchema"])
            for name, properties in tables.items()
        }
        environment = {f"BELFRY_{name.removesuffix('Table').upper()}_TABLE": name for name in tables}
        queues = {"BELFRY_RUNS_QUEUE": "runs", "BELFRY_DEAD_LETTERS_QUEUE": "dead"}
        return {**environment, **queues}, cls(keys)

    def _key(self, table: str, item: Item) -> tuple[str, str]:
        hash_key, range_key = self._keys[table]
        return item[hash_key], item[range_key]

    def get_item(self, TableName: str, Key: Item, **call: Any) -> Item:
        row = self._rows[TableName].get(self._key(TableName, unpack(Key)))
        return {"Item": pack(row)} if row else {}

    def put_item(self, TableName: str, Item: Item, **call: Any) -> Any:
        with self._lock:
            self._put(TableName, unpack(Item), call, check_only=False)
        return {}

    def _act(self, action: Item, *, check_only: bool) -> None:
        """One of a transaction's puts and deletes."""
        if put := action.get("Put"):
            self._put(put["TableName"], unpack(put["Item"]), put, check_only=check_only)
        elif check_only:
            old = self._rows[(gone := action["Delete"])["TableName"]].get(
                self._key(gone["TableName"], unpack(gone["Key"]))
            )
            if not _Scope(old or {}, gone).holds(gone.get("ConditionExpression")):
                raise _refused(old)
        else:
            self.delete_item(**action["Delete"])

    def _put(self, table: str, item: Item, call: Item, *, check_only: bool) -> None:
        old = self._rows[table].get(self._key(table, item))
        if not _Scope(old or {}, call).holds(call.get("ConditionExpression")):
            raise _refused(old)
        if not check_only:
            self._rows[table][self._key(table, item)] = item

    def delete_item(self, TableName: str, Key: Item, **call: Any) -> Item:
        with self._lock:
            key = self._key(TableName, unpack(Key))
            old = self._rows[TableName].get(key)
            if not _Scope(old or {}, call).holds(call.get("ConditionExpression")):
                raise _refused(old)
            self._rows[TableName].pop(key, None)
        return {"Attributes": pack(old)} if old else {}

    def update_item(self, TableName: str, Key: Item, ReturnValues: str = "NONE", **call: Any) -> Item:
        with self._lock:
            key = unpack(Key)
            old = self._rows[TableName].get(self._key(TableName, key))
            if not _Scope(old or {}, call).holds(call.get("ConditionExpression")):
                raise _refused(old)
            new = _updated(old or key, call)
            self._rows[TableName][self._key(TableName, key)] = new
        answer = {"ALL_NEW": new, "ALL_OLD": old}.get(ReturnValues)
        return {"Attributes": pack(answer)} if answer else {}

    def query(
        self,
        TableName: str,
        KeyConditionExpression: str,
        Limit: int = 10_000,
        ScanIndexForward: bool = True,
        **call: Any,
    ) -> Item:
        order = ("listing", "created") if "IndexName" in call else self._keys[TableName]
        with self._lock:
            rows = [row for row in self._rows[TableName].values() if all(name in row for name in order)]
        rows = [row for row in rows if _Scope(row, call).holds(KeyConditionExpression)]
        rows.sort(key=lambda row: row[order[1]], reverse=not ScanIndexForward)
        if start := unpack(call.get("ExclusiveStartKey", {})):
            last = start[order[1]]
            rows = [r for r in rows if (r[order[1]] > last if ScanIndexForward else r[order[1]] < last)]
        page, rest = rows[:Limit], rows[Limit:]
        found = [row for row in page if _Scope(row, call).holds(call.get("FilterExpression"))]
        answer: Item = {"Items": [pack(row) for row in found], "Count": len(found)}
        if rest:
            names = {*order, *self._keys[TableName]}
            answer["LastEvaluatedKey"] = pack({name: page[-1][name] for name in names})
        return answer

    def batch_get_item(self, RequestItems: Item) -> Item:
        found = {
            table: [
                pack(row)
                for key in wanted["Keys"]
                if (row := self._rows[table].get(self._key(table, unpack(key))))
            ]
            for table, wanted in RequestItems.items()
        }
        return {"Responses": found, "UnprocessedKeys": {}}

    def batch_write_item(self, RequestItems: Item) -> Item:
        for table, requests in RequestItems.items():
            assert 1 <= len(requests) <= 25
            for request in requests:
                if "PutRequest" in request:
                    self.put_item(table, request["PutRequest"]["Item"])
                else:
                    self.delete_item(table, request["DeleteRequest"]["Key"])
        return {"UnprocessedItems": {}}

    def transact_write_items(self, TransactItems: list[Item]) -> None:
        with self._lock:
            for check_only in (True, False):
                for action in TransactItems:
                    try:
                        self._act(action, check_only=check_only)
                    except ClientError:
                        reasons = [{"Code": "ConditionalCheckFailed"}]
                        response: Any = {"Error": {"Code": "x"}, "CancellationReasons": reasons}
                        raise Cancelled(response, "TransactWriteItems") from None
