"""Insight into jobs and runs: statistics, the heatmap, suggestions, the calendar."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, tzinfo
from itertools import chain, islice

from chalicelib.core import insight
from chalicelib.core.insight import DAYS, Event, JobStatistics, Statistics
from chalicelib.core.job import Job, JobStatus
from chalicelib.core.run import FINISHED, Run
from chalicelib.scheduler.engine import Engine
from chalicelib.scheduler.history import logged_runs
from chalicelib.scheduler.jobs import get

JOB_RUNS = 1000  # of a job, the newest, that its statistics are made from
EVENTS = 20_000  # on a calendar: some 4 MB
_STEP = 100
_LONGEST_RUN = timedelta(days=1)  # with its retries; one that takes longer is left out


def statistics(engine: Engine, zone: tzinfo, now: datetime) -> tuple[Statistics, dict[str, int]]:
    """Of all runs of thirty days, and the number of jobs by status."""
    counted = engine.counters.since(now - timedelta(days=DAYS), now)
    return insight.statistics(counted, insight.midnight(now, zone)), engine.jobs.statuses()


def job_statistics(engine: Engine, job_id: str, now: datetime) -> JobStatistics:
    """Of the job's newest thousand finished runs of thirty days."""
    get(engine, job_id)
    newest = islice(engine.runs.outlines(job_id, now - timedelta(days=DAYS)), JOB_RUNS)
    return insight.job_statistics([run for run in newest if run.status in FINISHED and not run.dry_run])


def heatmap(engine: Engine, zone: tzinfo, now: datetime) -> list[list[int]]:
    """People's activity of thirty days by hour and weekday."""
    return insight.heatmap(engine.counters.since(now - timedelta(days=DAYS), now), zone)


def calendar(engine: Engine, start: datetime, end: datetime, now: datetime) -> tuple[list[Event], bool]:
    """What begins from `start` until before `end`, by time, and whether there was more than could be shown.

    The past has finished runs, the future the slots of active jobs.
    """
    past, more = _past(engine, start, min(end, now), now)
    active = _jobs(engine, engine.jobs.ids({"status": JobStatus.ACTIVE}))
    coming = insight.scheduled_events(active, max(start, now), end)
    events = list(islice(chain(past, coming), EVENTS + 1))
    return events[:EVENTS], more or len(events) > EVENTS


def _jobs(engine: Engine, ids: Iterator[str]) -> Iterator[Job]:
    while step := list(islice(ids, _STEP)):
        yield from filter(None, engine.jobs.definitions(step, consistent=False).values())


def _past(engine: Engine, start: datetime, end: datetime, now: datetime) -> tuple[list[Event], bool]:
    """The runs of jobs that still exist, by their start, and whether there were too many.

    The log is by the runs' ends; a run that began in time may have ended later.
    """
    if end <= start:
        return [], False
    keys = list(islice(logged_runs(engine, start, min(end + _LONGEST_RUN, now)), EVENTS + 1))
    runs = [run for run in engine.runs.get_many(keys).values() if start <= _begun(run) < end]
    jobs = _jobs(engine, iter(dict.fromkeys(run.job_id for run in runs)))
    names = {job.job_id: job.spec.name for job in jobs}
    return sorted(_run_event(run, names[run.job_id]) for run in runs if run.job_id in names), len(
        keys
    ) > EVENTS


def _begun(run: Run) -> datetime:
    return run.started_at or run.scheduled_for


def _run_event(run: Run, name: str) -> Event:
    begun = _begun(run)
    return Event(begun, max(begun, run.completed_at or begun), run.job_id, name, "run", run.status.value)
