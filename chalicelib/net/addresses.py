"""Which addresses http may connect to: public ones, and those of networks that the deployment allows."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

INTERNAL = tuple(
    map(
        ip_network,
        (
            "100.64.0.0/10",  # shared address space of carriers (RFC 6598)
            "192.0.0.0/24",  # protocol assignments (RFC 6890)
            "192.88.99.0/24",  # relays to 6to4 (RFC 7526)
            "64:ff9b:1::/48",  # local translation to IPv4 (RFC 8215)
            "fec0::/10",  # site-local, once (RFC 3879)
        ),
    )
)
"""What `ipaddress` does not call private in every version of Python."""

EMBEDDED = (
    (ip_network("::ffff:0:0/96"), 0),  # IPv4-mapped
    (ip_network("64:ff9b::/96"), 0),  # NAT64 (RFC 6052)
    (ip_network("2002::/16"), 80),  # 6to4 (RFC 3056)
)
"""Prefixes of IPv6 addresses that mean an IPv4 address, and how many bits lie right of it."""


def allowed(text: str, networks: Iterable[IPv4Network | IPv6Network]) -> bool:
    """Whether the address `text`, as getaddrinfo gives it, may be connected to."""
    meant = _meant(ip_address(text.partition("%")[0]))
    return _is_public(meant) or any(meant in network for network in networks)


def _meant(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    for prefix, shift in EMBEDDED:
        if address in prefix:
            return IPv4Address(int(address) >> shift & 0xFFFFFFFF)
    return address


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    special = address.is_multicast or address.is_reserved or address.is_unspecified
    return address.is_global and not special and not any(address in network for network in INTERNAL)


def networks(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    """`"127.0.0.0/8, ::1/128"` as networks. Raises ValueError that names the one it cannot read."""
    return tuple(_network(part.strip()) for part in text.split(",") if part.strip())


def _network(text: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a network; write it as 10.0.0.0/8 or ::1/128") from None
