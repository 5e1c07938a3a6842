"""Rules 7 to 10 of the protocol: the claim. Each test fails where its rule is left out."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from chalicelib.core.agenda import Retry
from chalicelib.core.errors import ActionError
from chalicelib.core.job import Job, JobStatus
from chalicelib.core.run import FINISHED, Message, Run, RunError, RunStatus, Trigger
from chalicelib.scheduler import jobs as job_cases
from chalicelib.scheduler.settle import settle
from chalicelib.scheduler.worker import work
from tests.support import MINUTE, SECOND, START, World, every

FAR = "0 16 * * *"  # two hours away: the tests send their messages themselves
HOUR = timedelta(hours=1)
BROKEN = ActionError("http_status", "500")


def dies(world: World) -> Any:
    """An outcome: the worker is lost in the middle of its action."""
    return lambda attempt: world.switch.die()


# -- rule 7


def test_a_message_of_an_older_revision_does_not_run_past_the_change(world: World) -> None:
    job = world.job(FAR)
    world.clock.advance(MINUTE)
    world.change(job, schedule=every(7200))
    world.clock.advance(SECOND)
    world.send(job)
    world.drain()
    assert (world.runs(job), world.attempts) == ([], [])


def test_a_message_of_an_older_revision_runs_if_its_slot_came_before_the_change(world: World) -> None:
    job = world.job(FAR)
    world.clock.advance(MINUTE)
    message = world.send(job)
    world.clock.advance(SECOND)
    world.change(job, schedule=every(7200))
    world.drain()
    assert world.run(message).status is RunStatus.COMPLETED


@pytest.mark.parametrize("status", [JobStatus.PAUSED, JobStatus.FAILED])
def test_of_a_paused_or_failed_job_only_slots_before_the_pause_run(world: World, status: JobStatus) -> None:
    job = world.job(FAR)
    before = world.send(job, START + SECOND)
    world.clock.advance(2 * SECOND)
    paused = world.pause(job)
    world.engine.jobs.replace(
        paused.model_copy(update={"status": status, "version": paused.version + 1}), paused
    )
    after = world.send(job, START + 3 * SECOND)
    world.drain()
    assert world.run(before).status is RunStatus.COMPLETED
    assert world.engine.runs.get(after.job_id, after.run_id) is None


def test_runs_of_a_deleted_job_never_start(world: World) -> None:
    job = world.job(FAR)
    manual = world.trigger(job)
    scheduled = world.send(job)
    job_cases.delete(world.engine, job.job_id)
    world.drain()
    assert world.attempts == []
    assert world.engine.runs.get(scheduled.job_id, scheduled.run_id) is None
    run = world.engine.runs.get(job.job_id, manual.run_id)
    assert run
    assert (run.status, run.reason) == (RunStatus.CANCELLED, "its job was deleted")


def test_the_definitions_of_a_batch_are_one_strong_read(world: World) -> None:
    messages = [world.send(world.job(FAR)) for _ in range(5)]
    consistent = []

    def read(real: Any, **arguments: Any) -> Any:
        consistent.extend(table["ConsistentRead"] for table in arguments["RequestItems"].values())
        return real(**arguments)

    world.dynamodb.instead["batch_get_item"] = read
    world.deliver(10)
    assert consistent == [True]
    assert {world.run(message).status for message in messages} == {RunStatus.COMPLETED}


# -- rule 8


def test_one_run_is_claimed_once(world: World) -> None:
    message = world.send(world.job(FAR))
    first, second = world.claim(message), world.claim(message)
    assert (first.won, second.won) == (True, False)
    assert first.run
    assert second.run
    assert second.run.fence == first.run.fence == 1


def test_a_message_that_comes_twice_performs_once(world: World) -> None:
    job = world.job(FAR)
    message = world.send(job)
    world.send(job)
    world.drain()
    assert world.run(message).status is RunStatus.COMPLETED
    assert len(world.attempts) == 1
    assert world.sqs.letters == {}


def test_an_expired_lease_is_taken_over_and_the_fence_keeps_the_old_worker_out(world: World) -> None:
    message = world.send(world.job(FAR))
    old = world.claim(message)
    world.clock.advance(316 * SECOND)
    new = world.claim(message)
    assert new.won
    assert old.run
    assert new.run
    assert new.run.fence == 2
    now = world.clock.now()
    assert world.engine.runs.finish(old.run, RunStatus.FAILED, now) is None
    assert world.engine.runs.retry(old.run, RunError(type="t", message="m"), now, now) is None
    assert world.engine.runs.give_back(old.run, RunStatus.SKIPPED, "no", now) is None
    assert world.run(message).status is RunStatus.RUNNING
    assert world.engine.runs.finish(new.run, RunStatus.COMPLETED, now)


def test_a_live_lease_is_not_taken_over(world: World) -> None:
    message = world.send(world.job(FAR))
    world.claim(message)
    world.clock.advance(315 * SECOND)
    assert not world.claim(message).won


def test_a_worker_whose_lease_was_taken_over_leaves_no_mark(world: World) -> None:
    """It was slow; another made the attempt; what the slow one gives is dropped."""
    job = world.job(FAR, retry={"max_attempts": 2})
    message = world.send(job)

    def slow(attempt: Any) -> str:
        world.clock.advance(299 * SECOND)  # within its timeout; then the process stands still
        with_lease = world.run(message)
        world.engine.runs._table.update(
            {"job_id": job.job_id, "run_id": message.run_id},
            "SET lease_until = :past",
            values={":past": "2026-11-22T00:00:00.000Z"},
        )
        taken = world.claim(message)
        assert taken.won
        assert taken.run
        assert world.engine.runs.finish(taken.run, RunStatus.COMPLETED, world.clock.now(), output="second")
        assert with_lease.fence == 1
        return "first"

    world.outcomes = [slow]
    world.drain()
    run = world.run(message)
    assert (run.output, run.fence, len(run.attempts)) == ("second", 2, 2)
    assert world.state(job).counts == {"completed": 1}


def test_a_lost_worker_is_an_attempt_and_another_follows(world: World) -> None:
    job = world.job(FAR, retry={"max_attempts": 2})
    message = world.send(job)
    world.outcomes = [dies(world)]
    world.drain()
    run = world.run(message)
    assert run.status is RunStatus.COMPLETED
    assert [a.error and a.error.type for a in run.attempts] == ["worker_lost", None]
    assert len(world.attempts) == 2


def test_with_one_attempt_a_run_is_performed_at_most_once(world: World) -> None:
    job = world.job(FAR, retry={"max_attempts": 1})
    message = world.send(job)
    world.outcomes = [dies(world)]
    world.drain()
    run = world.run(message)
    assert (run.status, run.error and run.error.type) == (RunStatus.FAILED, "worker_lost")
    assert len(world.attempts) == len(run.attempts) == 1
    assert world.state(job).counts == {"failed": 1}


def test_a_lost_worker_is_replaced_within_a_minute_or_so_of_its_timeout(world: World) -> None:
    job = world.job(FAR, retry={"max_attempts": 2}, timeout_seconds=10)
    world.send(job)
    world.outcomes = [dies(world)]
    world.drain()
    (run,) = world.runs(job)
    assert run.attempts[1].started_at - START == 70 * SECOND


def test_a_message_of_a_running_run_is_kept_until_its_lease_ends(world: World) -> None:
    job = world.job(FAR)
    message = world.send(job)
    world.claim(message)
    world.deliver()
    (letter,) = world.sqs.letters.values()
    assert letter.visible_at == START + 316 * SECOND
    assert world.attempts == []


def test_a_message_that_comes_before_its_retry_is_ready_is_kept_until_then(world: World) -> None:
    job = world.job(FAR, retry={"max_attempts": 2, "base_delay": 40})
    message = world.send(job)
    world.outcomes = [BROKEN]
    world.deliver()
    world.sqs.letters.clear()
    world.send(job, START, due=START, dispatch=2)  # too early
    world.deliver()
    (letter,) = world.sqs.letters.values()
    assert letter.visible_at == START + 41 * SECOND
    world.drain()
    assert world.run(message).attempts[1].started_at == START + 41 * SECOND


def test_an_older_message_does_not_take_what_a_newer_attempt_is_for(world: World) -> None:
    job = world.job(FAR, retry={"max_attempts": 2, "base_delay": 0})
    message = world.send(job)
    world.outcomes = [BROKEN]
    world.deliver()  # retrying, and its second message is in the queue
    (second,) = world.sqs.letters
    world.send(job, START)  # the first once more
    newer = world.sqs.letters.pop(second)
    world.deliver()
    assert world.sqs.letters == {}  # acknowledged
    assert world.run(message).status is RunStatus.RETRYING
    world.sqs.letters[second] = newer
    world.drain()
    assert world.run(message).status is RunStatus.COMPLETED
    assert len(world.attempts) == 2


def test_a_message_that_finds_its_run_finished_settles_and_is_acknowledged(world: World) -> None:
    job = world.job(FAR)
    message = world.send(job)
    claim = world.claim(message)
    assert claim.run
    world.engine.runs.finish(claim.run, RunStatus.COMPLETED, START)
    assert world.state(job).counts == {}
    world.deliver()
    assert world.state(job).counts == {"completed": 1}
    assert world.sqs.letters == {}


def test_a_message_that_needs_its_row_waits_for_it(world: World) -> None:
    job = world.job(FAR)
    world.send(job, trigger=Trigger.MANUAL)
    world.deliver()
    assert world.runs(job) == []
    (letter,) = world.sqs.letters.values()
    assert letter.visible_at == START + SECOND


# -- rule 9


def start_one(world: World, job: Job) -> Message:
    """A run that another worker has claimed and locked, and that goes on."""
    message = world.send(job, START - SECOND)
    claim = world.claim(message)
    assert claim.run
    until = START + 315 * SECOND
    assert world.engine.jobs.lock(job.job_id, claim.run.run_id, until, START) is None
    world.sqs.letters.clear()
    return message


def finish_one(world: World, message: Message) -> Run:
    now = world.clock.now()
    run = world.engine.runs.finish(world.run(message), RunStatus.COMPLETED, now)
    assert run
    settle(world.engine, world.definition(message.job_id), run, now, is_news=True)
    return run


def test_skip_records_the_run_that_came_while_another_ran(world: World) -> None:
    job = world.job(FAR, overlap="skip")
    holder = start_one(world, job)
    message = world.send(job)
    world.deliver()
    run = world.run(message)
    assert (run.status, run.reason) == (RunStatus.SKIPPED, f"run {holder.run_id} was still running")
    assert (run.attempts, run.started_at, run.completed_at) == ((), None, START)
    assert world.attempts == []
    assert world.state(job).lock_run == holder.run_id
    assert world.state(job).counts == {"skipped": 1}
    assert world.sqs.letters == {}


def test_queue_lets_one_wait_and_skips_the_next(world: World) -> None:
    job = world.job(FAR, overlap="queue")
    holder = start_one(world, job)
    waiting, skipped = world.send(job), world.send(job, START + SECOND)
    world.deliver_until(START + SECOND)
    run = world.run(waiting)
    assert (run.status, run.reason) == (RunStatus.QUEUED, f"waits for run {holder.run_id}")
    assert world.state(job).waiter == waiting
    run = world.run(skipped)
    assert run.status is RunStatus.SKIPPED
    assert run.reason == f"run {holder.run_id} was still running and run {waiting.run_id} waited for it"
    assert world.attempts == []


def test_a_lock_that_is_released_is_the_waiters_and_it_is_sent(world: World) -> None:
    job = world.job(FAR, overlap="queue")
    holder = start_one(world, job)
    waiting = world.send(job)
    world.deliver()
    world.clock.advance(20 * SECOND)
    finish_one(world, holder)
    between = world.send(job)
    world.sqs.letters = dict(reversed(world.sqs.letters.items()))
    world.deliver()  # one that slips in finds it taken, or waited for
    assert world.run(between).status is RunStatus.SKIPPED
    world.drain()
    run = world.run(waiting)
    assert (run.status, run.started_at) == (RunStatus.COMPLETED, START + 20 * SECOND)
    assert (world.state(job).lock_run, world.state(job).waiter) == (None, None)


def test_a_worker_killed_between_the_release_and_the_waking_loses_nothing(world: World) -> None:
    job = world.job(FAR, overlap="queue")
    holder, waiting = world.send(job, START), None

    def meanwhile(attempt: Any) -> str:
        nonlocal waiting
        waiting = world.send(job, START + SECOND)
        world.clock.advance(SECOND)
        received = world.sqs.receive(1)
        world.sqs.delete(received, work(world.engine, received))
        world.switch.arm("send_message_batch")  # that wakes the waiter
        return "ok"

    world.outcomes = [meanwhile]
    world.deliver()
    assert waiting
    assert (world.state(job).lock_run, world.state(job).waiter) == (None, waiting)
    assert world.run(holder).status is RunStatus.COMPLETED
    assert [letter.receives for letter in world.sqs.letters.values()] == [
        1
    ]  # the holder's own, unacknowledged
    world.drain()
    assert world.run(waiting).status is RunStatus.COMPLETED
    assert world.state(job).counts == {"completed": 2}


def test_a_waking_that_sqs_refuses_is_not_taken_for_done(world: World) -> None:
    job = world.job(FAR, overlap="queue")
    holder = start_one(world, job)
    waiting = world.send(job)
    world.deliver()
    world.engine.queue.send([holder], START)
    world.engine.runs.finish(world.run(holder), RunStatus.COMPLETED, START)
    world.sqs.refuses = lambda body: waiting.run_id in body
    world.deliver()
    world.sqs.refuses = lambda body: False
    world.drain()
    assert world.run(waiting).status is RunStatus.COMPLETED


def test_a_cancelled_waiter_is_counted_once_and_gives_up_its_place(world: World) -> None:
    job = world.job(FAR, overlap="queue")
    holder = start_one(world, job)
    waiting = world.send(job)
    world.deliver()
    world.cancel(world.run(waiting))
    assert world.state(job).waiter is None
    finish_one(world, holder)
    world.drain()
    state = world.state(job)
    assert (state.counts, state.lock_run) == ({"cancelled": 1, "completed": 1}, None)
    assert (state.run_count, world.attempts) == (1, [])


def test_an_expired_lock_does_not_keep_others_out(world: World) -> None:
    job = world.job(FAR, overlap="skip")
    start_one(world, job)
    world.clock.advance(316 * SECOND)
    message = world.send(job)
    world.deliver()
    assert world.run(message).status is RunStatus.COMPLETED


def test_a_retrying_run_keeps_the_lock_past_its_delay(world: World) -> None:
    job = world.job(FAR, overlap="skip", retry={"max_attempts": 2, "base_delay": 800}, timeout_seconds=10)
    first = world.send(job)
    world.outcomes = [BROKEN]
    world.deliver()
    world.clock.advance(799 * SECOND)
    between = world.send(job)
    world.deliver()
    assert world.run(between).status is RunStatus.SKIPPED
    world.drain()
    assert world.run(first).status is RunStatus.COMPLETED


def test_a_run_that_lost_its_worker_and_then_its_lock_says_both(world: World) -> None:
    job = world.job(FAR, overlap="skip", retry={"max_attempts": 2})
    message = world.send(job)
    world.outcomes = [dies(world)]
    world.deliver()
    world.clock.advance(320 * SECOND)  # the lease and the lock are over, the message is still invisible
    world.engine.jobs.lock(job.job_id, "another", START + HOUR, world.clock.now())
    world.drain()
    run = world.run(message)
    assert (run.status, run.reason) == (RunStatus.SKIPPED, "run another was still running")
    assert [attempt.error and attempt.error.type for attempt in run.attempts] == ["worker_lost"]


def test_allow_runs_both_and_takes_no_lock(world: World) -> None:
    job = world.job(FAR, overlap="allow")
    claim = world.claim(world.send(job, START - SECOND))
    assert claim.won
    message = world.send(job)
    world.sqs.letters.pop("m1")
    world.switch.reset()
    world.deliver()
    assert world.run(message).status is RunStatus.COMPLETED
    assert world.state(job).lock_run is None


def test_a_waiter_whose_worker_dies_before_it_is_noted_is_found_again(world: World) -> None:
    job = world.job(FAR, overlap="queue")
    holder = start_one(world, job)
    waiting = world.send(job)
    world.switch.arm("update_item", nth=4)  # claim, lock, give back: dies at the fourth, the waiter's note
    world.deliver()
    assert world.run(waiting).status is RunStatus.QUEUED
    assert world.state(job).waiter is None
    finish_one(world, holder)
    world.drain()
    assert world.run(waiting).status is RunStatus.COMPLETED


# -- rule 10


@pytest.mark.parametrize("delay", [60, 1800])
def test_a_worker_killed_anywhere_around_its_retry_loses_no_attempt(world: World, delay: int) -> None:
    retry = {"max_attempts": 3, "strategy": "fixed", "base_delay": delay}
    for nth in range(3, 7):  # from the sending or filing on, to the row and beyond
        for after in (False, True):
            job = world.job(FAR, retry=retry)
            message = world.send(job)
            world.outcomes = [BROKEN]
            world.switch.arm(nth=nth + 2, after=after)
            world.deliver()
            for _ in range(60):
                world.tick()
                world.deliver_until(world.clock.now() + MINUTE)
                if world.run(message).status in FINISHED:
                    break
            assert world.run(message).status is RunStatus.COMPLETED, (nth, after)


@pytest.mark.parametrize(("delay", "how"), [(60, "send_message_batch"), (1800, "batch_write_item")])
def test_a_retry_is_sent_or_filed_before_its_row_says_so(world: World, delay: int, how: str) -> None:
    job = world.job(FAR, overlap="allow", retry={"max_attempts": 2, "base_delay": delay})
    message = world.send(job)
    world.outcomes = [BROKEN]
    begun = len(world.switch.history)
    world.deliver()
    assert world.run(message).status is RunStatus.RETRYING
    assert world.switch.history[begun:][-3:-1] == [how, "update_item"]


def test_a_retry_that_sqs_refuses_is_made_when_the_message_comes_again(world: World) -> None:
    job = world.job(FAR, retry={"max_attempts": 3, "base_delay": 5}, timeout_seconds=10)
    message = world.send(job)
    world.outcomes = [BROKEN]
    world.sqs.refuses = lambda body: True
    world.deliver()
    assert world.run(message).status is RunStatus.RUNNING
    world.sqs.refuses = lambda body: False
    world.drain()
    assert world.run(message).status is RunStatus.COMPLETED


def test_retries_ignore_the_revision(world: World) -> None:
    job = world.job(FAR, retry={"max_attempts": 2, "base_delay": 60})
    message = world.send(job)
    world.outcomes = [BROKEN]
    world.deliver()
    world.clock.advance(SECOND)
    world.pause(job)
    world.drain()
    assert world.run(message).status is RunStatus.COMPLETED


def test_a_retry_runs_even_where_a_first_attempt_would_not(world: World) -> None:
    job = world.job(FAR, retry={"max_attempts": 2})
    world.clock.advance(SECOND)
    world.pause(job)
    world.clock.advance(SECOND)
    message = world.send(job)
    claim = world.claim(message)
    assert claim.run
    now = world.clock.now()
    world.engine.runs.retry(claim.run, RunError(type="t", message="m"), now, now)
    world.engine.queue.send([message.again(now)], now)
    world.drain()
    assert (world.run(message).status, len(world.attempts)) == (RunStatus.COMPLETED, 1)


def test_a_retry_in_the_agenda_ignores_the_revision(world: World) -> None:
    job = world.job(FAR, retry={"max_attempts": 2, "base_delay": 1200})
    message = world.send(job)
    world.outcomes = [BROKEN]
    world.deliver()
    assert [entry.message.dispatch for _, entry in world.agenda() if isinstance(entry, Retry)] == [2]
    world.clock.advance(SECOND)
    world.pause(job)
    world.clock.advance(1100 * SECOND)
    world.tick()
    world.drain()
    assert world.run(message).status is RunStatus.COMPLETED


def test_a_retry_has_the_input_of_its_run(world: World) -> None:
    job = world.job(FAR, retry={"max_attempts": 2, "base_delay": 60})
    run = world.trigger(job, input={"a": 1})
    world.outcomes = [BROKEN]
    world.drain()
    assert [attempt.input for attempt in world.attempts] == [{"a": 1}, {"a": 1}]
    assert world.runs(job)[0].run_id == run.run_id


def test_a_message_is_told_from_the_one_before_by_its_dispatch(world: World) -> None:
    message = Message("job_a", "r", 1, START, START)
    assert replace(message, dispatch=2, due=START + HOUR) == message.again(START + HOUR)


# -- a run that is ended by somebody else while a worker is on its way with it


def test_a_run_cancelled_just_before_it_is_noted_as_the_waiter_does_not_block_the_job(world: World) -> None:
    job = world.job(FAR, overlap="queue")
    holder = start_one(world, job)
    waiting = world.send(job)

    def update(real: Any, **arguments: Any) -> Any:
        if "waiter_message" in arguments["UpdateExpression"]:
            world.dynamodb.instead.clear()
            world.cancel(world.run(waiting))
        return real(**arguments)

    world.dynamodb.instead["update_item"] = update
    world.deliver()
    finish_one(world, holder)
    world.drain()
    assert (world.state(job).waiter, world.state(job).lock_run) == (None, None)
    assert world.state(job).counts == {"cancelled": 1, "completed": 1}
    later = world.send(job, START + HOUR)
    world.drain()
    assert world.run(later).status is RunStatus.COMPLETED


def test_a_run_counted_just_before_it_takes_the_lock_gives_it_back(world: World) -> None:
    """Its worker was slow: the lease was over, and the dead letters' function ended the run."""
    job = world.job(FAR, overlap="skip")
    message = world.send(job)

    def update(real: Any, **arguments: Any) -> Any:
        if "lock_run" in arguments["UpdateExpression"]:
            world.dynamodb.instead.clear()
            run = world.engine.runs.end(world.run(message), RunStatus.FAILED, "given up", START, None)
            assert run
            settle(world.engine, job, run, START, is_news=True)
        return real(**arguments)

    world.dynamodb.instead["update_item"] = update
    world.drain()
    assert world.run(message).status is RunStatus.FAILED
    assert (world.state(job).lock_run, world.state(job).counts) == (None, {"failed": 1})
