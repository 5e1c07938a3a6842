"""The nightly dialect over HTTP: the document's examples, and what its users would expect of the rest."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine

from chalicelib import composition
from chalicelib.core.action import Attempt, Json
from tests.dialects.conftest import Client

JOBS = "/api/v1/scheduler/jobs"
WEEKLY = {
    "job_name": "weekly-expiry-summary-report",
    "cron_expression": "0 8 * * 1",
    "handler": "generateWeeklyExpiryReport",
    "is_active": True,
}
BUILT_IN = [
    ("certification-expiry-nightly", "0 2 * * *"),
    ("pause-auto-lift-check", "0 6 * * *"),
    ("scheduler-missed-run-report", "0 7 * * *"),
    ("scheduler-run-log-cleanup", "0 3 * * *"),
]
ECHO = {"job_name": "nightly-echo", "cron_expression": "0 0 1 1 *", "handler": "echo"}
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def register(api: Client, **fields: Any) -> Any:
    reply = api("POST", JOBS, {**ECHO, **fields})
    assert reply.status == 201, reply.body
    return reply.body


def trigger(api: Client, name: str = ECHO["job_name"], **body: Any) -> Any:
    reply = api("POST", f"{JOBS}/{name}/trigger", body or None)
    assert reply.status == 202, reply.body
    return reply.body


def native_runs(api: Client, name: str = ECHO["job_name"]) -> Any:
    jobs = api("GET", "/api/scheduler/jobs?origin=nightly").body["jobs"]
    (job_id,) = [job["id"] for job in jobs if job["name"] == name]
    return api("GET", f"/api/scheduler/jobs/{job_id}/runs").body["runs"]


# -- the document's examples


@time_machine.travel("2026-03-26T09:00:00Z", tick=False)
def test_the_documents_list_example(api: Client) -> None:
    api.tick()
    reply = api("GET", JOBS)
    assert reply.status == 200
    assert reply.body["pagination"] == {"page": 1, "limit": 20, "total": 4}
    assert [(job["job_name"], job["cron_expression"]) for job in reply.body["data"]] == BUILT_IN
    assert reply.body["data"][0] == {
        "job_name": "certification-expiry-nightly",
        "cron_expression": "0 2 * * *",
        "is_active": True,
        "last_run_at": None,
        "last_run_status": None,
        "next_run_at": "2026-03-27T02:00:00Z",
    }


def test_a_slot_that_has_run_is_listed_and_is_the_last_result_as_in_the_document(api: Client) -> None:
    with time_machine.travel("2026-03-26T01:59:00Z", tick=False) as clock:
        api.tick()
        clock.move_to("2026-03-26T02:00:00Z")
        assert api.work() == 1
        job = api("GET", JOBS).body["data"][0]
        result = api("GET", f"{JOBS}/certification-expiry-nightly/last-result")
    assert job["last_run_at"] == "2026-03-26T02:00:00Z"
    assert job["last_run_status"] == "success"
    assert job["next_run_at"] == "2026-03-27T02:00:00Z"
    assert result.status == 200
    assert result.body == {
        "job_name": "certification-expiry-nightly",
        "run_id": "run-20260326T020000Z",
        "started_at": "2026-03-26T02:00:00Z",
        "completed_at": "2026-03-26T02:00:00Z",
        "status": "success",
        "result_summary": {
            "mentors_checked": 0,
            "expired_found": 0,
            "auto_paused": 0,
            "reminders_sent": 0,
            "errors": 0,
        },
    }


@time_machine.travel("2026-03-26T09:00:00Z", tick=False)
def test_the_documents_register_example(api: Client) -> None:
    reply = api("POST", JOBS, WEEKLY)
    assert reply.status == 201
    assert reply.body == {
        "job_name": "weekly-expiry-summary-report",
        "cron_expression": "0 8 * * 1",
        "is_active": True,
        "created_at": "2026-03-26T09:00:00Z",
        "next_run_at": "2026-03-30T08:00:00Z",
    }


@time_machine.travel("2026-03-26T10:15:00Z", tick=False)
def test_the_documents_trigger_example(api: Client) -> None:
    api.tick()
    body = {"triggered_by": "coordinator-007", "dry_run": False}
    reply = api("POST", f"{JOBS}/certification-expiry-nightly/trigger", body)
    assert reply.status == 202
    assert reply.body.pop("run_id").startswith("run-20260326T101500Z-")
    assert reply.body == {
        "job_name": "certification-expiry-nightly",
        "triggered_at": "2026-03-26T10:15:00Z",
        "status": "running",
    }
    (run,) = native_runs(api, "certification-expiry-nightly")
    assert (run["triggered_by"], run["status"]) == ("coordinator-007", "queued")


@time_machine.travel("2026-03-26T11:00:00Z", tick=False)
def test_the_documents_delete_example(api: Client) -> None:
    api("POST", JOBS, WEEKLY)
    reply = api("DELETE", f"{JOBS}/weekly-expiry-summary-report")
    assert reply.status == 200
    assert reply.body == {
        "deleted": True,
        "job_name": "weekly-expiry-summary-report",
        "cancelled_at": "2026-03-26T11:00:00Z",
    }
    assert api("GET", JOBS).body["pagination"]["total"] == 0


def test_the_documents_weekly_report_runs(api: Client) -> None:
    api("POST", JOBS, WEEKLY)
    trigger(api, "weekly-expiry-summary-report")
    api.work()
    body = api("GET", f"{JOBS}/weekly-expiry-summary-report/last-result").body
    assert body["status"] == "success"
    assert body["result_summary"]["certifications"] == 0


# -- registering


def test_a_job_is_active_unless_it_is_said_otherwise(api: Client) -> None:
    assert register(api)["is_active"] is True
    paused = register(api, job_name="paused", is_active=False)
    assert (paused["is_active"], paused["next_run_at"]) == (False, None)
    listed = api("GET", JOBS).body["data"][1]
    assert (listed["job_name"], listed["is_active"], listed["next_run_at"]) == ("paused", False, None)


def test_a_registered_job_is_listed_by_native_with_its_origin(api: Client) -> None:
    register(api)
    (job,) = api("GET", "/api/scheduler/jobs").body["jobs"]
    assert (job["name"], job["origin"]) == ("nightly-echo", "nightly")
    assert job["schedule"] == {"type": "cron", "expression": "0 0 1 1 *", "timezone": "UTC"}
    assert job["action"] == {"type": "handler", "name": "echo", "input": None}
    assert len(job["id"]) == 16


def test_jobs_of_other_dialects_are_not_seen(api: Client) -> None:
    made = api("POST", "/api/scheduler/jobs", {"name": "n", "schedule": {"type": "every", "interval": 60}})
    assert api("GET", JOBS).body["pagination"]["total"] == 0
    assert api("DELETE", f"{JOBS}/n").status == 404
    assert api("DELETE", f"{JOBS}/{made.body['id']}").status == 404


def test_a_name_can_be_used_once(api: Client) -> None:
    register(api)
    reply = api("POST", JOBS, {**ECHO, "cron_expression": "0 1 * * *"})
    assert reply.status == 409
    message = "job 'nightly-echo' is registered already"
    assert reply.body == {"error": {"code": "CONFLICT", "message": message}}
    assert api("GET", JOBS).body["data"][0]["cron_expression"] == "0 0 1 1 *"


def test_a_name_is_free_again_after_its_job_is_deleted(api: Client) -> None:
    register(api)
    trigger(api)
    api.work()
    assert api("GET", f"{JOBS}/nightly-echo/last-result").status == 200
    assert api("DELETE", f"{JOBS}/nightly-echo").status == 200
    assert api("GET", f"{JOBS}/nightly-echo/last-result").status == 404
    register(api)
    assert api("GET", f"{JOBS}/nightly-echo/last-result").status == 404


def test_a_job_keeps_the_name_it_is_addressed_by(api: Client) -> None:
    register(api)
    (job,) = api("GET", "/api/scheduler/jobs").body["jobs"]
    reply = api("PUT", f"/api/scheduler/jobs/{job['id']}", {"name": "another"})
    assert (reply.status, reply.body["details"][0]["field"]) == (422, "name")
    assert api("PUT", f"/api/scheduler/jobs/{job['id']}", {"goal": "g"}).status == 200


@pytest.mark.parametrize(
    ("schedule", "shown"),
    [
        ({"type": "every", "interval": 90}, "@every 90s"),
        ({"type": "at", "datetime": "2099-01-01T00:00:00Z"}, "@at 2099-01-01T00:00:00Z"),
    ],
)
def test_a_schedule_that_cron_cannot_say_is_shown(api: Client, schedule: Any, shown: str) -> None:
    register(api)
    (job,) = api("GET", "/api/scheduler/jobs").body["jobs"]
    api("PUT", f"/api/scheduler/jobs/{job['id']}", {"schedule": schedule})
    assert api("GET", JOBS).body["data"][0]["cron_expression"] == shown


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"cron_expression": "61 * * * *"}, "cron_expression: "),
        ({"cron_expression": "0 2 * *"}, "cron_expression: "),
        ({"cron_expression": "0 0 30 2 *"}, "cron_expression: "),
        ({"cron_expression": 5}, "cron_expression: should be a valid string"),
        ({"handler": "noSuchHandler"}, "handler: 'noSuchHandler' is none of "),
        ({"handler": "lambda:no such name"}, "handler: after lambda: should be a Lambda function's name"),
        ({"handler": "lambda:"}, "handler: after lambda: "),
        ({"handler": ""}, "handler: "),
        ({"job_name": "a b"}, "job_name: give 1 to 64 letters, digits or any of . _ : -"),
        ({"job_name": ""}, "job_name: give"),
        ({"job_name": "x" * 65}, "job_name: give"),
        ({"job_name": None}, "job_name: "),
        ({"is_active": "yes"}, "is_active: should be a valid boolean"),
        ({"timezone": "UTC"}, "timezone: is no field that is known here"),
    ],
)
def test_a_wrong_field_is_400_and_named(api: Client, change: dict[str, Any], words: str) -> None:
    reply = api("POST", JOBS, {**ECHO, **change})
    assert reply.status == 400
    assert set(reply.body) == {"error"}
    assert reply.body["error"]["code"] == "VALIDATION_ERROR"
    assert reply.body["error"]["message"].startswith(words)
    assert api("GET", JOBS).body["pagination"]["total"] == 0


def test_every_missing_field_is_named(api: Client) -> None:
    message = api("POST", JOBS, {}).body["error"]["message"]
    assert message == "job_name: is required; cron_expression: is required; handler: is required"


@pytest.mark.parametrize("body", [b"{", b"[]", b"null"])
def test_a_body_that_is_no_object_is_400(api: Client, body: bytes) -> None:
    reply = api("POST", JOBS, body)
    assert (reply.status, reply.body["error"]["code"]) == (400, "VALIDATION_ERROR")


def test_a_json_body_may_come_as_curl_sends_it(api: Client) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert api("POST", JOBS, WEEKLY, form).status == 201


# -- handlers


@pytest.mark.parametrize(
    "handler", ["lambda:sweeper", "lambda:arn:aws:lambda:us-east-1:123456789012:function:f:1"]
)
def test_a_handler_may_be_a_lambda_function(api: Client, handler: str) -> None:
    register(api, handler=handler)
    (job,) = api("GET", "/api/scheduler/jobs").body["jobs"]
    assert job["action"] == {"type": "lambda", "function": handler.removeprefix("lambda:"), "payload": None}


def test_a_handler_may_be_a_target_once_it_is_registered(api: Client) -> None:
    assert api("POST", JOBS, {**ECHO, "handler": "reporter"}).status == 400
    api("PUT", "/api/targets/reporter", {"type": "handler", "name": "echo", "input": {"sent": 3}})
    register(api, handler="reporter")
    trigger(api)
    api.work()
    assert api("GET", f"{JOBS}/nightly-echo/last-result").body["result_summary"] == {"sent": 3}


@pytest.mark.parametrize(
    "handler",
    [
        "checkCertificationExpiry",
        "liftRenewedPauses",
        "generateWeeklyExpiryReport",
        "cleanRunLog",
        "reportMissedRuns",
    ],
)
def test_each_built_in_handler_can_be_registered_and_runs(api: Client, handler: str) -> None:
    register(api, handler=handler)
    trigger(api)
    api.work()
    assert api("GET", f"{JOBS}/nightly-echo/last-result").body["status"] == "success"


# -- listing


def test_pages_cover_the_jobs_by_name(api: Client) -> None:
    for name in ("e", "b", "d", "a", "c"):
        register(api, job_name=name)
    pages = [api("GET", f"{JOBS}?page={page}&limit=2").body for page in (1, 2, 3, 4)]
    assert [[job["job_name"] for job in page["data"]] for page in pages] == [
        ["a", "b"],
        ["c", "d"],
        ["e"],
        [],
    ]
    assert [page["pagination"] for page in pages] == [
        {"page": page, "limit": 2, "total": 5} for page in (1, 2, 3, 4)
    ]


@pytest.mark.parametrize("query", ["page=0", "page=x", "limit=0", "limit=101", "limit=1.5", "page=-1"])
def test_a_wrong_page_is_400(api: Client, query: str) -> None:
    reply = api("GET", f"{JOBS}?{query}")
    assert (reply.status, reply.body["error"]["code"]) == (400, "VALIDATION_ERROR")
    assert reply.body["error"]["message"].startswith(query.partition("=")[0])


def test_an_empty_list_has_its_pagination(api: Client) -> None:
    assert api("GET", JOBS).body == {"data": [], "pagination": {"page": 1, "limit": 20, "total": 0}}


# -- triggering, and the last result


def test_a_trigger_needs_no_body_and_is_then_the_callers(api: Client) -> None:
    register(api)
    run_id = trigger(api)["run_id"]
    (run,) = native_runs(api)
    assert (f"run-{run['id']}", run["triggered_by"], run["dry_run"]) == (run_id, "anonymous", False)


def test_a_paused_job_can_be_triggered(api: Client) -> None:
    register(api, is_active=False)
    trigger(api)
    api.work()
    assert api("GET", f"{JOBS}/nightly-echo/last-result").body["status"] == "success"


def test_while_a_job_runs_it_cannot_be_triggered(api: Client) -> None:
    register(api)
    first = trigger(api)["run_id"].removeprefix("run-")
    for body in ({}, {"dry_run": True}):
        reply = api("POST", f"{JOBS}/nightly-echo/trigger", body)
        assert reply.status == 409
        message = f"job 'nightly-echo' is running: run {first} has not ended"
        assert reply.body == {"error": {"code": "CONFLICT", "message": message}}
    assert len(native_runs(api)) == 1
    api.work()
    trigger(api)


def test_while_a_worker_has_it_a_job_cannot_be_triggered(
    api: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    replies: list[int] = []

    def again(attempt: Attempt, settings: Json) -> Json:
        replies.append(api("POST", f"{JOBS}/nightly-echo/trigger").status)
        return None

    monkeypatch.setitem(composition.HANDLERS, "echo", again)
    register(api)
    trigger(api)
    api.work()
    assert replies == [409]


def test_a_run_older_than_two_hours_no_longer_keeps_others_out(api: Client) -> None:
    with time_machine.travel("2026-03-26T10:00:00Z", tick=False) as clock:
        register(api)
        trigger(api)
        clock.shift(timedelta(hours=2))
        assert api("POST", f"{JOBS}/nightly-echo/trigger").status == 409
        clock.shift(timedelta(seconds=1))
        trigger(api)


def test_a_cancelled_run_no_longer_keeps_others_out(api: Client) -> None:
    register(api)
    trigger(api)
    (run,) = native_runs(api)
    assert api("POST", f"/api/scheduler/jobs/{run['job_id']}/runs/{run['id']}/cancel").status == 200
    trigger(api)


def test_a_run_that_the_queue_refuses_keeps_nobody_out(api: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    register(api)
    queue = composition.engine().queue
    with monkeypatch.context() as patch:
        patch.setattr(queue, "send", lambda messages, now, **_: list(messages))
        reply = api("POST", f"{JOBS}/nightly-echo/trigger")
    assert (reply.status, reply.body["error"]["code"]) == (500, "INTERNAL_ERROR")
    trigger(api)


def test_the_last_result_is_the_latest_runs(api: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    results = iter([{"n": 1}, {"n": 2}])
    monkeypatch.setitem(composition.HANDLERS, "echo", lambda attempt, settings: next(results))
    register(api)
    for number in (1, 2):
        run_id = trigger(api)["run_id"]
        api.work()
        body = api("GET", f"{JOBS}/nightly-echo/last-result").body
        assert (body["run_id"], body["result_summary"]) == (run_id, {"n": number})
        assert TIME.fullmatch(body["started_at"])
        assert TIME.fullmatch(body["completed_at"])
        assert "error" not in body


def test_a_failed_run_is_the_last_result_and_says_why(api: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(attempt: Attempt, settings: Json) -> Json:
        raise ValueError("the list of mentors is not there")

    monkeypatch.setitem(composition.HANDLERS, "echo", broken)
    register(api)
    trigger(api)
    api.work()
    body = api("GET", f"{JOBS}/nightly-echo/last-result").body
    assert (body["status"], body["result_summary"]) == ("failed", None)
    assert body["error"] == "the list of mentors is not there"
    assert api("GET", JOBS).body["data"][0]["last_run_status"] == "failed"


def test_before_any_run_there_is_no_last_result(api: Client) -> None:
    register(api)
    trigger(api)
    reply = api("GET", f"{JOBS}/nightly-echo/last-result")
    message = "no finished run of 'nightly-echo'"
    assert (reply.status, reply.body) == (404, {"error": {"code": "NOT_FOUND", "message": message}})


def test_missed_slots_are_no_last_result(api: Client) -> None:
    with time_machine.travel("2026-03-26T00:00:00Z", tick=False) as clock:
        register(api, cron_expression="0 * * * *")
        (job,) = api("GET", "/api/scheduler/jobs").body["jobs"]
        api("PUT", f"/api/scheduler/jobs/{job['id']}", {"misfire": "skip"})
        trigger(api)
        api.work()
        before = api("GET", f"{JOBS}/nightly-echo/last-result").body
        clock.shift(timedelta(hours=5, minutes=30))
        api.tick()
        assert {run["status"] for run in native_runs(api)} == {"completed", "missed"}
        assert api("GET", f"{JOBS}/nightly-echo/last-result").body == before


def test_a_skipped_run_is_no_last_result(api: Client) -> None:
    register(api)
    (job,) = api("GET", "/api/scheduler/jobs").body["jobs"]
    trigger(api)
    api.work()
    before = api("GET", f"{JOBS}/nightly-echo/last-result").body
    condition = {"type": "expression", "expression": "missing > 1", "gate": "run"}
    api("PUT", f"/api/scheduler/jobs/{job['id']}", {"condition": condition})
    trigger(api)
    api.work()
    assert native_runs(api)[0]["status"] == "skipped"
    assert api("GET", f"{JOBS}/nightly-echo/last-result").body == before


def test_a_dry_run_is_marked_and_replaces_nothing(api: Client) -> None:
    register(api)
    dry = trigger(api, dry_run=True)
    assert (dry["status"], set(dry)) == ("running", {"job_name", "triggered_at", "run_id", "status"})
    api.work()
    (run,) = native_runs(api)
    assert (run["dry_run"], run["status"]) == (True, "completed")
    assert api("GET", f"{JOBS}/nightly-echo/last-result").status == 404
    listed = api("GET", JOBS).body["data"][0]
    assert (listed["last_run_at"], listed["last_run_status"]) == (None, None)


def test_a_dry_run_keeps_nobody_out(api: Client) -> None:
    register(api)
    trigger(api, dry_run=True)
    trigger(api)


def test_a_dry_run_of_a_lambda_function_does_not_call_it(api: Client) -> None:
    register(api, handler="lambda:nowhere")
    trigger(api, dry_run=True)
    api.work()
    (run,) = native_runs(api)
    assert run["status"] == "completed"
    assert run["output"]["action"]["function"] == "nowhere"


@pytest.mark.parametrize(
    "body", [{"dry_run": "yes"}, {"triggered_by": ""}, {"triggered_by": 7}, {"force": True}]
)
def test_a_wrong_trigger_is_400_and_starts_nothing(api: Client, body: dict[str, Any]) -> None:
    register(api)
    reply = api("POST", f"{JOBS}/nightly-echo/trigger", body)
    assert reply.status == 400
    assert reply.body["error"]["message"].startswith(next(iter(body)))
    assert native_runs(api) == []


# -- paths and who may use them


@pytest.mark.parametrize("encoded", ["a:b", "a%3Ab", "%61%3ab"])
def test_a_name_in_a_path_may_be_percent_encoded(api: Client, encoded: str) -> None:
    register(api, job_name="a:b")
    assert api("POST", f"{JOBS}/{encoded}/trigger").body["job_name"] == "a:b"
    api.work()
    assert api("GET", f"{JOBS}/{encoded}/last-result").body["job_name"] == "a:b"
    assert api("DELETE", f"{JOBS}/{encoded}").body["job_name"] == "a:b"


@pytest.mark.parametrize("name", ["unknown", "a%20b", "%", "%FF", "x" * 65, "a%2Fb"])
def test_an_unknown_name_is_404(api: Client, name: str) -> None:
    replies = [
        api("POST", f"{JOBS}/{name}/trigger"),
        api("GET", f"{JOBS}/{name}/last-result"),
        api("DELETE", f"{JOBS}/{name}"),
    ]
    for reply in replies:
        assert (reply.status, reply.body["error"]["code"]) == (404, "NOT_FOUND")


REQUESTS = [
    ("GET", JOBS, None, "viewer"),
    ("GET", f"{JOBS}/nightly-echo/last-result", None, "viewer"),
    ("POST", JOBS, WEEKLY, "operator"),
    ("POST", f"{JOBS}/nightly-echo/trigger", {}, "operator"),
    ("DELETE", f"{JOBS}/nightly-echo", None, "operator"),
]


@pytest.mark.parametrize(("method", "path", "body", "role"), REQUESTS)
def test_each_route_asks_for_its_role(
    api: Client, monkeypatch: pytest.MonkeyPatch, method: str, path: str, body: Any, role: str
) -> None:
    register(api)
    trigger(api)
    api.work()
    monkeypatch.setenv("BELFRY_ANONYMOUS_ROLE", "none")
    refused = api(method, path, body)
    message = "Authentication required"
    assert (refused.status, refused.body) == (401, {"error": {"code": "UNAUTHORIZED", "message": message}})
    assert api(method, path, body, {"X-API-Key": "bf_wrong"}).status == 401
    if role == "operator":
        refused = api(method, path, body, api.key("viewer"))
        message = "Requires operator role or higher"
        assert (refused.status, refused.body) == (403, {"error": {"code": "FORBIDDEN", "message": message}})
    assert api(method, path, body, api.key(role)).status < 300


def test_a_job_that_an_admin_gave_a_task_is_an_admins_to_start(api: Client) -> None:
    register(api)
    (job,) = api("GET", "/api/scheduler/jobs").body["jobs"]
    api("PUT", f"/api/scheduler/jobs/{job['id']}", {"action": {"type": "task", "name": "agenda-sweep"}})
    assert api("POST", f"{JOBS}/nightly-echo/trigger", None, api.key("operator")).status == 403
    assert api("POST", f"{JOBS}/nightly-echo/trigger", None, api.key("admin")).status == 202


def test_what_chalice_refuses_by_itself_has_the_dialects_envelope(api: Client) -> None:
    wrong_kind = api("POST", JOBS, ECHO, {"Content-Type": "text/plain"})
    assert (wrong_kind.status, wrong_kind.body["error"]["code"]) == (415, "UNSUPPORTED_MEDIA_TYPE")
    too_large = api("POST", JOBS, {**ECHO, "handler": "x" * 300_000})
    assert (too_large.status, too_large.body["error"]["code"]) == (413, "PAYLOAD_TOO_LARGE")


def test_writes_are_in_the_audit_log_with_the_jobs_id(api: Client) -> None:
    register(api)
    trigger(api)
    api("DELETE", f"{JOBS}/nightly-echo")
    month = f"{datetime.now(UTC):%Y-%m}"
    entries = [entry for _, entry in composition.engine().records.list(f"audit#{month}")]
    assert [entry["action"] for entry in entries] == ["job.create", "job.trigger", "job.delete"]
    assert entries[1]["target"].startswith(f"{entries[0]['target']}/")


def test_a_job_that_a_chain_uses_is_not_deleted(api: Client) -> None:
    register(api)
    (job,) = api("GET", "/api/scheduler/jobs").body["jobs"]
    chain = {"name": "c", "jobs": [job["id"]], "edges": []}
    assert api("POST", "/api/scheduler/chains", chain).status == 201
    reply = api("DELETE", f"{JOBS}/nightly-echo")
    assert (reply.status, reply.body["error"]["code"]) == (409, "CONFLICT")
