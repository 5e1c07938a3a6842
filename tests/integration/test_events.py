"""What is told, and when: events of jobs, runs and chains in the feeds and to the webhooks."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from chalicelib.core.errors import ActionError, Conflict
from chalicelib.core.job import Origin
from chalicelib.scheduler import jobs as job_cases
from chalicelib.scheduler.builtins import BuiltIn, create_one
from chalicelib.scheduler.events import emit
from tests.integration.webhooks_support import Town
from tests.receiver import Receiver, receiving
from tests.support import MINUTE, SECOND, START, at, every, spec

FAR = "0 16 * * *"
BROKEN = ActionError("http_status", "answered 500")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as server:
        yield server


@pytest.fixture
def town(receiver: Receiver) -> Town:
    return Town(receiver)


def built_in(town: Town, job_id: str = "job_task") -> Any:
    fields = spec(FAR, action={"type": "task", "name": "agenda-sweep"}).model_dump(mode="json")
    create_one(town.world.engine, BuiltIn(job_id, fields, Origin.NATIVE), town.world.clock.now())
    return town.world.definition(job_id)


def test_a_job_that_fails_too_often_is_told_of_and_notified(town: Town) -> None:
    town.hook("job.auto_paused")
    job = town.world.job(FAR, max_consecutive_failures=1)
    town.world.send(job)
    town.world.outcomes = [BROKEN]
    town.world.drain()
    (request,) = town.receiver.received
    assert request.json["data"]["status_reason"] == "1 runs failed in a row; the last: answered 500"
    assert town.activities() == ["job.auto_paused", "job.created", "run.failed"]
    (notification,) = town.feed("notification")
    assert (notification["title"], "a job was stopped" in notification["message"]) == (
        "A job was stopped",
        True,
    )


@pytest.mark.parametrize(("outcome", "event"), [("ok", "job.completed"), (BROKEN, "job.failed")])
def test_the_only_run_of_an_at_job_ends_the_job(town: Town, outcome: Any, event: str) -> None:
    town.world.job(schedule=at(START + 10 * SECOND))
    town.world.outcomes = [outcome]
    town.world.drain()
    assert event in town.activities()
    assert town.feed("notification") == []


def test_a_failed_and_a_cancelled_run_are_told_of_with_the_reason(town: Town) -> None:
    town.hook("run.failed", "run.cancelled")
    job = town.world.job(FAR)
    town.world.send(job)
    town.world.outcomes = [BROKEN]
    town.world.drain()
    town.world.cancel(town.world.trigger(job))
    town.world.drain()
    told = {(r.event, r.json["data"]["reason"], r.json["data"]["attempts"]) for r in town.receiver.received}
    assert told == {("run.failed", "answered 500", 1), ("run.cancelled", "cancelled by test", 0)}
    assert len(town.receiver.received) == 2
    assert town.activities() == ["job.created", "run.cancelled", "run.failed"]


def test_a_running_run_that_is_cancelled_is_told_of_once(town: Town) -> None:
    town.hook("*")
    job = town.world.job(FAR)
    message = town.world.send(job)
    town.world.outcomes = [lambda attempt: str(town.world.cancel(town.world.run(message)))]
    town.world.drain()
    assert sorted(town.receiver.events) == ["job.created", "run.cancelled"]


def test_a_run_that_is_tried_again_is_told_of_at_its_end_only(town: Town) -> None:
    town.hook("run.failed", "run.completed")
    town.world.send(town.world.job(FAR, retry={"max_attempts": 3, "base_delay": 1}))
    town.world.outcomes = [BROKEN, BROKEN]
    town.world.drain()
    assert town.receiver.events == ["run.completed"]


def test_a_skipped_run_goes_to_webhooks_and_not_to_the_feed(town: Town) -> None:
    town.hook("run.skipped")
    job = town.world.job(FAR, overlap="skip")
    town.world.claim(town.world.send(job))
    town.world.engine.jobs.lock(job.job_id, "another", START + timedelta(hours=1), START)
    town.world.send(job, START + SECOND)
    town.world.deliver_until(START + MINUTE)
    assert town.receiver.events == ["run.skipped"]
    assert town.activities() == ["job.created"]


def test_built_in_tasks_are_told_of_only_where_they_fail_and_then_somebody_is_notified(town: Town) -> None:
    task = built_in(town)
    town.hook("*")
    for slot in range(2):
        town.world.send(task, START + slot * SECOND)
    town.world.outcomes = ["ok", BROKEN]
    town.world.drain()
    assert town.receiver.events == ["run.failed"]
    assert [one["title"] for one in town.feed("notification")] == ["A system task failed"]


def test_missed_runs_are_told_of_each(town: Town) -> None:
    town.hook("run.missed")
    job = town.world.job(schedule=every(60), misfire="skip", max_consecutive_failures=0)
    town.world.clock.advance(10 * MINUTE)
    town.world.tick()
    town.world.drain()
    missed = [run.run_id for run in town.world.runs(job) if run.status == "missed"]
    assert len(missed) >= 5
    assert sorted(request.json["data"]["run_id"] for request in town.receiver.received) == missed
    assert town.activities().count("run.missed") == len(missed)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("nth", [*range(1, 30, 2)])
def test_a_tick_killed_anywhere_tells_of_each_missed_run_once(town: Town, nth: int, after: bool) -> None:
    town.hook("run.missed")
    job = town.world.job(schedule=every(60), misfire="skip")
    town.world.clock.advance(10 * MINUTE)
    town.world.switch.arm(nth=nth, after=after)
    town.world.tick()
    town.world.clock.advance(SECOND)
    town.world.tick()
    town.world.drain()
    missed = [run.run_id for run in town.world.runs(job) if run.status == "missed"]
    assert len(missed) >= 5
    assert sorted(request.json["data"]["run_id"] for request in town.receiver.received) == missed


def test_many_missed_slots_that_share_a_row_are_one_event(town: Town) -> None:
    town.hook("run.missed")
    job = town.world.job(schedule=every(60), misfire="skip")
    town.world.clock.advance(300 * MINUTE)
    town.world.tick()
    town.world.drain()
    rows = [run for run in town.world.runs(job) if run.status == "missed"]
    (many,) = (run for run in rows if run.missed_count)
    told = [request.json["data"] for request in town.receiver.received]
    assert sorted(data["run_id"] for data in told) == [run.run_id for run in rows]
    assert [data["missed"]["count"] for data in told if "missed" in data] == [many.missed_count]
    assert (many.missed_count or 0) > 100


def test_a_write_that_changes_nothing_is_no_event(town: Town) -> None:
    job = town.world.job(FAR)
    town.world.change(job, name=job.spec.name)
    town.world.resume(job)
    assert town.activities() == ["job.created"]
    town.world.change(job, name="another")
    assert town.activities() == ["job.created", "job.updated"]


def test_a_write_that_is_refused_is_no_event(town: Town) -> None:
    creation = job_cases.Creation("test", request_key="k")
    for name in ("a", "a", "b"):
        try:
            job_cases.create(town.world.engine, spec(FAR, name=name), creation, START)
        except Conflict:
            assert name == "b"
    assert town.activities() == ["job.created"]


def no_webhooks(real: Any, **arguments: Any) -> Any:
    """They cannot be read."""
    if arguments["ExpressionAttributeValues"].get(":kind") == {"S": "webhook"}:
        raise ValueError("a bug")
    return real(**arguments)


def test_a_write_does_not_fail_where_nobody_can_be_told(town: Town) -> None:
    town.hook()

    town.world.dynamodb.instead["query"] = no_webhooks
    job = town.world.job(FAR)
    town.world.pause(job)
    town.world.dynamodb.instead.clear()
    assert town.world.definition(job).status == "paused"


def test_a_run_of_which_nobody_can_be_told_yet_is_told_of_later(town: Town) -> None:
    town.hook("run.completed")
    message = town.world.send(town.world.job(FAR))

    town.world.dynamodb.instead["query"] = no_webhooks
    town.world.deliver()
    assert town.world.run(message).status == "completed"
    assert len(town.world.sqs.letters) == 1
    town.world.dynamodb.instead.clear()
    town.world.drain()
    assert town.receiver.events == ["run.completed"]
    assert len(town.world.attempts) == 1


def test_the_feed_is_written_once_for_a_run_that_is_settled_often(town: Town) -> None:
    message = town.world.send(town.world.job(FAR))
    town.world.outcomes = [BROKEN]
    town.world.drain()
    for _ in range(3):
        town.world.engine.queue.send([message], town.world.clock.now())
        town.world.drain()
    assert town.activities() == ["job.created", "run.failed"]


def test_data_that_lacks_a_field_is_told_of_all_the_same(town: Town) -> None:
    emit(town.world.engine, "agent.status_change", {"status": "offline"}, START)
    (entry,) = town.feed("activity")
    assert entry["message"] == "Agent ? is offline"
