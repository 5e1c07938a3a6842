"""Jobs, runs and the engine's status as the native dialect shows them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, tzinfo
from typing import Any

from chalicelib.core.chain import Chain, ChainSpec, PipelineRun
from chalicelib.core.insight import Event, JobStatistics, Statistics
from chalicelib.core.instants import exact_iso, iso, short_iso
from chalicelib.core.job import Job, JobStatus, Spec, State
from chalicelib.core.run import Run, RunError
from chalicelib.dialects.native.schema import DeliveryView
from chalicelib.scheduler.language import Understood, Validated
from chalicelib.scheduler.status import EngineStatus


def job_view(job: Job, state: State, now: datetime) -> dict[str, Any]:
    following = job.next_slot(now) if job.status is JobStatus.ACTIVE else None
    last = state.last_run
    return {
        "id": job.job_id,
        **job.spec.model_dump(mode="json"),
        "schedule": job.spec.schedule.model_dump(exclude_none=True),
        "status": job.status.value,
        "status_reason": job.status_reason,
        "next_run_at": _zoned(job, following),
        "last_run_at": _zoned(job, last.started_at) if last else None,
        "last_run_id": last.run_id if last else None,
        "last_run_status": last.status if last else None,
        "run_count": state.run_count,
        "consecutive_failures": state.consecutive_failures,
        "origin": job.origin.value,
        "owner": job.owner,
        "created_at": short_iso(job.created_at),
        "updated_at": short_iso(job.updated_at),
        "schema_version": job.schema_version,
    }


def run_view(run: Run) -> dict[str, Any]:
    return {
        "id": run.run_id,
        "job_id": run.job_id,
        "status": run.status.value,
        "reason": run.reason,
        "trigger": run.trigger.value,
        "scheduled_for": exact_iso(run.scheduled_for),
        "started_at": _utc(run.started_at),
        "completed_at": _utc(run.completed_at),
        "not_before": _utc(run.not_before),
        "lateness_ms": run.lateness_ms,
        "attempts": [
            {
                "number": number,
                "started_at": iso(attempt.started_at),
                "completed_at": _utc(attempt.completed_at),
                "error": _error(attempt.error),
            }
            for number, attempt in enumerate(run.attempts, 1)
        ],
        "input": run.input,
        "output": run.output,
        "truncated": run.truncated,
        "error": _error(run.error),
        "condition": run.condition,
        "delivery": _delivery(run.delivery),
        "chain_id": run.chain_id,
        "execution": run.execution,
        "awaited_until": _utc(run.lease_until) if run.is_awaited else None,
        "progress": run.progress,
        "rerun_of": run.rerun_of,
        "triggered_by": run.triggered_by,
        "dry_run": run.dry_run,
        "missed": _missed(run),
        "schema_version": run.schema_version,
    }


def status_view(status: EngineStatus) -> dict[str, Any]:
    return {
        "running": status.running,
        "paused": status.paused,
        "tick_interval_seconds": _number(status.tick_interval_seconds),
        "lookahead_seconds": _number(status.lookahead_seconds),
        "next_tick_at": short_iso(status.next_tick_at),
        "last_tick_at": short_iso(status.last_tick_at) if status.last_tick_at else None,
        "last_tick_lateness_ms": status.last_tick_lateness_ms,
        "jobs_checked_last_tick": status.jobs_checked_last_tick,
        "queue_depth": status.queue_depth,
        "dead_letters": status.dead_letters,
    }


def validation_view(checked: Validated, zone: tzinfo) -> dict[str, Any]:
    if checked.error is not None:
        return {"valid": False, "error": checked.error, "next_runs": []}
    return {
        "valid": True,
        "next_runs": [_on_clock(slot, zone) for slot in checked.next_runs],
        "human_readable": checked.human_readable,
        "warnings": list(checked.warnings),
    }


def understood_view(understood: Understood) -> dict[str, Any]:
    return {
        "schedule": understood.schedule,
        "human_readable": understood.human_readable,
        "confidence": understood.confidence,
        "parse_method": understood.method,
        "assumptions": list(understood.assumptions),
    }


def statistics_view(found: Statistics, by_status: Mapping[str, int]) -> dict[str, Any]:
    return {
        "total_jobs": sum(by_status.values()),
        "active_jobs": by_status.get("active", 0),
        "total_runs_today": found.runs_today,
        "success_rate": found.success_rate,
        "avg_duration_seconds": found.average_seconds,
        "jobs_by_status": dict(by_status),
    }


def job_statistics_view(job_id: str, found: JobStatistics) -> dict[str, Any]:
    return {
        "job_id": job_id,
        "runs_by_status": found.counts,
        "success_rate": found.success_rate,
        "duration_ms": asdict(found.duration),
        "lateness_ms": asdict(found.lateness),
        "last_failure": run_view(found.last_failure) if found.last_failure else None,
    }


def heatmap_view(grid: Sequence[Sequence[int]], timezone: str) -> dict[str, Any]:
    return {
        "heatmap": grid,
        "rows": "hour 0-23",
        "columns": "Monday..Sunday",
        "timezone": timezone,
        "total": sum(map(sum, grid)),
    }


def calendar_view(events: Iterable[Event], truncated: bool, zone: tzinfo) -> dict[str, Any]:
    return {
        "events": [
            {
                "job_id": event.job_id,
                "name": event.name,
                "start": _on_clock(event.start, zone),
                "end": _on_clock(event.end, zone),
                "kind": event.kind,
                "status": event.status,
            }
            for event in events
        ],
        "truncated": truncated,
    }


def chain_view(chain: Chain) -> dict[str, Any]:
    return {
        "id": chain.chain_id,
        **chain.spec.model_dump(mode="json"),
        "owner": chain.owner,
        "created_at": short_iso(chain.created_at),
        "schema_version": chain.schema_version,
    }


def execution_view(run: PipelineRun) -> dict[str, Any]:
    return {
        "id": run.execution,
        "chain_id": run.chain_id,
        "status": run.status,
        "root": run.root,
        "started_at": iso(run.started_at),
        "completed_at": _utc(run.completed_at),
    }


def execution_detail_view(run: PipelineRun, spec: ChainSpec) -> dict[str, Any]:
    nodes = {
        job: {"status": state.value, "run_id": run.nodes[job].run_id if job in run.nodes else None}
        for job, state in run.states(spec).items()
    }
    for job, node in run.nodes.items():
        if run.status == node.status == "running":
            nodes[job]["status"] = "running"
    return {**execution_view(run), "nodes": nodes}


def patched(spec: Spec, changes: Mapping[str, Any]) -> dict[str, Any]:
    """A spec's fields with those of a partial update over them.

    `schedule` is replaced whole, but keeps its zone if it is given none; null is a field's default.
    """
    fields = spec.model_dump(mode="json", exclude_none=True) | dict(changes)
    schedule = fields.get("schedule")
    if isinstance(schedule, dict):
        fields["schedule"] = {"timezone": spec.schedule.timezone, **schedule}
    return {name: value for name, value in fields.items() if value is not None}


def _zoned(job: Job, instant: datetime | None) -> str | None:
    """With the offset of the job's zone, to the second."""
    return None if instant is None else _on_clock(instant, job.schedule.zone)


def _on_clock(instant: datetime, zone: tzinfo) -> str:
    return instant.astimezone(zone).isoformat(timespec="seconds")


def _utc(instant: datetime | None) -> str | None:
    return iso(instant) if instant else None


def _error(error: RunError | None) -> dict[str, Any] | None:
    return error.model_dump() if error else None


def _delivery(known: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """As far as it is known: what the run's end decided, and what became of it since."""
    return {name: known.get(name) for name in DeliveryView.model_fields} if known else None


def _missed(run: Run) -> dict[str, Any] | None:
    """Of a row that stands for many missed slots: from the first to the last, and how many."""
    if run.missed_from is None:
        return None
    return {
        "from": exact_iso(run.missed_from),
        "until": exact_iso(run.scheduled_for),
        "count": run.missed_count,
    }


def _number(value: float) -> float | int:
    return int(value) if value == int(value) else value
