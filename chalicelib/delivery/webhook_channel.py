"""webhook:NAME: posts the JSON form, signed where a secret was set up (the Standard Webhooks way)."""

from __future__ import annotations

import hashlib
from urllib.parse import urlsplit

from chalicelib.core.action import url_problem
from chalicelib.core.delivery import Format
from chalicelib.core.errors import ActionError, Invalid
from chalicelib.core.letter import Address, Letter
from chalicelib.core.webhook import secret_problem
from chalicelib.delivery import formats
from chalicelib.delivery.tools import TIME_LIMIT, Tools
from chalicelib.net import wire

LIMIT = 250_000  # bytes


def check(address: Address) -> None:
    if issue := url_problem(address.filled().url):
        raise Invalid.one("url", issue)
    if address.secret is not None and (issue := secret_problem(address.secret)):
        raise Invalid.one("secret", issue)


def send(address: Address, letter: Letter, tools: Tools) -> None:
    if url_problem(address.url):
        raise ActionError("channel", f"{address.name}: its URL is none with this name in it", permanent=True)
    body = formats.body(letter, LIMIT, Format.JSON)
    limits = wire.Limits.lasting(TIME_LIMIT, tools.networks)
    request = wire.Request(
        method="POST",
        url=urlsplit(address.url),
        headers=_headers(address, letter, body),
        body=body.encode(),
        label=address.name,
    )
    status = wire.send(request, limits).status
    if not 200 <= status < 300:
        permanent = wire.is_permanent(status)
        raise ActionError("http_status", f"{address.name}: it answered {status}", permanent=permanent)


def _headers(address: Address, letter: Letter, body: str) -> dict[str, str]:
    headers = {
        "User-Agent": wire.USER_AGENT,
        "Content-Type": "application/json",
        "Idempotency-Key": letter.key,
        "Connection": "close",
    }
    return headers | _signature(address.secret, letter, body) if address.secret else headers


def _signature(secret: str, letter: Letter, body: str) -> dict[str, str]:
    from standardwebhooks import Webhook  # only signed webhooks need it

    message_id = f"msg_{hashlib.sha256(letter.key.encode()).hexdigest()[:32]}"
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(letter.sent_at.timestamp())),
        "webhook-signature": Webhook(secret).sign(message_id, letter.sent_at, body),
    }
