"""Targets that answer 202, and report by HTTP with the token that they were sent."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.dialects.conftest import Client

JOBS = "/api/scheduler/jobs"
NEVER = {"type": "cron", "expression": "0 0 1 1 *"}
HEADER = "Belfry-Completion-Token"


class Target(BaseHTTPRequestHandler):
    tokens: list[str]

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.tokens.append(self.headers[HEADER])
        self.send_response(202)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *given: Any) -> None:
        pass


@pytest.fixture
def target(api: Client) -> Iterator[tuple[str, list[str]]]:
    """Its URL, and the tokens that it was sent."""
    tokens: list[str] = []
    handler = type("Here", (Target,), {"tokens": tokens})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/work", tokens
        server.shutdown()


def begun(api: Client, url: str, **fields: Any) -> str:
    """The path of a run that its target has accepted."""
    job = {"name": "n", "schedule": NEVER, "action": {"type": "http", "url": url}, **fields}
    made = api("POST", JOBS, job).body["id"]
    run = api("POST", f"{JOBS}/{made}/trigger").body["run_id"]
    api.work()
    return f"{JOBS}/{made}/runs/{run}"


def test_it_reports_progress_twice_and_completes(api: Client, target: tuple[str, list[str]]) -> None:
    url, tokens = target
    run = begun(api, url)
    shown = api("GET", run).body
    assert (shown["status"], shown["progress"]) == ("running", None)
    headers = {HEADER: tokens[0]}
    until = shown["awaited_until"]
    for percent in (40, 80):
        reply = api("POST", f"{run}/progress", {"percent": percent, "message": "on it"}, headers)
        assert reply.status == 200
        assert reply.body["progress"].items() >= {"percent": percent, "message": "on it"}.items()
        assert reply.body["awaited_until"] >= until
    reply = api("POST", f"{run}/complete", {"output": {"rows": 7}}, headers)
    assert (reply.status, reply.body["status"], reply.body["output"]) == (200, "completed", {"rows": 7})
    assert api("GET", run).body == reply.body
    assert api("POST", f"{run}/complete", {"output": 1}, headers).status == 409
    assert api("POST", f"{run}/complete", {}, {HEADER: "wrong"}).status == 403
    assert api("POST", f"{run}/progress", {}, headers).status == 409
    assert api("GET", "/api/scheduler/stats").body["total_runs_today"] == 1


def test_it_needs_the_token_and_nothing_else(
    api: Client, target: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, tokens = target
    run = begun(api, url)
    monkeypatch.setenv("BELFRY_ANONYMOUS_ROLE", "none")
    for headers in ({}, {HEADER: "wrong"}, api.key("admin")):
        refused = api("POST", f"{run}/complete", {}, headers)
        assert (refused.status, refused.body["error"]) == (403, "forbidden")
    assert api("POST", f"{run}/complete", {}, {HEADER: tokens[0]}).status == 200


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"status": "done"}, "status"),
        ({"error": "x"}, "error"),
        ({"status": "failed", "output": 1}, "output"),
        ({"status": "failed", "error": "x" * 501}, "error"),
        ({"result": 1}, "result"),
    ],
)
def test_a_report_that_cannot_be_read_changes_nothing(
    api: Client, target: tuple[str, list[str]], body: Any, field: str
) -> None:
    url, tokens = target
    run = begun(api, url)
    refused = api("POST", f"{run}/complete", body, {HEADER: tokens[0]})
    assert (refused.status, refused.body["details"][0]["field"]) == (422, field)
    assert api("GET", run).body["status"] == "running"


def test_a_secret_that_comes_back_in_a_report_is_hidden(api: Client, target: tuple[str, list[str]]) -> None:
    url, tokens = target
    api("PUT", "/api/secrets/KEY", {"value": "s3cr3t-value"})
    action = {"type": "http", "url": url, "headers": {"X-Key": "{{secret:KEY}}"}}
    run = begun(api, url, action=action, retry={"max_attempts": 2})
    said = {"message": "with s3cr3t-value"}
    reply = api("POST", f"{run}/progress", said, {HEADER: tokens[0]})
    assert reply.body["progress"]["message"] == "with ***"
    reply = api(
        "POST", f"{run}/complete", {"output": {"s3cr3t-value": ["s3cr3t-value"]}}, {HEADER: tokens[0]}
    )
    assert reply.body["output"] == {"***": ["***"]}
    run = begun(api, url, action=action)
    failed = {"status": "failed", "error": "no s3cr3t-value"}
    assert api("POST", f"{run}/complete", failed, {HEADER: tokens[1]}).body["error"]["message"] == "no ***"


def test_it_reports_a_failure(api: Client, target: tuple[str, list[str]]) -> None:
    url, tokens = target
    run = begun(api, url)
    said = {"status": "failed", "error": "no such customer", "permanent": True}
    reply = api("POST", f"{run}/complete", said, {HEADER: tokens[0]})
    assert reply.body["status"] == "failed"
    assert reply.body["error"] == {"type": "reported", "message": "no such customer", "permanent": True}


def test_an_agent_may_take_its_time(api: Client, target: tuple[str, list[str]]) -> None:
    url, tokens = target
    api("PUT", "/api/targets/researcher", {"type": "http", "url": url})
    api("PUT", "/api/agents/agent_123", {"name": "R", "target": "researcher"})
    run = begun(api, url, action=None, agent_id="agent_123", goal="Check the price")
    assert api("GET", run).body["status"] == "running"
    assert api("POST", f"{run}/complete", {"output": 1}, {HEADER: tokens[0]}).body["status"] == "completed"


def test_a_chain_goes_on_when_its_node_reports(api: Client, target: tuple[str, list[str]]) -> None:
    url, tokens = target
    first = api("POST", JOBS, {"name": "a", "schedule": NEVER, "action": {"type": "http", "url": url}}).body
    echo = {"type": "handler", "name": "echo"}
    second = api("POST", JOBS, {"name": "b", "schedule": NEVER, "action": echo}).body
    edge = {"from": first["id"], "to": second["id"], "type": "on_success"}
    body = {"name": "c", "jobs": [first["id"], second["id"]], "edges": [edge]}
    chain = f"/api/scheduler/chains/{api('POST', '/api/scheduler/chains', body).body['id']}"
    execution = api("POST", f"{chain}/trigger").body["execution_id"]
    worked(api, lambda: bool(tokens))
    nodes = api("GET", f"{chain}/executions/{execution}").body["nodes"]
    assert nodes[first["id"]]["status"] == "running"
    run = f"{JOBS}/{first['id']}/runs/{nodes[first['id']]['run_id']}"
    assert api("POST", f"{run}/complete", {"output": {"n": 1}}, {HEADER: tokens[0]}).status == 200

    def ended() -> bool:
        found = api("GET", f"{chain}/executions/{execution}").body
        return bool(found["status"] == "completed")

    worked(api, ended)
    nodes = api("GET", f"{chain}/executions/{execution}").body["nodes"]
    after = api("GET", f"{JOBS}/{second['id']}/runs/{nodes[second['id']]['run_id']}").body
    assert after["output"] == {first["id"]: {"n": 1}}


def worked(api: Client, done: Any) -> None:
    """Works off the queue until it is done: the state machine runs in threads of its own."""
    deadline = time.monotonic() + 20
    while not done():
        assert time.monotonic() < deadline
        if not api.work():
            time.sleep(0.02)


def test_a_job_says_how_long_it_may_be_silent(api: Client) -> None:
    job = {"name": "n", "schedule": NEVER, "completion_timeout_seconds": 0}
    refused = api("POST", JOBS, job)
    assert (refused.status, refused.body["details"][0]["field"]) == (422, "completion_timeout_seconds")
    made = api("POST", JOBS, job | {"completion_timeout_seconds": 7200}).body
    assert made["completion_timeout_seconds"] == 7200
