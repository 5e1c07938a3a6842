"""Webhooks: the subscribers, and the sending of events to them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from chalicelib.core.action import Json
from chalicelib.core.errand import Errand, ErrandKind
from chalicelib.core.errors import Conflict, Invalid, NotFound
from chalicelib.core.ids import is_id
from chalicelib.core.instants import iso
from chalicelib.core.webhook import (
    BREAKER,
    Delivery,
    NoticeStatus,
    Webhook,
    delivery_id,
    new_secret,
    new_webhook_id,
)
from chalicelib.scheduler.engine import Engine

MOST = 50  # webhooks: each batch of runs reads them all
KEPT = timedelta(days=30)  # a delivery
RETRIES = "webhook_retry"  # the kind of the index of what is to be retried: `<time>#<delivery>`
_KIND = "webhook"
_PENDING = NoticeStatus.PENDING
_SWITCHED: dict[Any, dict[str, Any]] = {
    True: {"consecutive_failures": 0, "disabled_reason": None},
    False: {"disabled_reason": "a person disabled it"},
}
_TRIES = 50  # to write one that others change meanwhile: deliveries that die together all count
_PAUSE = 0.05  # seconds at most between two of them


# -- what people do


def create(
    engine: Engine,
    name: str,
    url: str,
    events: Sequence[str],
    secret: str | None,
    now: datetime,
    *,
    enabled: bool = True,
) -> tuple[Webhook, str]:
    """The webhook and its secret, which is never shown again. Raises Invalid, Conflict."""
    _require_reachable(engine, url)
    if engine.records.count(_KIND) >= MOST:
        raise Conflict(f"there are {MOST} webhooks already; delete one first")
    webhook = Webhook(
        id=new_webhook_id(),
        name=name,
        url=url,
        events=tuple(events),
        enabled=enabled,
        created_at=iso(now),
        updated_at=iso(now),
    )
    secret = secret or new_secret()
    engine.secrets.put(secret_name(webhook.id), secret)
    engine.records.put(_KIND, webhook.id, webhook.model_dump())
    return webhook, secret


def get(engine: Engine, webhook_id: str) -> Webhook:
    webhook = find(engine, webhook_id)
    if webhook is None:
        raise NotFound("webhook", webhook_id)
    return webhook


def find(engine: Engine, webhook_id: str) -> Webhook | None:
    record = engine.records.get(_KIND, webhook_id) if is_id(webhook_id) else None
    return Webhook.model_validate(record) if record else None


def list_webhooks(engine: Engine) -> list[Webhook]:
    """Newest first."""
    return sorted(_all(engine), key=lambda webhook: webhook.created_at, reverse=True)


def update(
    engine: Engine, webhook_id: str, changes: Mapping[str, Any], secret: str | None, now: datetime
) -> Webhook:
    """Changes some fields, and the secret if there is a new one. Enabling it closes its breaker."""
    get(engine, webhook_id)
    if "url" in changes:
        _require_reachable(engine, changes["url"])
    if secret:
        engine.secrets.put(secret_name(webhook_id), secret)
    update = {**changes, **_SWITCHED.get(changes.get("enabled"), {}), "updated_at": iso(now)}
    changed = change(engine, webhook_id, lambda before: before.model_copy(update=update))
    if changed is None:
        raise NotFound("webhook", webhook_id)
    return changed[1]


def delete(engine: Engine, webhook_id: str) -> None:
    """What is on its way to it is cancelled when its time comes."""
    if not (is_id(webhook_id) and engine.records.delete(_KIND, webhook_id)):
        raise NotFound("webhook", webhook_id)
    engine.secrets.delete(secret_name(webhook_id))


def _require_reachable(engine: Engine, url: str) -> None:
    if not engine.may_reach(url):
        raise Invalid.one(
            "url",
            "is at a private, loopback or otherwise internal address; "
            "BELFRY_ALLOW_NETWORKS names the networks of that kind that may be reached",
        )


def secret_name(webhook_id: str) -> str:
    return f"webhook/{webhook_id}"


# -- what deliveries do


def change(
    engine: Engine, webhook_id: str, changed: Callable[[Webhook], Webhook]
) -> tuple[Webhook, Webhook] | None:
    """The webhook before and after; None if it is gone. Raises Conflict where others keep changing it."""
    for _ in range(_TRIES):
        record = engine.records.get(_KIND, webhook_id)
        if record is None:
            return None
        before = Webhook.model_validate(record)
        after = changed(before)
        if after == before or engine.records.replace(_KIND, webhook_id, after.model_dump(), record):
            return before, after
        engine.sleep(_PAUSE * engine.chance())
    raise Conflict(f"webhook {webhook_id} is being changed; try again")


def with_a_dead_delivery(webhook: Webhook, reason: str, now: datetime) -> Webhook:
    """One more in a row; at the fifth the breaker opens."""
    failures = webhook.consecutive_failures + 1
    update: dict[str, Any] = {"consecutive_failures": failures}
    if webhook.enabled and failures >= BREAKER:
        why = f"{failures} deliveries in a row failed for good; the last: {reason}"
        update |= {"enabled": False, "disabled_reason": why, "updated_at": iso(now)}
    return webhook.model_copy(update=update)


# -- sending


@dataclass(frozen=True)
class Sending:
    """An event for the subscribers. `what` names it: the same again is not sent again."""

    event: str
    data: Mapping[str, Json]
    at: datetime
    what: str


def send(engine: Engine, sendings: Sequence[Sending], now: datetime) -> None:
    """An errand to each subscriber for each of the events. One that SQS refuses waits for the next retry."""
    subscribers = _all(engine, consistent=False) if sendings else []
    errands = [
        Errand(ErrandKind.WEBHOOK, _facts(subscriber, sending), now)
        for sending in sendings
        for subscriber in subscribers
        if subscriber.wants(sending.event)
    ]
    for refused in engine.queue.send(errands, now):
        park(engine, delivery_of(refused.facts, now), now)


def _all(engine: Engine, *, consistent: bool = True) -> list[Webhook]:
    rows = engine.records.list(_KIND, consistent=consistent)
    return [Webhook.model_validate(record) for _, record in rows]


def _facts(webhook: Webhook, sending: Sending) -> dict[str, Json]:
    return {
        "id": delivery_id(webhook.id, sending.at, sending.what),
        "event": sending.event,
        "at": iso(sending.at),
        "data": dict(sending.data),
    }


def delivery_of(facts: Mapping[str, Json], now: datetime) -> Delivery:
    return Delivery.model_validate({**facts, "created_at": iso(now)})


def park(engine: Engine, delivery: Delivery, now: datetime) -> None:
    """Leaves a delivery that nobody has begun to the next round of retries."""
    index_retry(engine, delivery.id, now, now)
    waiting = delivery.due_again(now)
    there = engine.records.add(
        kind_of(delivery.id), delivery.id, waiting.model_dump(mode="json"), expiry(now)
    )
    if there is not None and (found := Delivery.model_validate(there)).status is _PENDING:
        engine.records.replace(
            kind_of(found.id), found.id, found.due_again(now).model_dump(mode="json"), there
        )


def index_retry(engine: Engine, delivery: str, at: datetime, now: datetime) -> None:
    engine.records.put(RETRIES, f"{iso(at)}#{delivery}", {}, expiry(now))


def kind_of(delivery: str) -> str:
    """Deliveries are kept by webhook."""
    return f"webhook_delivery#{delivery.partition('-')[0]}"


def expiry(now: datetime) -> int:
    return int((now + KEPT).timestamp())


def ids(engine: Engine) -> Iterable[str]:
    return [webhook_id for webhook_id, _ in engine.records.list(_KIND)]
