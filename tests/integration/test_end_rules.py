"""Rules 11 to 15 of the protocol: the end. Each test fails where its rule is left out."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from pydantic import ValidationError

from chalicelib.core.errors import ActionError, Conflict
from chalicelib.core.ids import slot_id
from chalicelib.core.instants import from_iso
from chalicelib.core.job import Job, JobStatus
from chalicelib.core.run import FINISHED, RunStatus
from chalicelib.scheduler import jobs as job_cases
from chalicelib.scheduler.settle import settle
from tests.support import MINUTE, SECOND, START, World, at, spec

FAR = "0 16 * * *"
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
BROKEN = ActionError("http_status", "500")


# -- rule 11


def test_a_run_settled_many_times_is_counted_once(world: World) -> None:
    job = world.job(FAR)
    message = world.send(job)
    world.deliver()
    run, before = world.run(message), world.state(job)
    for _ in range(3):
        settle(world.engine, world.definition(job), run, world.clock.now(), is_news=bool(_ % 2))
    assert world.state(job) == before
    assert (before.run_count, before.counts) == (1, {"completed": 1})


def test_it_is_counted_once_also_without_a_lock(world: World) -> None:
    job = world.job(FAR, overlap="allow")
    messages = [world.send(job, START + i * SECOND) for i in range(40)]
    world.drain()
    for message in messages:
        settle(world.engine, job, world.run(message), world.clock.now(), is_news=False)
    settle(world.engine, job, world.run(messages[-1]), world.clock.now(), is_news=True)
    assert world.state(job).counts == {"completed": 40}
    row = world.engine.jobs._table.get({"job_id": job.job_id, "part": "state"})
    assert row
    assert 16 <= len(row["recent"]) < 32


def test_settling_again_does_not_release_the_lock_of_another(world: World) -> None:
    job = world.job(FAR, overlap="skip")
    first, second = world.send(job), world.send(job, START + SECOND)
    world.deliver()
    claim = world.claim(second)
    assert claim.run
    world.engine.jobs.lock(job.job_id, second.run_id, START + HOUR, START)
    settle(world.engine, job, world.run(first), START, is_news=False)
    assert world.state(job).lock_run == second.run_id


def test_a_run_that_lost_its_lock_is_counted_and_leaves_the_lock_to_its_new_holder(world: World) -> None:
    job = world.job(FAR, overlap="skip")
    claim = world.claim(world.send(job))
    assert claim.run
    world.engine.jobs.lock(job.job_id, "another", START + HOUR, START)
    run = world.engine.runs.finish(claim.run, RunStatus.COMPLETED, START)
    assert run
    settle(world.engine, job, run, START, is_news=True)
    assert (world.state(job).lock_run, world.state(job).counts) == ("another", {"completed": 1})


@pytest.mark.parametrize("overlap", ["skip", "allow"])
def test_a_worker_killed_anywhere_leaves_a_run_that_is_finished_settled_and_counted_once(
    world: World, overlap: str
) -> None:
    for nth in range(1, 9):
        for after in (False, True):
            job = world.job("0 0 1 1 *", overlap=overlap, retry={"max_attempts": 2})
            message = world.send(job)
            world.switch.arm(nth=nth, after=after)
            world.deliver()
            world.drain()
            state, run = world.state(job), world.run(message)
            assert run.status is RunStatus.COMPLETED, (nth, after)
            assert (state.counts, state.lock_run) == ({"completed": 1}, None), (nth, after)
            assert len(run.attempts) <= 2


def test_a_message_is_acknowledged_only_when_its_run_is_settled(world: World) -> None:
    job = world.job(FAR)
    message = world.send(job)
    world.switch.arm("update_item", nth=4)  # claim, lock, finish: dies at the settlement
    world.deliver()
    assert world.run(message).status is RunStatus.COMPLETED
    assert (world.state(job).counts, len(world.sqs.letters)) == ({}, 1)
    world.drain()
    assert (world.state(job).counts, len(world.attempts)) == ({"completed": 1}, 1)


def test_enough_failures_in_a_row_fail_the_job_and_a_message_that_comes_again_sees_to_it(
    world: World,
) -> None:
    job = world.job(FAR, max_consecutive_failures=1)
    world.send(job)
    world.outcomes = [BROKEN]
    world.switch.arm("put_item")  # of the definition
    world.deliver()
    assert world.definition(job).status is JobStatus.ACTIVE
    world.drain()
    assert world.definition(job).status is JobStatus.FAILED
    assert world.state(job).consecutive_failures == 1


def test_a_job_that_was_renamed_while_its_last_run_went_on_is_failed_all_the_same(world: World) -> None:
    job = world.job(FAR, max_consecutive_failures=1)
    world.send(job)

    def rename(attempt: Any) -> Any:
        world.change(job, name="renamed")
        raise BROKEN

    world.outcomes = [rename]
    world.drain()
    after = world.definition(job)
    assert (after.status, after.spec.name) == (JobStatus.FAILED, "renamed")


def test_a_job_that_was_rescheduled_while_its_last_run_went_on_is_left_active(world: World) -> None:
    job = world.job(FAR, max_consecutive_failures=1)
    world.send(job)

    def reschedule(attempt: Any) -> Any:
        world.clock.advance(SECOND)
        world.change(job, schedule={"type": "cron", "expression": "0 18 * * *"})
        raise BROKEN

    world.outcomes = [reschedule]
    world.drain()
    assert world.definition(job).status is JobStatus.ACTIVE


def test_an_at_job_is_completed_by_whoever_settles_its_run(world: World) -> None:
    job = world.job(schedule=at(START + 10 * SECOND))
    world.switch.arm("put_item")
    world.clock.advance(10 * SECOND)
    world.deliver()
    assert world.definition(job).status is JobStatus.ACTIVE
    world.drain()
    assert world.definition(job).status is JobStatus.COMPLETED


def test_a_cancelled_run_is_settled_by_the_cancellation(world: World) -> None:
    job = world.job(FAR)
    run = world.trigger(job)
    world.cancel(run)
    assert world.state(job).counts == {"cancelled": 1}
    world.drain()
    assert (world.state(job).counts, world.attempts) == ({"cancelled": 1}, [])


def test_a_cancellation_killed_before_it_settles_is_settled_by_the_message(world: World) -> None:
    job = world.job(FAR)
    run = world.trigger(job)
    with world.process():
        world.switch.arm("update_item", after=True)
        world.cancel(run)
    assert world.state(job).counts == {}
    world.drain()
    assert world.state(job).counts == {"cancelled": 1}


# -- rule 12


def bury(world: World, job: Job) -> None:
    """The job's messages have been received ten times."""
    world.sqs.dead += world.sqs.letters.values()
    world.sqs.letters.clear()
    world.bury()


