"""Posts an event to a webhook: signed in two ways, answered within a limit, guarded as http actions are."""

from __future__ import annotations

import hashlib
import hmac
import logging
import time
from ipaddress import IPv4Network, IPv6Network
from urllib.parse import urlsplit

from chalicelib.core.errors import ActionError
from chalicelib.core.webhook import KEPT_RESPONSE, PATIENCE, Notice, Posted
from chalicelib.net import wire

log = logging.getLogger(__name__)

_LOOKUP_SECONDS = 3.0  # for a name in a request


def may_reach(networks: tuple[IPv4Network | IPv6Network, ...], url: str) -> bool:
    """Whether a URL is worth writing down; what protects is the check of the address connected to."""
    return wire.may_reach(urlsplit(url), networks, _LOOKUP_SECONDS)


def post(networks: tuple[IPv4Network | IPv6Network, ...], notice: Notice) -> Posted:
    """What came of it, whatever that is. `networks` may be reached although they are private."""
    began = time.monotonic()
    status, error, response = _exchanged(networks, notice)
    elapsed = round((time.monotonic() - began) * 1000)
    return Posted(status_code=status, error=error, response=response, duration_ms=elapsed)


def _exchanged(
    networks: tuple[IPv4Network | IPv6Network, ...], notice: Notice
) -> tuple[int | None, str | None, str | None]:
    try:
        answer = _sent(networks, notice)
    except ActionError as error:
        return None, _why(error), None
    except Exception as error:  # it counts as an attempt: else it would be made again for ever
        log.error("the attempt to send %s broke: %s", notice.id, type(error).__name__)
        return None, f"the attempt broke ({type(error).__name__})", None
    status, said = answer.status, answer.body[:KEPT_RESPONSE].decode(errors="replace")
    if 300 <= status < 400:
        return status, f"answered {status}; redirects are not followed", said
    return status, None if 200 <= status < 300 else f"answered {status}", said


def _sent(networks: tuple[IPv4Network | IPv6Network, ...], notice: Notice) -> wire.Answer:
    url, body = urlsplit(notice.url), notice.body.encode()
    limits = wire.Limits.lasting(PATIENCE.total_seconds(), networks)
    request = wire.Request(
        method="POST",
        url=url,
        headers=headers(notice, body)
        | {"User-Agent": wire.USER_AGENT, "Accept": "*/*", "Connection": "close"},
        body=body,
        label=f"POST {url.scheme}://{url.netloc}",
    )
    return wire.send(request, limits)


def _why(error: ActionError) -> str:
    if error.kind == "timeout":
        return f"did not answer within {PATIENCE.total_seconds():g} s"
    return str(error)[:500]


def headers(notice: Notice, body: bytes) -> dict[str, str]:
    """Mission Control's own, and those of Standard Webhooks."""
    from standardwebhooks import Webhook as Signer  # only events with a subscriber need it

    plain = hmac.new(notice.secret.encode(), body, hashlib.sha256).hexdigest()
    return {
        "Content-Type": "application/json",
        "X-MC-Event": notice.event,
        "X-MC-Signature": f"sha256={plain}",
        "webhook-id": notice.id,
        "webhook-timestamp": str(int(notice.at.timestamp())),
        "webhook-signature": Signer(notice.secret).sign(notice.id, notice.at, notice.body),
    }
