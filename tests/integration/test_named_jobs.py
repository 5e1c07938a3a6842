"""Jobs by name, where several ask at once: on DynamoDB Local, whose conditions are atomic under threads."""

from __future__ import annotations

from datetime import timedelta

import pytest

from chalicelib.core.action import Attempt, Json
from chalicelib.core.errors import Conflict, NotFound
from chalicelib.core.ids import named_id
from chalicelib.core.job import Job, Origin
from chalicelib.core.run import RunStatus
from chalicelib.scheduler import jobs as job_cases
from chalicelib.scheduler import named_jobs
from chalicelib.scheduler.runs import Asked, trigger_alone
from tests.integration.test_races import FAR, at_once
from tests.support import World, spec

NIGHTLY = job_cases.Creation("test", Origin.NIGHTLY)


@pytest.fixture
def world(dynamodb_local: dict[str, str]) -> World:
    return World(dynamodb_local)


def register(world: World, name: str) -> Job | None:
    """None where the name is taken."""
    try:
        return named_jobs.register(world.engine, spec(FAR, name=name), NIGHTLY, world.clock.now())
    except Conflict:
        return None


def start(world: World, job: Job) -> bool:
    try:
        trigger_alone(world.engine, job.job_id, Asked("test"), world.clock.now())
    except Conflict:
        return False
    return True


def test_of_many_registrations_of_one_name_one_makes_a_job(world: World) -> None:
    for number in range(5):
        made = [job for job in at_once(8, lambda _, n=number: register(world, f"job-{n}")) if job]  # type: ignore[misc]
        assert len(made) == 1
        assert named_jobs.find(world.engine, Origin.NIGHTLY, f"job-{number}")[0] == made[0]
        assert world.slot_entries(made[0]) == [made[0].next_slot(world.clock.now())]
    assert named_jobs.list_by_name(world.engine, Origin.NIGHTLY, 10, 0)[1] == 5


def test_of_many_triggers_at_once_one_starts_a_run(world: World) -> None:
    for number in range(5):
        job = register(world, f"job-{number}")
        assert job
        assert sum(at_once(8, lambda _, job=job: start(world, job))) == 1  # type: ignore[misc]
        assert len(world.runs(job)) == 1
        world.drain()
        assert world.statuses(job) == [RunStatus.COMPLETED]
        assert start(world, job)


def test_a_run_that_was_kept_out_by_a_newer_one_is_skipped(world: World) -> None:
    """The first one's message comes more than two hours late, while the second acts."""
    job = register(world, "late")
    assert job
    assert start(world, job)
    (late,) = world.sqs.receive()
    world.clock.advance(timedelta(hours=2, seconds=1))
    assert start(world, job)
    late_letter = world.sqs.letters.pop(late.message_id)

    def meanwhile(attempt: Attempt) -> Json:
        late_letter.visible_at = world.clock.now()
        world.sqs.letters[late.message_id] = late_letter
        return world.deliver()

    world.outcomes = [meanwhile]
    world.drain()
    assert sorted(world.statuses(job)) == ["completed", "skipped"]


def test_a_scheduled_run_that_comes_while_a_triggered_one_waits_is_skipped(world: World) -> None:
    job = register(world, "both")
    assert job
    assert start(world, job)
    triggered = world.sqs.receive()
    scheduled = world.send(job)
    world.deliver()
    assert world.run(scheduled).status is RunStatus.SKIPPED
    world.sqs.letters[triggered[0].message_id].visible_at = world.clock.now()
    world.drain()
    assert RunStatus.COMPLETED in world.statuses(job)


def test_names_of_two_origins_and_ids_are_no_names(world: World) -> None:
    job = register(world, "mine")
    assert job
    assert job.job_id == named_id(Origin.NIGHTLY, "mine") != named_id(Origin.CODESPAR, "mine")
    assert len(job.job_id) == 16
    for origin, name in ((Origin.CODESPAR, "mine"), (Origin.NIGHTLY, job.job_id), (Origin.NIGHTLY, "a b")):
        with pytest.raises(NotFound):
            named_jobs.find(world.engine, origin, name)
