"""What is told about the runs of all jobs."""

from __future__ import annotations

from datetime import timedelta

from chalicelib.scheduler.slot_report import missed_runs
from tests.support import SECOND, World


def test_a_row_of_many_missed_slots_counts_them_all(world: World) -> None:
    job = world.job("* * * * *")
    world.live(3)
    world.clock.advance(timedelta(hours=12))
    world.tick()
    world.drain()
    world.clock.advance(SECOND)
    many = [run.missed_count for run in world.runs(job) if run.missed_count]
    alone = [run for run in world.runs(job) if run.status == "missed" and not run.missed_count]
    assert many
    assert alone
    found = missed_runs(world.engine, world.clock.now())
    assert (found["missed"], found["failed"]) == (sum(many) + len(alone), 0)
    assert [(one["name"], one["missed"]) for one in found["jobs"]] == [("a job", found["missed"])]


def test_a_report_lists_a_hundred_jobs_and_counts_the_others(world: World) -> None:
    for number in range(102):
        job = world.job("0 0 1 1 *", max_consecutive_failures=0)
        world.outcomes = [ValueError("no")]
        run = world.trigger(job, dry_run=number == 101)
        world.drain()
        assert world.engine.runs.get(job.job_id, run.run_id).status == "failed"  # type: ignore[union-attr]
    world.clock.advance(SECOND)
    found = missed_runs(world.engine, world.clock.now())
    assert (found["failed"], len(found["jobs"]), found["unlisted"]) == (101, 100, 1)
