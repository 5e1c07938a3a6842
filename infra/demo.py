"""`python -m infra.demo`: a job every two seconds on a stack of its own: its requests, and its history."""

from __future__ import annotations

import http.client
import json
import logging
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Empty, Queue
from typing import Any
from urllib.parse import urlsplit

from infra.local.stack import LocalStack

RUNS = 4
DEADLINE_SECONDS = 14
JOBS = "/api/scheduler/jobs"

Arrival = tuple[str, datetime]


class _Receiver(BaseHTTPRequestHandler):
    """Puts the run's name and the time of each request into the server's `arrivals`."""

    arrivals: Queue[Arrival]

    def do_POST(self) -> None:
        self.arrivals.put((self.headers["Idempotency-Key"], datetime.now(UTC)))
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the name that http.server gives it)
        pass


@contextmanager
def receiver() -> Iterator[tuple[str, Queue[Arrival]]]:
    """A real HTTP server: its URL, and the requests as they arrive."""
    arrivals: Queue[Arrival] = Queue()
    handler = type("Receiver", (_Receiver,), {"arrivals": arrivals})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/", arrivals
        server.shutdown()


@contextmanager
def stack() -> Iterator[str]:
    running = LocalStack()
    url = running.start()
    try:
        yield url
    finally:
        running.stop()


def call(url: str, method: str, path: str, body: Any = None) -> Any:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
    connection.request(method, path, body and json.dumps(body), {"Content-Type": "application/json"})
    response = connection.getresponse()
    answer = json.load(response)
    connection.close()
    if response.status >= http.client.BAD_REQUEST:
        sys.exit(f"{method} {path}: {response.status} {answer}")
    return answer


def watch(arrivals: Queue[Arrival]) -> None:
    """Show requests until there are RUNS of them or the time is up."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    for _ in range(RUNS):
        try:
            run, at = arrivals.get(timeout=max(0.0, deadline - time.monotonic()))
        except Empty:
            return
        slot = datetime.strptime(run.split("/")[1], "%Y%m%dT%H%M%S%z")
        print(f"  {at:%H:%M:%S.%f}  {run}  {(at - slot).total_seconds() * 1000:5.0f} ms after its slot")


def history(url: str, job_id: str) -> list[dict[str, Any]]:
    """The stored runs that have ended, newest first. The last request's run may be a moment from its end."""
    time.sleep(0.3)
    runs: list[dict[str, Any]] = call(url, "GET", f"{JOBS}/{job_id}/runs")["runs"]
    return [run for run in runs if run["completed_at"]]


def main() -> None:
    logging.basicConfig(level=logging.WARNING)
    with receiver() as (target, arrivals), stack() as url:
        action = {"type": "http", "method": "POST", "url": target}
        job = {"name": "demo", "schedule": {"type": "every", "interval": 2}, "action": action}
        made = call(url, "POST", JOBS, job)
        print(f"POST {JOBS} {json.dumps(job)}\n\nMade {made['id']}. Its requests, as the receiver gets them:")
        watch(arrivals)
        runs = history(url, made["id"])
        call(url, "POST", f"{JOBS}/{made['id']}/pause")
    print(f"\nGET {JOBS}/{made['id']}/runs")
    for run in runs:
        print(f"  {run['id']}  {run['status']}  {run['lateness_ms']} ms late  {len(run['attempts'])} attempt")
    if len(runs) < RUNS or any(run["status"] != "completed" for run in runs):
        sys.exit("\nNot all of the runs were completed.")


if __name__ == "__main__":
    main()
