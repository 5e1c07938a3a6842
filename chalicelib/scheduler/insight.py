"""Insight into jobs and runs: statistics, the heatmap, suggestions, the calendar."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta, tzinfo
from itertools import chain, islice

from chalicelib.core import insight
from chalicelib.core.insight import DAYS, Event, JobStatistics, Statistics
from chalicelib.core.job import Job
from chalicelib.core.run import FINISHED, Run
from chalicelib.scheduler.engine import Engine
from chalicelib.scheduler.history import logged_runs
from chalicelib.scheduler.jobs import get

JOB_RUNS = 1000  # of a job, the newest, that its statistics are made from
EVENTS = 20_000  # on a calendar: some 4 MB
_STEP = 100


def statistics(engine: Engine, zone: tzinfo, now: datetime) -> tuple[Statistics, dict[str, int]]:
    """Of all runs of thirty days, and the number of jobs by status."""
    counted = engine.counters.since(now - timedelta(days=DAYS), now)
    return insight.statistics(counted, insight.midnight(now, zone)), engine.jobs.statuses()


def job_statistics(engine: Engine, job_id: str, now: datetime) -> JobStatistics:
    """Of the job's newest thousand finished runs of thirty days."""
    get(engine, job_id)
    since = now - timedelta(days=DAYS)
    newest = islice(engine.runs.of_job(job_id, page=JOB_RUNS), JOB_RUNS)
    return insight.job_statistics(
        [run for run in newest if run.status in FINISHED and run.scheduled_for >= since and not run.dry_run]
    )


def heatmap(engine: Engine, zone: tzinfo, now: datetime) -> list[list[int]]:
    """People's activity of thirty days by hour and weekday."""
    return insight.heatmap(engine.counters.since(now - timedelta(days=DAYS), now), zone)


def calendar(engine: Engine, start: datetime, end: datetime, now: datetime) -> tuple[list[Event], bool]:
    """What is on from `start` until before `end`, by time, and whether there was more than could be shown.

    The past has runs, the future the slots of active jobs.
    """
    jobs = list(_all_jobs(engine))
    names = {job.job_id: job.spec.name for job in jobs}
    past = _past(engine, names, start, min(end, now))
    coming = insight.scheduled_events(jobs, max(start, now), end)
    events = list(islice(chain(past, coming), EVENTS + 1))
    return events[:EVENTS], len(events) > EVENTS


def _all_jobs(engine: Engine) -> Iterator[Job]:
    ids = engine.jobs.ids({})
    while step := list(islice(ids, _STEP)):
        yield from filter(None, engine.jobs.definitions(step, consistent=False).values())


def _past(engine: Engine, names: dict[str, str], start: datetime, end: datetime) -> list[Event]:
    """The runs that ended between the two, of jobs that still exist, by their start."""
    if end <= start:
        return []
    keys = islice(logged_runs(engine, start, end), EVENTS + 1)
    found: Sequence[Run] = list(engine.runs.get_many(keys).values())
    return sorted(_run_event(run, names[run.job_id]) for run in found if run.job_id in names)


def _run_event(run: Run, name: str) -> Event:
    begun = run.started_at or run.scheduled_for
    return Event(begun, max(begun, run.completed_at or begun), run.job_id, name, "run", run.status.value)
