"""The stack is killed in the middle of its work and started again: no slot is lost or doubled."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
FINISHED = {"completed", "failed", "skipped", "missed", "cancelled"}


class Slow(BaseHTTPRequestHandler):
    """Answers after as many seconds as the path says."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        time.sleep(float(self.path[1:]))
        try:
            self.send_response(204)
            self.end_headers()
        except OSError:
            pass  # the caller was killed

    def log_message(self, *given: Any) -> None:
        pass


@pytest.fixture
def target() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Slow) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@contextmanager
def stack(environment: dict[str, str]) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "infra.local", "--port", "0"],
        cwd=ROOT, env=os.environ | environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    assert process.stdout
    with process.stdout:
        found = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
        assert found, "the stack did not start"
        try:
            yield found[0], process
        finally:
            process.kill()
            process.wait()


def call(url: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as reply:
        return json.loads(reply.read())


def verdicts(runs: list[dict[str, Any]], interval: int) -> Counter[datetime]:
    """How often each slot is accounted for."""
    found: Counter[datetime] = Counter()
    for run in runs:
        last = datetime.fromisoformat(run["scheduled_for"])
        many = run["missed"]
        slot = datetime.fromisoformat(many["from"]) if many else last
        while slot <= last:
            found[slot] += 1
            slot += timedelta(seconds=interval)
    return found


def all_runs(jobs: str, job_id: str) -> list[dict[str, Any]]:
    pages = (call(f"{jobs}/{job_id}/runs?limit=200&offset={offset}")["runs"] for offset in (0, 200))
    return [run for page in pages for run in page]


def test_a_killed_stack_leaves_each_slot_exactly_one_verdict_and_no_run_running(
    dynamodb_local_url: str, moto_server: str, target: str
) -> None:
    environment = {
        "AWS_ENDPOINT_URL_DYNAMODB": dynamodb_local_url,
        "AWS_ENDPOINT_URL_SQS": moto_server,
        "BELFRY_LOOKAHEAD_SECONDS": "1",  # so that what comes after the restart is in the agenda only
    }
    shared = {"timeout_seconds": 5, "retry": {"max_attempts": 2, "strategy": "fixed", "base_delay": 1}}
    wanted = [
        (1, {"overlap": "allow", "misfire_grace_seconds": 2}, "0"),
        (2, {"overlap": "queue", "misfire_grace_seconds": 2}, "3"),
        (2, {"overlap": "skip"}, "3"),
        (3, {"overlap": "allow", "misfire": "catch_up", "misfire_grace_seconds": 1}, "1"),
    ]
    with stack(environment) as (url, process):
        jobs = f"{url}/api/scheduler/jobs"
        made = [
            call(jobs, {
                "name": f"every {seconds} s", "schedule": {"type": "every", "interval": seconds},
                "action": {"type": "http", "url": f"{target}/{pause}"}, **shared, **policy,
            })
            for seconds, policy, pause in wanted
        ]  # fmt: skip
        first = [datetime.fromisoformat(job["next_run_at"]) for job in made]
        time.sleep(6 + (51 - time.time()) % 60)  # until three seconds before a minute: the outage takes it in
        before = [run for job in made for run in all_runs(jobs, job["id"])]
        assert "running" in {run["status"] for run in before}, "nothing was running when the stack was killed"
        os.killpg(process.pid, signal.SIGKILL)
    time.sleep(7)
    with stack(environment) as (url, _):
        jobs = f"{url}/api/scheduler/jobs"
        time.sleep(6)
        ends = []
        for job in made:
            call(f"{jobs}/{job['id']}/pause", {})
            ends.append(datetime.now().astimezone())
        slots = [
            [
                begin + timedelta(seconds=seconds * i)
                for i in range(int((end - begin).total_seconds() / seconds))
            ]
            for (seconds, _, _), begin, end in zip(wanted, first, ends, strict=True)
        ]
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            runs = [all_runs(jobs, job["id"]) for job in made]
            found = [verdicts(some, seconds) for (seconds, _, _), some in zip(wanted, runs, strict=True)]
            missing = [
                slot for some, known in zip(slots, found, strict=True) for slot in some if not known[slot]
            ]
            if not missing and all(run["status"] in FINISHED for some in runs for run in some):
                break  # a message that was in a worker's hands, and not claimed, came back
            time.sleep(1)
        assert missing == []
        assert Counter(run["status"] for some in runs for run in some) == Counter(
            run["status"] for some in runs for run in some if run["status"] in FINISHED
        )
        assert [slot for known in found for slot, count in known.items() if count > 1] == []