def test_a_dead_letter_of_a_finished_run_settles_it(world: World) -> None:
    job = world.job(FAR)
    claim = world.claim(world.send(job))
    assert claim.run
    world.engine.runs.finish(claim.run, RunStatus.COMPLETED, START)
    bury(world, job)
    assert world.state(job).counts == {"completed": 1}


def test_a_dead_letter_of_a_live_run_is_sent_again_for_the_end_of_its_lease(world: World) -> None:
    job = world.job(FAR)
    message = world.send(job)
    world.claim(message)
    bury(world, job)
    (letter,) = world.sqs.letters.values()
    assert letter.visible_at == START + 315 * SECOND
    assert world.run(message).status is RunStatus.RUNNING


def test_a_dead_letter_that_cannot_be_sent_again_stays_dead(world: World) -> None:
    job = world.job(FAR)
    world.claim(world.send(job))
    world.sqs.refuses = lambda body: True
    with pytest.raises(RuntimeError, match="refused"):
        bury(world, job)
    assert len(world.sqs.dead) == 1


@pytest.mark.parametrize("left", ["running", "queued", "retrying", "nothing"])
def test_a_dead_letter_of_any_other_run_fails_it_with_the_reason(world: World, left: str) -> None:
    job = world.job(FAR, retry={"max_attempts": 2})
    message = world.send(job)
    if left == "running":
        world.claim(message)
        world.clock.advance(HOUR)
    elif left == "retrying":
        world.outcomes = [BROKEN]
        world.deliver()
    elif left == "queued":
        run = world.trigger(job)
        world.sqs.letters.pop("m1")
        message = type(message).decode(world.sqs.letters["m2"].body)
        assert message.run_id == run.run_id
    bury(world, job)
    run = world.run(message)
    assert run.status is RunStatus.FAILED
    assert run.reason == "its message came back from the worker until the queue gave up"
    assert run.expires_at
    assert world.state(job).counts == {"failed": 1}


def test_a_message_that_always_breaks_the_worker_ends_as_a_failed_run(world: World) -> None:
    job = world.job(FAR, overlap="skip", retry={"max_attempts": 3})
    message = world.send(job)

    def update(real: Any, **arguments: Any) -> Any:
        if "lock_until" in arguments["UpdateExpression"]:
            raise ValueError("a bug")
        return real(**arguments)

    world.dynamodb.instead["update_item"] = update
    world.engine.jobs._table.put({"job_id": job.job_id, "part": "state"})
    for _ in range(30):
        if not world.sqs.next_arrival():
            break
        world.clock.to(world.sqs.next_arrival() or START)
        world.deliver()
        if world.sqs.dead:
            world.dynamodb.instead.clear()
        world.bury()
    assert world.run(message).status in FINISHED
    assert world.attempts == []


