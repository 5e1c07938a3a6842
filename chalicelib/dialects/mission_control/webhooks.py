"""The routes of webhooks, as Mission Control has them: PUT, DELETE and the rest take the id in the body."""

from __future__ import annotations

from chalicelib.core.access import Role
from chalicelib.core.webhook import Delivery, Webhook
from chalicelib.dialects.http import Answer, Api, Call
from chalicelib.dialects.mission_control.errors import MissionControlError, render
from chalicelib.dialects.mission_control.webhooks_schema import (
    CreateWebhook,
    DeletedWebhook,
    DeliveriesQuery,
    DeliveryList,
    DeliveryOutcome,
    NewWebhook,
    OneDelivery,
    OneWebhook,
    UpdatedWebhook,
    UpdateWebhook,
    WebhookList,
)
from chalicelib.scheduler import webhook_deliveries, webhooks

WEBHOOKS = "/api/webhooks"
_SAVE_IT = "Save the secret: it is not shown again."

API = Api("webhooks", (WEBHOOKS,), render, MissionControlError)


@API.route("GET", WEBHOOKS, gives=WebhookList, role=Role.ADMIN)
def list_webhooks(call: Call) -> Answer:
    found = [_webhook(webhook) for webhook in webhooks.list_webhooks(call.engine)]
    return Answer({"webhooks": found, "count": len(found)})


@API.route("POST", WEBHOOKS, gives=NewWebhook, status=201, role=Role.ADMIN, writes="webhook.create")
def create_webhook(call: Call, body: CreateWebhook) -> Answer:
    """The secret is in this answer only. X-MC-Signature is keyed with it as it stands, whsec_ and all."""
    webhook, secret = webhooks.create(
        call.engine, body.name, body.url, body.events, body.secret, call.now, enabled=body.enabled
    )
    shown = {**_webhook(webhook), "secret": secret, "message": f"Webhook created. {_SAVE_IT}"}
    return Answer(shown, target=webhook.id)


@API.route("PUT", WEBHOOKS, gives=UpdatedWebhook, role=Role.ADMIN, writes="webhook.update")
def update_webhook(call: Call, body: UpdateWebhook) -> Answer:
    """Changes the fields that are given. A new secret is used within a minute; the old one no longer."""
    secret = body.new_secret()
    webhook = webhooks.update(call.engine, body.id, body.changes(), secret, call.now)
    shown = {"success": True, "webhook": _webhook(webhook), "secret": None, "message": None}
    if secret:
        shown |= {"secret": secret, "message": f"The secret is new. {_SAVE_IT}"}
    return Answer(shown, target=webhook.id)


@API.route("DELETE", WEBHOOKS, gives=DeletedWebhook, role=Role.ADMIN, writes="webhook.delete")
def delete_webhook(call: Call, body: OneWebhook) -> Answer:
    webhooks.delete(call.engine, body.id)
    return Answer({"success": True, "deleted": 1}, target=body.id)


@API.route("GET", f"{WEBHOOKS}/deliveries", gives=DeliveryList, role=Role.ADMIN)
def list_deliveries(call: Call, query: DeliveriesQuery) -> Answer:
    """Newest first, of one webhook or of all. They are kept for 30 days."""
    found, cursor = webhook_deliveries.history(call.engine, query.webhook_id, query.limit, query.cursor)
    shown = [_delivery(delivery) for delivery in found]
    return Answer({"deliveries": shown, "count": len(shown), "next_cursor": cursor})


@API.route("POST", f"{WEBHOOKS}/retry", gives=DeliveryOutcome, role=Role.ADMIN, writes="webhook.retry")
def retry_delivery(call: Call, body: OneDelivery) -> Answer:
    """Attempts a delivery again, now, and waits for the outcome."""
    delivery = webhook_deliveries.retry(call.engine, body.delivery_id, call.now)
    return Answer(_outcome(delivery), target=delivery.id)


@API.route("POST", f"{WEBHOOKS}/test", gives=DeliveryOutcome, role=Role.ADMIN, writes="webhook.test")
def test_webhook(call: Call, body: OneWebhook) -> Answer:
    """Sends the event test.ping, now, and waits for the outcome."""
    delivery = webhook_deliveries.test(call.engine, body.id, call.who.id, call.now)
    return Answer(_outcome(delivery), target=body.id)


def _webhook(webhook: Webhook) -> dict[str, object]:
    return webhook.model_dump(mode="json")


def _delivery(delivery: Delivery) -> dict[str, object]:
    hidden = {"at", "data", "tries", "claimed_until"}
    return {**delivery.model_dump(mode="json", exclude=hidden), "webhook_id": delivery.webhook_id}


def _outcome(delivery: Delivery) -> dict[str, object]:
    last = delivery.attempts[-1]
    return {
        "success": last.error is None,
        "delivery_id": delivery.id,
        "status": delivery.status.value,
        "status_code": last.status_code,
        "error": last.error,
        "duration_ms": last.duration_ms,
        "response": delivery.response,
    }
