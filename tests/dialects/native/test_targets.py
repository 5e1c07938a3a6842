"""Targets and agents: who they are, and what a job's goal becomes."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.dialects.conftest import Client

JOBS = "/api/scheduler/jobs"
NEVER = {"type": "cron", "expression": "0 0 1 1 *"}


class Agent(BaseHTTPRequestHandler):
    """Answers with what it was told."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *given: Any) -> None:
        pass


@pytest.fixture
def agent(api: Client) -> Iterator[str]:
    """A registered agent's id."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Agent) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/goals"
        assert api("PUT", "/api/targets/researcher", {"type": "http", "url": url}).status == 200
        assert api("PUT", "/api/agents/agent_123", {"name": "R", "target": "researcher"}).status == 200
        yield "agent_123"
        server.shutdown()


def run_of(api: Client, job: dict[str, Any], **trigger: Any) -> Any:
    made = api("POST", JOBS, {"name": "n", "schedule": NEVER, **job})
    assert made.status == 201, made.body
    return triggered(api, made.body["id"], **trigger)


def triggered(api: Client, job: str, **trigger: Any) -> Any:
    run = api("POST", f"{JOBS}/{job}/trigger", trigger).body["run_id"]
    api.work()
    return api("GET", f"{JOBS}/{job}/runs/{run}").body


def test_an_agent_is_told_its_goal_the_input_and_what_came_before(api: Client, agent: str) -> None:
    first = run_of(api, {"agent_id": agent, "goal": "Check the price"}, input={"coin": "BTC"})
    assert first["status"] == "completed"
    assert first["output"] == {
        "run_id": first["id"],
        "job_id": first["job_id"],
        "goal": "Check the price",
        "input": {"coin": "BTC"},
        "context": {"last_output": None},
    }
    second = triggered(api, first["job_id"])
    assert second["output"]["context"]["last_output"] == first["output"]


def test_a_job_can_name_a_target(api: Client) -> None:
    api("PUT", "/api/targets/echo", {"type": "handler", "name": "echo", "input": {"n": 1}})
    run = run_of(api, {"action": {"type": "target", "target": "echo"}})
    assert (run["status"], run["output"]) == ("completed", {"n": 1})


@pytest.mark.parametrize(
    ("job", "word"),
    [
        ({"agent_id": "nobody"}, "agent nobody is not registered"),
        ({"action": {"type": "target", "target": "nowhere"}}, "target nowhere is not registered"),
        ({"agent_id": "homeless"}, "target nowhere is not registered"),
    ],
)
def test_what_is_not_registered_fails_the_run_with_a_sentence(
    api: Client, job: dict[str, Any], word: str
) -> None:
    api("PUT", "/api/agents/homeless", {"name": "H", "target": "nowhere"})
    run = run_of(api, job)
    assert (run["status"], run["error"]["permanent"]) == ("failed", True)
    assert word in run["error"]["message"]


def test_targets_and_agents_are_listed_read_and_deleted(api: Client, agent: str) -> None:
    assert api("GET", "/api/targets").body["count"] == 1
    assert api("GET", "/api/targets/researcher").body["action"]["type"] == "http"
    (listed,) = api("GET", "/api/agents").body["agents"]
    assert listed == api("GET", f"/api/agents/{agent}").body
    assert (listed["status"], listed["target"]) == ("online", "researcher")
    for path in ("/api/targets/researcher", f"/api/agents/{agent}"):
        assert api("DELETE", path).status == 204
        assert api("GET", path).status == 404
        assert api("DELETE", path).status == 404


def test_a_heartbeat_is_answered_and_seen(api: Client, agent: str) -> None:
    usage = {"model": "m", "input_tokens": 10, "output_tokens": 2}
    reply = api("POST", f"/api/agents/{agent}/heartbeat", {"status": "busy", "token_usage": usage})
    assert (reply.status, reply.body["status"], reply.body["agent"]) == (200, "HEARTBEAT_OK", agent)
    assert api("GET", f"/api/agents/{agent}").body["status"] == "busy"
    assert api("POST", f"/api/agents/{agent}/heartbeat").status == 200
    assert api("POST", "/api/agents/nobody/heartbeat").status == 404


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/api/targets/t", {"type": "http"}, "url"),
        ("/api/targets/t", {"type": "target", "target": "t"}, "body"),
        ("/api/targets/t", {}, "body"),
        ("/api/targets/a b", {"type": "handler", "name": "echo"}, "id"),
        ("/api/agents/a", {"name": "A"}, "target"),
        ("/api/agents/a", {"name": "", "target": "t"}, "name"),
    ],
)
def test_a_wrong_target_or_agent_is_422(api: Client, path: str, body: Any, field: str) -> None:
    reply = api("PUT", path, body)
    assert (reply.status, reply.body["details"][0]["field"]) == (422, field), json.dumps(reply.body)


def test_only_an_admin_makes_a_target_of_a_built_in_task(api: Client) -> None:
    task = {"type": "task", "name": "agenda-sweep"}
    assert api("PUT", "/api/targets/sweep", task, api.key("operator")).status == 403
    assert api("PUT", "/api/targets/sweep", task, api.key("admin")).status == 200
    named = {"name": "n", "schedule": NEVER, "action": {"type": "target", "target": "sweep"}}
    assert api("POST", JOBS, named, api.key("operator")).status == 201
