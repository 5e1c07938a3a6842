"""The runs table: one row a run. Each write is conditional on the state it leaves."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from chalicelib.aws.dynamo import ConditionFailed, Item, Table
from chalicelib.core.action import Json
from chalicelib.core.condition import Verdict
from chalicelib.core.ids import slot_id, token_digest
from chalicelib.core.instants import iso
from chalicelib.core.run import AttemptRecord, Claim, Message, Run, RunError, RunStatus

_TIMES = (
    "scheduled_for", "created_at", "lease_until", "not_before", "started_at", "completed_at", "missed_from",
)  # fmt: skip
_OUTLINE = (
    "job_id", "run_id", "status", "reason", "trigger", "revision", "scheduled_for", "created_at",
    "started_at", "completed_at", "lateness_ms", "error", "dry_run", "missed_from", "missed_count",
)  # fmt: skip
_JSON = ("input", "output", "error", "condition", "delivery", "progress")

_LOST = RunError(type="worker_lost", message="its worker was lost: the lease ran out before it reported")

_CLAIMABLE = (
    "(#status = :queued"
    " OR (#status = :retrying AND not_before <= :now)"
    " OR (#status = :running AND lease_until < :now AND attribute_not_exists(is_awaited)))"
    " AND (attribute_not_exists(dispatch) OR dispatch <= :dispatch)"
)


class Runs:
    def __init__(self, client: Any, table: str) -> None:
        self._table = Table(client, table)

    def claim(
        self, message: Message, due: datetime, now: datetime, lease_until: datetime, token: str | None = None
    ) -> Claim:
        """Takes the run for a new attempt: creates its row, or finds it queued, ready or abandoned.

        The attempt is appended to the row, and the fence counts the claim. Lost without a row: the
        message needs one and it is not there. `due` is what lateness counts from. `token` is what the
        attempt's target may report with.
        """
        first = "" if message.needs_row else "attribute_not_exists(run_id) OR "
        changes = {
            "#status = :running, lease_until = :lease, dispatch = :dispatch",
            "attempts = list_append(if_not_exists(attempts, :none), :attempt)",
            *(f"{name} = if_not_exists({name}, :{name})" for name in ("revision", "scheduled_for")),
            "#trigger = if_not_exists(#trigger, :trigger)",
            "created_at = if_not_exists(created_at, :now)",
            "started_at = if_not_exists(started_at, :now)",
            "lateness_ms = if_not_exists(lateness_ms, :late)",
            "schema_version = :schema",
        }
        if token:
            changes.add("token_digest = :token")
        values = {
            ":running": RunStatus.RUNNING,
            ":queued": RunStatus.QUEUED,
            ":retrying": RunStatus.RETRYING,
            ":now": iso(now),
            ":lease": iso(lease_until),
            ":dispatch": message.dispatch,
            ":none": [],
            ":attempt": [{"started_at": iso(now)}],
            ":revision": message.revision,
            ":scheduled_for": iso(message.slot),
            ":trigger": message.trigger,
            ":late": max(0, int((now - due).total_seconds() * 1000)),
            ":schema": 1,
            ":one": 1,
        } | ({":token": token_digest(token)} if token else {})
        change = f"SET {', '.join(sorted(changes))} ADD fence :one REMOVE not_before, reason, progress"
        try:
            row = self._table.update(
                _key(message.job_id, message.run_id), change, f"{first}({_CLAIMABLE})", values
            )
        except ConditionFailed as lost:
            return Claim(_run(lost.item) if lost.item else None, won=False)
        return Claim(_run(row), won=True)

    def finish(
        self,
        run: Run,
        status: RunStatus,
        now: datetime,
        *,
        reason: str | None = None,
        output: Json = None,
        truncated: bool = False,
        error: RunError | None = None,
        condition: Verdict | None = None,
        delivery: Mapping[str, Json] | None = None,
        expires_at: int | None = None,
    ) -> Run | None:
        """Ends a claimed run and its last attempt. None if it is no longer the claim's to end."""
        sets, values = _attempt_ends(run, now, error)
        fields: Item = {
            "status": status,
            "completed_at": iso(now),
            "reason": reason,
            "output": _text(output),
            "truncated": truncated or None,
            "error": error.model_dump_json() if error else None,
            "condition": _text(condition and condition._asdict()),
            "delivery": _text(delivery),
            "expires_at": expires_at,
        }
        return self._leave_running(run, sets, values, fields, "lease_until, is_awaited")

    def retry(self, run: Run, error: RunError, not_before: datetime, now: datetime) -> Run | None:
        """Ends a claimed run's attempt; the next is not before `not_before`. None as in finish."""
        sets, values = _attempt_ends(run, now, error)
        fields: Item = {
            "status": RunStatus.RETRYING,
            "not_before": iso(not_before),
            "dispatch": run.dispatch + 1,
        }
        return self._leave_running(run, sets, values, fields, "lease_until, is_awaited")

    def await_report(self, run: Run, until: datetime) -> Run | None:
        """The claimed run's target goes on by itself, and is to report by then. None as in finish."""
        return self._leave_running(run, ["is_awaited = :yes"], {":yes": True}, {"lease_until": iso(until)})

    def note_progress(self, run: Run, progress: dict[str, Json], until: datetime) -> Run | None:
        """Keeps a target's report, the next of which is to come by then. None if it came too late.

        The attempt may still be in a worker's hands: its claim is left as it is.
        """
        values = {
            ":running": RunStatus.RUNNING,
            ":token": run.token_digest,
            ":progress": _text(progress),
            ":until": iso(until),
            ":yes": True,
        }
        change = "SET progress = :progress, lease_until = :until, is_awaited = :yes"
        return self._change(run, change, "#status = :running AND token_digest = :token", values)

    def take_silent(self, run: Run, lease_until: datetime) -> Run | None:
        """Takes back a run whose target has been silent for too long. None if it was not, after all."""
        values = {
            ":running": RunStatus.RUNNING,
            ":fence": run.fence,
            ":until": iso(run.lease_until) if run.lease_until else "",
            ":lease": iso(lease_until),
            ":one": 1,
        }
        change = "SET lease_until = :lease ADD fence :one REMOVE is_awaited"
        condition = "#status = :running AND fence = :fence AND lease_until = :until"
        return self._change(run, change, condition, values)

    def give_back(
        self, run: Run, status: RunStatus, reason: str, now: datetime, expires_at: int | None = None
    ) -> Run | None:
        """Undoes a claim that did not get the overlap lock: the run waits (queued) or is skipped."""
        sets, values = _attempt_ends(run, now, None)
        last = len(run.attempts) - 1
        values.pop(f":attempt{last}")
        removed = f"lease_until, attempts[{last}]" + (", started_at, lateness_ms" if last == 0 else "")
        ended = {"completed_at": iso(now), "expires_at": expires_at} if status is RunStatus.SKIPPED else {}
        fields = {"status": status, "reason": reason} | ended
        return self._leave_running(run, sets[:-1], values, fields, removed)

    def _leave_running(
        self, run: Run, sets: list[str], values: Item, fields: Item, removed: str | None = None
    ) -> Run | None:
        """A write by the holder of the fence."""
        given = {name: value for name, value in fields.items() if value is not None}
        change = ", ".join([*sets, *(f"#{name} = :{name}" for name in given)])
        values |= {f":{name}": value for name, value in given.items()}
        values |= {":running": RunStatus.RUNNING, ":fence": run.fence}
        whole = f"SET {change} REMOVE {removed}" if removed else f"SET {change}"
        return self._change(run, whole, "fence = :fence AND #status = :running", values)

    def _change(self, run: Run, change: str, condition: str, values: Item) -> Run | None:
        """The run after an update of its row; None if the condition does not hold."""
        try:
            row = self._table.update(_key(run.job_id, run.run_id), change, condition, values)
        except ConditionFailed:
            return None
        return _run(row)

    def abandon(
        self,
        run: Run,
        now: datetime,
        expires_at: int | None,
        delivery: Mapping[str, Json] | None = None,
    ) -> Run | None:
        """Ends a run whose worker was lost in its last attempt; the claim that found it makes no other."""
        sets, values = _attempt_ends(run, now, None)
        fields: Item = {
            "status": RunStatus.FAILED,
            "completed_at": iso(now),
            "error": _LOST.model_dump_json(),
            "delivery": _text(delivery),
            "expires_at": expires_at,
        }
        last = len(run.attempts) - 1
        values.pop(f":attempt{last}")
        return self._leave_running(run, sets[:-1], values, fields, f"lease_until, attempts[{last}]")

    def end(
        self,
        run: Run,
        status: RunStatus,
        reason: str,
        now: datetime,
        expires_at: int | None,
        delivery: Mapping[str, Json] | None = None,
    ) -> Run | None:
        """Ends a run from outside (cancel, dead letters). None if it no longer stands as `run` says."""
        values: Item = {
            ":status": status,
            ":reason": reason,
            ":now": iso(now),
            ":expires": expires_at,
            ":was": run.status,
            ":fence": run.fence,
        }
        also = ", expires_at = :expires" if expires_at else ""
        if delivery:
            also += ", delivery = :delivery"
            values[":delivery"] = _text(delivery)
        return self._change(
            run,
            f"SET #status = :status, reason = :reason, completed_at = :now{also}"
            " REMOVE lease_until, not_before, is_awaited",
            "#status = :was AND (fence = :fence OR attribute_not_exists(fence))"
            f" AND {'attribute_exists' if run.is_awaited else 'attribute_not_exists'}(is_awaited)",
            values,
        )

    def add(self, run: Run) -> bool:
        """Writes a new row; false if there is one already."""
        try:
            self._table.put(_item(run), "attribute_not_exists(run_id)")
        except ConditionFailed:
            return False
        return True

    def set_token(self, job_id: str, run_id: str, token: str) -> None:
        """The outcome is to be reported by this token now."""
        self._table.update(
            _key(job_id, run_id), "SET task_token = :token", "attribute_exists(run_id)", {":token": token}
        )

    def get(self, job_id: str, run_id: str) -> Run | None:
        row = self._table.get(_key(job_id, run_id))
        return _run(row) if row else None

    def of_job(self, job_id: str, status: RunStatus | None = None, page: int = 100) -> Iterator[Run]:
        """A job's runs, newest first."""
        values: Item = {":id": job_id}
        if status:
            values[":status"] = status
        terms = Table.query_terms("job_id = :id", values, "#status = :status" if status else None)
        pages = self._table.pages(**terms, ScanIndexForward=False, ConsistentRead=True, Limit=page)
        return (_run(row) for rows, _ in pages for row in rows)

    def outlines(self, job_id: str, since: datetime) -> Iterator[Run]:
        """A job's runs from `since` on, newest first, without what they took and gave."""
        values = {":id": job_id, ":since": slot_id(since.replace(microsecond=0))}
        terms = Table.query_terms("job_id = :id AND run_id >= :since", values)
        names = {f"#{name}": name for name in _OUTLINE}
        pages = self._table.pages(
            **terms,
            ProjectionExpression=", ".join(names),
            ExpressionAttributeNames=names,
            ScanIndexForward=False,
            Limit=1000,
        )
        return (_run(row) for rows, _ in pages for row in rows)

    def get_many(self, keys: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Run]:
        rows = self._table.get_batch([_key(*key) for key in dict.fromkeys(keys)], consistent=False)
        return {(row["job_id"], row["run_id"]): _run(row) for row in rows}


