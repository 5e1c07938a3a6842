"""http against real servers, well-behaved and not."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import os
import re
import socket
import ssl
import threading
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from chalicelib.actions import addresses, wire
from chalicelib.core.action import Json
from chalicelib.core.errors import ActionError
from tests.integration import actions_support as support
from tests.integration.actions_support import KEY, attempt, toolbox

LOCAL = toolbox(allow="127.0.0.0/8, ::1/128")
Answer = Callable[["Receiver"], None]
getaddrinfo = socket.getaddrinfo  # the real one, where tests put another in its place


class Receiver(BaseHTTPRequestHandler):
    """Keeps what it receives, and answers as the server's `answer` says."""

    protocol_version = "HTTP/1.1"
    timeout = 5
    server: Server
    body: bytes

    def receive(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.received.append(self)
        self.close_connection = True
        self.server.answer(self)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = receive  # noqa: N815

    def send(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in ({"Content_Length": str(len(body))} | headers).items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = False  # closing it waits for its threads: none hangs on a client that is gone

    def __init__(self, answer: Answer) -> None:
        super().__init__(("127.0.0.1", 0), Receiver)
        self.answer, self.received = answer, list[Receiver]()
        self.url = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, *_: Any) -> None:
        pass


@contextmanager
def serving(
    answer: Answer = lambda request: request.send(200), tls: ssl.SSLContext | None = None
) -> Iterator[Server]:
    with Server(answer) as server:
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def replying(status: int, body: bytes = b"", **headers: str) -> Answer:
    return lambda request: request.send(status, body, **headers)


def settings(server: Server, path: str = "/hook", **more: Any) -> dict[str, Any]:
    return {"type": "http", "url": server.url + path, **more}


def act(server: Server, path: str = "/hook", value: Json = None, **more: Any) -> Json:
    return support.act(settings(server, path, **more), attempt(value), LOCAL)


def failure(
    server: Server, path: str = "/hook", value: Json = None, seconds: float = 10, **more: Any
) -> ActionError:
    return support.failure(settings(server, path, **more), attempt(value, seconds), LOCAL)


def answered(status: int, body: bytes = b"", **headers: str) -> Json:
    with serving(replying(status, body, **headers)) as server:
        return act(server)


# What is sent


def test_the_body_is_sent_as_json_with_the_key_of_the_run() -> None:
    with serving() as server:
        assert act(server, body={"goal": "{{job.goal}}", "x": "{{input.x}}", "all": "{{input}}"}) is None
    [request] = server.received
    assert (request.command, request.path) == ("POST", "/hook")
    assert json.loads(request.body) == {"goal": "Summarize", "x": 1, "all": {"x": 1}}
    assert request.headers["Idempotency-Key"] == KEY
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["User-Agent"] == wire.USER_AGENT
    assert request.headers["Host"] == f"127.0.0.1:{server.server_port}"


def test_the_user_agent_is_of_this_version() -> None:
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    assert f"belfry/{project['version']}" == wire.USER_AGENT


@pytest.mark.parametrize(
    ("body", "headers", "sent", "kind"),
    [
        ("hëllo {{input.x}}", {}, "hëllo 1", "text/plain; charset=utf-8"),
        ("<a/>", {"content-type": "text/xml"}, "<a/>", "text/xml"),
        ([1], {"Content-Type": "application/vnd.x+json"}, "[1]", "application/vnd.x+json"),
        ("{{job.name}}", {}, "Daily digest", "text/plain; charset=utf-8"),
        ("{{input}}", {}, '{"x":1}', "application/json"),
        (None, {}, "", None),
        (0, {}, "0", "application/json"),
        ("\U0001f514", {}, "\U0001f514", "text/plain; charset=utf-8"),
    ],
)
def test_the_content_type_follows_the_body_unless_a_header_says_else(
    body: Json, headers: dict[str, str], sent: str, kind: str | None
) -> None:
    with serving() as server:
        act(server, body=body, headers=headers)
    [request] = server.received
    assert request.body.decode() == sent
    assert request.headers.get_all("Content-Type", [None]) == [kind]


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"])
def test_each_method_is_sent_as_it_is(method: str) -> None:
    with serving(replying(200, b"seen")) as server:
        assert act(server, method=method) == (None if method == "HEAD" else "seen")
    assert [request.command for request in server.received] == [method]


def test_values_in_the_url_cannot_leave_their_place() -> None:
    value: Json = {"id": "a/b?c=d#e", "q": "x&y=z é\r\n", "o": {"k": 1}}
    with serving() as server:
        act(server, "/u/{{input.id}}/s?q={{ input.q }}&o={{input.o}}&lit=ä+b%20c#frag", value)
    assert server.received[0].path == (
        "/u/a%2Fb%3Fc%3Dd%23e/s?q=x%26y%3Dz%20%C3%A9%0D%0A&o=%7B%22k%22%3A1%7D&lit=%C3%A4+b%20c"
    )


@pytest.mark.parametrize("value", [".", ".."])
def test_values_in_the_url_cannot_climb_in_the_path(value: str) -> None:
    with serving() as server:
        error = failure(server, "/u/{{input.id}}/secret", {"id": value})
    assert (error.kind, error.permanent) == ("template", True)
    assert "url" in str(error)
    assert not server.received


def test_a_url_that_grows_too_long_is_refused() -> None:
    with serving() as server:
        assert "8192" in str(failure(server, "/{{input}}", "x" * 8192))


@pytest.mark.parametrize("value", ["a\r\nX-Admin: 1", "a\nb", "\x00", "€"])
def test_an_input_cannot_bring_headers(value: str) -> None:
    with serving() as server:
        error = failure(server, value={"h": value}, headers={"X-Name": "{{input.h}}"})
    assert (error.kind, error.permanent) == ("template", True)
    assert "headers: 'X-Name' should have a value of Latin-1 characters without newlines" in str(error)
    assert not server.received


def test_a_missing_placeholder_sends_nothing() -> None:
    with serving() as server:
        assert failure(server, body="{{input.nope}}").kind == "template"
    assert not server.received


def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert answered(200, b"direct") == "direct"


# What comes back


@pytest.mark.parametrize(
    ("body", "kind", "output"),
    [
        (b'{"a": [1, null]}', "application/json", {"a": [1, None]}),
        (b'{"a": 1}', "Application/Problem+JSON; charset=utf-8", {"a": 1}),
        ('"ä"'.encode("utf-16"), "application/json", "ä"),
        (b"{not json", "application/json", "{not json"),
        (b"NaN", "application/json", "NaN"),
        (b'"\\ud800"', "application/json", '"\\ud800"'),
        (b"[" * 70 + b"]" * 70, "application/json", "[" * 70 + "]" * 70),
        (b"[" * 5000, "application/json", "[" * 5000),
        (b'{"a": 1}', "text/plain", '{"a": 1}'),
        (b"\xe4", "text/plain; charset=latin-1", "ä"),
        (b"\xe4", "text/plain", "\ufffd"),
        (b"ok", "text/plain; charset=nonsense", "ok"),
        (b"ok", "text/plain; charset=utf-99", "ok"),
        (b"ok-", "text/plain; charset=punycode", "ok-"),
        (b"ok", "%%%", "ok"),
        (b"null", "application/json", None),
        (b"", "application/json", None),
    ],
)
def test_json_is_parsed_and_all_else_is_text(body: bytes, kind: str, output: Json) -> None:
    assert answered(200, body, Content_Type=kind) == output


def test_an_answer_without_content_is_none() -> None:
    assert answered(204) is None


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 410, 422])
def test_a_refusal_by_the_target_is_permanent(status: int) -> None:
    with serving(replying(status, b"no\n  such\tthing")) as server:
        error = failure(server)
    assert (error.kind, error.permanent) == ("http_status", True)
    assert str(error) == f"POST {server.url}/hook answered {status}: no such thing"


