"""Runs whose target goes on by itself: it answers 202, and reports by a token. Silence is failure."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from chalicelib.core.action import Accepted, Json
from chalicelib.core.errors import ActionError, Conflict, WrongToken
from chalicelib.core.instants import iso
from chalicelib.core.job import Job
from chalicelib.core.run import Message, Run, RunStatus
from chalicelib.scheduler import jobs as job_cases
from chalicelib.scheduler import reports
from chalicelib.scheduler import runs as run_cases
from chalicelib.scheduler.history import logged_runs
from tests.support import MINUTE, SECOND, START, World, at

FAR = "0 16 * * *"
LIMIT = timedelta(seconds=600)


def begun(world: World, **fields: Any) -> tuple[Job, Message]:
    """A job whose run is accepted by its target."""
    job = world.job(FAR, completion_timeout_seconds=600, **fields)
    world.outcomes.append(Accepted("on it"))
    message = world.send(job)
    world.deliver()
    return job, message


def complete(world: World, message: Message, outcome: Json | reports.Failure = "done") -> Run:
    return reports.complete(
        world.engine, message.job_id, message.run_id, token(world), outcome, world.clock.now()
    )


def progress(world: World, message: Message, **said: Json) -> Run:
    return reports.progress(
        world.engine, message.job_id, message.run_id, token(world), said, world.clock.now()
    )


def token(world: World) -> str:
    """That of the last attempt."""
    return world.attempts[-1].completion_token


def later(world: World, by: timedelta) -> None:
    world.deliver_until(world.clock.now() + by)


def test_an_accepted_run_stays_running_until_its_target_reports(world: World) -> None:
    job, message = begun(world)
    later(world, timedelta(seconds=590))
    assert world.run(message).status is RunStatus.RUNNING
    assert len(world.attempts) == 1
    ended = complete(world, message, {"rows": 7})
    assert (ended.status, ended.output) == (RunStatus.COMPLETED, {"rows": 7})
    state = world.state(job)
    assert (state.run_count, state.counts, state.lock_run) == (1, {"completed": 1}, None)
    world.drain()
    assert world.state(job) == state
    assert world.run(message) == ended


def test_each_progress_report_renews_its_time(world: World) -> None:
    _, message = begun(world)
    for percent in (10, 60):
        later(world, timedelta(seconds=500))
        run = progress(world, message, percent=percent)
        assert run.progress == {"at": iso(world.clock.now()), "percent": percent}
    later(world, timedelta(seconds=500))
    assert complete(world, message).status is RunStatus.COMPLETED


def test_silence_fails_it(world: World) -> None:
    job, message = begun(world)
    progress(world, message)
    later(world, LIMIT + 30 * SECOND)
    run = world.run(message)
    assert run.status is RunStatus.FAILED
    assert run.error
    assert (run.error.type, run.error.message) == ("completion_timeout", "its target said nothing for 600 s")
    assert run.completed_at
    assert run.completed_at - START < LIMIT + 5 * SECOND
    assert world.state(job).counts == {"failed": 1}
    world.drain()
    assert len(world.attempts) == 1


def test_silence_is_tried_again_where_the_job_allows(world: World) -> None:
    _, message = begun(world, retry={"max_attempts": 2, "strategy": "fixed", "base_delay": 5})
    first = token(world)
    later(world, LIMIT + 30 * SECOND)
    run = world.run(message)
    assert (run.status, run.output, len(run.attempts)) == (RunStatus.COMPLETED, "ok", 2)
    assert run.attempts[0].error
    assert run.attempts[0].error.type == "completion_timeout"
    with pytest.raises(WrongToken):
        reports.complete(world.engine, message.job_id, message.run_id, first, 1, world.clock.now())


def test_a_failure_that_is_reported_is_tried_again(world: World) -> None:
    _, message = begun(world, retry={"max_attempts": 2, "strategy": "fixed", "base_delay": 5})
    assert complete(world, message, reports.Failure("no luck")).status is RunStatus.RETRYING
    with pytest.raises(Conflict, match="is retrying"):
        complete(world, message)
    world.outcomes.append(Accepted(None))
    later(world, MINUTE)
    ended = complete(world, message)
    assert (ended.status, [bool(attempt.error) for attempt in ended.attempts]) == (
        RunStatus.COMPLETED,
        [True, False],
    )


def test_a_permanent_failure_is_not(world: World) -> None:
    _, message = begun(world, retry={"max_attempts": 5})
    ended = complete(world, message, reports.Failure("no such customer", permanent=True))
    assert ended.status is RunStatus.FAILED
    assert ended.error
    assert (ended.error.type, ended.error.message) == ("reported", "no such customer")


def test_nobody_reports_without_the_token_or_twice(world: World) -> None:
    _, message = begun(world)
    for wrong in (None, "", "wrong", token(world) + "x"):
        with pytest.raises(WrongToken):
            reports.complete(world.engine, message.job_id, message.run_id, wrong, 1, world.clock.now())
    complete(world, message)
    with pytest.raises(Conflict, match="is completed"):
        complete(world, message)
    with pytest.raises(Conflict, match="is completed"):
        progress(world, message)
    with pytest.raises(WrongToken):
        reports.complete(world.engine, message.job_id, message.run_id, "wrong", 1, world.clock.now())


def test_a_target_may_report_before_it_answers(world: World) -> None:
    job = world.job(FAR)
    message = world.send(job)

    def target(attempt: Any) -> Any:
        complete(world, message, "early")
        return Accepted(None)

    world.outcomes.append(target)
    world.drain()
    run = world.run(message)
    assert (run.status, run.output) == (RunStatus.COMPLETED, "early")
    assert world.state(job).counts == {"completed": 1}


def test_a_target_may_report_progress_before_it_answers_and_end_by_its_answer(world: World) -> None:
    message = world.send(world.job(FAR))

    def target(attempt: Any) -> Any:
        progress(world, message, percent=50)
        return "answered"

    world.outcomes.append(target)
    world.drain()
    run = world.run(message)
    assert (run.status, run.output, run.is_awaited) == (RunStatus.COMPLETED, "answered", False)


@pytest.mark.parametrize("overlap", ["skip", "queue"])
def test_the_overlap_lock_holds_for_as_long_as_the_target_works(world: World, overlap: str) -> None:
    job, message = begun(world, overlap=overlap)
    later(world, timedelta(seconds=590))
    progress(world, message)
    later(world, timedelta(seconds=590))
    second = world.send(job)
    later(world, SECOND)
    assert world.run(second).status is (RunStatus.SKIPPED if overlap == "skip" else RunStatus.QUEUED)
    complete(world, message)
    later(world, SECOND)
    assert world.run(second).status is (RunStatus.SKIPPED if overlap == "skip" else RunStatus.COMPLETED)


def test_cancelling_it_releases_the_lock_at_once(world: World) -> None:
    job, message = begun(world, overlap="skip")
    world.cancel(world.run(message))
    assert world.state(job).lock_run is None
    with pytest.raises(Conflict, match="is cancelled"):
        complete(world, message)
    world.drain()
    assert world.statuses(job) == [RunStatus.CANCELLED]
    assert world.state(job).counts == {"cancelled": 1}


def test_a_cancellation_that_the_targets_answer_overtook_releases_the_lock_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, message = begun(world, overlap="skip")
    run = world.run(message)
    reads = [run.model_copy(update={"is_awaited": False}), run]  # the first is from before the answer
    monkeypatch.setattr(run_cases, "get_run", lambda *given: reads.pop(0))
    world.cancel(run)
    assert world.state(job).lock_run is None


def test_a_report_of_progress_that_the_end_overtakes_takes_no_lock(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, message = begun(world, overlap="skip")
    note = world.engine.runs.note_progress

    def overtaken(*given: Any) -> Run | None:
        noted = note(*given)
        complete(world, message)
        return noted

    monkeypatch.setattr(world.engine.runs, "note_progress", overtaken)
    progress(world, message)
    assert world.state(job).lock_run is None


def test_a_long_wait_uses_up_no_message(world: World) -> None:
    job = world.job(FAR, completion_timeout_seconds=604_800)
    world.outcomes.append(Accepted(None))
    message = world.send(job)
    world.deliver()
    for _ in range(2):
        later(world, timedelta(hours=12))
        progress(world, message)
    later(world, timedelta(days=1))
    assert complete(world, message).status is RunStatus.COMPLETED
    assert not world.sqs.dead
    assert max(world.sqs.letters.values(), key=lambda letter: letter.receives).receives <= 1


def test_an_at_job_is_completed_by_the_report(world: World) -> None:
    job = world.job(schedule=at(START + MINUTE))
    world.outcomes.append(Accepted(None))
    world.live(2)
    [run] = world.runs(job)
    assert world.definition(job).status == "active"
    reports.complete(world.engine, job.job_id, run.run_id, token(world), None, world.clock.now())
    assert world.definition(job).status == "completed"


def test_the_run_of_a_deleted_job_ends(world: World) -> None:
    job, message = begun(world)
    job_cases.delete(world.engine, job.job_id)
    world.drain()
    assert world.run(message).status is RunStatus.CANCELLED


@pytest.mark.parametrize("nth", range(1, 12))
@pytest.mark.parametrize("after", [False, True])
def test_a_worker_killed_around_the_answer_leaves_no_run_running(world: World, nth: int, after: bool) -> None:
    job = world.job(FAR, completion_timeout_seconds=600)
    world.outcomes += [Accepted(None), Accepted(None)]
    message = world.send(job)
    world.switch.arm(None, nth, after=after)
    world.deliver()
    later(world, timedelta(hours=2))
    run = world.run(message)
    assert run.status is RunStatus.FAILED
    assert run.error
    assert run.error.type in ("completion_timeout", "worker_lost")
    assert world.state(job).counts == {"failed": 1}
    assert not world.sqs.letters


@pytest.mark.parametrize("nth", range(1, 12))
@pytest.mark.parametrize("after", [False, True])
def test_a_report_cut_off_anywhere_is_settled_in_the_end(world: World, nth: int, after: bool) -> None:
    job, message = begun(world)
    with world.process():
        world.switch.arm(None, nth, after=after)
        complete(world, message)
    later(world, timedelta(hours=2))
    run = world.run(message)
    assert run.is_finished
    assert world.state(job).counts == {run.status.value: 1}
    assert world.state(job).lock_run is None


def test_a_report_is_taken_although_what_follows_fails_and_a_worker_does_that(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, message = begun(world, overlap="skip")
    with monkeypatch.context() as patch:
        patch.setattr(run_cases, "on_end", lambda *given: 1 / 0)
        assert complete(world, message).status is RunStatus.COMPLETED
    later(world, SECOND)
    assert world.state(job).counts == {"completed": 1}
    assert [entry[1] for entry in logged(world)] == [message.run_id]


def logged(world: World) -> list[tuple[str, str]]:
    return [*logged_runs(world.engine, START - MINUTE, world.clock.now() + MINUTE)]


def test_an_accepted_run_that_was_lost_and_taken_over_is_one_attempt_more(world: World) -> None:
    _, message = begun(world, retry={"max_attempts": 2, "strategy": "fixed", "base_delay": 0})
    world.outcomes.append(ActionError("http_status", "500", permanent=True))
    later(world, LIMIT + 30 * SECOND)
    run = world.run(message)
    assert [attempt.error.type for attempt in run.attempts if attempt.error] == [
        "completion_timeout",
        "http_status",
    ]
