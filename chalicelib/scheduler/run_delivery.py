"""The delivery of a run's result: an errand sends it, a record keeps how it went; the run stays as it is."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from chalicelib.core.action import Json
from chalicelib.core.delivery import DeliveryStatus, Format
from chalicelib.core.errand import Errand, ErrandKind
from chalicelib.core.errors import ActionError
from chalicelib.core.instants import from_iso, iso
from chalicelib.core.job import Job
from chalicelib.core.letter import NoChannel, of_run
from chalicelib.core.run import Run
from chalicelib.scheduler import channels, events
from chalicelib.scheduler.engine import Engine

RETRIES = (timedelta(seconds=10), timedelta(seconds=60), timedelta(seconds=300))
_ATTEMPTS = 1 + len(RETRIES)
_LEASE = timedelta(seconds=60)  # longer than an attempt, shorter than its message is invisible
_AGAIN = timedelta(seconds=1)
_NOT_DELIVERED = (DeliveryStatus.FAILED, DeliveryStatus.UNDELIVERED)
_SHOWN = ("status", "reason", "attempts", "delivered_at", "error", "next_attempt_at")

log = logging.getLogger(__name__)

Record = dict[str, Any]


def dispatch(engine: Engine, job: Job | None, run: Run, now: datetime) -> None:
    """Sends the errand of a run that has ended and is to be delivered: now, or after the quiet hours.

    The errand is sent before the record that says so, so that a crash between the two repeats it. Raises
    RuntimeError where SQS refuses it.
    """
    if not _is_pending(run) or engine.records.get(_kind(run.job_id), run.run_id):
        return
    quiet_until = _quiet_until(job, now)
    facts: dict[str, Json] = {
        "job_id": run.job_id,
        "run_id": run.run_id,
        "job_name": job.spec.name if job else run.job_id,
    }
    if engine.queue.send([Errand(ErrandKind.DELIVERY, facts, quiet_until or now)], now):
        raise RuntimeError("SQS refused the errand of the delivery")
    record = _new(quiet_until or now, f"quiet hours until {iso(quiet_until)}" if quiet_until else None)
    engine.records.add(_kind(run.job_id), run.run_id, record, run.expires_at)


def _quiet_until(job: Job | None, now: datetime) -> datetime | None:
    delivery = job.spec.delivery if job else None
    if job is None or delivery is None or delivery.quiet_hours is None:
        return None
    return delivery.quiet_hours.until(now, job.schedule.zone)


def carry_out(engine: Engine, facts: Mapping[str, Json], now: datetime) -> timedelta | None:
    """One attempt, if it is this errand's to make. Gives when to come again; None: it is over.

    An errand that comes twice, or whose worker died, waits for the other's lease to end.
    """
    job_id, run_id = str(facts["job_id"]), str(facts["run_id"])
    run = engine.runs.get(job_id, run_id)
    if run is None or not _is_pending(run):
        return None
    record = _record(engine, run, now)
    if record["status"] != DeliveryStatus.PENDING:
        return None
    ready_at = from_iso(record["claimed_until"] or record["next_attempt_at"])
    if ready_at > now:
        return ready_at - now
    claimed = _claim(engine, facts, run, record, now)
    if claimed is None:
        return _AGAIN
    after = _attempt(engine, run, str(facts["job_name"]), claimed)
    if not _written(engine, facts, run, after, claimed):
        return _AGAIN
    if run.delivery and after["status"] != DeliveryStatus.UNDELIVERED:
        channels.note(engine, str(run.delivery["channel"]), after["error"], engine.now())
    return from_iso(after["next_attempt_at"]) - engine.now() if after["next_attempt_at"] else None


def _written(engine: Engine, facts: Mapping[str, Json], run: Run, after: Record, before: Record) -> bool:
    """Whether the record was still as it was; whoever writes that the delivery failed tells of it."""
    if not engine.records.replace(_kind(run.job_id), run.run_id, after, before):
        return False
    if after["status"] in _NOT_DELIVERED:
        data: dict[str, Json] = {
            "job_id": run.job_id,
            "job_name": facts["job_name"],
            "run_id": run.run_id,
            "channel": run.delivery["channel"] if run.delivery else None,
            "status": after["status"],
            "reason": after["error"] or after["reason"],
            "attempts": after["attempts"],
        }
        events.emit(engine, "delivery.failed", data, engine.now())
    return True


def _claim(
    engine: Engine, facts: Mapping[str, Json], run: Run, record: Record, now: datetime
) -> Record | None:
    """The record with this attempt counted; None if another was faster, or none is left."""
    if record["attempts"] >= _ATTEMPTS:
        given_up = _ended(record, DeliveryStatus.FAILED, error="its worker was lost in the last attempt")
        _written(engine, facts, run, given_up, record)
        return None
    claimed = record | {"attempts": record["attempts"] + 1, "claimed_until": iso(now + _LEASE)}
    return claimed if engine.records.replace(_kind(run.job_id), run.run_id, claimed, record) else None


def _attempt(engine: Engine, run: Run, job_name: str, claimed: Record) -> Record:
    """Delivers; gives the record of how it went."""
    planned = run.delivery or {}
    try:
        letter = of_run(run, job_name, Format(str(planned["format"])), engine.now())
        engine.deliver(channels.find(engine, str(planned["channel"])), letter)
    except NoChannel as error:
        return _ended(claimed, DeliveryStatus.UNDELIVERED, reason=str(error))
    except ActionError as error:
        log.warning("run %s/%s is not delivered: %s", run.job_id, run.run_id, error)
        return _failed(claimed, error, engine.now())
    return _ended(claimed, DeliveryStatus.DELIVERED, error=None, delivered_at=iso(engine.now()))


def _failed(claimed: Record, error: ActionError, now: datetime) -> Record:
    attempts = claimed["attempts"]
    if error.permanent or attempts >= _ATTEMPTS:
        return _ended(claimed, DeliveryStatus.FAILED, error=str(error))
    again = now + RETRIES[attempts - 1]
    return claimed | {"claimed_until": None, "next_attempt_at": iso(again), "error": str(error)}


def _ended(record: Record, status: DeliveryStatus, **facts: Any) -> Record:
    return record | {"status": status, "claimed_until": None, "next_attempt_at": None, **facts}


def give_up(engine: Engine, facts: Mapping[str, Json], reason: str, now: datetime) -> None:
    """The queue gave the errand up: the delivery failed, unless it has ended some other way."""
    run = engine.runs.get(str(facts["job_id"]), str(facts["run_id"]))
    if run is None or not _is_pending(run):
        return
    while (record := _record(engine, run, now))["status"] == DeliveryStatus.PENDING:
        failed = _ended(record, DeliveryStatus.FAILED, error=record["error"] or reason)
        _written(engine, facts, run, failed, record)


def with_outcomes(engine: Engine, runs: Iterable[Run]) -> list[Run]:
    """The runs with what has become of their deliveries."""
    runs = list(runs)
    places = [(_kind(run.job_id), run.run_id) for run in runs if _is_pending(run)]
    records = engine.records.get_places(places) if places else {}
    return [_with_outcome(run, records.get((_kind(run.job_id), run.run_id))) for run in runs]


def _with_outcome(run: Run, record: Record | None) -> Run:
    if run.delivery is None or record is None:
        return run
    known = {name: record[name] for name in _SHOWN if record[name] is not None}
    return run.model_copy(update={"delivery": run.delivery | known})


def _is_pending(run: Run) -> bool:
    return run.delivery is not None and run.delivery["status"] == DeliveryStatus.PENDING


def _record(engine: Engine, run: Run, now: datetime) -> Record:
    """The delivery's record, made here if whoever sent the errand did not come to it."""
    there = engine.records.get(_kind(run.job_id), run.run_id)
    new = _new(now, None)
    return there or engine.records.add(_kind(run.job_id), run.run_id, new, run.expires_at) or new


def _new(due: datetime, reason: str | None) -> Record:
    return {
        "status": DeliveryStatus.PENDING,
        "reason": reason,
        "attempts": 0,
        "claimed_until": None,
        "next_attempt_at": iso(due),
        "delivered_at": None,
        "error": None,
    }


def _kind(job_id: str) -> str:
    return f"delivery#{job_id}"
