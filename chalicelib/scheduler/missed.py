"""Slots that are not run any more: every one gets a row of its own, or its place in one row of many."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from chalicelib.core.ids import slot_id
from chalicelib.core.job import Job, Misfire
from chalicelib.core.planning import MISSED_ROWS, MissedRange, Plan
from chalicelib.core.run import Run, RunStatus, Trigger
from chalicelib.core.settings import Settings
from chalicelib.scheduler.engine import Engine
from chalicelib.scheduler.history import count_runs, log_runs

_REASONS = {
    Misfire.SKIP: "misfire policy skip",
    Misfire.FIRE_ONCE: "misfire policy fire_once runs only the newest late slot",
    Misfire.CATCH_UP: "more slots were late than catch_up_limit",
}


def record_missed(engine: Engine, job: Job, plan: Plan, now: datetime, settings: Settings) -> None:
    """Writes the rows that are not there yet; a run that has a row already keeps it."""
    covered = _covering(engine, job, plan)
    added: list[Run] = []
    if plan.missed_range:
        row = _range_row(job, plan.missed_range, now, settings)
        (added if engine.runs.add(row) else covered).append(row)
    slots = [*plan.missed]
    if plan.missed_range and not added:  # a tick beside this one was first, perhaps with a shorter range
        there = engine.runs.get(job.job_id, covered.pop().run_id)
        if there:
            covered.append(there)
            slots += job.schedule.occurrences(there.scheduled_for, plan.missed_range.last)
    rows = [
        missed_run(job, slot, now, settings) for slot in slots if not any(_covers(r, slot) for r in covered)
    ]
    added += _add_all(engine, rows)
    if added:
        engine.jobs.count_missed(job.job_id, sum(row.missed_count or 1 for row in added))
        count_runs(engine, added)
        log_runs(engine, added, now, settings)


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
    """Named by its first slot, so that two ticks that fold the same slots write one row."""
    reason = f"{many.count} slots were found late; {_REASONS[job.spec.misfire]}"
    row = missed_run(job, many.last, now, settings, reason)
    return row.model_copy(
        update={
            "run_id": f"{slot_id(many.first)}-missed",
            "missed_from": many.first,
            "missed_count": many.count,
        }
    )


def _covering(engine: Engine, job: Job, plan: Plan) -> list[Run]:
    """Rows of many that an earlier tick wrote among these slots, and then died. Only after long outages."""
    if len(plan.missed) <= MISSED_ROWS:
        return []
    return engine.runs.missed_ranges(job.job_id, plan.missed[0], plan.missed[-1])


def _covers(row: Run, slot: datetime) -> bool:
    return row.missed_from is not None and row.missed_from <= slot <= row.scheduled_for


def _add_all(engine: Engine, rows: list[Run]) -> list[Run]:
    """Those that were new."""
    with ThreadPoolExecutor(8) as pool:
        return [row for row, is_new in zip(rows, pool.map(engine.runs.add, rows), strict=True) if is_new]
