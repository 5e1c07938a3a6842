"""Channels: where results can go. A record says what is set up; its URL and secret are among the secrets."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from chalicelib.core.errors import ActionError, Invalid, NotFound
from chalicelib.core.ids import random_id
from chalicelib.core.instants import from_iso, iso
from chalicelib.core.letter import DIRECT, Address, NoChannel, of_text
from chalicelib.scheduler.engine import Engine

_KIND = "channel"
_NOTED_EVERY = timedelta(minutes=1)  # a channel's last outcome is written no more often, unless it changes
_TEST = "This is a test message. The channel works."


def put(engine: Engine, address: Address, by: str, now: datetime) -> dict[str, Any]:
    """Sets the channel up, or replaces what was. Raises Invalid naming what cannot be used.

    The secret is written first: a record without one would be a channel that cannot be used.
    """
    if address.kind in DIRECT:
        raise Invalid.one("name", f"{address.kind} channels need no set-up: name them in a job's delivery")
    engine.check_channel(address)
    engine.secrets.put(_secret(address.name), json.dumps({"url": address.url, "secret": address.secret}))
    record = {"name": address.name, "updated_at": iso(now), "updated_by": by, "last_outcome": None}
    engine.records.put(_KIND, _key(address.name), record)
    return _view(record)


def list_all(engine: Engine) -> list[dict[str, Any]]:
    return sorted((_view(record) for _, record in engine.records.list(_KIND)), key=lambda view: view["name"])


def delete(engine: Engine, name: str) -> None:
    """Deliveries to it say from then on that it is not set up."""
    found = engine.records.delete(_KIND, _key(name))
    engine.secrets.delete(_secret(name))
    if not found:
        raise NotFound(_KIND, name)


def find(engine: Engine, name: str) -> Address:
    """The channel by its whole name, else by its kind. Raises NoChannel."""
    address = Address(name)
    if address.kind in DIRECT:
        return address
    set_up = _set_up(engine, address)
    text = engine.secrets.get(_secret(set_up["name"])) if set_up else None
    if text is None:
        raise NoChannel(name)
    return replace(address, **json.loads(text))


def deliver_text(engine: Engine, channel: str, subject: str, text: str) -> None:
    """Sends somebody's own words, once. Raises ActionError."""
    now = engine.now()
    engine.deliver(find(engine, channel), of_text(f"text/{random_id(12)}", subject, text, now))


def test(engine: Engine, name: str, text: str | None, now: datetime) -> dict[str, Any]:
    """Sends a test message, and says how it went. Raises NotFound where the channel is not set up."""
    try:
        deliver_text(engine, name, "Belfry: a test", text or _TEST)
    except NoChannel:
        raise NotFound(_KIND, name) from None
    except ActionError as error:
        note(engine, name, str(error), now)
        return {"name": name, "delivered": False, "error": str(error)}
    note(engine, name, None, now)
    return {"name": name, "delivered": True, "error": None}


def note(engine: Engine, name: str, error: str | None, now: datetime) -> None:
    """Keeps how the channel's last delivery went; where another note comes in between, that one."""
    before = _set_up(engine, Address(name))
    if before is None:
        return
    outcome = {"delivered": error is None, "error": error, "at": iso(now)}
    last = before["last_outcome"]
    is_same = last and (last["delivered"], last["error"]) == (outcome["delivered"], error)
    if not (is_same and now - from_iso(last["at"]) < _NOTED_EVERY):
        engine.records.replace(_KIND, _key(before["name"]), {**before, "last_outcome": outcome}, before)


def _set_up(engine: Engine, address: Address) -> dict[str, Any] | None:
    keys = [_key(address.name), _key(address.kind)]
    found = engine.records.get_many(_KIND, keys)
    return next((found[key] for key in keys if key in found), None)


def _view(record: dict[str, Any]) -> dict[str, Any]:
    return {**record, "kind": Address(record["name"]).kind}


def _key(name: str) -> str:
    """Names hold `#`, `@` and `/`, which parameters' names may not."""
    return hashlib.sha256(name.encode()).hexdigest()[:32]


def _secret(name: str) -> str:
    return f"channel/{_key(name)}"
