"""The HTTP API in this process, on moto: the app behind the local gateway; ticks and workers by hand."""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any

import boto3
import pytest
from chalice.local import LambdaContext
from pydantic import TypeAdapter

from chalicelib import composition
from chalicelib.core.access import Role
from chalicelib.dialects.http import endpoints
from infra.local.gateway import Call, Gateway
from infra.local.pollers import record
from infra.local.ticker import scheduled_event


@dataclass
class Reply:
    status: int
    body: Any
    headers: dict[str, str]


class Client:
    """Speaks HTTP to the API, and plays the timer and the event-source mapping when it is told to."""

    def __init__(self) -> None:
        self.app = importlib.import_module("app")
        self.gateway = Gateway(self.app.app)
        self.endpoints = endpoints(self.app.APIS)

    def __call__(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> Reply:
        raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        path, _, query = path.partition("?")
        given = {"Content-Type": "application/json", "Host": "localhost", **(headers or {})}
        answer = self.gateway.answer(Call(method, path, query, list(given.items()), raw, "127.0.0.1"))
        reply = Reply(answer.status, _parsed(answer), dict(answer.headers))
        self._hold_to_its_model(method, path, reply)
        return reply

    def _hold_to_its_model(self, method: str, path: str, reply: Reply) -> None:
        """What is documented is what is given: each answer has its route's fields, and no others.

        Where several APIs have the route it is one of theirs.
        """
        match = self.gateway._routes.match(path)
        candidates = self.endpoints.get((method, match.template), []) if match else []
        models: list[Any] = [route.gives for _, route in candidates if route.gives]
        if models and reply.status < 300:
            TypeAdapter(reduce(or_, models)).validate_python(reply.body)

    def tick(self) -> None:
        self.app.tick(scheduled_event("us-east-1"), LambdaContext("tick", 512, 300_000))

    def work(self) -> int:
        """Handles what the queue gives now; how many messages that was."""
        sqs, url = boto3.client("sqs"), os.environ["BELFRY_RUNS_QUEUE"]
        batch = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
        if batch:
            event = {
                "Records": [record(message, "arn:aws:sqs:us-east-1:1:runs", "us-east-1") for message in batch]
            }
            kept = {item["itemIdentifier"] for item in self.app.worker(event, None)["batchItemFailures"]}
            for message in batch:
                if message["MessageId"] not in kept:
                    sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return len(batch)

    def audited(self) -> list[Any]:
        """The entries of the audit log's latest month, oldest first."""
        records = composition.engine().records
        head = records.get("audit", "head")
        return [entry for _, entry in records.list(f"audit#{head['at'][:7]}")] if head else []

    def key(self, role: str) -> dict[str, str]:
        """The header of a new key's requests."""
        return {"X-API-Key": composition.create_key(Role(role), "test")}


def _parsed(answer: Any) -> Any:
    if not answer.body or "json" not in dict(answer.headers).get("Content-Type", ""):
        return answer.body.decode() or None
    return json.loads(answer.body)


@pytest.fixture
def api(aws: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """An admin without credentials, as on the local stack."""
    monkeypatch.setenv("BELFRY_ANONYMOUS_ROLE", "admin")
    monkeypatch.setenv("BELFRY_ALLOW_NETWORKS", "127.0.0.0/8")
    for cached in (composition.engine, composition._action_client):
        cached.cache_clear()
    yield Client()
    for cached in (composition.engine, composition._action_client):
        cached.cache_clear()
