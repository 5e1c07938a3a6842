"""Keeps a library that opens its own connections to the addresses that may be reached.

Python tells its audit hooks of each connection before it is made, with the address itself: what a name
resolves to later, or where a redirect points, makes no difference. The hook is set once and looks only at
connections made inside `guarded`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from ipaddress import IPv4Network, IPv6Network
from typing import Any

from chalicelib.net import addresses

_Rule = tuple[tuple[IPv4Network | IPv6Network, ...], list[str]]

_rule: ContextVar[_Rule | None] = ContextVar("rule", default=None)
_EVENTS = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})


@contextmanager
def guarded(networks: Iterable[IPv4Network | IPv6Network]) -> Iterator[list[str]]:
    """Connections to internal addresses but those in `networks` raise PermissionError, which is an OSError.

    Gives a list of what was refused, since libraries keep their errors to themselves.
    """
    _install()
    refused: list[str] = []
    token = _rule.set((tuple(networks), refused))
    try:
        yield refused
    finally:
        _rule.reset(token)


@cache
def _install() -> None:
    sys.addaudithook(_hook)


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if event not in _EVENTS or (rule := _rule.get()) is None:
        return
    networks, refused = rule
    if not _may_reach(arguments[1], networks):
        refused.append(str(arguments[1]))
        raise PermissionError("the address is internal")


def _may_reach(address: Any, networks: tuple[IPv4Network | IPv6Network, ...]) -> bool:
    """Of what `connect` is given: only an IP address and its port, neither a name nor a path."""
    if not isinstance(address, tuple):
        return False
    try:
        return addresses.allowed(str(address[0]), networks)
    except ValueError:
        return False
