"""Webhooks: who subscribes to events, and what becomes of each event that is sent to one."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Self

from pydantic import BaseModel, ConfigDict

from chalicelib.core.ids import random_id
from chalicelib.core.instants import iso, millis

ALL_EVENTS = "*"
PATIENCE = timedelta(seconds=10)  # for a receiver's answer
DELAYS = (
    timedelta(seconds=30),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=8),
)
"""Before the second attempt to the sixth. After that a delivery is dead."""

SPREAD = 0.2  # of a delay, up and down: receivers that failed together are not called together
BREAKER = 5  # dead deliveries in a row disable their webhook
KEPT_RESPONSE = 1024  # bytes of the last answer
_KEPT_ATTEMPTS = 20  # people may retry as often as they like
_PREFIX = "whsec_"
_PLACE = re.compile(r"\d{13}-[0-9a-f]{16}")


class NoticeStatus(StrEnum):
    PENDING = "pending"  # on its way
    DELIVERED = "delivered"
    RETRYING = "retrying"  # the last attempt failed, the next is at `next_retry_at`
    DEAD = "dead"  # the sixth attempt failed
    CANCELLED = "cancelled"  # its webhook was deleted or disabled


class Webhook(BaseModel):
    """A subscriber. `consecutive_failures` counts dead deliveries since the last that was not."""

    model_config = ConfigDict(frozen=True)

    id: str
    name: str
    url: str
    events: tuple[str, ...]
    enabled: bool = True
    disabled_reason: str | None = None
    consecutive_failures: int = 0
    last_status: int | None = None  # of HTTP, at the last attempt; None: there was no answer
    created_at: str
    updated_at: str

    def wants(self, event: str) -> bool:
        return self.enabled and (ALL_EVENTS in self.events or event in self.events)


class Try(BaseModel):
    """One attempt. No `error`: it was delivered. `manual`: a person asked for it."""

    model_config = ConfigDict(frozen=True)

    at: str
    status_code: int | None
    error: str | None
    duration_ms: int
    manual: bool = False


class Delivery(BaseModel):
    """An event on its way to one subscriber. `at` is the event's time.

    Whoever attempts it holds it until `claimed_until`.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    event: str
    at: str
    data: dict[str, Any]
    created_at: str
    status: NoticeStatus = NoticeStatus.PENDING
    reason: str | None = None
    attempts: tuple[Try, ...] = ()
    tries: int = 0  # attempts that nobody asked for
    next_retry_at: str | None = None
    response: str | None = None
    claimed_until: str | None = None

    @property
    def webhook_id(self) -> str:
        return self.id.partition("-")[0]

    @property
    def body(self) -> str:
        """What is sent: the same in every attempt."""
        sent = {"event": self.event, "timestamp": self.at, "data": self.data}
        return json.dumps(sent, ensure_ascii=False, separators=(",", ":"))

    def is_held(self, now: datetime) -> bool:
        return self.claimed_until is not None and self.claimed_until > iso(now)

    def held(self, until: datetime) -> Self:
        return self.model_copy(update={"claimed_until": iso(until)})

    def ended(self, status: NoticeStatus, reason: str | None) -> Self:
        return self._free(status=status, reason=reason, next_retry_at=None)

    def due_again(self, at: datetime) -> Self:
        return self._free(status=NoticeStatus.RETRYING, next_retry_at=iso(at))

    def after(self, posted: Posted, began: datetime, now: datetime, chance: float) -> Self:
        """As an attempt leaves it. `chance` is from 0 to 1."""
        tried = self._attempted(posted, began, manual=False)
        if posted.error is None:
            return tried.ended(NoticeStatus.DELIVERED, None)
        if tried.tries > len(DELAYS):
            return tried.ended(NoticeStatus.DEAD, f"{tried.tries} attempts failed; the last: {posted.error}")
        delay = DELAYS[tried.tries - 1] * (1 + SPREAD * (2 * chance - 1))
        return tried.due_again(now + delay)

    def after_manual(self, posted: Posted, began: datetime) -> Self:
        """As an attempt leaves it that a person asked for: better, or as it was."""
        tried = self._attempted(posted, began, manual=True)
        return tried._free() if posted.error else tried.ended(NoticeStatus.DELIVERED, None)

    def _attempted(self, posted: Posted, began: datetime, *, manual: bool) -> Self:
        this = Try(
            at=iso(began),
            status_code=posted.status_code,
            error=posted.error,
            duration_ms=posted.duration_ms,
            manual=manual,
        )
        attempts = (*self.attempts, this)[-_KEPT_ATTEMPTS:]
        changes = {"attempts": attempts, "tries": self.tries + (not manual), "response": posted.response}
        return self.model_copy(update=changes)

    def _free(self, **changes: Any) -> Self:
        return self.model_copy(update={"claimed_until": None, **changes})


@dataclass(frozen=True, kw_only=True)
class Notice:
    """What is posted to a subscriber. `id` is the delivery's; `at` is the time of this attempt."""

    url: str
    secret: str
    id: str
    event: str
    body: str
    at: datetime


@dataclass(frozen=True, kw_only=True)
class Posted:
    """What came of it. No `error`: the receiver took it. No `status_code`: it did not answer."""

    status_code: int | None
    error: str | None
    response: str | None
    duration_ms: int


def new_webhook_id() -> str:
    return f"wh_{random_id(12)}"


def delivery_id(webhook_id: str, at: datetime, what: str) -> str:
    """The same for the same event and subscriber, so that it is sent once; sorts by time."""
    digest = hashlib.sha256(f"{webhook_id}\n{what}".encode()).hexdigest()
    return f"{webhook_id}-{millis(at):013d}-{digest[:16]}"


def place(delivery: str) -> str:
    """Of a delivery's id: what is behind the webhook's. It sorts by time across webhooks."""
    return delivery.partition("-")[2]


def is_place(text: str) -> bool:
    return _PLACE.fullmatch(text) is not None


def new_secret() -> str:
    return _PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def secret_problem(text: str) -> str | None:
    """Why a webhook cannot be signed with `text`; None if it can. By Standard Webhooks: 24 to 64 bytes."""
    wanted = "give whsec_ and the base64 of 24 to 64 random bytes"
    if not text.startswith(_PREFIX):
        return wanted
    try:
        key = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        return wanted
    return None if 24 <= len(key) <= 64 else wanted
