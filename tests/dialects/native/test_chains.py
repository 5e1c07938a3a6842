"""Chains over HTTP, carried out by moto's Step Functions through the real queue and worker."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import boto3
import pytest
import time_machine

from chalicelib import composition
from chalicelib.core.errors import ActionError
from tests.dialects.conftest import Client

JOBS, CHAINS = "/api/scheduler/jobs", "/api/scheduler/chains"
NEVER = {"type": "cron", "expression": "0 0 1 1 *"}
FETCH_TRANSFORM_STORE = [
    {"from": 0, "to": 1, "type": "on_success"},
    {"from": 1, "to": 2, "type": "on_success"},
    {"from": 0, "to": 2, "type": "on_failure"},
]


@pytest.fixture
def failing(api: Client, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Names of jobs that fail."""
    names: set[str] = set()

    def act(attempt: Any, settings: Any) -> str:
        if attempt.job["name"] in names:
            raise ActionError("broken", "as it was told", permanent=True)
        return "done"

    monkeypatch.setitem(composition.HANDLERS, "echo", act)
    return names


def made(api: Client, *names: str) -> list[str]:
    action = {"type": "handler", "name": "echo"}
    bodies = ({"name": name, "schedule": NEVER, "action": action, "overlap": "allow"} for name in names)
    return [api("POST", JOBS, body).body["id"] for body in bodies]


def chained(api: Client, jobs: list[str], edges: list[dict[str, Any]], **fields: Any) -> dict[str, Any]:
    named = [{**edge, "from": jobs[edge["from"]], "to": jobs[edge["to"]]} for edge in edges]
    reply = api("POST", CHAINS, {"name": "Data pipeline", "jobs": jobs, "edges": named, **fields})
    assert reply.status == 201, reply.body
    body: dict[str, Any] = reply.body
    return body


def until(api: Client, done: Callable[[], Any]) -> Any:
    """Works until something is so: moto's executions have threads of their own."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if not api.work():
            if found := done():
                return found
            time.sleep(0.02)
    raise AssertionError("it did not come to that")


def under_way(api: Client, chain: str) -> str:
    """An execution of the chain whose thread has sent its first node to the queue."""
    execution: str = api("POST", f"{CHAINS}/{chain}/trigger").body["execution_id"]
    deadline = time.monotonic() + 20
    while not composition.engine().queue.depth() and time.monotonic() < deadline:
        time.sleep(0.02)
    return execution


def ended(api: Client, chain: str) -> dict[str, Any]:
    """The chain's one execution, when it has ended."""

    def look() -> Any:
        found = api("GET", f"{CHAINS}/{chain}/executions").body["executions"]
        return [one for one in found if one["status"] != "running"]

    (execution,) = until(api, look)
    body: dict[str, Any] = api("GET", f"{CHAINS}/{chain}/executions/{execution['id']}").body
    return body


def statuses(api: Client, execution: dict[str, Any], jobs: list[str]) -> list[str]:
    return [execution["nodes"][job]["status"] for job in jobs]


def test_the_documents_chain_is_made_listed_and_deleted(api: Client) -> None:
    jobs = made(api, "fetch", "transform", "store")
    chain = chained(api, jobs, FETCH_TRANSFORM_STORE)
    assert chain["name"] == "Data pipeline"
    assert chain["jobs"] == jobs
    assert chain["edges"][2] == {"from": jobs[0], "to": jobs[2], "type": "on_failure"}
    assert chain["id"].startswith("chain_")
    assert api("GET", f"{CHAINS}/{chain['id']}").body == chain
    assert api("GET", CHAINS).body == {"chains": [chain], "count": 1}
    assert api("DELETE", f"{CHAINS}/{chain['id']}").status == 204
    assert api("GET", f"{CHAINS}/{chain['id']}").status == 404
    assert api("DELETE", f"{JOBS}/{jobs[0]}").status == 204


@pytest.mark.parametrize(
    ("broken", "states", "outcome"),
    [
        ([], ["completed", "completed", "completed"], "completed"),
        (["fetch"], ["failed", "skipped", "completed"], "completed"),
        (["transform"], ["completed", "failed", "skipped"], "failed"),
    ],
)
def test_a_roots_own_run_starts_the_chain(
    api: Client, failing: set[str], broken: list[str], states: list[str], outcome: str
) -> None:
    jobs = made(api, "fetch", "transform", "store")
    chain = chained(api, jobs, FETCH_TRANSFORM_STORE)
    failing.update(broken)
    run = api("POST", f"{JOBS}/{jobs[0]}/trigger").body["run_id"]
    execution = ended(api, chain["id"])
    assert statuses(api, execution, jobs) == states
    assert (execution["status"], execution["root"]) == (outcome, jobs[0])
    assert execution["nodes"][jobs[0]]["run_id"] == run
    for job, state in zip(jobs, states, strict=True):
        found = api("GET", f"{JOBS}/{job}/runs").body["runs"]
        assert [one["status"] for one in found] == ([] if state == "skipped" else [state])
    stored = api("GET", f"{JOBS}/{jobs[2]}/runs").body["runs"]
    assert {(one["trigger"], one["chain_id"]) for one in stored} <= {("chain", chain["id"])}


