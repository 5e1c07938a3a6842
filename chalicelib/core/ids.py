"""Names of jobs and runs. A scheduled run's id is its slot, so that two ticks name one run alike."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from datetime import UTC, datetime

_BASE32 = "abcdefghijkmnpqrstuvwxyz23456789"  # neither l and 1 nor o and 0: ids are read aloud and retyped


_ID = re.compile(r"[A-Za-z0-9_.:-]{1,64}", re.ASCII)


def is_id(text: str) -> bool:
    """Whether the text can be the id of a job or a run; what cannot is not looked for."""
    return _ID.fullmatch(text) is not None


def random_id(length: int) -> str:
    return "".join(secrets.choice(_BASE32) for _ in range(length))


def new_token() -> str:
    """256 random bits."""
    return secrets.token_urlsafe(32)


def token_digest(token: str) -> str:
    """What is kept of a token: 128 bits of its hash, in 22 characters."""
    return base64.urlsafe_b64encode(hashlib.sha256(token.encode()).digest()[:16]).decode().rstrip("=")


def new_job_id() -> str:
    """16 characters: the agenda repeats it in each entry."""
    return f"job_{random_id(12)}"


def named_id(origin: str, name: str) -> str:
    """The id of a job that is addressed by its name: one name has one id, so no two jobs can have it."""
    digest = hashlib.sha256(f"{origin}\n{name}".encode()).digest()
    return "job_" + "".join(_BASE32[byte % len(_BASE32)] for byte in digest[:12])


def slot_id(slot: datetime) -> str:
    """`20261122T140000Z`; a fraction of a second only if the slot has one."""
    utc = slot.astimezone(UTC)
    fraction = f".{utc.microsecond // 1000:03d}" if utc.microsecond else ""
    return f"{utc:%Y%m%dT%H%M%S}{fraction}Z"


def manual_run_id(now: datetime) -> str:
    """The second of the trigger, its milliseconds and a random suffix: sorts by time among the others."""
    return f"{slot_id(now.replace(microsecond=0))}-{now.microsecond // 1000:03d}{random_id(4)}"
