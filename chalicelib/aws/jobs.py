"""The jobs table: a job's definition, written by people, and its state, written by runs."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from chalicelib.aws.dynamo import ConditionFailed, Item, Table, transact
from chalicelib.core.errors import Conflict
from chalicelib.core.instants import iso
from chalicelib.core.job import Job, LastRun, State
from chalicelib.core.run import Message, Run, RunStatus

_RECENT = 16  # settled runs that a state remembers; it is cut back when it has twice as many
_INDEX = "by_creation"
_FREE = "(attribute_not_exists(lock_run) OR lock_until < :now)"


log = logging.getLogger(__name__)


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

    def delete(self, job: Job) -> None:
        """Deletes the definition. Raises Changed where it is no longer `job`."""
        try:
            self._table.delete(_definition_key(job.job_id), "version = :version", {":version": job.version})
        except ConditionFailed:
            raise Changed(job.job_id) from None

    def delete_state(self, job_id: str) -> State:
        """Deletes what is left of a job whose definition is gone; as it was."""
        return _state(self._table.delete(_state_key(job_id)) or {"job_id": job_id})

    def get(self, job_id: str) -> tuple[Job, State] | None:
        rows = {
            row["part"]: row
            for row in self._table.query("job_id = :id", {":id": job_id}, ConsistentRead=True)
        }
        if "definition" not in rows:
            return None
        return _job(rows["definition"]), _state(rows.get("state", {"job_id": job_id}))

    def definitions(self, job_ids: Iterable[str], *, consistent: bool) -> dict[str, Job | None]:
        """Those that exist; None for one that is there and cannot be read."""
        keys = [_definition_key(job_id) for job_id in dict.fromkeys(job_ids)]
        return {row["job_id"]: _read(row) for row in self._table.get_batch(keys, consistent=consistent)}

    def with_states(self, job_ids: Iterable[str]) -> list[tuple[Job, State]]:
        """Those that exist and can be read, in the order given."""
        ids = list(job_ids)
        keys = [key for job_id in ids for key in (_definition_key(job_id), _state_key(job_id))]
        rows = {(row["job_id"], row["part"]): row for row in self._table.get_batch(keys, consistent=True)}
        found = [
            (_read(rows[job_id, "definition"]), job_id) for job_id in ids if (job_id, "definition") in rows
        ]
        return [
            (job, _state(rows.get((job_id, "state"), {"job_id": job_id}))) for job, job_id in found if job
        ]

    def ids(self, filters: Mapping[str, str], page: int = 1000) -> Iterator[str]:
        """Ids of the jobs that match, newest first, read `page` rows at a time.

        `filters`: status, origin, owner, agent_id, tag.
        """
        pages = self._table.pages(
            **self._listing(filters), ProjectionExpression="job_id", ScanIndexForward=False, Limit=page
        )
        return (row["job_id"] for rows, _ in pages for row in rows)

    def names(self, filters: Mapping[str, str]) -> dict[str, str]:
        """Id and name of each job that matches: one Query of the index."""
        terms = self._listing(filters)
        terms["ExpressionAttributeNames"] |= {"#name": "name"}
        pages = self._table.pages(**terms, ProjectionExpression="job_id, #name")
        return {row["job_id"]: row["name"] for rows, _ in pages for row in rows}

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
        """Takes or renews the overlap lock; the state as it stands if the run may not have it.

        A lock that is free or has expired is for the run that waits, if one does.
        """
        values = {":run": run_id, ":until": iso(until), ":now": iso(now)}
        take = "SET lock_run = :run, lock_until = :until"
        try:
            self._table.update(
                _state_key(job_id),
                take,
                f"lock_run = :run OR ({_FREE} AND attribute_not_exists(waiter))",
                values,
            )
        except ConditionFailed as lost:
            if lost.item.get("waiter") != run_id:
                return _state(lost.item)
        else:
            return None
        try:
            self._table.update(
                _state_key(job_id),
                f"{take} REMOVE waiter, waiter_message",
                f"{_FREE} AND waiter = :run",
                values,
            )
        except ConditionFailed as lost:
            return _state(lost.item)
        return None

    def prolong(self, job_id: str, run_id: str, until: datetime) -> None:
        """Renews the overlap lock if the run has it; one that was settled meanwhile takes it no more."""
        with suppress(ConditionFailed):
            self._table.update(
                _state_key(job_id),
                "SET lock_until = :until",
                "lock_run = :run",
                {":run": run_id, ":until": iso(until)},
            )

    def unlock(self, job_id: str, run_id: str) -> State:
        """Gives the overlap lock back if it is the run's; the state as it stands then."""
        change, condition = "REMOVE lock_run, lock_until", "lock_run = :run"
        try:
            return _state(self._table.update(_state_key(job_id), change, condition, {":run": run_id}))
        except ConditionFailed as lost:
            return _state(lost.item or {"job_id": job_id})

    def wait(self, message: Message, now: datetime) -> State | None:
        """Registers the run as the one that waits for the lock; else the state as it stands."""
        try:
            self._table.update(
                _state_key(message.job_id),
                "SET waiter = :run, waiter_message = :message",
                "lock_until >= :now AND lock_run <> :run AND (attribute_not_exists(waiter) OR waiter = :run)",
                {":run": message.run_id, ":message": message.encode(), ":now": iso(now)},
            )
        except ConditionFailed as lost:
            return _state(lost.item or {"job_id": message.job_id})
        return None

    def settle(self, run: Run, *, holds_lock: bool, is_news: bool) -> tuple[State, bool]:
        """Counts a finished run once, and releases its lock or its place as the waiter.

        Gives the state after it, and whether the run was counted now. `holds_lock` is only a guess: a
        wrong one costs a request. A run that is not news, but was found finished, may have been
        settled long ago: the state is read first, and what is older than all it remembers was.
        """
        known: Item = {"lock_run": run.run_id} if holds_lock else {}
        if not is_news:
            known = self._table.get(_state_key(run.job_id)) or {}
        while True:
            counted = _is_counted(run, known.get("recent", ()))
            if counted and run.run_id not in (known.get("lock_run"), known.get("waiter")):
                return _state({"job_id": run.job_id, **known}), False
            change, condition, values = _settlement(run, known, counted=counted)
            try:
                row = self._table.update(_state_key(run.job_id), change, condition, values)
            except ConditionFailed as lost:
                known = lost.item
                continue
            self._forget_old(row)
            return _state(row), not counted

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
                {":kept": sorted(recent)[-_RECENT:], ":recent": recent},
            )