def test_a_dry_run_of_a_root_starts_no_chain(api: Client, failing: set[str]) -> None:
    jobs = made(api, "a", "b")
    chain = chained(api, jobs, [{"from": 0, "to": 1, "type": "on_success"}])
    api("POST", f"{JOBS}/{jobs[0]}/trigger", {"dry_run": True})
    api.work()
    assert api("GET", f"{JOBS}/{jobs[0]}/runs").body["runs"][0]["status"] == "completed"
    assert api("GET", f"{CHAINS}/{chain['id']}/executions").body["count"] == 0


def test_a_chain_can_be_triggered_whole(api: Client, failing: set[str]) -> None:
    jobs = made(api, "a", "b", "c", "d")
    edges = [
        {"from": 0, "to": 1, "type": "on_success"},
        {"from": 0, "to": 2, "type": "on_success"},
        {"from": 1, "to": 3, "type": "on_complete"},
        {"from": 2, "to": 3, "type": "on_complete"},
    ]
    chain = chained(api, jobs, edges, join="all")
    started = api("POST", f"{CHAINS}/{chain['id']}/trigger")
    assert (started.status, started.body["chain_id"], started.body["status"]) == (202, chain["id"], "running")
    execution = ended(api, chain["id"])
    assert execution["id"] == started.body["execution_id"]
    assert statuses(api, execution, jobs) == ["completed"] * 4
    assert execution["root"] is None


def test_a_root_message_delivered_twice_starts_one_execution(api: Client, failing: set[str]) -> None:
    jobs = made(api, "a", "b")
    chain = chained(api, jobs, [{"from": 0, "to": 1, "type": "on_success"}])
    api("POST", f"{JOBS}/{jobs[0]}/trigger")
    queue = composition.engine().queue
    (message,) = boto3.client("sqs").receive_message(QueueUrl=queue._url, VisibilityTimeout=0)["Messages"]
    api.work()
    boto3.client("sqs").send_message(QueueUrl=queue._url, MessageBody=message["Body"])
    ended(api, chain["id"])
    while api.work():
        pass
    assert api("GET", f"{CHAINS}/{chain['id']}/executions").body["count"] == 1
    assert api("GET", f"{JOBS}/{jobs[1]}/runs").body["count"] == 1