def _attempt_ends(run: Run, now: datetime, error: RunError | None) -> tuple[list[str], Item]:
    """Closes the claim's attempt, and any before it whose worker was lost and never said so."""
    sets: list[str] = []
    values: Item = {}
    for i, attempt in enumerate(run.attempts):
        if attempt.completed_at:
            continue
        is_last = i == len(run.attempts) - 1
        ended = AttemptRecord(
            started_at=attempt.started_at, completed_at=now, error=error if is_last else _LOST
        )
        sets.append(f"attempts[{i}] = :attempt{i}")
        values[f":attempt{i}"] = _attempt_item(ended)
    return sets, values


def _attempt_item(attempt: AttemptRecord) -> Item:
    fields = {
        "started_at": iso(attempt.started_at),
        "completed_at": iso(attempt.completed_at) if attempt.completed_at else None,
        "error": attempt.error.model_dump_json() if attempt.error else None,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _key(job_id: str, run_id: str) -> Item:
    return {"job_id": job_id, "run_id": run_id}


def _text(value: Any) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _item(run: Run) -> Item:
    item = run.model_dump(exclude_defaults=True)
    for name in _TIMES:
        if name in item:
            item[name] = iso(item[name])
    for name in _JSON:
        if name in item:
            item[name] = _text(item[name])
    return item | {"schema_version": run.schema_version}


def _run(row: Item) -> Run:
    fields = dict(row)
    for name in _JSON:
        if name in fields:
            fields[name] = json.loads(fields[name])
    fields["attempts"] = [
        attempt | ({"error": json.loads(attempt["error"])} if "error" in attempt else {})
        for attempt in row.get("attempts", [])
    ]
    return Run.model_validate(fields)
