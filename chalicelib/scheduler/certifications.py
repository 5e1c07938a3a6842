"""Certifications: what people do with their records, and the checks that run each night.

A check looks at every record by itself: one that cannot be read or written is counted as an error, and the
others go on. Each write is conditional on the record as it was read, so a renewal meanwhile is not undone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from pydantic import ValidationError

from chalicelib.core.certification import (
    THRESHOLDS,
    Certification,
    due_reminder,
    expired,
    reminded,
    renewed,
    written,
)
from chalicelib.core.errors import Conflict, NotFound
from chalicelib.core.ids import is_id
from chalicelib.core.instants import iso
from chalicelib.scheduler import channels, feed
from chalicelib.scheduler.engine import Engine
from chalicelib.scheduler.feed import Entry, Feed

KIND = "certification"
_TRIES = 5  # of a change that others come in between of
_LISTED = 50  # of a report's certifications: some 25 KB where names are long, and 32 KB are kept

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


@dataclass(frozen=True)
class Held:
    """A record as it was read, by its key, and the certification in it."""

    key: str
    record: Record
    certification: Certification


@dataclass(frozen=True)
class Check:
    """One look at every record. A dry one decides the same, and writes and sends nothing."""

    engine: Engine
    now: datetime
    dry_run: bool

    @property
    def today(self) -> date:
        return self.now.date()

    def each(self, act: Callable[[Held], None]) -> dict[str, int]:
        """Does it with each record: how many mentors that were, and how many records it failed with."""
        mentors: set[str] = set()
        errors = 0
        for key, record in self.engine.records.list(KIND):
            try:
                held = Held(key, record, _read(record))
                mentors.add(held.certification.mentor)
                act(held)
            except Exception:
                log.exception("certification %s is left as it is", key)
                errors += 1
        return {"mentors_checked": len(mentors), "errors": errors}

    def write(self, held: Held, after: Certification) -> bool:
        """Whether the record changes. Raises Conflict where it is no longer as it was read."""
        if after == held.certification:
            return False
        record = _record(after, self.now)
        if not self.dry_run and not self.engine.records.replace(KIND, held.key, record, held.record):
            raise Conflict("it was changed meanwhile; the next check looks at it again")
        return True

    def remind(self, held: Held, channel: str) -> bool:
        """Sends the reminder that is due, if one is, and marks it; whether it did.

        Without a channel it is a notification. It is marked after it is sent, so one whose mark cannot be
        written is sent again by the next check.
        """
        threshold = due_reminder(held.certification, self.today)
        if threshold is None:
            return False
        if not self.dry_run:
            self.send(channel, *_reminder(held.certification, self.today))
        return self.write(held, reminded(held.certification, threshold))

    def send(self, channel: str, subject: str, text: str) -> None:
        """Raises ActionError where the channel does not take it."""
        if channel:
            channels.deliver_text(self.engine, channel, subject, text)
            return
        record = {"title": subject, "message": text, "at": iso(self.now)}
        feed.add(self.engine, Feed.NOTIFICATIONS, [Entry(self.now, record)])


def check_expiry(check: Check) -> dict[str, int]:
    """Pauses who has expired and reminds who will."""
    channel = check.engine.settings()["certifications.channel"]
    found = {"mentors_checked": 0, "expired_found": 0, "auto_paused": 0, "reminders_sent": 0}

    def one(held: Held) -> None:
        found["expired_found"] += held.certification.is_expired(check.today)
        found["auto_paused"] += check.write(held, expired(held.certification, check.today))
        found["reminders_sent"] += check.remind(held, channel)

    return found | check.each(one)


def lift_pauses(check: Check) -> dict[str, int]:
    """Lifts the pauses that expiry made where the certification holds again; never those of a person."""
    found = {"mentors_checked": 0, "pauses_lifted": 0}

    def one(held: Held) -> None:
        found["pauses_lifted"] += check.write(held, renewed(held.certification, check.today))

    return found | check.each(one)


def weekly_report(check: Check) -> Record:
    """What has expired, and what does in the week from now and by each reminder: the soonest first."""
    seen: list[Held] = []
    counted = check.each(seen.append)
    lefts = [held.certification.days_left(check.today) for held in seen]
    soon = sorted(
        (left, held.key, held) for left, held in zip(lefts, seen, strict=True) if left <= max(THRESHOLDS)
    )
    return {
        "from": check.today.isoformat(),
        "until": (check.today + timedelta(days=7)).isoformat(),
        "certifications": len(seen),
        "expired": sum(left < 0 for left in lefts),
        **{f"expiring_in_{days}_days": sum(0 <= left <= days for left in lefts) for days in THRESHOLDS[::-1]},
        **counted,
        "listed": [_line(held, left) for left, _, held in soon[:_LISTED]],
        "unlisted": max(0, len(soon) - _LISTED),
    }


def _reminder(held: Certification, today: date) -> tuple[str, str]:
    """Subject and text."""
    left = held.days_left(today)
    days = "today" if left == 0 else f"in {left} day{'' if left == 1 else 's'}"
    subject = f"{held.certification} of {held.mentor} expires {days}"
    return (
        subject,
        f"{subject}, on {held.expires_on}. After that day {held.mentor} is paused until it is renewed.",
    )


def _line(held: Held, days_left: int) -> Record:
    return {
        "id": held.key,
        "mentor": held.certification.mentor,
        "certification": held.certification.certification,
        "expires_on": held.certification.expires_on.isoformat(),
        "days_left": days_left,
        "status": held.certification.status.value,
    }


def _read(record: Record) -> Certification:
    """Raises ValidationError."""
    return Certification.model_validate(
        {name: value for name, value in record.items() if name != "updated_at"}
    )


def _record(held: Certification, now: datetime) -> Record:
    return {**held.model_dump(mode="json"), "updated_at": iso(now)}