@pytest.mark.parametrize("status", [408, 425, 429, 500, 501, 502, 503, 504])
def test_a_failure_of_the_target_may_pass(status: int) -> None:
    with serving(replying(status, b"x" * 5000)) as server:
        error = failure(server)
    assert (error.kind, error.permanent) == ("http_status", False)
    assert str(error).endswith(f"answered {status}: " + "x" * 200)


def test_only_the_named_statuses_are_success_if_any_are_named() -> None:
    with serving(replying(404, b"gone")) as server:
        assert act(server, success_statuses=[200, 404]) == "gone"
    with serving(replying(202)) as server:
        assert not failure(server, success_statuses=[200, 404]).permanent


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(status: int) -> None:
    with serving() as other, serving(replying(status, Location=f"{other.url}/x?token=s3cret#f")) as server:
        error = failure(server)
    assert not other.received
    assert error.permanent
    assert f"answered {status} and points to {other.url}/x; redirects are not followed" in str(error)


@pytest.mark.parametrize(
    ("location", "said"),
    [
        ({"Location": "http://169.254.169.254/latest/meta-data"}, "http://169.254.169.254/latest/meta-data"),
        ({"Location": "http://[::1"}, "no valid URL"),
        ({"Location": "//user:s3cret@host/x"}, "//host/x"),
        ({}, "nowhere"),
    ],
)
def test_a_redirect_says_where_it_points(location: dict[str, str], said: str) -> None:
    with serving(replying(302, b"", **location)) as server:
        assert f"points to {said}; redirects" in str(failure(server))


