"""The sweep: finds active jobs that the agenda has lost, and files them. Harmless if wrong: streams merge."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from itertools import islice

from chalicelib.core.agenda import Entry, Slots
from chalicelib.core.instants import floor_minute, from_millis
from chalicelib.core.job import AtSpec, Job, JobStatus
from chalicelib.core.run import Trigger
from chalicelib.scheduler.engine import Engine

_STEP = 100  # jobs looked at together
_RUNS_READ = 200  # of a lost job, in search of its latest scheduled one
_ON_ITS_WAY = timedelta(hours=1)

log = logging.getLogger(__name__)


def sweep(engine: Engine, now: datetime) -> dict[str, int]:
    """Compares the active definitions with the agenda; gives how many were checked and how many filed.

    Definitions are read before the agenda, and the tick files before it deletes: what is missing
    from both is missing.
    """
    jobs = _active(engine)
    revisions: dict[str, int] = {}
    for _, entry in engine.agenda.entries():
        if isinstance(entry, Slots):
            revisions[entry.job_id] = max(entry.revision, revisions.get(entry.job_id, 0))
    missing = [job for job in jobs if revisions.get(job.job_id, -1) < job.revision]
    repairs = [filing for job in missing if (filing := _lost(engine, job, now))]
    engine.agenda.file(repairs)
    for minute, entry in repairs:
        log.error("job %s had no agenda entry; filed at %s", entry.job_id, minute)
    return {"checked": len(jobs), "repaired": len(repairs)}


def _active(engine: Engine) -> list[Job]:
    ids = list(engine.jobs.ids({"status": JobStatus.ACTIVE}))
    return [
        job
        for step in range(0, len(ids), _STEP)
        for job in engine.jobs.definitions(ids[step : step + _STEP], consistent=True).values()
        if job and job.status is JobStatus.ACTIVE
    ]


def _lost(engine: Engine, job: Job, now: datetime) -> tuple[datetime, Entry] | None:
    """The entry to file: at the first slot after the last that is known to have been handled.

    None for a job that has no slot left, and for an `at` job whose only run may still be in the queue.
    """
    handled = from_millis(job.revision)
    newest = islice(engine.runs.of_job(job.job_id, page=10), _RUNS_READ)
    scheduled = next((run.scheduled_for for run in newest if run.trigger is Trigger.SCHEDULE), handled)
    first = job.next_slot(max(handled, scheduled))
    if first is None or (isinstance(job.spec.schedule, AtSpec) and now < first + _ON_ITS_WAY):
        return None
    return floor_minute(first), Slots(job.job_id, job.revision)