def _settlement(run: Run, known: Item, *, counted: bool) -> tuple[str, str, Item]:
    """The update that settles `run` over a state that is `known`, its condition and values.

    A run that was `counted` may have come by a role since: it was ended by somebody else just before
    its worker took the lock, or noted it as the waiter.
    """
    sets, adds, values = ([], [], {}) if counted else _counting(run)
    conditions = [] if counted else ["NOT contains(recent, :mark)"]
    removes: list[str] = []
    for role, also in (("lock_run", "lock_until"), ("waiter", "waiter_message")):
        if known.get(role) == run.run_id:
            conditions.append(f"{role} = :run")
            removes += [role, also]
        else:
            conditions.append(f"(attribute_not_exists({role}) OR {role} <> :run)")
    clauses = {"SET": sets, "ADD": adds, "REMOVE": removes}
    change = " ".join(f"{verb} {', '.join(terms)}" for verb, terms in clauses.items() if terms)
    return change, " AND ".join(conditions), values | {":run": run.run_id}


def _counting(run: Run) -> tuple[list[str], list[str], Item]:
    """What an update sets and adds to count a run, and the values."""
    sets = ["recent = list_append(if_not_exists(recent, :none), :me)"]
    adds = [f"#{run.status} :one"]
    values: Item = {":none": [], ":me": [_mark(run)], ":mark": _mark(run), ":one": 1}
    if run.started_at and run.completed_at:
        last = LastRun(
            run_id=run.run_id, status=run.status, started_at=run.started_at, completed_at=run.completed_at
        )
        sets.append("last_run = :last")
        adds.append("run_count :one")
        values[":last"] = last.model_dump_json()
    if run.status is RunStatus.COMPLETED:
        sets.append("last_completed = :run")
        sets.append("consecutive_failures = :zero")
        values[":zero"] = 0
    elif run.status is RunStatus.FAILED:
        adds.append("consecutive_failures :one")
    return sets, adds, values


def _mark(run: Run) -> str:
    """A settled run as the state remembers it: by the time of its end, so that the oldest is known."""
    return f"{iso(run.completed_at or run.created_at)}#{run.run_id}"


def _is_counted(run: Run, recent: Sequence[str]) -> bool:
    """Whether the run is among those remembered, or older than all of a full list."""
    mark = _mark(run)
    return mark in recent or (len(recent) >= _RECENT and mark < min(recent))


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


def _read(row: Item) -> Job | None:
    """The job; None if a release or the zone data no longer takes what one before it wrote."""
    try:
        return _job(row)
    except ValidationError as error:
        log.error("the definition of %s cannot be read: %s", row["job_id"], error)
        return None


def _state(row: Item) -> State:
    last = row.get("last_run")
    return State(
        job_id=row["job_id"],
        run_count=row.get("run_count", 0),
        counts={status: row[status] for status in RunStatus if status in row},
        consecutive_failures=row.get("consecutive_failures", 0),
        last_completed=row.get("last_completed"),
        last_run=LastRun.model_validate_json(last) if last else None,
        lock_run=row.get("lock_run"),
        lock_until=row.get("lock_until"),
        waiter=Message.decode(row["waiter_message"]) if "waiter_message" in row else None,
    )
