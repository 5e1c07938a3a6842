"""Races, on DynamoDB Local: its conditions are atomic under threads, which moto's are not."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import TypeVar

import pytest

from chalicelib.core.access import Principal, Role
from chalicelib.core.agenda import Slots
from chalicelib.core.audit import digest
from chalicelib.core.instants import iso
from chalicelib.core.run import RunStatus
from chalicelib.core.webhook import Webhook
from chalicelib.scheduler import audit, webhooks
from chalicelib.scheduler import jobs as job_cases
from chalicelib.scheduler.settle import settle
from chalicelib.scheduler.tick import tick
from chalicelib.scheduler.worker import work
from tests.support import MINUTE, SECOND, START, World, spec

FAR = "0 0 1 1 *"
HOUR = timedelta(hours=1)
T = TypeVar("T")


@pytest.fixture
def world(dynamodb_local: dict[str, str]) -> World:
    return World(dynamodb_local)


def at_once(count: int, act: Callable[[int], T]) -> list[T]:
    """The same by so many threads, which begin together."""
    together = Barrier(count)

    def one(number: int) -> T:
        together.wait(10)
        return act(number)

    with ThreadPoolExecutor(count) as pool:
        return [*pool.map(one, range(count))]


def test_of_many_claims_of_one_run_one_wins(world: World) -> None:
    job = world.job(FAR)
    for number in range(5):
        message = world.send(job, START + number * SECOND)
        claims = at_once(8, lambda _, message=message: world.claim(message))  # type: ignore[misc]
        assert sum(claim.won for claim in claims) == 1
        assert {claim.run.fence for claim in claims if claim.run} == {1}


def test_of_many_claims_of_an_abandoned_run_one_wins(world: World) -> None:
    message = world.send(world.job(FAR))
    world.claim(message)
    world.clock.advance(HOUR)
    claims = at_once(8, lambda _: world.claim(message))
    assert sum(claim.won for claim in claims) == 1
    assert world.run(message).fence == 2
    assert len(world.run(message).attempts) == 2


def test_one_message_in_many_workers_is_performed_once(world: World) -> None:
    job = world.job(FAR)
    message = world.send(job)
    received = world.sqs.receive()
    at_once(6, lambda _: work(world.engine, received))
    assert world.run(message).status is RunStatus.COMPLETED
    assert len(world.attempts) == 1
    assert world.state(job).counts == {"completed": 1}


def test_of_many_runs_that_want_the_lock_one_has_it(world: World) -> None:
    job = world.job(FAR)
    until = START + HOUR
    lost = at_once(8, lambda n: world.engine.jobs.lock(job.job_id, f"run{n}", until, START))
    assert lost.count(None) == 1
    assert {state.lock_run for state in lost if state} == {f"run{lost.index(None)}"}


def test_of_many_runs_that_would_wait_one_does(world: World) -> None:
    job = world.job(FAR, overlap="queue")
    world.engine.jobs.lock(job.job_id, "holder", START + HOUR, START)
    messages = [world.send(job, START - n * SECOND) for n in range(6)]
    batches = [world.sqs.receive(1) for _ in messages]
    at_once(6, lambda n: work(world.engine, batches[n]))
    assert sorted(world.run(message).status for message in messages) == ["queued"] + ["skipped"] * 5
    assert world.attempts == []


def test_a_run_that_is_settled_by_many_at_once_is_counted_once(world: World) -> None:
    for overlap in ("skip", "allow"):
        job = world.job(FAR, overlap=overlap)
        claim = world.claim(world.send(job))
        assert claim.run
        if overlap == "skip":
            world.engine.jobs.lock(job.job_id, claim.run.run_id, START + HOUR, START)
        run = world.engine.runs.finish(claim.run, RunStatus.COMPLETED, START)
        assert run
        at_once(8, lambda _, job=job, run=run: settle(world.engine, job, run, START, is_news=True))  # type: ignore[misc]
        state = world.state(job)
        assert (state.run_count, state.counts, state.lock_run) == (1, {"completed": 1}, None)


def test_a_release_of_the_lock_and_a_new_waiter_do_not_lose_each_other(world: World) -> None:
    """The waiter is noted, or finds the lock free and tries again; it never waits for nobody."""
    for number in range(6):
        job = world.job(FAR, overlap="queue")
        holder, waiting = world.send(job), world.send(job, START - SECOND)
        claim = world.claim(holder)
        assert claim.run
        world.engine.jobs.lock(job.job_id, holder.run_id, START + HOUR, START)
        run = world.engine.runs.finish(claim.run, RunStatus.COMPLETED, START)
        assert run
        received = [item for item in world.sqs.receive() if waiting.run_id in item.body]

        def act(n: int, job=job, run=run, received=received) -> None:  # type: ignore[no-untyped-def]
            if n:
                settle(world.engine, job, run, START, is_news=True)
            else:
                world.sqs.delete(received, work(world.engine, received))

        at_once(2, act)
        world.sqs.letters = {k: v for k, v in world.sqs.letters.items() if waiting.run_id in v.body}
        world.drain()
        assert world.run(waiting).status is RunStatus.COMPLETED, number
        assert world.state(job).counts == {"completed": 2}


@pytest.mark.parametrize("late", [0, 40])
def test_two_ticks_at_once_are_one(world: World, late: int) -> None:
    jobs = [world.job("0 15 * * *"), world.job("*/7 * * * *", misfire="fire_once"), world.job(misfire="skip")]
    world.drain()
    world.clock.to(START + 57 * MINUTE + late * MINUTE)
    at_once(2, lambda _: tick(world.engine, world.clock.now()))
    for job in jobs:
        assert len(world.slot_entries(job)) == 1
    world.drain()
    world.live(1)
    for job in jobs:
        verdicts = world.verdicts(job)
        assert verdicts == [*job.schedule.occurrences(START, verdicts[-1])]
        assert len(world.slot_entries(job)) == 1
    assert len({attempt.idempotency_key for attempt in world.attempts}) == len(world.attempts)


def test_two_changes_at_once_are_both_made_and_leave_one_live_entry(world: World) -> None:
    job = world.job(FAR)
    fields = [{"schedule": {"type": "cron", "expression": f"{n} 0 1 1 *"}} for n in range(1, 5)]
    at_once(4, lambda n: world.change(job, **fields[n]))
    after = world.definition(job)
    assert after.version == 5
    live = [minute for minute, entry in world.agenda() if entry == Slots(job.job_id, after.revision)]
    assert [minute.minute for minute in live] == [int(after.spec.schedule.expression.split()[0])]  # type: ignore[union-attr]
    assert len({entry for _, entry in world.agenda()}) == 5  # each revision is its own


def test_the_same_creation_at_once_makes_one_job(world: World) -> None:
    creation = job_cases.Creation("test", request_key="k")
    made = at_once(6, lambda _: job_cases.create(world.engine, spec(FAR), creation, START))
    assert len({job.job_id for job in made}) == 1
    assert [*world.engine.jobs.ids({})] == [made[0].job_id]
    assert len(world.agenda()) == 1


def test_the_same_trigger_at_once_makes_one_run(world: World) -> None:
    job = world.job(FAR)
    runs = at_once(6, lambda _: world.trigger(job, request_key="k"))
    assert len({run.run_id for run in runs}) == 1
    world.drain()
    assert (len(world.runs(job)), len(world.attempts)) == (1, 1)


def test_a_cancel_and_a_claim_at_once_leave_one_verdict(world: World) -> None:
    job = world.job(FAR, overlap="allow")
    for _ in range(6):
        run = world.trigger(job)
        received = world.sqs.receive()

        def act(n: int, run=run, received=received) -> None:  # type: ignore[no-untyped-def]
            if n:
                world.sqs.delete(received, work(world.engine, received))
                return
            try:
                world.cancel(run)
            except Exception as error:
                assert "is completed" in str(error)  # noqa: PT017

        at_once(2, act)
        world.drain()
    statuses = world.statuses(job)
    assert set(statuses) <= {RunStatus.COMPLETED, RunStatus.CANCELLED}
    assert sum(world.state(job).counts.values()) == 6


def test_of_many_deliveries_that_die_at_once_each_is_counted(world: World) -> None:
    time = iso(START)
    hook = Webhook(
        id="wh_1", name="ops", url="https://a.example", events=("*",), created_at=time, updated_at=time
    )
    world.engine.records.put("webhook", hook.id, hook.model_dump())
    deaths = at_once(10, lambda _: webhooks.change(world.engine, hook.id, one_more_dead))
    assert all(deaths)
    after = webhooks.get(world.engine, hook.id)
    assert (after.consecutive_failures, after.enabled) == (10, False)


def one_more_dead(webhook: Webhook) -> Webhook:
    return webhooks.with_a_dead_delivery(webhook, "answered 500", START)


def test_an_audit_chain_that_eight_threads_append_to_stays_whole(world: World) -> None:
    who = Principal("key_a", Role.ADMIN)

    def append(number: int) -> None:
        for i in range(5):
            audit.append(world.engine, who, "job.create", f"{number}.{i}", {}, START)

    at_once(8, append)
    entries = [entry for _, entry in world.engine.records.list(f"audit#{START:%Y-%m}")]
    assert [entry["seq"] for entry in entries] == [*range(1, 41)]
    assert len({entry["target"] for entry in entries}) == 40
    before = ""
    for entry in entries:
        assert entry["prev_hash"] == before
        assert entry["hash"] == digest(entry)
        before = entry["hash"]
    head = world.engine.records.get("audit", "head")
    assert head
    assert (head["seq"], head["hash"]) == (40, before)
