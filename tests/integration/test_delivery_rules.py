"""Deliveries by the clock: sent once, again after a failure, after the quiet hours, and whoever dies."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from typing import Any

import pytest

from chalicelib.core.errand import Errand, ErrandKind
from chalicelib.core.errors import ActionError
from chalicelib.core.job import Job
from chalicelib.core.letter import Address, Letter
from chalicelib.core.run import Run, RunStatus
from chalicelib.scheduler import channels, run_delivery
from chalicelib.scheduler import jobs as job_cases
from chalicelib.scheduler.runs import bury
from tests.memory import Memory
from tests.support import MINUTE, START, World
from tests.unit.test_architecture import ROOT

FAR = "0 16 * * *"
HOUR = timedelta(hours=1)
DOWN = ActionError("connection", "webhook:ops: it refused the connection")
GONE = ActionError("http_status", "webhook:ops: it answered 410", permanent=True)


class Secrets:
    """In memory."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}

    def put(self, name: str, value: str) -> None:
        self.values[name] = value

    def get(self, name: str) -> str | None:
        return self.values.get(name)

    def delete(self, name: str) -> None:
        self.values.pop(name, None)


class Channel:
    """Takes letters, unless `failures` has something to raise first."""

    def __init__(self) -> None:
        self.letters: list[Letter] = []
        self.tries: list[Letter] = []
        self.failures: list[BaseException] = []

    def __call__(self, address: Address, letter: Letter) -> None:
        assert address.url == "http://ops.example"
        self.tries.append(letter)
        if self.failures:
            raise self.failures.pop(0)
        self.letters.append(letter)


@pytest.fixture
def channel() -> Channel:
    return Channel()


@pytest.fixture
def world(tables: dict[str, str], channel: Channel) -> World:
    """With webhook:ops set up."""
    parts = {"deliver": channel, "secrets": Secrets(), "check_channel": lambda address: None}
    world = World(tables, changes=parts)
    channels.put(world.engine, Address("webhook:ops", "http://ops.example"), "test", START)
    world.switch.reset()
    return world


def job_with(world: World, fields: dict[str, Any] | None = None, **delivery: Any) -> Job:
    return world.job(FAR, delivery={"channel": "webhook:ops", **delivery}, **(fields or {}))


def shown(world: World, run: Run) -> dict[str, Any]:
    found = world.engine.runs.get(run.job_id, run.run_id)
    assert found
    [with_outcome] = run_delivery.with_outcomes(world.engine, [found])
    return dict(with_outcome.delivery or {})


def test_a_result_is_delivered_once_and_the_run_says_when(world: World, channel: Channel) -> None:
    run = world.trigger(job_with(world, format="json"))
    world.drain()
    [letter] = channel.letters
    assert letter.subject == "a job: completed"
    assert letter.facts["output"] == "ok"
    delivery = shown(world, run)
    assert (delivery["status"], delivery["attempts"]) == ("delivered", 1)
    assert delivery["delivered_at"] == "2026-11-22T14:00:30.000Z"


def test_a_run_that_is_told_of_again_is_not_delivered_again(world: World, channel: Channel) -> None:
    job = job_with(world)
    run = world.trigger(job)
    world.drain()
    for _ in range(3):
        run_delivery.dispatch(world.engine, job, world.runs(job)[0], world.clock.now())
    world.drain()
    assert len(channel.tries) == 1
    assert shown(world, run)["attempts"] == 1


def test_the_receiver_is_down_the_run_stays_completed_and_four_attempts_are_made(
    world: World, channel: Channel
) -> None:
    job = job_with(world)
    run = world.trigger(job)
    channel.failures = [DOWN] * 10
    times = []
    while arrival := world.sqs.next_arrival():
        world.clock.to(arrival)
        before = len(channel.tries)
        world.deliver()
        if len(channel.tries) > before:
            times.append(int((world.clock.now() - START).total_seconds()))
            if len(times) < 4:
                assert shown(world, run)["status"] == "pending"
                assert shown(world, run)["error"] == str(DOWN)
                assert shown(world, run)["next_attempt_at"] > "2026-11-22T14:00:30"
    assert times == [0, 10, 70, 370]
    assert world.statuses(job) == [RunStatus.COMPLETED]
    assert world.state(job).counts == {"completed": 1}
    delivery = shown(world, run)
    assert (delivery["status"], delivery["attempts"], delivery["error"]) == ("failed", 4, str(DOWN))
    assert "next_attempt_at" not in delivery
    [seen] = channels.list_all(world.engine)
    assert seen["last_outcome"]["error"] == str(DOWN)


