"""One HTTP request and its answer, for a peer that is not trusted.

The name is resolved once, and the connection made to an address that was checked, so that nothing can change
between the check and the use. Redirects are not followed and proxies not used. What is kept of the body is
bounded, and so is the whole exchange, also against a peer that sends a byte a second.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from email.message import Message
from functools import cache
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection, IncompleteRead
from io import BufferedReader
from ipaddress import IPv4Network, IPv6Network
from typing import Any
from urllib.parse import SplitResult, quote, urlsplit

from chalicelib.core.errors import ActionError
from chalicelib.net import addresses
from chalicelib.net.waiting import within

USER_AGENT = "belfry/0.1.0"
MAX_BODY = 1024 * 1024
RETRIED_4XX = frozenset({408, 425, 429})
PORTS = {"http": 80, "https": 443}
REFUSED = (
    "its host is at a private, loopback or otherwise internal address; "
    "BELFRY_ALLOW_NETWORKS names the networks of that kind that may be reached"
)
REASONS: tuple[tuple[type[Exception], str], ...] = (
    (socket.gaierror, "its name does not resolve"),
    (ssl.SSLCertVerificationError, "its certificate is not valid"),
    (ssl.SSLError, "TLS failed"),
    (ConnectionRefusedError, "it refused the connection"),
    (IncompleteRead, "its answer ended early"),
    (ConnectionError, "it closed the connection"),
    (HTTPException, "its answer is not HTTP"),
    (OSError, "it cannot be reached"),
)
"""What messages say of what went wrong on the way; the first that fits. All may pass: none is permanent."""

_URL_SAFE = "%/:?#[]@!$&'()*+,;=~"
_AddressInfo = tuple[socket.AddressFamily, socket.SocketKind, int, str, Any]


@dataclass(frozen=True, kw_only=True)
class Request:
    method: str
    url: SplitResult
    headers: dict[str, str]
    body: bytes | None
    label: str
    """How messages call it."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    status: int
    headers: Message
    body: bytes
    """The first MAX_BODY bytes of it."""
    cut: bool


@dataclass(frozen=True, kw_only=True)
class Limits:
    networks: Iterable[IPv4Network | IPv6Network]
    """What may be reached although it is private."""
    seconds_left: Callable[[], float]

    @classmethod
    def lasting(cls, seconds: float, networks: Iterable[IPv4Network | IPv6Network]) -> Limits:
        """From now on."""
        end = time.monotonic() + seconds
        return cls(networks=networks, seconds_left=lambda: end - time.monotonic())


def is_permanent(status: int) -> bool:
    """Whether the same request would be answered so again."""
    return 300 <= status < 500 and status not in RETRIED_4XX


def send(request: Request, limits: Limits) -> Answer:
    """The answer, whatever its status. Raises ActionError: timeout, address_refused, connection."""
    opened: list[socket.socket] = []
    try:
        return within(limits.seconds_left(), lambda: _exchange(request, limits, opened))
    except TimeoutError:
        raise ActionError("timeout", f"{request.label}: it did not answer in time") from None
    except ActionError as error:
        _hang_up(opened)
        raise ActionError(error.kind, f"{request.label}: {error}", permanent=error.permanent) from error
    except (OSError, HTTPException) as error:
        raise ActionError("connection", f"{request.label}: {_reason(error)}") from error


def may_reach(url: SplitResult, networks: Iterable[IPv4Network | IPv6Network], seconds: float) -> bool:
    """Whether its host is at an address that may be reached, as far as can be said within that time.

    It is asked where a URL is written, for the writer's sake: `send` trusts nobody's word.
    """
    try:
        found = within(seconds, lambda: socket.getaddrinfo(_host(url), _port(url), type=socket.SOCK_STREAM))
    except (OSError, ActionError):
        return True
    return any(addresses.allowed(str(entry[4][0]), networks) for entry in found)


