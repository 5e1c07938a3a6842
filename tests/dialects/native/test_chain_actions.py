"""Jobs that start chains, and jobs that ask a model: through the API, the queue and the worker."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from chalicelib import composition
from tests.dialects.conftest import Client
from tests.dialects.native.test_chains import CHAINS, JOBS, NEVER, chained, ended, made
from tests.integration.test_actions_bedrock import SAID
from tests.integration.test_actions_http import serving


def starter(api: Client, chain: str, **fields: Any) -> str:
    """A job that starts the chain."""
    body = {"name": "starter", "schedule": NEVER, "action": {"type": "chain", "chain": chain}, **fields}
    reply = api("POST", JOBS, body)
    assert reply.status == 201, reply.body
    job: str = reply.body["id"]
    return job


def change(api: Client, job: str, action: dict[str, Any]) -> None:
    assert api("PUT", f"{JOBS}/{job}", {"action": action}).status == 200


def run_of(api: Client, job: str) -> Any:
    run = api("POST", f"{JOBS}/{job}/trigger", {}).body["run_id"]
    api.work()
    return api("GET", f"{JOBS}/{job}/runs/{run}").body


def refused(api: Client, job: str) -> str:
    """Why the job's run failed for good."""
    run = run_of(api, job)
    assert (run["status"], run["error"]["permanent"]) == ("failed", True)
    message: str = run["error"]["message"]
    return message


