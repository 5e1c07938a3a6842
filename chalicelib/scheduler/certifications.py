"""Certifications: what people do with their records, and the checks that run each night.

A check looks at every record by itself: one that cannot be read or written is counted as an error, and the
others go on. Each write is conditional on the record as it was read, so a renewal meanwhile is not undone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import date, datetime, timedelta
from typing import Any

from pydantic import ValidationError

from chalicelib.core.certification import (
    Certification,
    due_reminder,
    expired,
    reminded,
    renewed,
    written,
)
from chalicelib.core.errors import BelfryError, Conflict, NotFound
from chalicelib.core.ids import is_id
from chalicelib.core.instants import iso
from chalicelib.scheduler import reminders
from chalicelib.scheduler.engine import Engine

KIND = "certification"
_TRIES = 5  # of a change that others come in between of
_LISTED = 100  # of a report's certifications: its output stays below what is kept of one

Record = dict[str, Any]

log = logging.getLogger(__name__)


# -- what people do


def put(engine: Engine, key: str, fields: dict[str, Any], now: datetime) -> Record:
    """Creates the record or changes it. Raises Conflict where other writes keep coming in between."""
    for _ in range(_TRIES):
        before = engine.records.get(KIND, key)
        held = None
        with suppress(ValidationError):  # what cannot be read is written anew
            held = _read(before) if before else None
        after = _record(written(held, fields), now)
        if before is None:
            is_written = engine.records.add(KIND, key, after) is None
        else:
            is_written = engine.records.replace(KIND, key, after, before)
        if is_written:
            return {"id": key, **after}
    raise Conflict(f"certification {key} was changed by other requests meanwhile; try again")


def get(engine: Engine, key: str) -> Record:
    record = engine.records.get(KIND, key) if is_id(key) else None
    if record is None:
        raise NotFound(KIND, key)
    return {"id": key, **record}


def list_all(engine: Engine) -> list[Record]:
    return [{"id": key, **record} for key, record in engine.records.list(KIND)]


def delete(engine: Engine, key: str) -> None:
    if not (is_id(key) and engine.records.delete(KIND, key)):
        raise NotFound(KIND, key)


# -- the checks


def check_expiry(engine: Engine, now: datetime, *, dry_run: bool) -> dict[str, int]:
    """Pauses who has expired and reminds who will. A dry run counts what it would do."""
    channel = engine.settings()["certifications.channel"]
    found = {"mentors_checked": 0, "expired_found": 0, "auto_paused": 0, "reminders_sent": 0, "errors": 0}
    mentors: set[str] = set()

    def check(key: str, record: Record, held: Certification) -> None:
        mentors.add(held.mentor)
        found["expired_found"] += held.is_expired(now.date())
        after = expired(held, now.date())
        found["auto_paused"] += _write(engine, key, record, after, now, dry_run=dry_run)
        if after is held:
            found["reminders_sent"] += _remind(engine, key, record, held, channel, now, dry_run=dry_run)

    found["errors"] = _each(engine, check)
    return {**found, "mentors_checked": len(mentors)}


def lift_pauses(engine: Engine, now: datetime, *, dry_run: bool) -> dict[str, int]:
    """Lifts the pauses that expiry made where the certification holds again; never those of a person."""
    found = {"mentors_checked": 0, "pauses_lifted": 0, "errors": 0}
    mentors: set[str] = set()

    def check(key: str, record: Record, held: Certification) -> None:
        mentors.add(held.mentor)
        after = renewed(held, now.date())
        found["pauses_lifted"] += _write(engine, key, record, after, now, dry_run=dry_run)

    found["errors"] = _each(engine, check)
    return {**found, "mentors_checked": len(mentors)}


def weekly_report(engine: Engine, now: datetime) -> Record:
    """What has expired, and what does in the week from now and by each reminder: the soonest first."""
    today = now.date()
    seen: list[tuple[str, Certification]] = []
    errors = _each(engine, lambda key, record, held: seen.append((key, held)))
    seen.sort(key=lambda pair: (pair[1].expires_on, pair[0]))
    lefts = [held.days_left(today) for _, held in seen]
    listed = [(key, held) for key, held in seen if held.days_left(today) <= 60]
    return {
        "from": today.isoformat(),
        "until": (today + timedelta(days=7)).isoformat(),
        "certifications": len(seen),
        "expired": sum(left < 0 for left in lefts),
        **{f"expiring_in_{days}_days": sum(0 <= left <= days for left in lefts) for days in (7, 30, 60)},
        "errors": errors,
        "listed": [_line(key, held, today) for key, held in listed[:_LISTED]],
        "unlisted": max(0, len(listed) - _LISTED),
    }


def _each(engine: Engine, act: Callable[[str, Record, Certification], None]) -> int:
    """Does it with each record; how many of them it could not be done with."""
    errors = 0
    for key, record in engine.records.list(KIND):
        try:
            act(key, record, _read(record))
        except (BelfryError, ValidationError) as error:
            log.warning("certification %s: %s", key, error)
            errors += 1
        except Exception:
            log.exception("certification %s broke", key)
            errors += 1
    return errors


def _remind(
    engine: Engine,
    key: str,
    record: Record,
    held: Certification,
    channel: str,
    now: datetime,
    *,
    dry_run: bool,
) -> bool:
    """Sends the reminder that is due, if one is, and marks it; whether it did.

    Without a channel none is sent or marked: it is due until there is one. It is marked after it is
    sent, so one whose mark cannot be written is sent again by the next check.
    """
    threshold = due_reminder(held, now.date())
    if threshold is None:
        return False
    if not channel:
        log.warning("certification %s: its reminder is not sent: certifications.channel is not set", key)
        return False
    if not dry_run:
        reminders.send(engine, channel, *_reminder(held, now.date()))
    return _write(engine, key, record, reminded(held, threshold), now, dry_run=dry_run)


def _write(
    engine: Engine, key: str, record: Record, after: Certification, now: datetime, *, dry_run: bool
) -> bool:
    """Whether the record changes; a dry run leaves it. Raises Conflict where it is not as it was read."""
    if after == _read(record):
        return False
    if not dry_run and not engine.records.replace(KIND, key, _record(after, now), record):
        raise Conflict("it was changed meanwhile; the next check looks at it again")
    return True


def _reminder(held: Certification, today: date) -> tuple[str, str]:
    """Subject and text."""
    left = held.days_left(today)
    days = "today" if left == 0 else f"in {left} day{'' if left == 1 else 's'}"
    subject = f"{held.certification} of {held.mentor} expires {days}"
    return (
        subject,
        f"{subject}, on {held.expires_on}. After that day {held.mentor} is paused until it is renewed.",
    )


def _line(key: str, held: Certification, today: date) -> Record:
    return {
        "id": key,
        "mentor": held.mentor,
        "certification": held.certification,
        "expires_on": held.expires_on.isoformat(),
        "days_left": held.days_left(today),
        "status": held.status.value,
    }


def _read(record: Record) -> Certification:
    """Raises ValidationError."""
    return Certification.model_validate(
        {name: value for name, value in record.items() if name != "updated_at"}
    )


def _record(held: Certification, now: datetime) -> Record:
    return {**held.model_dump(mode="json"), "updated_at": iso(now)}
