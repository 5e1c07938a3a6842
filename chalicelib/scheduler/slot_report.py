"""What is told about the runs of all jobs."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import datetime, timedelta
from typing import Any

from chalicelib.core.instants import short_iso
from chalicelib.core.run import RunStatus
from chalicelib.scheduler.engine import Engine
from chalicelib.scheduler.history import logged_runs

_SPAN = timedelta(days=1)
_LISTED = 100  # jobs: some 28 KB where names are long, and 32 KB are kept of an output


def missed_runs(engine: Engine, now: datetime) -> dict[str, Any]:
    """The slots missed and the runs failed in the last day, by job, those with the most first."""
    start, wanted = now - _SPAN, (RunStatus.MISSED, RunStatus.FAILED)
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for run in engine.runs.get_many(logged_runs(engine, start, now, wanted)).values():
        if not run.dry_run:
            counts[run.job_id][run.status] += run.missed_count or 1
    jobs = sorted(counts, key=lambda job_id: (-counts[job_id].total(), job_id))
    known = engine.jobs.definitions(jobs[:_LISTED], consistent=False)
    return {
        "since": short_iso(start),
        "until": short_iso(now),
        "missed": sum(count["missed"] for count in counts.values()),
        "failed": sum(count["failed"] for count in counts.values()),
        "jobs": [
            {
                "job_id": job_id,
                "name": job.spec.name if (job := known.get(job_id)) else None,
                "missed": counts[job_id]["missed"],
                "failed": counts[job_id]["failed"],
            }
            for job_id in jobs[:_LISTED]
        ],
        "unlisted": max(0, len(jobs) - _LISTED),
    }
