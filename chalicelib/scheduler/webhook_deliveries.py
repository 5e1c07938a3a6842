"""Deliveries of events to webhooks: attempted, retried, given up; and their history."""

from __future__ import annotations

import heapq
import logging
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta

from chalicelib.core.action import Json
from chalicelib.core.errors import Conflict, Invalid, NotFound
from chalicelib.core.ids import is_id, random_id
from chalicelib.core.instants import from_iso, iso
from chalicelib.core.webhook import (
    Delivery,
    Notice,
    NoticeStatus,
    Posted,
    Webhook,
    delivery_id,
    is_place,
    place,
)
from chalicelib.scheduler import events, webhooks
from chalicelib.scheduler.engine import Engine
from chalicelib.scheduler.webhooks import RETRIES, delivery_of, expiry, index_retry, kind_of

TEST_EVENT = "test.ping"
_LEASE = timedelta(seconds=60)  # longer than an attempt takes
_AT_ONCE = 8  # retries; each mostly waits
_MOST_DUE = 500  # of a round
_NEXT_SECOND = timedelta(seconds=1)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Held:
    """A delivery that is this attempt's alone, as it stands in its record."""

    delivery: Delivery
    record: dict[str, Json]


# -- errands


def run(engine: Engine, facts: Mapping[str, Json], now: datetime) -> timedelta | None:
    """The first attempt; the retries are the task's. Gives how long to wait where another is at it."""
    fresh = delivery_of(facts, now).held(now + _LEASE)
    record = fresh.model_dump(mode="json")
    there = engine.records.add(kind_of(fresh.id), fresh.id, record, expiry(now))
    if there is None:
        _attempt(engine, _Held(fresh, record), now)
        return None
    found = Delivery.model_validate(there)
    if found.status is not NoticeStatus.PENDING:
        return None
    if found.is_held(now) and found.claimed_until:
        return from_iso(found.claimed_until) - now + _NEXT_SECOND
    held = _claim(engine, found, there, now)
    if held is None:
        return _NEXT_SECOND
    _attempt(engine, held, now)
    return None


def give_up(engine: Engine, facts: Mapping[str, Json], reason: str, now: datetime) -> None:
    """The queue gave up on the errand: the retries take it from there."""
    delivery = delivery_of(facts, now)
    log.warning("delivery %s is left to the retries: %s", delivery.id, reason)
    webhooks.park(engine, delivery, now)


# -- retries


def retry_due(engine: Engine, now: datetime, has_time: Callable[[], bool]) -> list[NoticeStatus]:
    """Attempts what is due again, while there is time; gives how each has come out of it."""
    rows = engine.records.list(RETRIES, before=f"{iso(now)}$", page=100)  # $ comes behind #
    keys = [key for _, (key, _) in zip(range(_MOST_DUE), rows, strict=False)]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        outcomes = pool.map(lambda key: _retry_one(engine, key) if has_time() else None, keys)
        return [outcome for outcome in outcomes if outcome]


def due(engine: Engine, now: datetime) -> int:
    return sum(1 for _ in engine.records.list(RETRIES, before=f"{iso(now)}$"))


def _retry_one(engine: Engine, key: str) -> NoticeStatus | None:
    """None if there is nothing to do, or another is at it. The index loses its row last of all."""
    try:
        return _retried(engine, key)
    except Exception:
        log.exception("the retry %s stays due", key)
        return None


def _retried(engine: Engine, key: str) -> NoticeStatus | None:
    due_at, _, name = key.partition("#")
    record = engine.records.get(kind_of(name), name)
    found = Delivery.model_validate(record) if record else None
    now = engine.now()
    if record is None or found is None or found.next_retry_at != due_at:
        if _is_overtaken(found, from_iso(due_at), now):
            engine.records.delete(RETRIES, key)
        return None
    held = None if found.is_held(now) else _claim(engine, found, record, now)
    if held is None:
        return None
    after = _attempt(engine, held, now)
    engine.records.delete(RETRIES, key)
    return after.status


def _is_overtaken(found: Delivery | None, due_at: datetime, now: datetime) -> bool:
    """Whether nobody is about to write the delivery that a row of the index was filed for."""
    return not found.is_held(now) if found else now - due_at > _LEASE


# -- what people do


def retry(engine: Engine, name: str, now: datetime) -> Delivery:
    """Attempts a delivery again, now. Where it fails, its status and its next retry stay as they were."""
    record = engine.records.get(kind_of(name), name) if is_id(name) else None
    if record is None:
        raise NotFound("delivery", name)
    found = Delivery.model_validate(record)
    webhook = webhooks.get(engine, found.webhook_id)
    if found.status is NoticeStatus.DELIVERED:
        raise Conflict(f"delivery {name} has been delivered")
    held = None if found.is_held(now) else _claim(engine, found, record, now)
    if held is None:
        raise Conflict(f"delivery {name} is being attempted; try again")
    posted = _post(engine, webhook, held.delivery, now)
    return _written(engine, held, held.delivery.after_manual(posted, now), webhook)