def test_a_receiver_that_comes_back_gets_it_and_one_that_is_gone_is_left_alone(
    world: World, channel: Channel
) -> None:
    back = world.trigger(job_with(world))
    channel.failures = [DOWN, DOWN]
    world.drain()
    assert (shown(world, back)["status"], shown(world, back)["attempts"]) == ("delivered", 3)
    assert "error" not in shown(world, back)
    gone = world.trigger(job_with(world))
    channel.failures = [GONE]
    world.drain()
    assert (shown(world, gone)["status"], shown(world, gone)["attempts"]) == ("failed", 1)


@pytest.mark.parametrize(
    ("on", "fails", "told"),
    [
        ("always", False, True),
        ("always", True, True),
        ("success", False, True),
        ("success", True, False),
        ("failure", False, False),
        ("failure", True, True),
    ],
)
def test_on_says_which_ends_are_told(
    world: World, channel: Channel, on: str, fails: bool, told: bool
) -> None:
    run = world.trigger(job_with(world, on=on))
    world.outcomes = [ActionError("x", "no luck", permanent=True)] if fails else ["fine"]
    world.drain()
    assert len(channel.letters) == told
    assert shown(world, run)["status"] == ("delivered" if told else "not_due")
    if told and fails:
        assert channel.letters[0].facts["error"] == "no luck"


def test_a_retry_is_no_end(world: World, channel: Channel) -> None:
    world.trigger(job_with(world, {"retry": {"max_attempts": 2}}))
    world.outcomes = [ActionError("x", "no luck"), "fine"]
    world.drain()
    assert [letter.facts["status"] for letter in channel.letters] == ["completed"]


def test_a_dry_run_and_a_cancelled_one_are_told_to_nobody(world: World, channel: Channel) -> None:
    job = job_with(world)
    world.trigger(job, dry_run=True)
    world.cancel(world.trigger(job))
    world.drain()
    assert channel.tries == []


def test_a_run_that_a_dead_letter_fails_is_told_of(world: World, channel: Channel) -> None:
    world.trigger(job_with(world))
    world.sqs.dead += world.sqs.letters.values()
    world.sqs.letters.clear()
    world.bury()
    world.drain()
    [letter] = channel.letters
    assert letter.facts["error"] == "its message came back from the worker until the queue gave up"


def test_a_run_whose_last_worker_was_lost_is_told_of(world: World, channel: Channel) -> None:
    job = job_with(world)
    world.claim(world.send(job))
    world.clock.advance(HOUR)
    world.drain()
    assert [letter.facts["status"] for letter in channel.letters] == ["failed"]


def test_quiet_hours_put_it_off_to_their_end(world: World, channel: Channel) -> None:
    quiet = {"start": "10:00", "end": "21:30", "timezone": "Europe/Berlin"}
    run = world.trigger(job_with(world, quiet_hours=quiet))
    world.deliver_until(START + 6 * HOUR)
    assert channel.tries == []
    delivery = shown(world, run)
    assert (delivery["status"], delivery["attempts"]) == ("pending", 0)
    assert delivery["next_attempt_at"] == "2026-11-22T20:30:00.000Z"
    assert delivery["reason"] == "quiet hours until 2026-11-22T20:30:00.000Z"
    world.drain()
    assert shown(world, run)["delivered_at"] == "2026-11-22T20:30:00.000Z"
    assert world.sqs.dead == []


def test_quiet_hours_are_in_the_jobs_zone(world: World, channel: Channel) -> None:
    schedule = {"type": "cron", "expression": FAR, "timezone": "Asia/Tokyo"}
    run = world.trigger(
        job_with(world, {"schedule": schedule}, quiet_hours={"start": "22:00", "end": "07:00"})
    )
    world.drain()
    assert shown(world, run)["delivered_at"] == "2026-11-22T22:00:00.000Z"