def test_a_letter_that_cannot_be_read_is_kept_as_a_record(world: World) -> None:
    world.sqs.send_message("dead", "no message")
    world.bury()
    ((_, record),) = world.engine.records.list("dead_letter")
    assert record["body"] == "no message"
    assert record["reason"].startswith("message: is no run message")


def test_a_worker_buries_what_it_cannot_read_and_goes_on(world: World) -> None:
    world.sqs.send_message_batch("runs", [{"Id": "0", "MessageBody": "{", "DelaySeconds": 0}])
    message = world.send(world.job(FAR))
    world.deliver(10)
    assert [letter.body for letter in world.sqs.dead] == ["{"]
    assert world.sqs.letters == {}
    assert world.run(message).status is RunStatus.COMPLETED


# -- rule 13


@pytest.mark.parametrize("timeout", [1, 300, 840])
def test_the_lease_outlives_the_attempt_and_the_invisibility_outlives_the_lease(
    world: World, timeout: int
) -> None:
    job = world.job(FAR, timeout_seconds=timeout)
    message = world.send(job)
    leases = []
    world.outcomes = [lambda attempt: leases.append(world.run(message).lease_until)]
    world.deliver()
    assert world.sqs.hidden == [("m1", timeout + 60)]
    assert leases == [START + (timeout + 15) * SECOND]
    assert timeout + 60 <= 900


def test_no_attempt_may_take_longer_than_fourteen_minutes() -> None:
    with pytest.raises(ValidationError):
        spec(timeout_seconds=841)


def test_a_batch_runs_in_threads(world: World) -> None:
    together = Barrier(5)
    world.outcomes = [lambda attempt: together.wait(timeout=10)] * 5
    jobs = [world.job(FAR) for _ in range(5)]
    messages = [world.send(job) for job in jobs]
    world.deliver(10)
    assert {world.run(message).status for message in messages} == {RunStatus.COMPLETED}


def test_a_batch_answers_with_those_that_failed(world: World) -> None:
    bad, good = world.job(FAR), world.job(FAR)
    broken, fine = world.send(bad), world.send(good)

    def update(real: Any, **arguments: Any) -> Any:
        if arguments["Key"].get("job_id") == {"S": bad.job_id}:
            raise ValueError("a bug")
        return real(**arguments)

    world.dynamodb.instead["update_item"] = update
    world.deliver(10)
    assert [letter.body for letter in world.sqs.letters.values()] == [broken.encode()]
    assert world.run(fine).status is RunStatus.COMPLETED


def test_workers_are_limited_by_the_event_source_and_not_by_reserved_concurrency() -> None:
    root = Path(__file__).parents[2]
    wanted = (root / "infra" / "template.yaml").read_text()
    assert "MaximumConcurrency" in wanted
    assert "ReservedConcurrentExecutions" not in wanted
    assert "reserved_concurrency" not in (root / ".chalice" / "config.json").read_text()


# -- rule 14


def test_the_delay_is_rounded_down_and_the_worker_sleeps_the_rest(world: World) -> None:
    slot = START + timedelta(seconds=10.9)
    message = world.send(world.job(FAR), slot)
    assert world.sqs.sent[-1][1] == 10
    world.deliver_until(START + 11 * SECOND)
    run = world.run(message)
    assert (run.started_at, run.lateness_ms) == (slot, 0)


def test_the_delay_counts_from_the_sending(world: World) -> None:
    world.job(FAR)
    world.clock.to(START + 2 * HOUR - 100 * SECOND)
    world.tick()
    assert world.sqs.sent[-1][1] == 70  # 15:59:00 -> 16:00:00 would be 60: it is 15:58:50


@pytest.mark.parametrize("early", [0.5, 4, 60, 880, 2000])
def test_a_message_that_comes_early_is_never_acted_on_early(world: World, early: float) -> None:
    slot = START + timedelta(seconds=early)
    message = world.send(world.job(FAR), slot)
    world.sqs.letters["m1"].visible_at = START
    world.drain()
    run = world.run(message)
    assert run.started_at
    assert slot <= run.started_at <= slot + SECOND


def test_no_run_of_a_job_starts_before_its_slot_and_its_jitter(world: World) -> None:
    job = world.job(jitter_seconds=50)
    world.live(4)
    for run in world.runs(job):
        assert run.started_at == job.due(run.scheduled_for)
        assert run.lateness_ms == 0


def test_a_message_older_than_a_day_is_missed(world: World) -> None:
    job = world.job(FAR, misfire="catch_up")
    fresh, stale = world.send(job, START), world.send(job, START - SECOND)
    world.clock.to(START + DAY)
    world.drain()
    assert world.run(fresh).status is RunStatus.COMPLETED
    run = world.run(stale)
    assert (run.status, run.reason) == (RunStatus.MISSED, "its message waited for more than a day")
    assert world.state(job).counts["missed"] == 1