def test_a_redirect_may_be_named_a_success() -> None:
    with serving(replying(302, b"moved", Location="/x")) as server:
        assert act(server, success_statuses=[302]) == "moved"


def test_messages_show_neither_query_nor_headers_nor_what_was_filled_in() -> None:
    with serving(replying(500)) as server:
        error = failure(
            server,
            "/{{input.s}}/x?token=s3cret&t={{input.s}}",
            {"s": "s3cret"},
            headers={"Authorization": "Bearer s3cret"},
        )
    assert str(error) == f"POST {server.url}/{{{{input.s}}}}/x answered 500: "


# What goes wrong on the way


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def test_a_refused_connection_may_pass() -> None:
    error = support.failure(
        {"type": "http", "url": f"http://127.0.0.1:{free_port()}/x?k=s3cret"}, tools=LOCAL
    )
    assert (error.kind, error.permanent) == ("connection", False)
    assert re.fullmatch(r"POST http://127.0.0.1:\d+/x: it refused the connection \(.*\)", str(error))


def test_a_name_that_does_not_resolve_may_pass() -> None:
    error = support.failure({"type": "http", "url": "http://nowhere.invalid/"})
    assert (error.kind, error.permanent) == ("connection", False)
    assert "its name does not resolve" in str(error)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "it closed the connection"),
        (b"220 smtp.example.com ESMTP\r\n", "its answer is not HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", "its answer ended early"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", "its answer ended early"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nab", "its answer ended early"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000, "its answer is not HTTP"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000, "its answer is not HTTP"),
    ],
)
def test_a_broken_answer_may_pass(raw: bytes, said: str) -> None:
    with serving(lambda request: void(request.wfile.write(raw))) as server:
        error = failure(server)
    assert (error.kind, error.permanent) == ("connection", False)
    assert said in str(error)


def void(_: object) -> None:
    pass


def forever(piece: bytes, start: bytes = b"", pause: float = 0.02) -> Answer:
    def answer(request: Receiver) -> None:
        request.wfile.write(start)
        until = time.monotonic() + 5
        while time.monotonic() < until:
            request.wfile.write(piece)
            time.sleep(pause)

    return answer


OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(forever(b"x"), id="in the status line"),
        pytest.param(forever(b"x", OK + b"X-Slow: "), id="in a header"),
        pytest.param(forever(b"x", OK + b"Content-Length: 100000\r\n\r\n"), id="in the body"),
        pytest.param(forever(b"x", OK + b"\r\n"), id="in a body without length"),
        pytest.param(forever(b"1\r\nx\r\n", OK + b"Transfer-Encoding: chunked\r\n\r\n"), id="in chunks"),
        pytest.param(forever(b"X: y\r\n", OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n"), id="in trailers"),
        pytest.param(forever(b"HTTP/1.1 100 Continue\r\n\r\n"), id="in interim answers"),
        pytest.param(lambda request: void(request.rfile.read(1)), id="in silence"),
    ],
)
def test_a_peer_that_sends_a_byte_at_a_time_is_given_up(answer: Answer) -> None:
    began = time.monotonic()
    with serving(answer) as server:
        error = failure(server, seconds=0.3)
    assert time.monotonic() - began < 3  # the server too sees that nobody listens any more
    assert (error.kind, error.permanent) == ("timeout", False)
    assert str(error).startswith(f"POST {server.url}/hook: ")


def test_a_peer_that_does_not_finish_its_handshake_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"https://127.0.0.1:{listener.getsockname()[1]}/"
        error = support.failure({"type": "http", "url": url}, attempt(seconds=0.3), LOCAL)
    assert error.kind == "timeout"


def test_a_name_server_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: void(ended.wait(5)))
    try:
        error = support.failure({"type": "http", "url": "http://slow.test/"}, attempt(seconds=0.2), LOCAL)
    finally:
        ended.set()
    assert error.kind == "timeout"


