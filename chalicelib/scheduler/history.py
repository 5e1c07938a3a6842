"""What a batch of runs leaves behind: one record in the run log, which history is read from, and counters."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import date, datetime, timedelta

from chalicelib.core.errors import Invalid
from chalicelib.core.ids import random_id
from chalicelib.core.insight import tallies
from chalicelib.core.instants import iso
from chalicelib.core.run import FINISHED, Run, RunStatus
from chalicelib.core.settings import Settings
from chalicelib.scheduler.engine import Engine

_PER_RECORD = 500  # runs: some 40 KB
REACH = timedelta(days=30)  # how far back a list without `since` looks
LONGEST_REACH = timedelta(days=400)  # and how far any does

Place = tuple[str, str, int]  # day, record key, index in the record: where a page ends
Entry = tuple[str, str, str, str]  # job_id, run_id, status, completed_at


def log_runs(engine: Engine, runs: Sequence[Run], now: datetime, settings: Settings) -> None:
    """Adds finished runs to the log. One that is in it twice is listed once."""
    for start in range(0, len(runs), _PER_RECORD):
        entries = [
            (run.job_id, run.run_id, run.status.value, iso(run.completed_at or now))
            for run in runs[start : start + _PER_RECORD]
        ]
        key = f"{iso(now)}#{random_id(6)}"
        engine.records.put(_kind(now.date()), key, {"runs": entries}, settings.run_expiry(now))


def count_runs(engine: Engine, runs: Sequence[Run]) -> None:
    """Adds finished runs to the counters."""
    for tally in tallies(runs):
        engine.counters.add(tally)


def recent_runs(
    engine: Engine,
    now: datetime,
    *,
    since: datetime | None,
    status: RunStatus | None,
    limit: int,
    cursor: str | None,
) -> tuple[list[Run], str | None]:
    """The latest finished runs of all jobs, newest first, and the cursor of the next page if there is one."""
    since = max(since or now - REACH, now - LONGEST_REACH)
    found: list[tuple[Place, Entry]] = []
    seen: set[tuple[str, str]] = set()
    for place, entry in _entries(engine, now, since, _place(cursor)):
        job_id, run_id, ended_as, completed_at = entry
        if completed_at < iso(since) or (status and ended_as != status) or (job_id, run_id) in seen:
            continue
        seen.add((job_id, run_id))
        found.append((place, entry))
        if len(found) > limit:
            break
    page = found[:limit]
    rows = engine.runs.get_many((entry[0], entry[1]) for _, entry in page)
    runs = [rows[entry[0], entry[1]] for _, entry in page if (entry[0], entry[1]) in rows]
    return runs, _cursor(page[-1][0]) if len(found) > limit else None


def clean_log(engine: Engine, now: datetime, settings: Settings, *, dry_run: bool) -> int:
    """Removes the days of the log whose runs are past their retention; how many records they held.

    Most are gone by then, since they expire; those are left that were written under a longer retention.
    """
    if settings.runs_kept is None:
        return 0
    oldest_kept = (now - settings.runs_kept).date()
    removed = 0
    for age in range(1, LONGEST_REACH.days):
        kind = _kind(oldest_kept - timedelta(days=age))
        keys = [key for key, _ in engine.records.list(kind)]
        if keys and not dry_run:
            engine.records.delete_many(kind, keys)
        removed += len(keys)
    return removed


def logged_runs(
    engine: Engine, start: datetime, end: datetime, ended_as: Collection[str] = FINISHED
) -> Iterator[tuple[str, str]]:
    """Job and run ids of the runs that ended from `start` until before `end`, the latest first."""
    for _, (job_id, run_id, status, completed_at) in _entries(engine, end, start, None):
        if iso(start) <= completed_at < iso(end) and status in ended_as:
            yield job_id, run_id


def _entries(
    engine: Engine, now: datetime, since: datetime, after: Place | None
) -> Iterator[tuple[Place, Entry]]:
    """The log backwards, from behind `after` on."""
    for day in _days(now.date(), since.date(), after):
        first_of_day = after is not None and day.isoformat() == after[0]
        if after and first_of_day:
            record = engine.records.get(_kind(day), after[1]) or {"runs": []}
            yield from _within(day, after[1], record["runs"][: after[2]])
        records = engine.records.list(
            _kind(day), newest_first=True, before=after[1] if after and first_of_day else None
        )
        for key, record in records:
            yield from _within(day, key, record["runs"])


def _within(day: date, key: str, entries: Sequence[Sequence[str]]) -> Iterator[tuple[Place, Entry]]:
    for index in reversed(range(len(entries))):
        job_id, run_id, status, completed_at = entries[index]
        yield (day.isoformat(), key, index), (job_id, run_id, status, completed_at)


def _days(today: date, last: date, after: Place | None) -> Iterable[date]:
    begin = min(date.fromisoformat(after[0]), today) if after else today
    return (begin - timedelta(days=i) for i in range((begin - last).days + 1))


def _kind(day: date) -> str:
    return f"run_log#{day.isoformat()}"


def _cursor(place: Place) -> str:
    return base64.urlsafe_b64encode("|".join(map(str, place)).encode()).decode()


def _place(cursor: str | None) -> Place | None:
    """Raises Invalid where the text is no cursor."""
    if cursor is None:
        return None
    try:
        day, key, index = base64.urlsafe_b64decode(cursor).decode().split("|")
        if not 1 <= len(key) <= 64:
            raise ValueError("no key of the log")
        return date.fromisoformat(day).isoformat(), key, max(0, int(index))
    except (ValueError, binascii.Error):
        raise Invalid.one("cursor", "give the cursor that the page before ended with") from None
