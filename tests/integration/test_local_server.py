"""The HTTP server and the gateway of the local stack, around an API of the test's own."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest
from chalice.app import Chalice, Response

from infra.local.gateway import Gateway
from infra.local.server import Server


class Reply(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)


PUT = b"PUT /things/x HTTP/1.1\r\nHost: localhost\r\n"


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    server = Server(0)
    server.serve(Gateway(api()).answer)
    yield server.port
    server.close()


def api() -> Chalice:
    app = Chalice(app_name="stage", configure_logs=False)

    @app.route("/things/{thing_id}", methods=["GET", "PUT"])
    def thing(thing_id: str) -> Any:
        request: Any = app.current_request
        time.sleep(0.001)  # so that requests overlap
        again = app.current_request
        return {
            "id": thing_id,
            "query": request.query_params
            and {name: request.query_params.getlist(name) for name in request.query_params},
            "source": request.context["identity"]["sourceIp"],
            "body": request.raw_body.decode(),
            "apart": request is again,
        }

    @app.route("/things/known")
    def known() -> Any:
        return Response({"known": True}, headers={"Set-Cookie": ["a=1", "b=2"]})

    @app.route("/things/known", methods=["DELETE"])
    def gone() -> Any:
        return Response("", status_code=204)

    return app


def call(
    port: int, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> Reply:
    with connected(port) as connection:
        connection.request(method, path, body, headers or {})
        return answer(connection)


@contextmanager
def connected(port: int) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    yield connection
    connection.close()


def answer(connection: http.client.HTTPConnection) -> Reply:
    response = connection.getresponse()
    return Reply(response.status, dict(response.headers), response.read())


def test_a_request_reaches_its_view_with_encoded_path_query_body_and_address(port: int) -> None:
    reply = call(
        port, "PUT", "/things/a%20b?x=1&x=2&empty=", b'{"a": 1}', {"Content-Type": "application/json"}
    )

    assert reply.status == 200
    assert reply.headers["Content-Type"] == "application/json"
    assert reply.document == {
        "id": "a%20b",
        "query": {"x": ["1", "2"], "empty": [""]},
        "source": "127.0.0.1",
        "body": '{"a": 1}',
        "apart": True,
    }


def test_a_static_segment_goes_before_a_variable_one(port: int) -> None:
    assert call(port, "GET", "/things/known").document == {"known": True}
    assert call(port, "GET", "/things/other/").document["id"] == "other"


def test_a_response_may_have_one_header_twice_or_no_body(port: int) -> None:
    with connected(port) as connection:
        connection.request("GET", "/things/known")
        response = connection.getresponse()
        assert response.headers.get_all("Set-Cookie") == ["a=1", "b=2"]
        response.read()

        connection.request("DELETE", "/things/known")
        reply = answer(connection)
    assert (reply.status, reply.body) == (204, b"")
    assert "Content-Length" not in reply.headers


@pytest.mark.parametrize("path", ["/", "/nothing", "/things", "/things//", "/things/a/b"])
def test_an_unknown_path_is_404_in_the_native_envelope(port: int, path: str) -> None:
    reply = call(port, "GET", path, headers={"Authorization": "Bearer x"})

    assert reply.status == 404
    assert reply.document["error"] == "not_found"


@pytest.mark.parametrize("method", ["POST", "OPTIONS", "BREW"])
def test_an_unknown_method_on_a_known_path_is_405_and_says_what_is_allowed(port: int, method: str) -> None:
    reply = call(port, method, "/things/x")

    assert reply.status == 405
    assert reply.headers["Allow"] == "GET, PUT"


def test_head_is_answered_as_get_without_the_body(port: int) -> None:
    reply = call(port, "HEAD", "/things/known")

    assert (reply.status, reply.body) == (200, b"")
    assert int(reply.headers["Content-Length"]) > 0


def test_a_connection_is_kept_for_the_next_request(port: int) -> None:
    with connected(port) as connection:
        connection.connect()
        local = connection.sock.getsockname()

        for _ in range(3):
            connection.request("GET", "/things/known")
            assert answer(connection).status == 200
            assert connection.sock.getsockname() == local


def test_a_chunked_body_arrives_whole(port: int) -> None:
    headers = {"Content-Type": "application/json", "Transfer-Encoding": "chunked"}
    with connected(port) as connection:
        connection.request("PUT", "/things/x", iter([b'{"a":', b" 1}"]), headers, encode_chunked=True)
        reply = answer(connection)

    assert reply.document["body"] == '{"a": 1}'


@pytest.mark.parametrize(
    "rest",
    [
        b"Content-Length: 10485761\r\n\r\n",
        b"Content-Length: 10485761\r\nExpect: 100-continue\r\n\r\n",
        b"Content-Length: 1" + b"0" * 5000 + b"\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\nA00001\r\n",
    ],
)
def test_a_body_over_ten_megabytes_is_refused_unread(port: int, rest: bytes) -> None:
    reply = raw(port, PUT + rest)

    assert reply.startswith(b"HTTP/1.1 413 ")
    assert b'"payload_too_large"' in reply


def test_a_client_that_sends_too_much_still_reads_the_answer(port: int) -> None:
    assert call(port, "PUT", "/things/x", b"x" * (11 * 1024 * 1024)).status == 413


def test_a_client_that_asks_first_is_told_to_go_on(port: int) -> None:
    head = PUT + b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        client.sendall(head)
        assert client.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"{}")
        assert client.recv(1000).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"nonsense\r\n\r\n",
        b"GET /things/x HTTP/1.1\r\nHost: [\r\n\r\n",
        PUT + b"Content-Length: -1\r\n\r\n",
        PUT + b"Content-Length: two\r\n\r\n",
        PUT + b"Transfer-Encoding: gzip\r\n\r\n",
        PUT + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        PUT + b"Transfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n",
    ],
)
def test_a_malformed_request_is_400_in_the_native_envelope(port: int, request_bytes: bytes) -> None:
    head, _, body = raw(port, request_bytes).partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 400 ")
    assert json.loads(body)["error"] == "bad_request"


def raw(port: int, request: bytes) -> bytes:
    """All that the server says to these bytes, until it closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        client.sendall(request)
        return b"".join(iter(lambda: client.recv(65536), b""))


def test_a_page_of_another_site_is_refused(port: int) -> None:
    own = {"Origin": f"http://127.0.0.1:{port}"}

    assert call(port, "GET", "/things/x", headers=own).status == 200
    assert call(port, "GET", "/things/x", headers={"Origin": "http://elsewhere.example"}).status == 403
    assert call(port, "GET", "/things/x", headers={"Host": "rebound.example"}).status == 403


def test_requests_at_the_same_time_are_kept_apart(port: int) -> None:
    with ThreadPoolExecutor(16) as clients:
        replies = list(clients.map(lambda n: call(port, "GET", f"/things/{n}").document, range(200)))

    assert [reply["id"] for reply in replies] == [str(n) for n in range(200)]
    assert all(reply["apart"] for reply in replies)
