"""The jobs table: a job's definition, written by people, and its state, written by runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

from chalicelib.aws.dynamo import ConditionFailed, Item, Table, transact
from chalicelib.core.errors import Conflict
from chalicelib.core.instants import iso
from chalicelib.core.job import Job, LastRun, State
from chalicelib.core.run import Message, Run, RunStatus

_RECENT = 16  # settled runs that a state remembers; it is cut back when it has twice as many
_INDEX = "by_creation"


class Changed(Conflict):
    """The job was changed or deleted by someone else meanwhile."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"job {job_id} was changed by another request meanwhile; read it again")


class Jobs:
    def __init__(self, client: Any, table: str) -> None:
        self._client, self._table = client, Table(client, table)

    # -- definitions

    def write(self, job: Job, before: Job | None, *also: Item) -> None:
        """Creates the definition, or replaces `before`, together with the writes `also`.

        Raises Changed where `before` is no longer what stands there.
        """
        if before is None:
            put = self._table.put_item(_definition(job), "attribute_not_exists(job_id)")
        else:
            put = self._table.put_item(_definition(job), "version = :version", {":version": before.version})
        try:
            transact(self._client, [put, *also])
        except ConditionFailed:
            raise Changed(job.job_id) from None

    def replace(self, job: Job, before: Job) -> None:
        """Replaces the definition alone. Raises Changed."""
        try:
            self._table.put(_definition(job), "version = :version", {":version": before.version})
        except ConditionFailed:
            raise Changed(job.job_id) from None

    def delete(self, job_id: str) -> bool:
        """Deletes both parts; false if there was no definition."""
        old = self._table.delete(_definition_key(job_id))
        self._table.delete(_state_key(job_id))
        return old is not None

    def get(self, job_id: str) -> tuple[Job, State] | None:
        rows = {
            row["part"]: row
            for row in self._table.query("job_id = :id", {":id": job_id}, ConsistentRead=True)
        }
        if "definition" not in rows:
            return None
        return _job(rows["definition"]), _state(rows.get("state", {"job_id": job_id}))

    def definitions(self, job_ids: Iterable[str], *, consistent: bool) -> dict[str, Job]:
        keys = [_definition_key(job_id) for job_id in dict.fromkeys(job_ids)]
        return {row["job_id"]: _job(row) for row in self._table.get_batch(keys, consistent=consistent)}

    def with_states(self, job_ids: Iterable[str]) -> list[tuple[Job, State]]:
        """Those that exist, in the order given."""
        ids = list(job_ids)
        keys = [key for job_id in ids for key in (_definition_key(job_id), _state_key(job_id))]
        rows = {(row["job_id"], row["part"]): row for row in self._table.get_batch(keys, consistent=True)}
        return [
            (_job(rows[job_id, "definition"]), _state(rows.get((job_id, "state"), {"job_id": job_id})))
            for job_id in ids
            if (job_id, "definition") in rows
        ]

    def ids(self, filters: Mapping[str, str], page: int = 1000) -> Iterator[str]:
        """Ids of the jobs that match, newest first, read `page` rows at a time.

        `filters`: status, origin, owner, agent_id, tag.
        """
        pages = self._table.pages(
            **self._listing(filters), ProjectionExpression="job_id", ScanIndexForward=False, Limit=page
        )
        return (row["job_id"] for rows, _ in pages for row in rows)

    def count(self, filters: Mapping[str, str]) -> int:
        return self._table.count(self._listing(filters))

    def statuses(self) -> dict[str, int]:
        """How many jobs have each status: one Query of the index, which holds little more than that."""
        terms = self._listing({})
        terms["ExpressionAttributeNames"] |= {"#status": "status"}
        pages = self._table.pages(**terms, ProjectionExpression="#status")
        return dict(Counter(row["status"] for rows, _ in pages for row in rows))

    def _listing(self, filters: Mapping[str, str]) -> Item:
        terms = [
            f"contains(#tags, :{name})" if name == "tag" else f"#{name} = :{name}" for name in sorted(filters)
        ]
        values = {":listing": "job"} | {f":{name}": value for name, value in filters.items()}
        return {"IndexName": _INDEX} | Table.query_terms(
            "#listing = :listing", values, " AND ".join(terms) or None
        )

    # -- state

    def lock(self, job_id: str, run_id: str, until: datetime, now: datetime) -> State | None:
        """Takes or renews the overlap lock; the state as it stands if another run holds it."""
        try:
            self._table.update(
                _state_key(job_id),
                "SET lock_run = :run, lock_until = :until",
                "attribute_not_exists(lock_run) OR lock_run = :run OR lock_until < :now",
                {":run": run_id, ":until": iso(until), ":now": iso(now)},
            )
        except ConditionFailed as lost:
            return _state(lost.item)
        return None

    def wait(self, message: Message, now: datetime) -> State | None:
        """Registers the run as the one that waits for the lock; else the state as it stands."""
        try:
            self._table.update(
                _state_key(message.job_id),
                "SET waiter = :run, waiter_message = :message",
                "lock_until >= :now AND (attribute_not_exists(waiter) OR waiter = :run)",
                {":run": message.run_id, ":message": message.encode(), ":now": iso(now)},
            )
        except ConditionFailed as lost:
            return _state(lost.item or {"job_id": message.job_id})
        return None

    def settle(self, run: Run, *, locks: bool, until: datetime) -> tuple[State, Message | None]:
        """Counts a finished run once, and releases its lock: to the run that waits, if any, until `until`.

        `locks` is only a guess at whether the run holds the lock: a wrong one costs a request.
        Gives the state after it, and the message of the run that now holds the lock by its grace:
        to be sent, also where the run had been settled before (whoever did may have died before that).
        """
        known: Item = {"lock_run": run.run_id} if locks else {}
        while True:
            if known.get("lock_run") != run.run_id and run.run_id in known.get("recent", ()):
                return _state(known), _handed(known)
            change, condition, values = _settlement(run, known, until)
            try:
                row = self._table.update(_state_key(run.job_id), change, condition, values)
            except ConditionFailed as lost:
                known = lost.item
                continue
            self._forget_old(row)
            return _state(row), _handed(row) if known.get("waiter") else None

    def count_missed(self, job_id: str, count: int) -> None:
        self._table.update(_state_key(job_id), "ADD missed :count", values={":count": count})

    def forget_failures(self, job_id: str) -> None:
        self._table.update(_state_key(job_id), "SET consecutive_failures = :zero", values={":zero": 0})

    def _forget_old(self, row: Item) -> None:
        """Cuts the list of settled runs back, once in sixteen settlements."""
        recent = row["recent"]
        if len(recent) < 2 * _RECENT:
            return
        with suppress(ConditionFailed):  # another settlement came between, and cuts it itself
            self._table.update(
                _state_key(row["job_id"]),
                "SET recent = :kept",
                "recent = :recent",
                {":kept": recent[-_RECENT:], ":recent": recent},
            )


