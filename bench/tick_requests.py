"""What a tick and a run cost in DynamoDB: requests, and units measured by DynamoDB Local.

    python -m bench.tick_requests

1. The requests of a tick with 10 due jobs, among 10 and among 10,000 registered ones: the same.
2. The agenda's entries after 200 ticks, some doubled, late or killed: one for each active job.
3. Write and read units for each run, of a hundred jobs that share a minute, their messages in batches of ten.

The queue is in memory: what SQS costs is known beforehand.
"""

from __future__ import annotations

import os
import random
import sys
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import boto3

from chalicelib.aws.jobs import _definition
from chalicelib.core.agenda import Slots
from chalicelib.core.instants import floor_minute
from chalicelib.core.job import Job
from infra import dynamodb_local
from infra.local.provision import TABLE_PROPERTIES
from infra.template import load, of_type
from tests.memory import Memory
from tests.support import MINUTE, START, World

DUE, JOBS, TICKS = 10, 100, 200
IDLE = "0 0 1 1 *"


def main() -> None:
    few, many = (requests_of_a_tick(_in_memory(), registered) for registered in (DUE, 10_000))
    print(f"requests of a tick with {DUE} due jobs\n  among     {DUE}: {_listed(few)}")
    print(f"  among 10,000: {_listed(many)}")
    if few != many:
        sys.exit("the two differ")
    world, jobs = _in_memory(), 20
    entries = entries_after(world, jobs, TICKS)
    print(
        f"agenda entries of {jobs} active jobs after {TICKS} ticks, some doubled, late or killed: {entries}"
    )
    if entries != jobs:
        sys.exit("there should be one for each job")
    if reason := dynamodb_local.missing():
        sys.exit(f"units are not measured: {reason}")
    with dynamodb_local.running() as url:
        for overlap in ("allow", "skip"):
            _print_units(overlap, units_of_runs(url, overlap))


def _listed(calls: Counter[str]) -> str:
    return f"{calls.total()} ({', '.join(f'{name} {count}' for name, count in sorted(calls.items()))})"


def _in_memory() -> World:
    environment, client = Memory.environment()
    return World(environment, client=client)


# -- requests


def requests_of_a_tick(world: World, registered: int) -> Counter[str]:
    """The requests of a tick that finds 10 jobs due, with so many in the tables."""
    due = [world.job("5 * * * *") for _ in range(DUE)]
    seed(world, due[0], registered - DUE)
    world.clock.advance(3 * MINUTE)
    world.switch.reset()
    calls = _counted(world, world.tick)
    if len(world.sqs.sent) != DUE:
        raise RuntimeError(f"{len(world.sqs.sent)} of {DUE} runs were sent")
    calls.pop("send_message_batch")
    return calls


def _counted(world: World, act: Callable[[], None]) -> Counter[str]:
    begun = len(world.switch.history)
    act()
    return Counter(world.switch.history[begun:])


def seed(world: World, like: Job, count: int) -> None:
    """Definitions that are due in a year, by batch writes, with their agenda entries."""
    idle = like.spec.model_copy(
        update={"schedule": like.spec.schedule.model_copy(update={"expression": IDLE})}
    )
    jobs = [like.model_copy(update={"job_id": f"job_seed{n:08d}", "spec": idle}) for n in range(count)]
    world.engine.jobs._table.write_batch(map(_definition, jobs))
    entries = [(job.next_slot(START) or START, Slots(job.job_id, job.revision)) for job in jobs]
    world.engine.agenda.file((floor_minute(slot), entry) for slot, entry in entries)


# -- the agenda after many ticks


def entries_after(world: World, jobs: int, ticks: int) -> int:
    """The agenda's entries after so many ticks, each in ten doubled, late, killed or both."""
    chance = random.Random(7)
    made = [world.job(f"*/{chance.choice([1, 2, 5, 15])} * * * *", misfire="skip") for _ in range(jobs)]
    for _ in range(ticks):
        trouble = chance.random()
        if trouble < 0.1:
            world.switch.arm(nth=chance.randint(1, 9), after=chance.random() < 0.5)
            world.tick()
        elif trouble < 0.2:
            agenda = world.agenda()
            world.tick()
            world.engine.agenda.file(agenda)
        elif trouble < 0.3:
            world.clock.advance(timedelta(seconds=chance.choice([20, 90, 400])))
        world.tick()
        world.sqs.letters.clear()
        world.clock.advance(MINUTE)
    world.tick()
    if any(len(world.slot_entries(job)) != 1 for job in made):
        return -1
    return len(world.agenda())


