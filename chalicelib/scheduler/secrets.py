"""Secrets that http actions may name. They are written and never shown again.

The values are in the store for secrets; the records say only which there are, and who set them when.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from chalicelib.core.errors import Invalid, NotFound
from chalicelib.core.instants import short_iso
from chalicelib.core.template import SECRET_NAME, is_secret_name
from chalicelib.scheduler.engine import Engine

SHORTEST = 4  # characters: a shorter one is guessed, and hiding it would hide innocent text
LONGEST = 4096  # bytes, which is what a standard parameter of SSM holds


def put(engine: Engine, name: str, value: str, by: str, now: datetime) -> dict[str, Any]:
    """Sets the secret. Raises Invalid, which never says the value."""
    if not is_secret_name(name):
        raise Invalid.one("id", f"give {SECRET_NAME}")
    if issue := problem(value):
        raise Invalid.one("value", issue)
    record = {"updated_at": short_iso(now), "updated_by": by}
    engine.secrets.put(_stored_as(name), value)
    engine.records.put("secret", name, record)
    return {"id": name, **record}


def problem(value: str) -> str | None:
    """Why the value cannot be a secret; None if it can."""
    if len(value) < SHORTEST:
        return f"give at least {SHORTEST} characters: a shorter secret could not be hidden in outputs"
    if len(value.encode()) > LONGEST:
        return f"give at most {LONGEST} bytes"
    if value != value.strip():
        return "give no spaces or newlines at the ends: headers lose them"
    if "{{" in value:
        return "give no {{: SSM keeps no parameter that has it"
    return None


def list_secrets(engine: Engine) -> list[dict[str, Any]]:
    """Their names, and who set them when."""
    return [{"id": name, **record} for name, record in engine.records.list("secret")]


def delete(engine: Engine, name: str) -> None:
    """Jobs that name it fail from then on, and say so. What fails half way can be done again."""
    if not is_secret_name(name):
        raise NotFound("secret", name)
    engine.secrets.delete(_stored_as(name))
    if not engine.records.delete("secret", name):
        raise NotFound("secret", name)


def value_of(engine: Engine, name: str) -> str | None:
    """For the action that sends it; None if it is not set."""
    return engine.secrets.get(_stored_as(name))


def _stored_as(name: str) -> str:
    return f"secret/{name}"