def test_nothing_is_sent_when_the_time_is_up() -> None:
    with serving() as server:
        assert failure(server, seconds=0).kind == "timeout"
    assert not server.received


def test_nothing_is_sent_when_the_time_ran_out_while_connecting() -> None:
    left = iter([10.0, 10.0, 0.0])
    with serving() as server:
        given = dataclasses.replace(attempt(), seconds_left=lambda: next(left))
        assert support.failure(settings(server), given, LOCAL).kind == "timeout"
    assert not server.received


def test_a_connection_that_is_never_accepted_is_given_up() -> None:
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        stack.enter_context(socket.create_connection(listener.getsockname()))  # fills the queue
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        threads = threading.active_count()
        assert support.failure({"type": "http", "url": url}, attempt(seconds=0.3), LOCAL).kind == "timeout"
        until = time.monotonic() + 2
        while threading.active_count() > threads and time.monotonic() < until:
            time.sleep(0.02)
        assert threading.active_count() <= threads


def test_a_name_that_resolves_too_late_is_not_called(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = threading.Event()

    def late(*args: Any, **more: Any) -> Any:
        time.sleep(0.3)
        asked.set()
        return getaddrinfo(*args, **more)

    with serving() as server:
        monkeypatch.setattr(socket, "getaddrinfo", late)
        assert failure(server, seconds=0.1).kind == "timeout"
        assert asked.wait(2)
        time.sleep(0.1)
    assert not server.received


def test_100_megabytes_are_cut_at_one_and_the_rest_is_not_awaited() -> None:
    sent = 0

    def answer(request: Receiver) -> None:
        nonlocal sent
        request.send(200, b"", Content_Length=str(100 * 2**20), Content_Type="application/json")
        request.wfile.write(b'"')
        for _ in range(1600):
            sent += request.wfile.write(b"x" * 2**16)

    with serving(answer) as server:
        output = act(server)
    assert isinstance(output, str)
    assert output == '"' + "x" * (wire.MAX_BODY - 1)
    assert sent < 50 * 2**20


@pytest.mark.parametrize("more", [0, 1])
def test_a_json_body_is_parsed_up_to_the_limit_and_text_beyond(more: int) -> None:
    body = json.dumps("x" * (wire.MAX_BODY - 2 + more)).encode()
    output = answered(200, body, Content_Type="application/json")
    assert output == (body.decode()[: wire.MAX_BODY] if more else "x" * (wire.MAX_BODY - 2))


def test_a_json_body_that_was_cut_is_text_even_where_it_parses() -> None:
    body = b"1" + b" " * wire.MAX_BODY + b"!"
    assert answered(200, body, Content_Type="application/json") == "1" + " " * (wire.MAX_BODY - 1)


# Where it may connect


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "0x7f.1",
        "0177.0.0.1",
        "2130706433",
        "localhost",
        "１２７.0.0.1",
        "0.0.0.0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b:1::a00:1]",
        "[2002:7f00:1::]",
        "[2001:0:7f00:1::]",
        "169.254.169.254",
        "[::ffff:a9fe:a9fe]",
        "[fe80::1]",
        "[fec0::1]",
        "[fd00:ec2::254]",
        "10.1.2.3",
        "172.31.255.255",
        "192.168.0.1",
        "192.0.0.1",
        "192.88.99.1",
        "198.18.0.1",
        "100.64.0.1",
        "100.127.255.255",
        "224.0.0.1",
        "[ff02::1]",
        "240.0.0.1",
        "255.255.255.255",
    ],
)
def test_an_internal_address_is_refused_however_it_is_written(host: str) -> None:
    error = support.failure({"type": "http", "url": f"http://{host}:9/x?q=1"}, attempt(seconds=3))
    assert (error.kind, error.permanent) == ("address_refused", True)
    assert "BELFRY_ALLOW_NETWORKS" in str(error)


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "100.63.0.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"],
)
def test_a_public_address_may_be_reached(address: str) -> None:
    assert addresses.allowed(address, ())


@pytest.mark.parametrize(
    ("address", "network", "reached"),
    [
        ("10.1.2.3", "10.0.0.0/8", True),
        ("10.1.2.3", "10.2.0.0/16", False),
        ("::ffff:10.1.2.3", "10.0.0.0/8", True),
        ("10.1.2.3", "::/0", False),
        ("fe80::1%eth0", "fe80::/10", True),
        ("0.0.0.0", "127.0.0.0/8", False),
    ],
)
def test_only_the_networks_named_are_opened(address: str, network: str, reached: bool) -> None:
    assert addresses.allowed(address, [ip_network(network)]) is reached


