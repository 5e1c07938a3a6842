"""Runs over HTTP: trigger, list, get, cancel, run again; and the engine's status."""

from __future__ import annotations

import re
from typing import Any

import pytest

from chalicelib import composition
from chalicelib.core.errors import ActionError
from tests.dialects.conftest import Client

JOBS = "/api/scheduler/jobs"
ECHO = {
    "name": "Echo",
    "schedule": {"type": "cron", "expression": "0 0 1 1 *"},
    "action": {"type": "handler", "name": "echo"},
}


@pytest.fixture
def job(api: Client) -> str:
    return str(api("POST", JOBS, ECHO).body["id"])


def triggered(api: Client, job: str, **body: Any) -> dict[str, Any]:
    reply = api("POST", f"{JOBS}/{job}/trigger", body)
    assert reply.status == 202
    assert reply.body == {"run_id": reply.body["run_id"], "status": "queued", "job_id": job}
    run = api("GET", f"{JOBS}/{job}/runs/{reply.body['run_id']}")
    assert run.body["status"] == "queued"
    return dict(run.body)


def test_a_trigger_runs_the_job_now_and_keeps_its_result(api: Client, job: str) -> None:
    run_id = triggered(api, job, input={"colour": "blue"})["id"]
    assert api.work() == 1
    run = api("GET", f"{JOBS}/{job}/runs/{run_id}").body
    assert (run["status"], run["trigger"], run["triggered_by"]) == ("completed", "manual", "anonymous")
    assert run["output"] == {"colour": "blue"}
    assert [attempt["number"] for attempt in run["attempts"]] == [1]
    assert run["error"] is None
    assert run["lateness_ms"] >= 0
    for name in ("started_at", "completed_at", "scheduled_for"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z", run[name])
    shown = api("GET", f"{JOBS}/{job}").body
    assert (shown["run_count"], shown["last_run_status"]) == (1, "completed")
    assert shown["last_run_at"] is not None


def test_runs_are_listed_newest_first_by_status(api: Client, job: str) -> None:
    ids = [triggered(api, job)["id"] for _ in range(3)]
    api.work()
    assert api.work() == 0
    body = api("GET", f"{JOBS}/{job}/runs").body
    assert (sorted(run["id"] for run in body["runs"]), body["count"]) == (sorted(ids), 3)
    assert len(api("GET", f"{JOBS}/{job}/runs?limit=2&offset=2").body["runs"]) == 1
    assert api("GET", f"{JOBS}/{job}/runs?status=failed").body == {"runs": [], "count": 0}
    assert api("GET", f"{JOBS}/{job}/runs?status=nope").status == 422


def test_a_paused_job_can_be_triggered(api: Client, job: str) -> None:
    api("POST", f"{JOBS}/{job}/pause")
    run_id = triggered(api, job)["id"]
    api.work()
    assert api("GET", f"{JOBS}/{job}/runs/{run_id}").body["status"] == "completed"
    assert api("GET", f"{JOBS}/{job}").body["status"] == "paused"


def test_one_idempotency_key_triggers_one_run(api: Client, job: str) -> None:
    replies = [api("POST", f"{JOBS}/{job}/trigger", {}, {"Idempotency-Key": "x"}) for _ in range(2)]
    assert replies[0].body == replies[1].body
    while api.work():
        pass
    assert api("GET", f"{JOBS}/{job}/runs").body["count"] == 1


def test_a_queued_run_that_is_cancelled_never_starts(api: Client, job: str) -> None:
    run_id = triggered(api, job)["id"]
    reply = api("POST", f"{JOBS}/{job}/runs/{run_id}/cancel")
    assert (reply.status, reply.body["status"], reply.body["reason"]) == (
        200, "cancelled", "cancelled by anonymous",
    )  # fmt: skip
    api.work()
    run = api("GET", f"{JOBS}/{job}/runs/{run_id}").body
    assert (run["status"], run["started_at"], run["attempts"]) == ("cancelled", None, [])
    assert api("POST", f"{JOBS}/{job}/runs/{run_id}/cancel").status == 409


def test_a_finished_run_can_be_run_again_with_its_input(api: Client, job: str) -> None:
    run_id = triggered(api, job, input={"n": 1})["id"]
    assert api("POST", f"{JOBS}/{job}/runs/{run_id}/rerun").status == 409
    api.work()
    reply = api("POST", f"{JOBS}/{job}/runs/{run_id}/rerun")
    assert reply.status == 202
    api.work()
    again = api("GET", f"{JOBS}/{job}/runs/{reply.body['run_id']}").body
    assert (again["status"], again["input"], again["rerun_of"]) == ("completed", {"n": 1}, run_id)


def test_a_dry_run_acts_on_nothing_and_counts_for_nothing(api: Client) -> None:
    action = {"type": "http", "url": "http://203.0.113.1/", "body": {"for": "{{job.name}}"}}
    job = api("POST", JOBS, {**ECHO, "action": action}).body["id"]
    run_id = triggered(api, job, dry_run=True)["id"]
    api.work()
    run = api("GET", f"{JOBS}/{job}/runs/{run_id}").body
    assert (run["status"], run["dry_run"]) == ("completed", True)
    assert run["output"]["action"]["body"] == {"for": "Echo"}
    assert api("GET", f"{JOBS}/{job}").body["run_count"] == 0


def test_a_job_with_nothing_to_do_is_accepted_and_its_runs_say_what_to_register(api: Client) -> None:
    job = api("POST", JOBS, {**ECHO, "action": None, "agent_id": "agent_123"}).body["id"]
    run_id = triggered(api, job)["id"]
    api.work()
    run = api("GET", f"{JOBS}/{job}/runs/{run_id}").body
    assert run["status"] == "failed"
    assert run["error"]["permanent"] is True
    assert "agent agent_123 is not registered" in run["error"]["message"]


def test_history_across_jobs_is_newest_first_and_paged(api: Client, job: str) -> None:
    ids = []
    for _ in range(3):
        ids.append(triggered(api, job)["id"])
        api.work()
    first = api("GET", "/api/scheduler/runs?limit=2").body
    assert [run["id"] for run in first["runs"]] == ids[:0:-1]
    rest = api("GET", f"/api/scheduler/runs?limit=2&cursor={first['next_cursor']}").body
    assert ([run["id"] for run in rest["runs"]], rest["next_cursor"]) == (ids[:1], None)
    assert api("GET", "/api/scheduler/runs?status=failed").body["runs"] == []
    assert api("GET", "/api/scheduler/runs?since=2099-01-01T00:00:00Z").body["runs"] == []


@pytest.mark.parametrize("query", ["limit=0", "status=queued", "since=yesterday", "cursor=x"])
def test_a_wrong_parameter_of_the_history_is_named(api: Client, query: str) -> None:
    reply = api("GET", f"/api/scheduler/runs?{query}")
    assert (reply.status, reply.body["details"][0]["field"]) == (422, query.partition("=")[0])


@pytest.mark.parametrize("body", [{"input": [1]}, {"input": "x"}, {"nput": {}}, {"dry_run": "perhaps"}])
def test_a_wrong_trigger_starts_nothing(api: Client, job: str, body: dict[str, Any]) -> None:
    assert api("POST", f"{JOBS}/{job}/trigger", body).status == 422
    assert api.work() == 0


def test_the_status_has_the_documents_fields(api: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(composition, "register_builtins", lambda engine: None)  # some are due soon
    before = api("GET", "/api/scheduler/status").body
    assert (before["running"], before["last_tick_at"]) == (False, None)
    api.tick()
    status = api("GET", "/api/scheduler/status").body
    assert status["running"] is True
    assert status["tick_interval_seconds"] == 60
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", status["next_tick_at"])
    assert isinstance(status["jobs_checked_last_tick"], int)
    assert (status["queue_depth"], status["dead_letters"]) == (0, 0)


def test_a_message_that_cannot_be_parsed_goes_to_the_dead_letters_and_the_batch_goes_on(
    api: Client, job: str, caplog: pytest.LogCaptureFixture
) -> None:
    run_id = triggered(api, job)["id"]
    composition.engine().queue._client.send_message(
        QueueUrl=composition.engine().queue._url, MessageBody="not a message"
    )
    while api.work():
        pass
    assert api("GET", f"{JOBS}/{job}/runs/{run_id}").body["status"] == "completed"
    assert "to the dead letters" in caplog.text
    letters = composition.engine().queue._client.receive_message(
        QueueUrl=composition.engine().queue._dead_letters_url
    )["Messages"]
    assert [letter["Body"] for letter in letters] == ["not a message"]


def test_a_failing_handler_fails_the_run_with_its_error(
    api: Client, job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*given: Any) -> None:
        raise ActionError("disk_full", "no space left", permanent=True)

    monkeypatch.setitem(composition.HANDLERS, "echo", broken)
    run_id = triggered(api, job)["id"]
    api.work()
    run = api("GET", f"{JOBS}/{job}/runs/{run_id}").body
    assert (run["status"], run["error"]) == (
        "failed",
        {"type": "disk_full", "message": "no space left", "permanent": True},
    )


def test_a_condition_on_runs_is_judged_by_the_last_output(api: Client) -> None:
    condition = {"expression": "more == true", "gate": "run"}
    job = api("POST", JOBS, {**ECHO, "condition": condition}).body["id"]
    statuses = []
    for more in (True, False, True):
        run_id = triggered(api, job, input={"more": more})["id"]
        api.work()
        statuses.append(api("GET", f"{JOBS}/{job}/runs/{run_id}").body)
    assert [run["status"] for run in statuses] == ["completed", "completed", "skipped"]
    assert statuses[2]["reason"] == "more == true is false for more = False"
    assert composition.engine().jobs.get(job)[1].lock_run is None  # type: ignore[index]


@pytest.mark.parametrize("expression", ["f(x)", "a.b", "lambda: 1", "9 ** 9 ** 9", "x" * 10_000, ""])
def test_a_condition_that_is_none_is_422(api: Client, expression: str) -> None:
    reply = api("POST", JOBS, {**ECHO, "condition": {"expression": expression}})
    assert (reply.status, reply.body["details"][0]["field"]) == (422, "condition.expression")