@pytest.mark.parametrize(("setting", "days"), [("1", 15), ("30", 30), ("0", None)])
def test_the_run_ttl_is_set_at_its_finish_and_is_fifteen_days_at_least(
    world: World, setting: str, days: int | None
) -> None:
    world.put_setting("retention.runs", setting)
    job = world.job(FAR)
    message = world.send(job)
    world.outcomes = [lambda attempt: world.run(message).expires_at]
    world.drain()
    run = world.run(message)
    assert run.output is None  # it had none while it ran
    assert run.expires_at == (days and int((START + days * DAY).timestamp()))


# -- rule 15


def test_every_attempt_of_a_run_has_one_idempotency_key(world: World) -> None:
    job = world.job(FAR, retry={"max_attempts": 3, "base_delay": 1})
    message = world.send(job)
    world.outcomes = [BROKEN, BROKEN]
    world.drain()
    assert {a.idempotency_key for a in world.attempts} == {f"{job.job_id}/{message.run_id}"}
    assert [a.number for a in world.attempts] == [1, 2, 3]


def test_a_manual_runs_id_is_its_time_and_a_suffix(world: World) -> None:
    job = world.job(FAR)
    first, second = world.trigger(job), world.trigger(job)
    assert first.run_id != second.run_id
    assert {run.run_id.partition("-")[0] for run in (first, second)} == {slot_id(START)}
    world.drain()
    assert world.statuses(job) == [RunStatus.COMPLETED] * 2


def test_a_trigger_killed_before_its_row_leaves_no_run_that_waits_for_ever(world: World) -> None:
    job = world.job(FAR)
    for operation in ("send_message_batch", "put_item"):
        with world.process():
            world.switch.arm(operation)
            world.trigger(job)
        assert world.runs(job) == []
        assert len(world.sqs.letters) == (
            operation == "put_item"
        )  # a message without a row; never the reverse
    world.drain()
    assert (world.runs(job), world.attempts) == ([], [])  # nobody was told of a run
    assert len([*world.engine.records.list("dead_letter")]) == 1


def test_a_worker_that_is_quicker_than_the_trigger_waits_for_the_row(world: World) -> None:
    job = world.job(FAR)

    def put(real: Any, **arguments: Any) -> Any:
        world.dynamodb.instead.clear()
        world.deliver()
        return real(**arguments)

    world.dynamodb.instead["put_item"] = put
    world.trigger(job, input="i")
    world.drain()
    (run,) = world.runs(job)
    assert (run.status, run.started_at) == (RunStatus.COMPLETED, START + SECOND)
    assert [attempt.input for attempt in world.attempts] == ["i"]


def test_a_repeated_idempotency_key_answers_with_the_first_run(world: World) -> None:
    job = world.job(FAR)
    first = world.trigger(job, request_key="k")
    world.clock.advance(SECOND)
    second, other = world.trigger(job, request_key="k"), world.trigger(job, request_key="l")
    assert first.run_id == second.run_id != other.run_id
    assert first.scheduled_for == second.scheduled_for
    world.drain()
    assert (len(world.runs(job)), len(world.attempts)) == (2, 2)


def test_a_repeated_idempotency_key_makes_good_a_trigger_that_was_killed(world: World) -> None:
    job = world.job(FAR)
    with world.process():
        world.switch.arm("send_message_batch")
        world.trigger(job, request_key="k")
    world.trigger(job, request_key="k")
    world.drain()
    assert world.statuses(job) == [RunStatus.COMPLETED]


def test_a_repeated_idempotency_key_answers_with_the_first_job(world: World) -> None:
    def create(name: str) -> Job:
        creation = job_cases.Creation("test", request_key="k")
        return job_cases.create(world.engine, spec(FAR, name=name), creation, world.clock.now())

    first = create("a")
    world.clock.advance(SECOND)
    assert create("a").job_id == first.job_id
    with pytest.raises(Conflict):
        create("b")
    assert [*world.engine.jobs.ids({})] == [first.job_id]
    assert len(world.agenda()) == 1


def test_a_scheduled_runs_id_is_its_slot_in_utc(world: World) -> None:
    world.job(schedule={"type": "cron", "expression": "5 9 * * *", "timezone": "America/New_York"})
    world.clock.advance(4 * MINUTE)
    world.tick()
    assert '"run_id":"20261122T140500Z"' in world.sqs.sent[-1][0]
    assert slot_id(from_iso("2026-11-22T14:00:00.250+00:00")) == "20261122T140000.250Z"