Resolver = Callable[..., list[Any]]


def resolving(*answers: list[str]) -> tuple[Resolver, list[str]]:
    """A getaddrinfo that gives each answer once, in turn; and the names it was asked for."""
    asked, left = list[str](), list(answers)

    def resolve(host: str, port: int, **more: Any) -> list[Any]:
        asked.append(host)
        return [entry for address in left.pop(0) for entry in getaddrinfo(address, port, **more)]

    return resolve, asked


def named(
    monkeypatch: pytest.MonkeyPatch, server: Server, *answers: list[str]
) -> tuple[dict[str, Any], list[str]]:
    """Settings that call `server` as hook.test, which resolves to these addresses in turn."""
    resolve, asked = resolving(*answers)
    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return {"type": "http", "url": f"http://hook.test:{server.server_port}/x"}, asked


ONE = toolbox(allow="127.0.0.1/32")


def test_a_name_that_resolves_to_an_internal_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as server:
        hook, _ = named(monkeypatch, server, ["127.0.0.1"])
        assert support.failure(hook).kind == "address_refused"
    assert not server.received


def test_a_name_is_resolved_once_and_that_very_address_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as server:
        hook, asked = named(monkeypatch, server, ["127.0.0.1"], ["127.0.0.2"])
        support.act(hook, tools=ONE)
        assert asked == ["hook.test"]
        assert server.received[0].headers["Host"] == f"hook.test:{server.server_port}"
        assert support.failure(hook, tools=ONE).kind == "address_refused"
    assert len(server.received) == 1


def test_of_several_addresses_only_the_allowed_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as server:
        hook, _ = named(monkeypatch, server, ["127.0.0.2", "::1", "127.0.0.1"])
        support.act(hook, tools=ONE)
    assert len(server.received) == 1


def test_the_next_address_is_tried_if_one_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as server:
        hook, _ = named(monkeypatch, server, ["::1", "127.0.0.3", "127.0.0.1"])
        support.act(hook, tools=LOCAL)
    assert len(server.received) == 1


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for hook.test, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "hook.test")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("hook.test")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    form, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    secret = key.private_bytes(serialization.Encoding.PEM, form, plain)
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + secret)
    return path


@contextmanager
def serving_tls(certificate: Path) -> Iterator[Server]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with serving(replying(200, b"secure"), context) as server:
        yield server


def secure(monkeypatch: pytest.MonkeyPatch, server: Server, name: str) -> dict[str, Any]:
    resolve, _ = resolving(["127.0.0.1"])
    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return {"type": "http", "url": f"https://{name}:{server.server_port}/x"}


def test_with_tls_the_certificate_is_checked_for_the_name(
    monkeypatch: pytest.MonkeyPatch, certificate: Path
) -> None:
    trusting = ssl.create_default_context(cafile=str(certificate))
    monkeypatch.setattr(wire, "_tls", lambda: trusting)
    with serving_tls(certificate) as server:
        assert support.act(secure(monkeypatch, server, "hook.test"), tools=LOCAL) == "secure"
    with serving_tls(certificate) as server:
        error = support.failure(secure(monkeypatch, server, "other.test"), tools=LOCAL)
    assert (error.kind, error.permanent) == ("connection", False)
    assert "its certificate is not valid (Hostname mismatch" in str(error)


def test_a_certificate_that_nobody_signed_is_not_accepted(
    monkeypatch: pytest.MonkeyPatch, certificate: Path
) -> None:
    with serving_tls(certificate) as server:
        error = support.failure(secure(monkeypatch, server, "hook.test"), tools=LOCAL)
    assert (error.kind, error.permanent) == ("connection", False)
    assert "self-signed certificate" in str(error)


def test_tls_to_a_plain_server_fails_with_the_reason() -> None:
    with serving() as server:
        url = server.url.replace("http:", "https:")
        error = support.failure({"type": "http", "url": url}, tools=LOCAL)
    assert error.kind == "connection"
    assert "TLS failed" in str(error)


def test_nothing_stays_open_after_a_call() -> None:
    def opened() -> int:
        return len(os.listdir("/proc/self/fd")) + threading.active_count()

    with serving(replying(500)) as server:
        before = opened()
        for _ in range(30):
            failure(server)
        assert opened() < before + 15  # the server may still be closing the last ones
