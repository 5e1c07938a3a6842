"""Posts an event to a webhook: signed in two ways, answered within a limit."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable, Mapping

from standardwebhooks import Webhook as Signer

from chalicelib.core.errors import ActionError
from chalicelib.core.webhook import KEPT_RESPONSE, PATIENCE, Letter, Posted

Exchange = Callable[[str, Mapping[str, str], bytes, float], tuple[int, bytes]]
"""POSTs to a URL with headers, body and a limit in seconds; status and body. Raises ActionError."""


def post(letter: Letter, exchange: Exchange) -> Posted:
    """What came of it, whatever that is."""
    began = time.monotonic()
    status, error, response = _exchanged(letter, exchange)
    elapsed = round((time.monotonic() - began) * 1000)
    return Posted(status_code=status, error=error, response=response, duration_ms=elapsed)


def _exchanged(letter: Letter, exchange: Exchange) -> tuple[int | None, str | None, str | None]:
    body = letter.body.encode()
    try:
        status, answer = exchange(letter.url, headers(letter, body), body, PATIENCE.total_seconds())
    except ActionError as error:
        return None, _why(error), None
    said = answer[:KEPT_RESPONSE].decode(errors="replace")
    if 300 <= status < 400:
        return status, f"answered {status}; redirects are not followed", said
    return status, None if 200 <= status < 300 else f"answered {status}", said


def _why(error: ActionError) -> str:
    if error.kind == "timeout":
        return f"did not answer within {PATIENCE.total_seconds():g} s"
    return str(error)[:500]


def headers(letter: Letter, body: bytes) -> dict[str, str]:
    """Mission Control's own, and those of Standard Webhooks."""
    plain = hmac.new(letter.secret.encode(), body, hashlib.sha256).hexdigest()
    return {
        "Content-Type": "application/json",
        "X-MC-Event": letter.event,
        "X-MC-Signature": f"sha256={plain}",
        "webhook-id": letter.id,
        "webhook-timestamp": str(int(letter.at.timestamp())),
        "webhook-signature": Signer(letter.secret).sign(letter.id, letter.at, letter.body),
    }