# -- units


def units_of_runs(url: str, overlap: str) -> dict[str, Counter[str]]:
    """Capacity units by step and kind, of 100 runs in a minute, after a first minute that warms up."""
    with _credentials(), _tables(url) as (environment, client):
        world = World(environment, client=client)
        fields: dict[str, Any] = {
            "overlap": overlap,
            "goal": "Report on what changed. " * 20,
            "misfire_grace_seconds": 3600,
        }
        for _ in range(JOBS):
            world.job("*/10 * * * *", **fields)
        _minute(world)
        used = _metered(client)
        world.clock.to(floor_minute(START) + 18 * MINUTE)
        world.tick()
        steps = {"tick": used.copy()}
        used.clear()
        _work(world)
        steps["workers"] = used.copy()
        runs = sum(1 for job_id in world.engine.jobs.ids({}) for _ in world.engine.runs.of_job(job_id))
        if runs != 2 * JOBS:
            raise RuntimeError(f"{runs} runs in place of {2 * JOBS}")
        return steps


def _minute(world: World) -> None:
    world.clock.to(floor_minute(START) + 8 * MINUTE)
    world.tick()
    _work(world)


def _work(world: World) -> None:
    arrival = world.sqs.next_arrival()
    world.clock.to((arrival or START) + MINUTE)
    while world.deliver(10):
        pass


def _metered(client: Any) -> Counter[str]:
    """What DynamoDB says that calls consumed, by table and kind, from now on."""
    used: Counter[str] = Counter()
    reads = {"Query", "GetItem", "BatchGetItem"}

    def ask(params: dict[str, Any], **_: Any) -> None:
        params["ReturnConsumedCapacity"] = "TOTAL"

    def note(parsed: dict[str, Any], model: Any, **_: Any) -> None:
        consumed = parsed.get("ConsumedCapacity", [])
        for each in consumed if isinstance(consumed, list) else [consumed]:
            kind = "read" if model.name in reads else "write"
            table = each["TableName"].rpartition("-")[2].removesuffix("Table").lower()
            used[f"{table} {kind}"] += each["CapacityUnits"]

    client.meta.events.register("provide-client-params.dynamodb", ask)
    client.meta.events.register("after-call.dynamodb", note)
    return used


def _print_units(overlap: str, steps: dict[str, Counter[str]]) -> None:
    print(f"units for each of {JOBS} runs that share a minute, batches of ten, overlap: {overlap}")
    for step, used in steps.items():
        print(f"  {step:8}", ", ".join(f"{name} {count / JOBS:.2f}" for name, count in sorted(used.items())))
    totals: defaultdict[str, float] = defaultdict(float)
    for used in steps.values():
        for name, count in used.items():
            totals[name.rpartition(" ")[2]] += count / JOBS
    print("  in all  ", ", ".join(f"{name} {count:.2f}" for name, count in sorted(totals.items())))


@contextmanager
def _credentials() -> Iterator[None]:
    names = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(names)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _tables(url: str) -> Iterator[tuple[dict[str, str], Any]]:
    client: Any = boto3.client("dynamodb", endpoint_url=url)
    prefix = uuid.uuid4().hex[:8]
    environment = {}
    for logical, properties in of_type(load(), "AWS::DynamoDB::Table").items():
        name = f"{prefix}-{logical}"
        definition = {key: properties[key] for key in TABLE_PROPERTIES if key in properties}
        client.create_table(TableName=name, **definition)
        environment[f"BELFRY_{logical.removesuffix('Table').upper()}_TABLE"] = name
    yield environment, client


if __name__ == "__main__":
    main()
