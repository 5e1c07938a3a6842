"""Policies: what becomes of a run that meets another, comes late, fails, hangs, or is stopped."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise
from threading import Event
from typing import Any

import pytest

from chalicelib.core.agenda import Retry
from chalicelib.core.errors import ActionError, Conflict
from chalicelib.core.job import Job, JobStatus
from chalicelib.core.run import Message, Run, RunStatus
from chalicelib.scheduler import jobs as job_cases
from chalicelib.scheduler import runs as run_cases
from chalicelib.scheduler.status import engine_status
from chalicelib.scheduler.tick import tick
from tests.support import MINUTE, SECOND, START, World, at, every

FAR = "0 0 1 1 *"
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
BROKEN = ActionError("http_status", "500")
FATAL = ActionError("http_status", "404", permanent=True)


def slow(world: World, seconds: int) -> Any:
    """An outcome: it takes so long, and other workers go on meanwhile."""

    def act(attempt: Any) -> str:
        world.deliver_until(world.clock.now() + seconds * SECOND)
        return "slow"

    return act


def slots(runs: list[Run], status: RunStatus) -> list[datetime]:
    return [run.scheduled_for for run in runs if run.status is status]


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


# -- overlap, with a target that takes 25 s and a slot every 10 s


def test_a_slow_target_under_skip(world: World) -> None:
    job = world.job(schedule=every(10), overlap="skip", end_at=after(40).isoformat())
    world.outcomes = [slow(world, 25)]
    world.drain()
    runs = world.runs(job)
    assert [run.status for run in runs] == ["completed", "skipped", "skipped", "completed"]
    assert {run.reason for run in runs[1:3]} == {f"run {runs[0].run_id} was still running"}
    assert world.state(job).counts == {"completed": 2, "skipped": 2}


def test_a_slow_target_under_queue(world: World) -> None:
    job = world.job(schedule=every(10), overlap="queue", end_at=after(40).isoformat())
    world.outcomes = [slow(world, 25)]
    world.drain()
    runs = world.runs(job)
    assert [run.status for run in runs] == ["completed", "completed", "skipped", "completed"]
    assert runs[1].started_at == after(35)  # when the first was done
    assert runs[1].lateness_ms == 15_000
    assert f"run {runs[1].run_id} waited for it" in (runs[2].reason or "")


def test_a_slow_target_under_allow(world: World) -> None:
    job = world.job(schedule=every(10), overlap="allow", end_at=after(40).isoformat())
    world.outcomes = [slow(world, 25)]
    world.drain()
    runs = world.runs(job)
    assert {run.status for run in runs} == {RunStatus.COMPLETED}
    assert [run.started_at for run in runs] == [after(10), after(20), after(30), after(40)]
    assert runs[0].completed_at == after(35)


# -- misfire: found late by the tick


def late_by(world: World, minutes: int, **fields: Any) -> Job:
    """A job of every minute, found by the first tick after an outage."""
    job = world.job("* * * * *", start_at="2026-11-23T00:00:00Z", **fields)
    world.clock.to(datetime(2026, 11, 23, tzinfo=START.tzinfo) + (minutes - 1) * MINUTE + 30 * SECOND)
    world.live(1)
    return job


def test_fire_once_runs_the_newest_late_slot_and_records_the_others(world: World) -> None:
    job = late_by(world, 5, misfire="fire_once", misfire_grace_seconds=60)
    runs = world.runs(job)
    assert [run.status for run in runs] == ["missed"] * 3 + ["completed"] * 3  # late, in grace, on time
    assert {run.reason for run in runs[:3]} == {
        f"its slot was found {late} s late; misfire policy fire_once runs only the newest late slot"
        for late in (270, 210, 150)
    } or runs[0].reason
    assert world.verdicts(job) == [run.scheduled_for for run in runs]


def test_skip_runs_no_late_slot(world: World) -> None:
    job = late_by(world, 5, misfire="skip")
    assert world.statuses(job) == ["missed"] * 4 + ["completed"] * 2
    assert "misfire policy skip" in (world.runs(job)[0].reason or "")


def test_catch_up_runs_the_newest_of_its_limit_at_its_pace_oldest_first(world: World) -> None:
    job = late_by(world, 30, misfire="catch_up", catch_up_limit=6, catch_up_per_minute=3)
    began = world.clock.now() - MINUTE
    world.live(2)
    runs = [run for run in world.runs(job) if run.lateness_ms and run.lateness_ms > 60_000]
    missed = slots(world.runs(job), RunStatus.MISSED)
    assert len(missed) == 23
    assert [run.scheduled_for for run in runs] == [missed[-1] + i * MINUTE for i in range(1, 7)]
    # three in the first minute, and three in the next, which begins on the clock's minute
    assert [(run.started_at - began).total_seconds() for run in runs if run.started_at] == [
        0, 20, 40, 60, 80, 100,
    ]  # fmt: skip
    assert "more slots were late than catch_up_limit" in (world.runs(job)[0].reason or "")
    assert world.verdicts(job) == sorted(set(world.verdicts(job)))


def test_within_the_grace_every_slot_runs(world: World) -> None:
    job = late_by(world, 5, misfire="skip", misfire_grace_seconds=600)
    assert set(world.statuses(job)) == {RunStatus.COMPLETED}
    assert len(world.runs(job)) == 6


@pytest.mark.parametrize("misfire", ["fire_once", "skip"])
def test_of_many_missed_slots_the_newest_hundred_have_a_row_each_and_the_rest_one(
    world: World, misfire: str
) -> None:
    job = late_by(world, 250, misfire=misfire)
    runs = world.runs(job)
    (many,) = [run for run in runs if run.missed_count]
    assert many.run_id == "20261123T000000Z"
    assert (many.missed_from, many.missed_count) == (
        datetime(2026, 11, 23, tzinfo=START.tzinfo),
        148 if misfire == "fire_once" else 149,
    )
    assert len(slots(runs, RunStatus.MISSED)) == 101
    begin = datetime(2026, 11, 23, tzinfo=START.tzinfo)
    assert world.verdicts(job) == [begin + i * MINUTE for i in range(251)]
    row = world.engine.jobs._table.get({"job_id": job.job_id, "part": "state"})
    assert row
    assert row["missed"] == (248 if misfire == "fire_once" else 249)


def test_a_tick_killed_while_it_records_missed_slots_leaves_one_verdict_each(world: World) -> None:
    for number, nth in enumerate((5, 6, 60, 107)):
        start = datetime(2026, 11, 23, tzinfo=START.tzinfo) + number * DAY
        job = world.job("* * * * *", start_at=start.isoformat(), end_at=(start + 3 * HOUR).isoformat())
        world.clock.to(start + 130 * MINUTE)
        world.switch.arm(nth=nth, after=bool(number % 2))
        world.tick()
        world.clock.advance(2 * MINUTE)
        world.tick()
        world.drain()
        world.live(1)
        verdicts = world.verdicts(job)
        assert verdicts == [start + i * MINUTE for i in range(len(verdicts))], nth
        assert len(verdicts) >= 132
        job_cases.delete(world.engine, job.job_id)
        world.clock.to(start + 4 * HOUR)


def test_a_tick_that_overtakes_another_after_a_long_outage_leaves_one_verdict_each(world: World) -> None:
    begin = datetime(2026, 11, 23, tzinfo=START.tzinfo)
    job = world.job("* * * * *", start_at=begin.isoformat(), misfire="skip")
    world.clock.to(begin + 150 * MINUTE)

    def put(real: Any, **arguments: Any) -> Any:
        if "missed_from" in arguments["Item"]:
            world.dynamodb.instead.clear()
            tick(world.engine, world.clock.now())
        return real(**arguments)

    world.dynamodb.instead["put_item"] = put
    world.tick()
    world.drain()
    verdicts = world.verdicts(job)
    assert len(verdicts) == len(set(verdicts))


# -- misfire: found late by the worker


def waited(world: World, seconds: int, **fields: Any) -> Run:
    """A run whose message reached its worker so late."""
    job = world.job(schedule=every(600), start_at="2027-01-01T00:00:00Z", **fields)
    slot = datetime(2027, 1, 1, tzinfo=START.tzinfo)
    world.clock.to(slot)
    message = world.send(job, slot)
    world.clock.advance(seconds * SECOND)
    world.deliver()
    return world.run(message)


def test_a_message_that_waited_past_the_grace_is_missed_under_skip(world: World) -> None:
    run = waited(world, 61, misfire="skip")
    assert (run.status, run.reason) == (RunStatus.MISSED, "it came 61 s late, past the grace of 60 s")
    assert (run.attempts, bool(run.expires_at)) == ((), True)


def test_a_message_that_waited_within_the_grace_runs(world: World) -> None:
    assert waited(world, 60, misfire="skip").status is RunStatus.COMPLETED


def test_a_message_that_waited_runs_under_fire_once_if_its_slot_is_the_newest_late_one(world: World) -> None:
    assert waited(world, 650, misfire="fire_once").status is RunStatus.COMPLETED


def test_a_message_that_waited_is_missed_under_fire_once_if_a_newer_slot_is_late(world: World) -> None:
    run = waited(world, 661, misfire="fire_once")
    assert run.status is RunStatus.MISSED
    assert run.reason == "it came 661 s late, past the grace of 60 s, and a newer slot is late too"


def test_a_message_that_waited_runs_under_catch_up(world: World) -> None:
    assert waited(world, 5000, misfire="catch_up").status is RunStatus.COMPLETED


# -- retry


@pytest.mark.parametrize(
    ("retry", "waits"),
    [
        ({"strategy": "fixed", "base_delay": 10}, [10, 10, 10]),
        ({"strategy": "linear", "base_delay": 10}, [10, 20, 30]),
        ({"strategy": "exponential", "base_delay": 10}, [10, 20, 40]),
        ({"strategy": "exponential", "base_delay": 10, "max_delay": 25}, [10, 20, 25]),
        ({"strategy": "fixed", "base_delay": 10, "jitter": "full"}, [5, 5, 5]),  # the chance is 0.5
        ({"strategy": "exponential", "base_delay": 600}, [600, 1200, 2400]),
    ],
)
def test_attempts_follow_one_another_by_the_strategy(
    world: World, retry: dict[str, Any], waits: list[int]
) -> None:
    job = world.job(FAR, retry={"max_attempts": 4, **retry})
    world.outcomes = [BROKEN, BROKEN, BROKEN]
    world.trigger(job)
    for _ in waits:
        world.drain()
        waiting = [minute for minute, entry in world.agenda() if isinstance(entry, Retry)]
        world.clock.to(waiting[0] - 2 * MINUTE if waiting else START)
        world.tick()
    world.drain()
    (run,) = world.runs(job)
    begun = [attempt.started_at for attempt in run.attempts]
    assert [(b - a).total_seconds() for a, b in pairwise(begun)] == waits
    assert run.status is RunStatus.COMPLETED
    assert [a.error and a.error.message for a in run.attempts] == ["500", "500", "500", None]
    assert world.state(job).counts == {"completed": 1}


def test_a_run_whose_attempts_are_used_up_fails_with_its_last_error(world: World) -> None:
    job = world.job(FAR, retry={"max_attempts": 2, "base_delay": 1})
    world.outcomes = [BROKEN, ActionError("timeout", "too slow")]
    world.trigger(job)
    world.drain()
    (run,) = world.runs(job)
    assert (run.status, run.error and run.error.type, len(run.attempts)) == ("failed", "timeout", 2)
    assert world.state(job).consecutive_failures == 1


def test_a_permanent_error_is_not_retried(world: World) -> None:
    job = world.job(FAR, retry={"max_attempts": 5, "base_delay": 1})
    world.outcomes = [FATAL]
    world.trigger(job)
    world.drain()
    (run,) = world.runs(job)
    assert (run.status, len(run.attempts), run.error and run.error.permanent) == ("failed", 1, True)


def test_an_action_that_breaks_is_a_failed_attempt(world: World) -> None:
    job = world.job(FAR, retry={"max_attempts": 2, "base_delay": 1})
    world.outcomes = [ValueError("oh")]
    world.trigger(job)
    world.drain()
    (run,) = world.runs(job)
    assert run.status is RunStatus.COMPLETED
    assert run.attempts[0].error
    assert run.attempts[0].error.type == "ValueError"


# -- timeout, stopping


def test_an_attempt_is_given_up_after_its_timeout(world: World) -> None:
    job = world.job(FAR, timeout_seconds=20)
    let_go = Event()

    def hang(attempt: Any) -> str:
        assert attempt.seconds_left() == 20
        world.clock.advance(60 * SECOND)
        assert attempt.seconds_left() == 0
        let_go.wait(5)
        return "too late"

    world.outcomes = [hang]
    world.trigger(job)
    world.drain()
    let_go.set()
    (run,) = world.runs(job)
    assert (run.status, run.error and run.error.type) == (RunStatus.FAILED, "timeout")
    assert run.error
    assert run.error.message == "took longer than its 20 s"
    assert (run.output, run.completed_at) == (None, after(60))


def test_a_worker_that_is_stopped_hands_its_runs_back(world: World) -> None:
    job = world.job(FAR, retry={"max_attempts": 2, "base_delay": 1})
    let_go = Event()

    def stop(attempt: Any) -> str:
        world.engine.stopping.set()
        let_go.wait(10)
        return "unheard"

    world.outcomes = [stop]
    world.trigger(job)
    world.deliver()
    let_go.set()
    (run,) = world.runs(job)
    assert (run.status, run.attempts[0].error and run.attempts[0].error.type) == (
        RunStatus.RETRYING,
        "worker_stopped",
    )
    assert not world.sqs.receive()
    world.clock.advance(SECOND)
    world.deliver()
    assert len(world.attempts) == 1  # a worker that is stopping takes nothing
    world.engine.stopping.clear()
    world.drain()
    assert world.statuses(job) == [RunStatus.COMPLETED]


# -- auto-pause


def test_a_job_is_failed_after_so_many_failures_in_a_row_and_resuming_forgets_them(world: World) -> None:
    job = world.job(schedule=every(10), max_consecutive_failures=3)
    world.outcomes = [BROKEN, "fine", BROKEN, BROKEN, BROKEN]
    world.live(3)
    failed = world.definition(job)
    assert failed.status is JobStatus.FAILED
    assert failed.status_reason == "3 runs failed in a row; the last: 500"
    assert failed.revision > job.revision
    assert world.statuses(job) == ["failed", "completed", "failed", "failed", "failed"]
    assert world.agenda() == [] or world.slot_entries(job) == []
    resumed = world.resume(job)
    assert (resumed.status, resumed.status_reason) == (JobStatus.ACTIVE, None)
    assert world.state(job).consecutive_failures == 0
    world.outcomes = [BROKEN, BROKEN]
    world.live(1)
    assert world.definition(job).status is JobStatus.ACTIVE
    assert world.statuses(job)[5:8] == ["failed", "failed", "completed"]


def test_zero_never_pauses(world: World) -> None:
    job = world.job(FAR, max_consecutive_failures=0)
    world.outcomes = [BROKEN] * 12
    for _ in range(12):
        world.trigger(job)
        world.drain()
    assert world.definition(job).status is JobStatus.ACTIVE
    assert world.state(job).consecutive_failures == 12


def test_a_failure_past_the_limit_fails_the_job_too(world: World) -> None:
    """The one at the limit may have lost its worker before it did so."""
    job = world.job(FAR, max_consecutive_failures=2)
    world.outcomes = [BROKEN] * 3
    for _ in range(3):
        world.trigger(job)
    world.deliver()
    world.switch.arm("put_item")
    world.deliver()
    assert world.definition(job).status is JobStatus.ACTIVE
    world.deliver()
    assert world.definition(job).status is JobStatus.FAILED


def test_an_at_job_whose_run_fails_is_failed_at_once(world: World) -> None:
    job = world.job(schedule=at(after(10)), retry={"max_attempts": 2, "base_delay": 5})
    world.outcomes = [BROKEN, BROKEN]
    world.drain()
    assert world.definition(job).status is JobStatus.FAILED
    assert len(world.runs(job)[0].attempts) == 2


def test_a_manual_run_does_not_complete_an_at_job(world: World) -> None:
    job = world.job(schedule=at(START + HOUR))
    world.trigger(job)
    world.drain()
    assert world.definition(job).status is JobStatus.ACTIVE


# -- cancel


def test_a_queued_run_that_is_cancelled_never_starts(world: World) -> None:
    job = world.job(FAR)
    run, was_running = world.cancel(world.trigger(job))
    world.drain()
    assert (run.status, was_running, run.reason) == (RunStatus.CANCELLED, False, "cancelled by test")
    assert (world.attempts, world.runs(job)[0].status) == ([], RunStatus.CANCELLED)


@pytest.mark.parametrize("delay", [60, 1800])
def test_a_retrying_run_that_is_cancelled_never_starts_and_frees_its_lock(world: World, delay: int) -> None:
    job = world.job(FAR, retry={"max_attempts": 3, "base_delay": delay})
    run = world.trigger(job)
    world.outcomes = [BROKEN]
    world.deliver()
    assert world.state(job).lock_run == run.run_id
    world.cancel(run)
    assert world.state(job).lock_run is None
    world.clock.advance(delay * SECOND)
    world.tick()
    world.drain()
    assert len(world.attempts) == 1
    assert world.state(job).counts == {"cancelled": 1}


def test_a_running_run_that_is_cancelled_is_marked_and_its_result_dropped(world: World) -> None:
    job = world.job(FAR)
    run = world.trigger(job)
    seen = []

    def act(attempt: Any) -> str:
        assert not attempt.is_cancelled()
        cancelled, was_running = world.cancel(run)
        seen.append((cancelled.status, was_running, attempt.is_cancelled(), world.state(job).lock_run))
        return "dropped"

    world.outcomes = [act]
    world.drain()
    assert seen == [(RunStatus.CANCELLED, True, True, run.run_id)]  # it lets go when its target has
    (after_all,) = world.runs(job)
    assert (after_all.status, after_all.output) == (RunStatus.CANCELLED, None)
    assert (world.state(job).counts, world.state(job).lock_run) == ({"cancelled": 1}, None)
    assert world.sqs.letters == {}


def test_a_cancelled_run_that_fails_is_not_retried(world: World) -> None:
    job = world.job(FAR, retry={"max_attempts": 3, "base_delay": 1})
    run = world.trigger(job)

    def act(attempt: Any) -> str:
        world.cancel(run)
        raise BROKEN

    world.outcomes = [act]
    world.drain()
    assert world.statuses(job) == [RunStatus.CANCELLED]
    assert len(world.attempts) == 1
    assert world.state(job).counts == {"cancelled": 1}
    assert world.state(job).lock_run is None


def test_cancelling_a_finished_run_is_a_conflict(world: World) -> None:
    job = world.job(FAR)
    run = world.trigger(job)
    world.drain()
    with pytest.raises(Conflict, match="is completed and cannot be cancelled"):
        world.cancel(run)


def test_the_worker_of_a_cancelled_run_may_die_and_the_lock_is_freed_all_the_same(world: World) -> None:
    job = world.job(FAR, overlap="queue")
    run = world.trigger(job)

    def act(attempt: Any) -> None:
        world.cancel(run)
        world.switch.die()

    world.outcomes = [act]
    world.deliver()
    waiting = world.trigger(job)
    world.deliver()
    assert world.engine.runs.get(job.job_id, waiting.run_id).status is RunStatus.QUEUED  # type: ignore[union-attr]
    world.drain()
    assert sorted(world.statuses(job)) == [RunStatus.CANCELLED, RunStatus.COMPLETED]


# -- run again


def test_a_finished_run_is_run_again_with_its_input(world: World) -> None:
    job = world.job(FAR)
    first = world.trigger(job, input=[1])
    with pytest.raises(Conflict, match="only a finished run"):
        run_cases.rerun(world.engine, job.job_id, first.run_id, run_cases.Asked("me"), START)
    world.drain()
    again = run_cases.rerun(world.engine, job.job_id, first.run_id, run_cases.Asked("me"), START)
    world.drain()
    assert (again.rerun_of, [a.input for a in world.attempts]) == (first.run_id, [[1], [1]])


# -- the engine is paused; dry runs; nothing to do


def test_a_paused_engine_starts_nothing_and_loses_nothing(world: World) -> None:
    job = world.job(schedule=every(10))
    world.put_setting("engine.paused", "true")
    assert engine_status(world.engine, world.clock.now()).paused
    sent = {Message.decode(body).slot for body, _ in world.sqs.sent}
    world.live(20)
    assert {Message.decode(body).slot for body, _ in world.sqs.sent} == sent
    assert (world.runs(job), world.attempts) == ([], [])
    assert world.sqs.dead == []  # twenty receives later
    world.put_setting("engine.paused", "false")
    world.live(2)
    verdicts = world.verdicts(job)
    assert verdicts == [START + 10 * i * SECOND for i in range(1, len(verdicts) + 1)]
    assert len(verdicts) >= 132
    assert not engine_status(world.engine, world.clock.now()).paused
    assert engine_status(world.engine, world.clock.now()).running


def test_what_is_made_while_the_engine_is_paused_waits_in_the_agenda(world: World) -> None:
    world.put_setting("engine.paused", "true")
    job = world.job(schedule=at(after(10)))
    assert (world.sqs.sent, len(world.slot_entries(job))) == ([], 1)


def test_a_dry_run_acts_on_nothing_and_leaves_no_mark_on_the_job(world: World) -> None:
    http = {"type": "http", "method": "POST", "url": "https://example.com/{{job.name}}"}
    job = world.job(FAR, action=http, max_consecutive_failures=1, retry={"max_attempts": 3})
    world.trigger(job, dry_run=True, input={"a": 1})
    world.drain()
    (run,) = world.runs(job)
    assert (run.status, run.dry_run, world.attempts) == (RunStatus.COMPLETED, True, [])
    assert isinstance(run.output, dict)
    assert run.output["dry_run"] is True
    assert "{{" not in run.output["action"]["url"]  # type: ignore[index,call-overload]
    assert world.state(job).counts == {}
    assert world.definition(job).status is JobStatus.ACTIVE


def test_a_dry_run_does_not_wait_for_the_lock(world: World) -> None:
    job = world.job(FAR, overlap="skip")
    world.engine.jobs.lock(job.job_id, "another", START + HOUR, START)
    world.trigger(job, dry_run=True)
    world.drain()
    assert world.statuses(job) == [RunStatus.COMPLETED]
    assert world.attempts[0].run["dry_run"] is True  # a handler is called, and told


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "the job has neither an action nor an agent_id: give it one of the two"),
        (
            {"agent_id": "agent_7"},
            "agent agent_7 is not registered: PUT /api/agents/agent_7 with a name and a target, "
            "or give the job an action",
        ),
    ],
)
def test_a_job_without_anything_to_do_fails_with_what_to_register(
    world: World, fields: dict[str, Any], message: str
) -> None:
    job = world.job(FAR, action=None, goal="do it", retry={"max_attempts": 3}, **fields)
    world.trigger(job)
    world.drain()
    (run,) = world.runs(job)
    assert (run.status, len(run.attempts)) == (RunStatus.FAILED, 1)
    assert run.error
    assert (run.error.type, run.error.message, run.error.permanent) == ("not_registered", message, True)


def test_pausing_stops_the_slots_and_resuming_begins_after_it(world: World) -> None:
    job = world.job()
    world.live(2)
    world.pause(job)
    world.live(3)
    assert len(world.runs(job)) == 2
    world.resume(job)
    world.live(2)
    assert [run.scheduled_for for run in world.runs(job)] == [
        START.replace(second=0) + minute * MINUTE for minute in (1, 2, 6, 7)
    ]
    assert len(world.slot_entries(job)) == 1


def test_a_completed_job_cannot_be_paused_and_one_without_slots_not_resumed(world: World) -> None:
    job = world.job(schedule=at(after(10)))
    world.drain()
    with pytest.raises(Conflict, match="is completed"):
        world.pause(job)
    with pytest.raises(Conflict, match="no slot left"):
        world.resume(job)


def test_a_run_that_ends_after_its_job_was_deleted_leaves_nothing_of_the_job(world: World) -> None:
    job = world.job(FAR, overlap="queue")
    run = world.trigger(job)

    def act(attempt: Any) -> str:
        waiting = world.trigger(job)
        world.deliver()
        job_cases.delete(world.engine, job.job_id)
        assert world.engine.runs.get(job.job_id, waiting.run_id).status is RunStatus.QUEUED  # type: ignore[union-attr]
        return "done"

    world.outcomes = [act]
    world.drain()
    assert world.engine.jobs.get(job.job_id) is None
    runs = {found.run_id: found.status for found in world.engine.runs.of_job(job.job_id)}
    assert runs.pop(run.run_id) is RunStatus.COMPLETED
    assert [*runs.values()] == [RunStatus.CANCELLED]


def test_the_last_output_that_a_condition_reads_is_that_of_no_dry_run(world: World) -> None:
    job = world.job("0 16 * * *", condition={"expression": "n > 1", "gate": "run"})
    world.outcomes = [{"n": 0}, {"n": 1}]
    world.trigger(job, dry_run=True)
    world.drain()
    for status in (RunStatus.COMPLETED, RunStatus.SKIPPED, RunStatus.SKIPPED):
        world.clock.advance(SECOND)
        world.send(job)
        world.drain()
        assert world.runs(job)[-1].status is status
    assert world.runs(job)[-1].reason == "n > 1 is false for n = 1"
