"""API keys and sessions. Both are stored as hashes only: what is shown once cannot be read back."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime, timedelta
from typing import Any

from chalicelib.core.access import Credentials, Principal, Role
from chalicelib.core.errors import NotFound, Unauthorized
from chalicelib.core.ids import random_id
from chalicelib.core.instants import short_iso
from chalicelib.scheduler.engine import Engine

SESSION_LIFE = timedelta(hours=12)


def create_key(engine: Engine, role: Role, name: str, now: datetime) -> tuple[str, dict[str, Any]]:
    """A new API key, which is shown here and never again, and what is kept of it."""
    key_id = f"key_{random_id(10)}"
    secret = f"bf_{secrets.token_urlsafe(32)}"
    record = {"id": key_id, "name": name, "role": role.value, "created_at": short_iso(now)}
    engine.records.put("key", _hash(secret), record)
    return secret, record


def list_keys(engine: Engine) -> list[dict[str, Any]]:
    return sorted(
        (record for _, record in engine.records.list("key")), key=lambda record: record["created_at"]
    )


def revoke_key(engine: Engine, key_id: str) -> None:
    """Its sessions end with it."""
    for digest, record in engine.records.list("key"):
        if record["id"] == key_id:
            engine.records.delete("key", digest)
            return
    raise NotFound("key", key_id)


def open_session(engine: Engine, key: str, now: datetime) -> tuple[str, datetime, Principal]:
    """A session's token for an API key, when it expires, and whose it is. Raises Unauthorized."""
    digest = _hash(key)
    who = _of_key(engine, digest, "the API key is unknown or revoked")
    token, expires = secrets.token_urlsafe(32), now + SESSION_LIFE
    expires_at = int(expires.timestamp())
    engine.records.put("auth_session", _hash(token), {"key": digest, "expires_at": expires_at}, expires_at)
    return token, expires, who


def authenticate(engine: Engine, shown: Credentials, anonymous: Role | None, now: datetime) -> Principal:
    """Who it is. Bad credentials are refused even where none would do. Raises Unauthorized."""
    if shown.key is not None:
        return _of_key(engine, _hash(shown.key), "the API key is unknown or revoked")
    if shown.session is not None:
        session = engine.records.get("auth_session", _hash(shown.session))
        if session is None or session["expires_at"] <= now.timestamp():
            raise Unauthorized("the session has expired; open another with POST /api/auth/session")
        return _of_key(engine, session["key"], "the session's API key was revoked")
    if anonymous is None:
        raise Unauthorized
    return Principal("anonymous", anonymous)


def _of_key(engine: Engine, digest: str, otherwise: str) -> Principal:
    record = engine.records.get("key", digest)
    if record is None:
        raise Unauthorized(otherwise)
    return Principal(record["id"], Role(record["role"]))


def _hash(secret: str) -> str:
    """Keys are 256 random bits, so that a plain hash is as good as a slow one."""
    return hashlib.sha256(secret.encode()).hexdigest()
