"""What actions work with: handed in where the scheduler is composed, so that none makes its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import Any

from chalicelib.core.action import Attempt, Json


@dataclass(frozen=True, kw_only=True)
class Toolbox:
    client: Callable[[str], Any]
    """The AWS client of a service, by the service's name."""
    networks: tuple[IPv4Network | IPv6Network, ...]
    """Networks that http may reach although they are private."""
    handlers: Mapping[str, Callable[[Attempt, Json], Json]]
    """By name; called with the attempt and the settings' input."""
    tasks: Mapping[str, Callable[[Attempt], Json]]
    secret: Callable[[str], str | None]
    """The value of a secret, by name; None: it is not set."""
    record_usage: Callable[[Mapping[str, Json]], None]
    """Keeps how many tokens a model has taken, and whose they were."""
    start_chain: Callable[[str, Attempt], str]
    """Starts an execution of a chain, the same for the same run; gives its id. Raises ActionError."""
