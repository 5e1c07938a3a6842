"""What the tick, the worker and the dead letters' function ask of the tables, their policies grant."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from chalicelib.core.webhook import Posted
from chalicelib.scheduler import builtins, webhooks
from chalicelib.scheduler import jobs as job_cases
from tests.integration.webhooks_support import SecretsInMemory
from tests.memory import Memory
from tests.support import MINUTE, Letter, World, every

POLICIES = Path(__file__).resolve().parents[2] / ".chalice"
BATCHES = ("batch_write_item", "batch_get_item")
Grant = tuple[str, str]  # an action, and a table or an index of one


class Recorder:
    """A client of DynamoDB that remembers which permissions its calls need."""

    def __init__(self, client: Any, environment: dict[str, str]) -> None:
        self._client, self.needed = client, set[Grant]()
        self._tables = {name: f"{key[7:-6].title()}Table" for key, name in environment.items()}

    @contextmanager
    def during(self) -> Iterator[set[Grant]]:
        self.needed = needed = set()
        yield needed

    def __getattr__(self, operation: str) -> Any:
        real = getattr(self._client, operation)
        return real if operation == "exceptions" else lambda **call: self._called(real, operation, call)

    def _called(self, real: Callable[..., Any], operation: str, call: dict[str, Any]) -> Any:
        if operation == "transact_write_items":
            writes = [pair for action in call["TransactItems"] for pair in action.items()]
            self.needed |= {(f"{kind}Item", self._tables[write["TableName"]]) for kind, write in writes}
        else:
            tables = [*call["RequestItems"]] if operation in BATCHES else [call["TableName"]]
            action = "".join(word.title() for word in operation.split("_"))
            index = f"/{call['IndexName']}" if "IndexName" in call else ""
            self.needed |= {(action, self._tables[table] + index) for table in tables}
        return real(**call)


def granted(function: str) -> set[Grant]:
    document = json.loads((POLICIES / f"policy-{function}.json").read_text())
    return {
        (action.removeprefix("dynamodb:"), _place(resource))
        for statement in document["Statement"]
        for action in statement.get("Action", [])
        if action.startswith("dynamodb:") and "Backup" not in action
        for resource in _listed(statement["Resource"])
    }


def _listed(resource: Any) -> list[Any]:
    return resource if isinstance(resource, list) else [resource]


def _place(resource: dict[str, Any]) -> str:
    if "Fn::GetAtt" in resource:
        return str(resource["Fn::GetAtt"][0])
    return re.sub(r"\$\{(\w+)\.Arn\}/index", r"\1", resource["Fn::Sub"])


@pytest.fixture
def scene() -> tuple[World, Recorder]:
    """Jobs of several kinds, a subscriber to all events, and slots that were missed for an hour."""
    environment, client = Memory.environment()
    recorder = Recorder(client, environment)
    taken = Posted(status_code=200, error=None, response="", duration_ms=1)
    changes = {
        "secrets": SecretsInMemory(),
        "may_reach": lambda url: True,
        "post": lambda notice: taken,
    }
    world = World(environment, changes, client=recorder)
    webhooks.create(world.engine, "ops", "https://x.example", ["*"], None, world.clock.now())
    world.job("* * * * *", misfire="catch_up", catch_up_limit=3)
    world.job("* * * * *", end_at=(world.clock.now() + 30 * MINUTE).isoformat())
    world.job(schedule=every(10), max_consecutive_failures=1, retry={"max_attempts": 2, "base_delay": 3600})
    world.clock.advance(60 * MINUTE)
    return world, recorder


def test_the_tick(scene: tuple[World, Recorder]) -> None:
    world, recorder = scene
    with recorder.during() as needed:
        builtins.register(world.engine, world.engine.builtins, "a deployment", world.clock.now())
        world.tick()
        world.sqs.refuses = lambda body: True
        world.clock.advance(MINUTE)
        world.tick()
    assert {("BatchWriteItem", "AgendaTable"), ("PutItem", "RunsTable"), ("PutItem", "JobsTable")} <= needed
    assert needed <= granted("tick")


def test_the_worker(scene: tuple[World, Recorder]) -> None:
    world, recorder = scene
    waiting = world.job("0 0 1 1 *", overlap="queue")
    deleted = world.job("0 0 1 1 *")
    world.trigger(deleted)
    job_cases.delete(world.engine, deleted.job_id)
    world.tick()
    for _ in range(3):
        world.trigger(waiting)
    world.outcomes = [ValueError("no")] * 3
    with recorder.during() as needed:
        while world.deliver():
            pass
    assert {("UpdateItem", "RunsTable"), ("UpdateItem", "JobsTable"), ("PutItem", "RecordsTable")} <= needed
    assert needed <= granted("worker")


def test_the_dead_letters(scene: tuple[World, Recorder]) -> None:
    world, recorder = scene
    world.tick()
    deleted = world.job("0 0 1 1 *")
    world.trigger(deleted)
    bodies = [body for body, _ in world.sqs.sent] + ["no message"]
    job_cases.delete(world.engine, deleted.job_id)
    world.sqs.dead = [Letter(str(number), body, world.clock.now()) for number, body in enumerate(bodies)]
    with recorder.during() as needed:
        world.bury()
    assert not world.sqs.dead
    assert {
        ("PutItem", "JobsTable"),
        ("UpdateItem", "RunsTable"),
        ("BatchWriteItem", "RecordsTable"),
    } <= needed
    assert needed <= granted("dead-letter")
