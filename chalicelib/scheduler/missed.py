"""Slots that are not run any more: every one gets a row of its own, or its place in one row of many."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

from chalicelib.core.ids import slot_id
from chalicelib.core.job import Job, Misfire
from chalicelib.core.planning import MISSED_ROWS, MissedRange, Plan
from chalicelib.core.run import Run, RunStatus, Trigger
from chalicelib.core.settings import Settings
from chalicelib.scheduler.engine import Engine
from chalicelib.scheduler.events import tell_of_runs
from chalicelib.scheduler.history import count_runs, log_runs

_INSTANT = timedelta(microseconds=1)
_Row = tuple[Run, bool]  # as it stands now, and whether it was written just now
log = logging.getLogger(__name__)

_REASONS = {
    Misfire.SKIP: "misfire policy skip",
    Misfire.FIRE_ONCE: "misfire policy fire_once runs only the newest late slot",
    Misfire.CATCH_UP: "more slots were late than catch_up_limit",
}


def record_missed(engine: Engine, job: Job, plan: Plan, now: datetime, settings: Settings) -> None:
    """Writes the rows that are not there yet; a run that has a row already keeps it.

    A row of many has the id that the first of its slots has alone, and what is older than the newest
    hundred is written in order. So of two ticks that look at the same slots, whichever comes to that
    slot first decides whether it begins a row of many, and the other finds that out before it goes on.
    """
    older, newest = [*plan.missed[:-MISSED_ROWS]], plan.missed[-MISSED_ROWS:]
    rows: list[_Row] = []
    if plan.missed_range:
        row = _range_row(job, plan.missed_range, now, settings)
        if engine.runs.add(row):
            rows.append((row, True))
        else:
            older += job.schedule.occurrences(plan.missed_range.first - _INSTANT, plan.missed_range.last)
    rows += _add_in_order(engine, [missed_run(job, slot, now, settings) for slot in sorted(older)])
    rows += _add_all(engine, [missed_run(job, slot, now, settings) for slot in newest])
    added = [row for row, is_new in rows if is_new]
    if added:
        engine.jobs.count_missed(job.job_id, sum(row.missed_count or 1 for row in added))
        count_runs(engine, added)
        log_runs(engine, added, now, settings)
    _tell(engine, job, [row for row, _ in rows if row.status is RunStatus.MISSED], now)


def _tell(engine: Engine, job: Job, rows: list[Run], now: datetime) -> None:
    """Also of rows that were there: the tick that wrote them may have died. No job waits for it."""
    try:
        tell_of_runs(engine, [(job, row) for row in rows], now)
    except Exception:
        log.exception("nobody is told of %d missed runs of job %s", len(rows), job.job_id)


def missed_run(job: Job, slot: datetime, now: datetime, settings: Settings, reason: str | None = None) -> Run:
    late = f"its slot was found {(now - slot).total_seconds():.0f} s late; {_REASONS[job.spec.misfire]}"
    return Run(
        job_id=job.job_id,
        run_id=slot_id(slot),
        status=RunStatus.MISSED,
        trigger=Trigger.SCHEDULE,
        revision=job.revision,
        scheduled_for=slot,
        created_at=now,
        completed_at=now,
        reason=reason or late,
        expires_at=settings.run_expiry(now),
    )


def _range_row(job: Job, many: MissedRange, now: datetime, settings: Settings) -> Run:
    """Named as its first slot's own row would be."""
    reason = f"{many.count} slots were found late; {_REASONS[job.spec.misfire]}"
    row = missed_run(job, many.last, now, settings, reason)
    return row.model_copy(
        update={
            "run_id": slot_id(many.first),
            "missed_from": many.first,
            "missed_count": many.count,
        }
    )


def _add_in_order(engine: Engine, rows: list[Run]) -> list[_Row]:
    """Those that are not within a row of many."""
    found: list[_Row] = []
    covered_until: datetime | None = None
    for row in rows:
        if covered_until and row.scheduled_for <= covered_until:
            continue
        if engine.runs.add(row):
            found.append((row, True))
        elif there := engine.runs.get(row.job_id, row.run_id):
            found.append((there, False))
            covered_until = there.scheduled_for if there.missed_from else covered_until
    return found


def _add_all(engine: Engine, rows: list[Run]) -> list[_Row]:
    with ThreadPoolExecutor(8) as pool:
        news = list(zip(rows, pool.map(engine.runs.add, rows), strict=True))
    there = engine.runs.get_many((row.job_id, row.run_id) for row, is_new in news if not is_new)
    return [one for one in news if one[1]] + [(row, False) for row in there.values()]
