"""What deliveries work with: handed in where the scheduler is composed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import Any

TIME_LIMIT = 20.0  # seconds for a delivery: the API gateway, too, waits for a test message


@dataclass(frozen=True, kw_only=True)
class Tools:
    client: Callable[[str], Any]
    """The AWS client of a service, by the service's name."""
    networks: tuple[IPv4Network | IPv6Network, ...]
    """Networks that may be reached although they are private."""