def test_a_chained_run_that_retries_reports_after_its_last_attempt(
    api: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[int] = []

    def act(attempt: Any, settings: Any) -> str:
        tries.append(attempt.number)
        if attempt.job["name"] == "b" and attempt.number < 2:
            raise ActionError("flaky", "not yet")
        return "done"

    monkeypatch.setitem(composition.HANDLERS, "echo", act)
    jobs = made(api, "a", "b")
    retry = {"max_attempts": 2, "strategy": "fixed", "base_delay": 0}
    api("PUT", f"{JOBS}/{jobs[1]}", {"retry": retry})
    chain = chained(api, jobs, [{"from": 0, "to": 1, "type": "on_success"}])
    api("POST", f"{CHAINS}/{chain['id']}/trigger")
    assert statuses(api, ended(api, chain["id"]), jobs) == ["completed", "completed"]
    assert tries == [1, 1, 2]


def test_a_chained_run_that_is_cancelled_fails_its_node(api: Client, failing: set[str]) -> None:
    jobs = made(api, "a", "b", "c")
    edges = [{"from": 0, "to": 1, "type": "on_success"}, {"from": 1, "to": 2, "type": "on_failure"}]
    chain = chained(api, jobs, edges)
    api("PUT", f"{JOBS}/{jobs[1]}", {"overlap": "queue"})
    composition.engine().jobs.lock(jobs[1], "another", *_for_an_hour())
    api("POST", f"{CHAINS}/{chain['id']}/trigger")

    def waiting() -> Any:
        found = api("GET", f"{JOBS}/{jobs[1]}/runs").body["runs"]
        return [run for run in found if run["reason"]]

    (run,) = until(api, waiting)
    assert api("POST", f"{JOBS}/{jobs[1]}/runs/{run['id']}/cancel").status == 200
    assert statuses(api, ended(api, chain["id"]), jobs) == ["completed", "failed", "completed"]


def test_an_execution_can_be_cancelled_whole(api: Client, failing: set[str]) -> None:
    jobs = made(api, "a", "b")
    chain = chained(api, jobs, [{"from": 0, "to": 1, "type": "on_success"}])
    api("PUT", f"{JOBS}/{jobs[0]}", {"overlap": "queue"})
    composition.engine().jobs.lock(jobs[0], "another", *_for_an_hour())
    execution = api("POST", f"{CHAINS}/{chain['id']}/trigger").body["execution_id"]
    path = f"{CHAINS}/{chain['id']}/executions/{execution}"
    until(api, lambda: api("GET", path).body["nodes"][jobs[0]]["status"] == "running")
    cancelled = api("POST", f"{path}/cancel")
    assert (cancelled.status, cancelled.body["status"]) == (200, "cancelled")
    (run,) = api("GET", f"{JOBS}/{jobs[0]}/runs").body["runs"]
    assert run["status"] == "cancelled"
    assert api("POST", f"{path}/cancel").status == 200, "what failed half way can be done again"
    assert api("GET", f"{JOBS}/{jobs[1]}/runs").body["count"] == 0


def test_an_execution_that_has_ended_is_not_cancelled(api: Client, failing: set[str]) -> None:
    jobs = made(api, "a", "b")
    chain = chained(api, jobs, [{"from": 0, "to": 1, "type": "on_success"}])
    api("POST", f"{CHAINS}/{chain['id']}/trigger")
    execution = ended(api, chain["id"])
    assert api("POST", f"{CHAINS}/{chain['id']}/executions/{execution['id']}/cancel").status == 409


def test_a_node_whose_execution_was_cancelled_while_it_was_queued_does_not_run(
    api: Client, failing: set[str]
) -> None:
    jobs = made(api, "a", "b")
    chain = chained(api, jobs, [{"from": 0, "to": 1, "type": "on_success"}])
    execution = under_way(api, chain["id"])
    assert api("POST", f"{CHAINS}/{chain['id']}/executions/{execution}/cancel").status == 200
    (run,) = until(api, lambda: api("GET", f"{JOBS}/{jobs[0]}/runs").body["runs"])
    assert (run["status"], run["started_at"]) == ("cancelled", None)


def test_a_node_is_given_the_outputs_of_those_before_it(api: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def act(attempt: Any, settings: Any) -> Any:
        seen[attempt.job["name"]] = attempt.input
        return {"rows": 3}

    monkeypatch.setitem(composition.HANDLERS, "echo", act)
    jobs = made(api, "fetch", "store")
    chain = chained(api, jobs, [{"from": 0, "to": 1, "type": "on_success"}])
    api("POST", f"{JOBS}/{jobs[0]}/trigger")
    ended(api, chain["id"])
    assert seen["store"] == {jobs[0]: {"rows": 3}}


def test_an_execution_that_was_stopped_from_outside_is_seen_to_have_ended(
    api: Client, failing: set[str]
) -> None:
    jobs = made(api, "a", "b")
    chain = chained(api, jobs, [{"from": 0, "to": 1, "type": "on_success"}])
    execution = under_way(api, chain["id"])
    engine = composition.engine()
    engine.workflows.stop(engine.records.get("chain", chain["id"])["machine_arn"], execution, "by hand")  # type: ignore[index]
    path = f"{CHAINS}/{chain['id']}/executions/{execution}"
    with time_machine.travel(engine.now() + timedelta(minutes=2)):
        until(api, lambda: api("GET", path).body["status"] == "cancelled")
    assert api("GET", f"{CHAINS}/{chain['id']}/executions").body["executions"][0]["status"] == "cancelled"


def test_a_chain_that_cannot_be_started_is_started_when_the_message_comes_again(
    api: Client, failing: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = made(api, "a", "b")
    chain = chained(api, jobs, [{"from": 0, "to": 1, "type": "on_success"}])
    start = composition.engine().workflows.start
    calls: list[int] = []

    def at_first_not(*given: Any) -> bool:
        calls.append(1)
        if len(calls) == 1:
            raise RuntimeError("throttled")
        return start(*given)

    monkeypatch.setattr(composition.engine().workflows, "start", at_first_not)
    monkeypatch.setattr("chalicelib.scheduler.handling.TELL_AGAIN", timedelta())
    api("POST", f"{JOBS}/{jobs[0]}/trigger")
    assert statuses(api, ended(api, chain["id"]), jobs) == ["completed", "completed"]
    assert api("GET", "/api/scheduler/stats").body["total_runs_today"] == 2


def test_an_operator_cannot_run_an_admins_task_by_a_chain(api: Client) -> None:
    task = {"name": "n", "schedule": NEVER, "action": {"type": "task", "name": "agenda-sweep"}}
    job = api("POST", JOBS, task).body["id"]
    operator = api.key("operator")
    body = {"name": "n", "jobs": [job], "edges": []}
    assert api("POST", CHAINS, body, operator).status == 403
    chain = api("POST", CHAINS, body).body["id"]
    assert api("POST", f"{CHAINS}/{chain}/trigger", headers=operator).status == 403
    run = api("POST", f"{JOBS}/{job}/trigger").body["run_id"]
    api.work()
    assert api("POST", f"{JOBS}/{job}/runs/{run}/rerun", headers=operator).status == 403


def test_an_execution_of_a_deleted_chain_can_still_be_seen(api: Client, failing: set[str]) -> None:
    jobs = made(api, "a", "b")
    chain = chained(api, jobs, [{"from": 0, "to": 1, "type": "on_success"}])
    api("POST", f"{CHAINS}/{chain['id']}/trigger")
    execution = ended(api, chain["id"])
    api("DELETE", f"{CHAINS}/{chain['id']}")
    found = api("GET", f"{CHAINS}/{chain['id']}/executions/{execution['id']}")
    assert (found.status, found.body["status"]) == (200, "completed")


def test_the_definition_and_the_drawing_can_be_read(api: Client, failing: set[str]) -> None:
    jobs = made(api, "fetch", "transform", "store")
    chain = chained(api, jobs, FETCH_TRANSFORM_STORE)
    definition = api("GET", f"{CHAINS}/{chain['id']}/definition").body
    assert {state["Type"] for state in definition["States"].values()} >= {"Task"}
    plain = api("GET", f"{CHAINS}/{chain['id']}/diagram")
    assert plain.headers["Content-Type"].startswith("text/plain")
    assert plain.body.startswith("flowchart")
    api("POST", f"{JOBS}/{jobs[0]}/trigger")
    execution = ended(api, chain["id"])
    drawn = api("GET", f"{CHAINS}/{chain['id']}/diagram?execution={execution['id']}").body
    assert drawn.count(":::completed") == 3


def test_a_job_in_a_chain_is_not_deleted(api: Client) -> None:
    jobs = made(api, "a", "b")
    chain = chained(api, jobs, [{"from": 0, "to": 1, "type": "on_success"}])
    reply = api("DELETE", f"{JOBS}/{jobs[1]}")
    assert reply.status == 409
    assert chain["id"] in reply.body["message"]


@pytest.mark.parametrize(
    ("field", "edges"),
    [
        ("edges", [{"from": 0, "to": 1, "type": "on_success"}, {"from": 1, "to": 0, "type": "on_success"}]),
        ("edges.0.to", [{"from": 0, "to": 0, "type": "on_success"}]),
        ("edges.1", [{"from": 0, "to": 1, "type": "on_success"}] * 2),
        ("edges.0.type", [{"from": 0, "to": 1, "type": "on_whim"}]),
    ],
)
def test_a_graph_that_is_no_chain_is_422(api: Client, field: str, edges: list[dict[str, Any]]) -> None:
    jobs = made(api, "a", "b")
    named = [{**edge, "from": jobs[edge["from"]], "to": jobs[edge["to"]]} for edge in edges]
    reply = api("POST", CHAINS, {"name": "n", "jobs": jobs, "edges": named})
    assert (reply.status, reply.body["details"][0]["field"]) == (422, field)
    assert api("GET", CHAINS).body["count"] == 0


@pytest.mark.parametrize("jobs", [[], ["job_unknown"], ["x" * 100], [f"job_{n}" for n in range(101)]])
def test_jobs_that_make_no_chain_are_422(api: Client, jobs: list[str]) -> None:
    reply = api("POST", CHAINS, {"name": "n", "jobs": jobs, "edges": []})
    assert reply.status == 422
    assert reply.body["details"][0]["field"].startswith("jobs")


@pytest.mark.parametrize("path", ["", "/executions", "/executions/x", "/definition", "/diagram"])
def test_an_unknown_chain_is_404(api: Client, path: str) -> None:
    assert api("GET", f"{CHAINS}/chain_unknown{path}").status == 404


def _for_an_hour() -> tuple[Any, Any]:
    engine = composition.engine()
    now = engine.now()
    return now + engine.lookahead * 20, now