def test_an_unknown_channel_is_said_and_not_tried_again(world: World, channel: Channel) -> None:
    run = world.trigger(job_with(world, channel="slack:#alerts"))
    world.drain()
    delivery = shown(world, run)
    assert (delivery["status"], delivery["reason"]) == (
        "undelivered", "no channel slack:#alerts is set up",
    )  # fmt: skip
    assert channel.tries == []
    assert [data["reason"] for data in failures_told(world)] == ["no channel slack:#alerts is set up"]


def failures_told(world: World) -> list[dict[str, Any]]:
    """The data of the activities of deliveries that failed."""
    kind = f"activity#{world.clock.now():%Y-%m}"
    entries = [entry for _, entry in world.engine.records.list(kind)]
    return [entry["data"] for entry in entries if entry["type"] == "delivery.failed"]


def test_somebody_is_told_of_a_delivery_that_failed_for_good(world: World, channel: Channel) -> None:
    run = world.trigger(job_with(world))
    channel.failures = [DOWN] * 4
    world.deliver()
    assert failures_told(world) == []
    world.drain()
    assert failures_told(world) == [
        {
            "job_id": run.job_id, "job_name": "a job", "run_id": run.run_id, "channel": "webhook:ops",
            "status": "failed", "reason": "webhook:ops: it refused the connection", "attempts": 4,
        }
    ]  # fmt: skip
    [(_, notification)] = world.engine.records.list(f"notification#{world.clock.now():%Y-%m}")
    assert notification["message"] == (
        "A result of a job could not be delivered: webhook:ops: it refused the connection"
    )


def test_a_job_that_is_deleted_meanwhile_is_told_of_all_the_same(world: World, channel: Channel) -> None:
    job = job_with(world)
    run = world.trigger(job)
    world.deliver()
    job_cases.delete(world.engine, job.job_id)
    world.drain()
    assert shown(world, run)["status"] == "delivered"
    assert channel.letters[0].subject == "a job: completed"


def test_an_errand_that_comes_twice_delivers_once(world: World, channel: Channel) -> None:
    job = job_with(world)
    run = world.trigger(job)
    world.deliver()
    facts = {"job_id": job.job_id, "run_id": run.run_id, "job_name": "a job"}
    world.engine.queue.send([Errand(ErrandKind.DELIVERY, facts, START)] * 3, START)
    channel.failures = [DOWN]
    while world.sqs.next_arrival():
        world.clock.to(world.sqs.next_arrival() or START)
        world.deliver(most=10)
    assert (len(channel.tries), len(channel.letters)) == (2, 1)


def test_an_errand_that_the_queue_gives_up_fails_the_delivery(world: World, channel: Channel) -> None:
    run = world.trigger(job_with(world))
    world.deliver()
    world.sqs.dead += world.sqs.letters.values()
    world.sqs.letters.clear()
    world.bury()
    delivery = shown(world, run)
    assert (delivery["status"], delivery["error"]) == (
        "failed", "the queue gave up after its last receive",
    )  # fmt: skip
    assert [data["status"] for data in failures_told(world)] == ["failed"]


@pytest.mark.parametrize("kind", ErrandKind)
def test_an_errand_that_lacks_its_facts_is_a_dead_letter_with_the_reason(
    world: World, kind: ErrandKind
) -> None:
    bury(world.engine, "m-1", Errand(kind, {}, START).encode(), START)
    reason = (world.engine.records.get("dead_letter", "m-1") or {})["reason"]
    assert reason.startswith("is no whole errand")


def test_an_sqs_that_refuses_the_errand_is_asked_again(world: World, channel: Channel) -> None:
    run = world.trigger(job_with(world))
    refusals = [True, False]
    world.sqs.refuses = lambda body: "errand" in body and bool(refusals) and refusals.pop(0)
    world.drain()
    assert shown(world, run)["status"] == "delivered"
    assert len(channel.letters) == 1