def fetch(url: str, headers: Mapping[str, str], limits: Limits) -> tuple[int, bytes]:
    """Status and body of a GET. Raises ActionError as `send` does, and where the body is over MAX_BODY."""
    try:
        parts = urlsplit(url)
        _port(parts)
    except (ValueError, KeyError):
        raise ActionError("url", f"{url} is no http or https URL", permanent=True) from None
    request = Request(
        method="GET",
        url=parts,
        headers={"User-Agent": USER_AGENT, "Connection": "close", **headers},
        body=None,
        label=f"GET {url}",
    )
    answer = send(request, limits)
    if answer.cut:
        raise ActionError("too_large", f"{request.label}: it answered with over {MAX_BODY} bytes")
    return answer.status, answer.body


def _exchange(request: Request, limits: Limits, opened: list[socket.socket]) -> Answer:
    """`opened` gets a handle by which the one who waits can end it."""
    with ExitStack() as stack:
        line = stack.enter_context(_dial(request.url, limits))
        opened.append(stack.enter_context(line.dup()))
        connection = stack.enter_context(closing(_connection(request.url, line)))
        _time(limits)  # past it nothing may be sent
        connection.request(request.method, _target(request.url), request.body, request.headers)
        response = stack.enter_context(connection.getresponse())
        body, cut = _read(response)
        return Answer(status=response.status, headers=response.headers, body=body, cut=cut)


def _dial(url: SplitResult, limits: Limits) -> socket.socket:
    """A connection to the first address that may be reached and can be."""
    found = socket.getaddrinfo(_host(url), _port(url), type=socket.SOCK_STREAM)
    usable = [entry for entry in found if addresses.allowed(str(entry[4][0]), limits.networks)]
    if not usable:
        raise ActionError("address_refused", REFUSED, permanent=True)
    *others, last = usable
    for entry in others:
        with suppress(OSError):
            return _connect(entry, limits)
    return _connect(last, limits)


def _connect(entry: _AddressInfo, limits: Limits) -> socket.socket:
    family, kind, protocol, _, address = entry
    line = socket.socket(family, kind, protocol)
    try:
        line.settimeout(_time(limits))
        line.connect(address)
    except OSError:
        line.close()
        raise
    return line


def _connection(url: SplitResult, line: socket.socket) -> HTTPConnection:
    """The HTTP side of `line`; it never opens one of its own."""
    connection: HTTPConnection
    if url.scheme == "https":
        connection = HTTPSConnection(_host(url), _port(url), context=_tls())
        connection.sock = _tls().wrap_socket(line, server_hostname=_host(url))
    else:
        connection = HTTPConnection(_host(url), _port(url))
        connection.sock = line
    connection.auto_open = 0
    connection.response_class = _Response
    return connection


class _Measured(BufferedReader):
    """Never reads to the end: http.client would, for a chunk whose size the peer gives as -1."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < 0:
            raise IncompleteRead(b"")
        return super().read(size)


class _Response(HTTPResponse):
    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.fp = _Measured(self.fp.detach())


@cache
def _tls() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def _host(url: SplitResult) -> str:
    return (url.hostname or "").encode("idna").decode()


def _port(url: SplitResult) -> int:
    return url.port or PORTS[url.scheme]


def _target(url: SplitResult) -> str:
    query = f"?{url.query}" if url.query else ""
    return quote((url.path or "/") + query, safe=_URL_SAFE, errors="replace")


def _time(limits: Limits) -> float:
    left = limits.seconds_left()
    if left <= 0:
        raise TimeoutError
    return left


def _read(response: HTTPResponse) -> tuple[bytes, bool]:
    """The body as far as it is kept, and whether there was more."""
    body = response.read(MAX_BODY + 1)
    cut = len(body) > MAX_BODY
    if response.length and not cut:
        raise IncompleteRead(body, response.length)
    return body[:MAX_BODY], cut


def _hang_up(opened: list[socket.socket]) -> None:
    """Ends the exchange that nobody waits for any more, wherever it stands."""
    for line in opened:
        with suppress(OSError):
            line.shutdown(socket.SHUT_RDWR)


def _reason(error: Exception) -> str:
    said = next(text for kind, text in REASONS if isinstance(error, kind))
    detail = getattr(error, "verify_message", None) or getattr(error, "strerror", None)
    return f"{said} ({detail or type(error).__name__})"
