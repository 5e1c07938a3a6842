"""A receiver of webhooks: a real HTTP server that keeps what it is sent and answers as it is told to."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import time_machine
from standardwebhooks import Webhook as Verifier


@dataclass(frozen=True)
class Request:
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def event(self) -> str:
        return str(self.json["event"])

    def verify(self, secret: str) -> None:
        """Both signatures, as a receiver does; by Standard Webhooks at the time of its sending."""
        digest = hmac.new(secret.encode(), self.body, hashlib.sha256).hexdigest()
        assert hmac.compare_digest(self.headers["x-mc-signature"], f"sha256={digest}")
        with time_machine.travel(self.sent_at, tick=False):
            Verifier(secret).verify(self.body, self.headers)

    @property
    def sent_at(self) -> datetime:
        return datetime.fromtimestamp(int(self.headers["webhook-timestamp"]), UTC)


class Receiver(ThreadingHTTPServer):
    """Answers 200, or what `answers` has for the next request: a status, or a function that writes."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.received: list[Request] = []
        self.answers: list[int | Callable[[BaseHTTPRequestHandler], None]] = []
        self.otherwise = 200
        self.url = f"http://127.0.0.1:{self.server_port}/hook"

    @property
    def events(self) -> list[str]:
        return [request.event for request in self.received]

    def handle_error(self, *_: Any) -> None:
        pass


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.received.append(Request(headers, body))
        answer = self.server.answers.pop(0) if self.server.answers else self.server.otherwise
        if callable(answer):
            answer(self)
            return
        self.send_response(answer)
        self.send_header("Location", "http://127.0.0.1:1/elsewhere")
        self.end_headers()
        self.wfile.write(b"x" * 5000)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def receiving() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