def test_whoever_is_killed_wherever_it_is_delivered_and_recorded(channel: Channel) -> None:
    """At least once: twice only where a worker died between the delivery and its record."""
    doubled = 0
    for after in (False, True):
        for nth in range(1, 40):
            channel.letters.clear()
            parts = {"deliver": channel, "secrets": Secrets(), "check_channel": lambda address: None}
            environment, client = Memory.environment()
            world = World(environment, changes=parts, client=client)
            channels.put(world.engine, Address("webhook:ops", "http://ops.example"), "test", START)
            job = job_with(world, {"retry": {"max_attempts": 2, "strategy": "fixed", "base_delay": 1}})
            run = world.trigger(job)
            world.switch.reset()
            world.switch.history.clear()
            killed_in_delivery = _kill_at(world, nth, after=after)
            world.drain()
            assert world.sqs.dead == []
            assert shown(world, run)["status"] == "delivered", (nth, after)
            assert 1 <= len(channel.letters) <= 2, (nth, after)
            doubled += len(channel.letters) == 2
            if not killed_in_delivery:
                break
        else:
            raise AssertionError("the kills never come to an end")
    assert doubled == 1


def _kill_at(world: World, nth: int, *, after: bool) -> bool:
    """Runs the worker; its nth call to AWS, over all invocations, is its last. False: there were fewer."""
    while arrival := world.sqs.next_arrival():
        world.clock.to(arrival)
        done = len(world.switch.history)
        world.switch.arm(nth=nth - done, after=after)
        world.deliver()
        if len(world.switch.history) >= nth:
            return True
    return False


def test_a_delivery_outlives_no_run(world: World, channel: Channel) -> None:
    job = job_with(world)
    run = world.trigger(job)
    world.drain()
    row = world.engine.records._table.get({"kind": f"delivery#{job.job_id}", "record_key": run.run_id})
    stored = world.engine.runs.get(job.job_id, run.run_id)
    assert row
    assert stored
    assert row["expires_at"] == stored.expires_at > (START + MINUTE).timestamp()


def test_a_run_without_a_delivery_costs_no_call_more(world: World) -> None:
    costs = []
    for job in (world.job(FAR), job_with(world)):
        world.send(job)
        before = len(world.switch.history)
        world.deliver()
        costs.append(world.switch.history[before:])
    assert "send_message_batch" not in costs[0]
    assert len(costs[1]) - len(costs[0]) == 3  # the look for a record, the errand, the record


LAZY = """
import sys
sys.path.insert(0, {root!r})
import app
heavy = {{"apprise", "simpleeval", "cron_descriptor", "standardwebhooks"}}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
from moto import mock_aws
import boto3
from datetime import UTC, datetime
from infra.local.pollers import record
from infra.local.provision import provision
from infra.local.ticker import scheduled_event
with mock_aws():
    import os
    os.environ.update(provision(boto3.client("dynamodb"), boto3.client("sqs"), "belfry"))
    from chalicelib import composition
    from chalicelib.core.job import Spec
    from chalicelib.scheduler import jobs, runs
    app.tick(scheduled_event("us-east-1"), None)
    assert not heavy & set(sys.modules), heavy & set(sys.modules)
    engine, now = composition.engine(), datetime.now(UTC)
    spec = Spec.model_validate({{
        "name": "n", "schedule": {{"type": "cron", "expression": "0 0 1 1 *"}},
        "action": {{"type": "handler", "name": "echo"}},
    }})
    job = jobs.create(engine, spec, jobs.Creation("test"), now)
    run = runs.trigger(engine, job.job_id, runs.Asked("test"), now)
    sqs, url = boto3.client("sqs"), os.environ["BELFRY_RUNS_QUEUE"]
    batch = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
    records = [record(one, "arn:aws:sqs:us-east-1:1:runs", "us-east-1") for one in batch]
    app.worker({{"Records": records}}, None)
    assert engine.runs.get(job.job_id, run.run_id).status == "completed"
    assert not heavy & set(sys.modules), heavy & set(sys.modules)
print("lazy")
"""


def test_neither_the_app_nor_a_tick_nor_a_plain_run_imports_what_only_some_runs_need() -> None:
    environment = {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "PATH": "/usr/bin:/bin",
    }
    ran = subprocess.run(
        [sys.executable, "-c", LAZY.format(root=str(ROOT))],
        capture_output=True,
        text=True,
        env=environment,
        cwd=ROOT,
        check=False,
    )
    assert ran.stdout.strip().endswith("lazy"), ran.stderr