def executions(api: Client, chain: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api("GET", f"{CHAINS}/{chain}/executions").body["executions"]
    return found


def test_a_run_starts_the_whole_chain(api: Client) -> None:
    jobs = made(api, "fetch", "other", "store")
    chain = chained(api, jobs, [{"from": 0, "to": 2, "type": "on_success"}])["id"]
    run = run_of(api, starter(api, chain))
    assert run["status"] == "completed"
    execution = ended(api, chain)
    assert run["output"] == {"chain_id": chain, "execution_id": execution["id"]}
    assert (execution["status"], execution["root"]) == ("completed", None)
    assert [execution["nodes"][job]["status"] for job in jobs] == ["completed"] * 3


def test_a_second_attempt_of_a_run_starts_no_second_execution(
    api: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = chained(api, made(api, "fetch"), [])["id"]
    job = starter(api, chain, retry={"max_attempts": 3, "base_delay": 0})
    engine = composition.engine()
    start, tries = engine.workflows.start, list[str]()

    def lost(arn: str, name: str, given: dict[str, Any]) -> bool:
        """The first time nothing reaches the service; the second time its answer is lost."""
        tries.append(name)
        there = len(tries) > 1 and start(arn, name, given)
        if len(tries) < 3:
            raise ClientError({"Error": {"Code": "ServiceUnavailable"}}, "StartExecution")
        return there

    monkeypatch.setattr(engine.workflows, "start", lost)
    run = run_of(api, job)
    while api.work():
        run = api("GET", f"{JOBS}/{job}/runs/{run['id']}").body
    assert (run["status"], len(run["attempts"])) == ("completed", 3), run
    assert set(tries) == {run["output"]["execution_id"]}
    assert [one["id"] for one in executions(api, chain)] == [run["output"]["execution_id"]]
    assert ended(api, chain)["status"] == "completed"


def test_each_run_starts_one_of_its_own(api: Client) -> None:
    chain = chained(api, made(api, "fetch"), [])["id"]
    job = starter(api, chain)
    ids = {run_of(api, job)["output"]["execution_id"] for _ in range(2)}
    assert ids == {one["id"] for one in executions(api, chain)}
    assert len(ids) == 2


def test_a_chain_that_is_not_there_is_named(api: Client) -> None:
    chain = chained(api, made(api, "fetch"), [])["id"]
    job = starter(api, chain)
    api("DELETE", f"{CHAINS}/{chain}")
    assert refused(api, job) == f"there is no chain {chain}"
    assert refused(api, starter(api, "chain_nowhere")) == "there is no chain chain_nowhere"


def test_a_chain_that_has_the_job_as_a_node_is_not_started(api: Client) -> None:
    jobs = made(api, "fetch", "store")
    chain = chained(api, jobs, [{"from": 0, "to": 1, "type": "on_success"}])["id"]
    change(api, jobs[1], {"type": "chain", "chain": chain})
    assert refused(api, jobs[1]) == (
        f"chain {chain} has this job, {jobs[1]}, as a node: it would start itself for ever"
    )
    assert executions(api, chain) == []


def test_nor_does_a_node_start_its_own_chain(api: Client) -> None:
    [job] = made(api, "fetch")
    chain = chained(api, [job], [])["id"]
    change(api, job, {"type": "chain", "chain": chain})
    api("POST", f"{CHAINS}/{chain}/trigger")
    execution = ended(api, chain)
    assert execution["status"] == "failed"
    run = api("GET", f"{JOBS}/{job}/runs/{execution['nodes'][job]['run_id']}").body
    assert "for ever" in run["error"]["message"]
    assert len(executions(api, chain)) == 1


def test_nor_by_way_of_another_chain_or_a_target(api: Client) -> None:
    first, second = made(api, "first", "second")
    outer, inner = chained(api, [first], [])["id"], chained(api, [second], [])["id"]
    api("PUT", "/api/targets/outer", {"type": "chain", "chain": outer})
    change(api, second, {"type": "target", "target": "outer"})
    change(api, first, {"type": "chain", "chain": inner})
    assert refused(api, first).startswith(f"chain {outer} has this job, {first}")
    assert refused(api, second).startswith(f"chain {inner} has this job, {second}")
    begun = executions(api, outer) + executions(api, inner)
    assert {one["root"] for one in begun} == {first, second}, "these their own runs began, as roots"


@pytest.mark.parametrize("named", [False, True])
def test_a_chain_with_a_built_in_task_is_not_started(api: Client, named: bool) -> None:
    task = {"type": "task", "name": "agenda-sweep"}
    api("PUT", "/api/targets/sweep", task)
    action = {"type": "target", "target": "sweep"} if named else task
    sweep = api("POST", JOBS, {"name": "sweep", "schedule": NEVER, "action": action}).body["id"]
    chain = chained(api, [*made(api, "fetch"), sweep], [])["id"]
    outer = chained(api, [starter(api, chain)], [])["id"]
    for started in (chain, outer):
        assert refused(api, starter(api, started)) == (
            f"chain {chain} runs the built-in task agenda-sweep, which no other job may start"
        )
    assert executions(api, chain) == []


def test_a_job_whose_target_is_missing_does_not_keep_the_chain_from_starting(api: Client) -> None:
    jobs = made(api, "fetch", "store")
    change(api, jobs[1], {"type": "target", "target": "nowhere"})
    chain = chained(api, jobs, [])["id"]
    assert run_of(api, starter(api, chain))["status"] == "completed"
    assert ended(api, chain)["status"] == "failed"


def test_a_dry_run_starts_nothing(api: Client) -> None:
    chain = chained(api, made(api, "fetch"), [])["id"]
    job = starter(api, chain)
    run = api("POST", f"{JOBS}/{job}/trigger", {"dry_run": True}).body["run_id"]
    api.work()
    output = api("GET", f"{JOBS}/{job}/runs/{run}").body["output"]
    assert output == {"dry_run": True, "action": {"type": "chain", "chain": chain}}
    assert executions(api, chain) == []


def test_wrong_settings_are_named_by_their_field(api: Client) -> None:
    for action, field in (
        ({"type": "chain"}, "action.chain"),
        ({"type": "chain", "chain": "a b"}, "action.chain"),
        ({"type": "bedrock_model"}, "action.model_id"),
        ({"type": "bedrock_agent", "agent_id": "A"}, "action.agent_alias_id"),
    ):
        reply = api("POST", JOBS, {"name": "n", "schedule": NEVER, "action": action})
        assert (reply.status, [detail["field"] for detail in reply.body["details"]]) == (422, [field])


def test_the_tokens_of_a_model_are_kept_with_whose_they_were(
    api: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = json.dumps(SAID).encode()
    action = {"type": "bedrock_model", "model_id": "amazon.nova-lite-v1:0"}
    with serving(lambda request: request.send(200, body, Content_Type="application/json")) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", server.url)
        job = api("POST", JOBS, {"name": "n", "goal": "Summarize", "schedule": NEVER, "action": action}).body[
            "id"
        ]
        run = run_of(api, job)
    assert run["output"]["text"] == "All is well", run
    month = run["started_at"][:7]
    [(key, entry)] = composition.engine().records.list(f"token_usage#{month}")
    assert key.startswith(entry.pop("at") + "#")
    assert entry == {
        "agent_id": None,
        "job_id": job,
        "run_id": run["id"],
        "model": "amazon.nova-lite-v1:0",
        "input_tokens": 12,
        "output_tokens": 3,
    }
