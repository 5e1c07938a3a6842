"""Who may do what."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """Each may do what those before it may, and more."""

    VIEWER = "viewer"  # reads
    OPERATOR = "operator"  # writes jobs and runs
    ADMIN = "admin"  # tasks, settings, keys

    def includes(self, other: Role) -> bool:
        order = list(Role)
        return order.index(self) >= order.index(other)


@dataclass(frozen=True)
class Principal:
    """Who makes a request: a key's id, or `anonymous`."""

    id: str
    role: Role


@dataclass(frozen=True)
class Credentials:
    """What a request shows: an API key (as a bearer token or in X-API-Key), or a session's token."""

    key: str | None = None
    session: str | None = None