def test(engine: Engine, webhook_id: str, by: str, now: datetime) -> Delivery:
    """Sends a test event, also to a webhook that is disabled. It is not retried and opens no breaker."""
    webhook = webhooks.get(engine, webhook_id)
    fresh = Delivery(
        id=delivery_id(webhook_id, now, random_id(12)),
        event=TEST_EVENT,
        at=iso(now),
        created_at=iso(now),
        data={
            "message": "This is a test of a webhook",
            "webhook_id": webhook.id,
            "webhook_name": webhook.name,
            "triggered_by": by,
        },
    )
    posted = _post(engine, webhook, fresh, now)
    after = fresh.after_manual(posted, now)
    if posted.error:
        after = after.ended(NoticeStatus.DEAD, f"a test is not retried: {posted.error}")
    engine.records.put(kind_of(after.id), after.id, after.model_dump(mode="json"), expiry(now))
    return after


def history(
    engine: Engine, webhook_id: str | None, limit: int, cursor: str | None
) -> tuple[list[Delivery], str | None]:
    """Newest first: a webhook's, also of one that was deleted, or those of all that there are."""
    if cursor is not None and not is_place(cursor):
        raise Invalid.one("cursor", "give the cursor that the page before ended with")
    if webhook_id is not None and not is_id(webhook_id):
        return [], None
    names = webhooks.ids(engine) if webhook_id is None else [webhook_id]
    streams = [_of_webhook(engine, name, cursor, limit) for name in names]
    merged = heapq.merge(*streams, key=lambda delivery: place(delivery.id), reverse=True)
    found = [delivery for _, delivery in zip(range(limit + 1), merged, strict=False)]
    return found[:limit], place(found[limit - 1].id) if len(found) > limit else None


def _of_webhook(engine: Engine, webhook_id: str, cursor: str | None, limit: int) -> Iterator[Delivery]:
    kind, before = kind_of(webhook_id), f"{webhook_id}-{cursor}" if cursor else None
    rows = engine.records.list(kind, newest_first=True, before=before, page=limit + 1)
    return (Delivery.model_validate(record) for _, record in rows)


# -- an attempt


def _claim(engine: Engine, found: Delivery, record: dict[str, Json], now: datetime) -> _Held | None:
    """None where another was quicker."""
    held = found.held(now + _LEASE)
    claimed = held.model_dump(mode="json")
    won = engine.records.replace(kind_of(found.id), found.id, claimed, record)
    return _Held(held, claimed) if won else None


def _attempt(engine: Engine, held: _Held, now: datetime) -> Delivery:
    """The delivery as the attempt leaves it."""
    webhook = webhooks.find(engine, held.delivery.webhook_id)
    if webhook is None or not webhook.enabled:
        why = "its webhook is disabled" if webhook else "its webhook was deleted"
        return _written(engine, held, held.delivery.ended(NoticeStatus.CANCELLED, why), webhook)
    posted = _post(engine, webhook, held.delivery, now)
    ended = engine.now()
    after = held.delivery.after(posted, now, ended, engine.chance())
    if after.next_retry_at:  # filed first: a crash between the two repeats this attempt
        index_retry(engine, after.id, from_iso(after.next_retry_at), ended)
    return _written(engine, held, after, webhook)


def _post(engine: Engine, webhook: Webhook, delivery: Delivery, now: datetime) -> Posted:
    secret = engine.secrets.get(webhooks.secret_name(webhook.id))
    if secret is None:
        return Posted(
            status_code=None, error="its secret is missing; give it a new one", response=None, duration_ms=0
        )
    return engine.post(
        Notice(
            url=webhook.url, secret=secret, id=delivery.id, event=delivery.event, body=delivery.body, at=now
        )
    )


def _written(engine: Engine, held: _Held, after: Delivery, webhook: Webhook | None) -> Delivery:
    """What follows from it is the webhook's, and only whoever wrote the outcome sees to it."""
    if not engine.records.replace(kind_of(after.id), after.id, after.model_dump(mode="json"), held.record):
        log.warning("the attempt of delivery %s took longer than its lease; another has it", after.id)
        return after
    if webhook and after.status is not NoticeStatus.CANCELLED:
        _note(engine, webhook, held.delivery, after, engine.now())
    return after


def _note(engine: Engine, webhook: Webhook, before: Delivery, after: Delivery, now: datetime) -> None:
    """What a webhook's record says of its deliveries; it is written only where that changes."""
    code = after.attempts[-1].status_code
    died = after.status is NoticeStatus.DEAD and before.status is not NoticeStatus.DEAD

    def noted(one: Webhook) -> Webhook:
        if died:
            one = webhooks.with_a_dead_delivery(one, after.attempts[-1].error or "", now)
        elif after.status is NoticeStatus.DELIVERED:
            one = one.model_copy(update={"consecutive_failures": 0})
        return one.model_copy(update={"last_status": code})

    is_news = died or code != webhook.last_status
    if not is_news and (after.status is not NoticeStatus.DELIVERED or not webhook.consecutive_failures):
        return
    changed = webhooks.change(engine, webhook.id, noted)
    if died:
        data: dict[str, Json] = {"webhook_id": webhook.id, "webhook_name": webhook.name}
        failed = {**data, "delivery_id": after.id, "event": after.event, "reason": after.reason}
        events.emit(engine, "webhook.delivery_failed", failed, now)
        if changed and changed[0].enabled and not changed[1].enabled:
            events.emit(engine, "webhook.disabled", {**data, "reason": changed[1].disabled_reason}, now)
