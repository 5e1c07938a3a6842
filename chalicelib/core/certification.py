"""A mentor's certification: what is to happen to it on a given day.

It holds through the day `expires_on`. Reminders go out 60, 30 and 7 days ahead, each once; after the last
day the mentor is paused, until the certification is renewed.
"""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict

THRESHOLDS = (60, 30, 7)  # days ahead


class Status(StrEnum):
    ACTIVE = "active"
    PAUSED = "paused"


class PausedBy(StrEnum):
    """Who paused a mentor; what a person paused, only a person lifts."""

    EXPIRY = "expiry"
    PERSON = "person"


class Certification(BaseModel):
    """`reminded` has the thresholds that are done with for this `expires_on`, the furthest ahead first."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mentor: str
    certification: str
    expires_on: date
    status: Status = Status.ACTIVE
    paused_reason: str | None = None
    paused_by: PausedBy | None = None
    reminded: tuple[int, ...] = ()

    def days_left(self, today: date) -> int:
        """0 on the last day; negative once it has expired."""
        return (self.expires_on - today).days

    def is_expired(self, today: date) -> bool:
        return self.days_left(today) < 0


def due_reminder(held: Certification, today: date) -> int | None:
    """The nearest threshold that is reached, unless it is done with or the certification has expired."""
    left = held.days_left(today)
    reached = min((days for days in THRESHOLDS if left <= days), default=None)
    return reached if left >= 0 and reached not in held.reminded else None


def reminded(held: Certification, threshold: int) -> Certification:
    """That reminder is sent, and those further ahead, which it makes idle, are done with."""
    return _with(held, reminded=tuple(days for days in THRESHOLDS if days >= threshold))


def expired(held: Certification, today: date) -> Certification:
    """Paused for its expiry, unless it is paused already or holds."""
    if not held.is_expired(today) or held.status is Status.PAUSED:
        return held
    reason = f"certification {held.certification} expired on {held.expires_on}"
    return _with(held, status=Status.PAUSED, paused_by=PausedBy.EXPIRY, paused_reason=reason)


def renewed(held: Certification, today: date) -> Certification:
    """Active again, if its expiry is what paused it and it holds now."""
    if held.paused_by is not PausedBy.EXPIRY or held.is_expired(today):
        return held
    return _lifted(held)


def written(before: Certification | None, fields: dict[str, Any]) -> Certification:
    """What a person makes of a record.

    A status that is not given, or is given as it stands, leaves the pause and whoever made it as they
    are; another date begins the reminders anew.
    """
    held = before or Certification.model_validate({**fields, "status": "active", "paused_reason": None})
    basic = ("mentor", "certification", "expires_on")
    after = _with(held, **{name: fields[name] for name in basic})
    if after.expires_on != held.expires_on:
        after = _with(after, reminded=())
    status, reason = fields["status"], fields["paused_reason"]
    if status is None or (status is held.status and reason in (None, held.paused_reason)):
        return after
    if status is Status.ACTIVE:
        return _lifted(after)
    return _with(after, status=Status.PAUSED, paused_by=PausedBy.PERSON, paused_reason=reason)


def _lifted(held: Certification) -> Certification:
    return _with(held, status=Status.ACTIVE, paused_by=None, paused_reason=None)


def _with(held: Certification, **changes: Any) -> Certification:
    return held.model_copy(update=changes)