def _settlement(run: Run, known: Item, until: datetime) -> tuple[str, str, Item]:
    """The update that settles `run` over a state that is `known`, its condition and values."""
    is_counted = run.run_id in known.get("recent", ())
    sets, adds, values = ([], [], {}) if is_counted else _counting(run)
    removes: list[str] = []
    condition = "NOT contains(recent, :run)"
    if known.get("lock_run") != run.run_id:
        condition += " AND (attribute_not_exists(lock_run) OR lock_run <> :run)"
    else:
        # A run that was cancelled as it waited for the lock was counted before it was handed the lock.
        condition = "lock_run = :run" if is_counted else f"lock_run = :run AND {condition}"
        if "waiter" in known:
            condition += " AND waiter = :waiter"
            sets.append("lock_run = :waiter, lock_until = :until")
            removes.append("waiter")
            values |= {":waiter": known["waiter"], ":until": iso(until)}
        else:
            condition += " AND attribute_not_exists(waiter)"
            removes.append("lock_run, lock_until")
    clauses = {"SET": sets, "ADD": adds, "REMOVE": removes}
    change = " ".join(f"{verb} {', '.join(terms)}" for verb, terms in clauses.items() if terms)
    return change, condition, values | {":run": run.run_id}


def _counting(run: Run) -> tuple[list[str], list[str], Item]:
    """What an update sets and adds for a run that is counted, and the values."""
    sets = ["recent = list_append(if_not_exists(recent, :none), :me)"]
    adds = [f"#{run.status} :one"]
    values: Item = {":none": [], ":me": [run.run_id], ":one": 1}
    if run.started_at and run.completed_at:
        last = LastRun(
            run_id=run.run_id, status=run.status, started_at=run.started_at, completed_at=run.completed_at
        )
        sets.append("last_run = :last")
        adds.append("run_count :one")
        values[":last"] = last.model_dump_json()
    if run.status is RunStatus.COMPLETED:
        sets.append("consecutive_failures = :zero")
        values[":zero"] = 0
    elif run.status is RunStatus.FAILED:
        adds.append("consecutive_failures :one")
    return sets, adds, values


def _handed(row: Item) -> Message | None:
    """The message of the run that the lock was handed to, while it holds it."""
    if "waiter_message" not in row:
        return None
    message = Message.decode(row["waiter_message"])
    return message if row.get("lock_run") == message.run_id else None


def _definition_key(job_id: str) -> Item:
    return {"job_id": job_id, "part": "definition"}


def _state_key(job_id: str) -> Item:
    return {"job_id": job_id, "part": "state"}


def _definition(job: Job) -> Item:
    """The document is JSON text; beside it stands what conditions, the index and the console read."""
    return _definition_key(job.job_id) | {
        "revision": job.revision,
        "version": job.version,
        "name": job.spec.name,
        "status": job.status,
        "origin": job.origin,
        "owner": job.owner,
        "agent_id": job.spec.agent_id,
        "tags": job.spec.tags or None,
        "listing": "job",
        "created": f"{iso(job.created_at)}#{job.job_id}",
        "document": job.model_dump_json(exclude_none=True),
    }


def _job(row: Item) -> Job:
    return Job.model_validate_json(row["document"])


def _state(row: Item) -> State:
    last = row.get("last_run")
    return State(
        job_id=row["job_id"],
        run_count=row.get("run_count", 0),
        counts={status: row[status] for status in RunStatus if status in row},
        consecutive_failures=row.get("consecutive_failures", 0),
        last_run=LastRun.model_validate_json(last) if last else None,
        lock_run=row.get("lock_run"),
        lock_until=row.get("lock_until"),
        waiter=row.get("waiter"),
    )
