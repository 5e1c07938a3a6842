"""The HTTP server of the local stack: HTTP/1.1 on the loopback address, a thread a connection."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import SplitResult, urlsplit

from infra.local.gateway import Answer, Call, refusal

log = logging.getLogger(__name__)

HOST = "127.0.0.1"
LOOPBACK_NAMES = {"127.0.0.1", "localhost", "::1"}
BODY_LIMIT = 10 * 1024 * 1024  # API Gateway's
CHUNK_LINE_LIMIT = 1024
IDLE_SECONDS = 75
LINGER_SECONDS = 2
FINISH_SECONDS = 5
WITHOUT_BODY = {204, 304}
# What the parser of http.server refuses, in the codes of the native envelope.
CODES = {
    400: "bad_request",
    408: "request_timeout",
    414: "uri_too_long",
    431: "headers_too_large",
    505: "http_version_not_supported",
}


class RefusedError(Exception):
    """The request ends here with this answer, and so does the connection: the rest of it is left unread."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        super().__init__(answer.status)

    @classmethod
    def malformed(cls, message: str) -> RefusedError:
        return cls(refusal(400, "bad_request", message))

    @classmethod
    def too_large(cls) -> RefusedError:
        return cls(refusal(413, "payload_too_large", f"The body is over {BODY_LIMIT} bytes."))


class Server(ThreadingHTTPServer):
    """Listens from its construction on; requests wait until `serve` is called with what answers them."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int) -> None:
        super().__init__((HOST, port), _Handler)
        self.answer: Callable[[Call], Answer]
        self._serving = False
        self._busy = 0
        self._idle = threading.Condition()

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def serve(self, answer: Callable[[Call], Answer]) -> None:
        self.answer = answer
        self._serving = True
        threading.Thread(target=self.serve_forever, args=(0.05,), name="http", daemon=True).start()

    def close(self) -> None:
        """Take no more connections, and let the requests in progress finish, for a while."""
        if self._serving:
            self.shutdown()
        self.server_close()
        with self._idle:
            self._idle.wait_for(lambda: self._busy == 0, timeout=FINISH_SECONDS)

    @contextmanager
    def busy(self) -> Iterator[None]:
        self._count(1)
        try:
            yield
        finally:
            self._count(-1)

    def _count(self, change: int) -> None:
        with self._idle:
            self._busy += change
            self._idle.notify_all()

    def handle_error(self, request: Any, client_address: Any) -> None:
        log.info("the connection from %s broke", client_address[0], exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = IDLE_SECONDS
    wbufsize = -1  # head and body leave in one piece
    disable_nagle_algorithm = True
    server: Server

    def __getattr__(self, name: str) -> Callable[[], None]:
        """http.server looks for `do_<METHOD>`: every method is answered here."""
        if name.startswith("do_"):
            return self._serve
        raise AttributeError(name)

    def version_string(self) -> str:
        return "Belfry"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the name that http.server gives it)
        log.info("%s", (format % args).encode("unicode_escape").decode())

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What http.server itself cannot read."""
        self.close_connection = True
        self._send(refusal(code, CODES.get(code, "bad_request"), message or "The request cannot be read."))

    def handle_expect_100(self) -> bool:
        """Ask for the body only if it may come. `_serve` is not reached with one that may not."""
        try:
            _length(self.headers.get("Content-Length"))
        except RefusedError as refused:
            self._refuse(refused)
            return False
        proceed = super().handle_expect_100()
        self.wfile.flush()
        return proceed

    def _serve(self) -> None:
        with self.server.busy():
            try:
                self._send(self.server.answer(self._call()))
                self.wfile.flush()
            except RefusedError as refused:
                self._refuse(refused)

    def _call(self) -> Call:
        self._check_origin()
        target = _split(self.path)
        headers = self.headers.items()
        return Call(self.command, target.path, target.query, headers, self._read(), self.client_address[0])

    def _check_origin(self) -> None:
        """Pages of other sites must not reach a stack that trusts whoever reaches its loopback address."""
        host = self.headers.get("Host", "")
        if _split(f"//{host}").hostname not in LOOPBACK_NAMES:
            raise RefusedError(refusal(403, "forbidden", "The local stack answers only to localhost."))
        if self.headers.get("Origin", f"http://{host}") != f"http://{host}":
            raise RefusedError(
                refusal(403, "forbidden", "The local stack takes no requests from other sites' pages.")
            )

    def _read(self) -> bytes:
        if "Transfer-Encoding" in self.headers:
            if self.headers["Transfer-Encoding"].lower() != "chunked" or "Content-Length" in self.headers:
                raise RefusedError.malformed("The body's length is stated in a way that is not understood.")
            return self._read_chunks()
        return self._read_exactly(_length(self.headers.get("Content-Length")))

    def _read_chunks(self) -> bytes:
        body = b""
        while size := self._chunk_size():
            if len(body) + size > BODY_LIMIT:
                raise RefusedError.too_large()
            body += self._read_exactly(size)
            if self.rfile.readline(CHUNK_LINE_LIMIT).strip():
                raise RefusedError.malformed("A chunk of the body is longer than it says.")
        while self.rfile.readline(CHUNK_LINE_LIMIT).strip():
            pass  # trailers
        return body

    def _chunk_size(self) -> int:
        line = self.rfile.readline(CHUNK_LINE_LIMIT).split(b";")[0].strip()
        try:
            return int(b"0x" + line, 16)
        except ValueError:
            raise RefusedError.malformed("A chunk of the body does not state its length.") from None

    def _read_exactly(self, size: int) -> bytes:
        body = self.rfile.read(size)
        if len(body) < size:
            raise RefusedError.malformed("The body is shorter than it says.")
        return body

    def _refuse(self, refused: RefusedError) -> None:
        self.close_connection = True
        self._send(refused.answer)
        self.wfile.flush()
        self._linger()

    def _linger(self) -> None:
        """Let the rest come for a moment, unread: closing at once would take the answer from the client."""
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            deadline = time.monotonic() + LINGER_SECONDS
            self.connection.settimeout(LINGER_SECONDS)
            while time.monotonic() < deadline and self.connection.recv(65536):
                pass

    def _send(self, answer: Answer) -> None:
        self.request_version = self.protocol_version  # a status line even for what named no version
        self.send_response(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        if answer.status in WITHOUT_BODY:
            self.end_headers()
            return
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        raise RefusedError.malformed("The address cannot be read.") from None


def _length(header: str | None) -> int:
    if header is None:
        return 0
    if not (header.isascii() and header.isdigit()):
        raise RefusedError.malformed("Content-Length is not a number.")
    if len(header) > len(str(BODY_LIMIT)) or int(header) > BODY_LIMIT:
        raise RefusedError.too_large()
    return int(header)
