"""Schedules of agents over HTTP: the document's examples, at its own time, and what is around them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine

from chalicelib import composition
from tests.dialects.conftest import Client, Reply

SCHEDULES = "/api/agents/agent_7/schedules"
JOBS = "/api/scheduler/jobs"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
CREATION = datetime(2024, 12, 15, 10, tzinfo=UTC)
DAILY = {
    "name": "Daily Report",
    "type": "cron",
    "cron_expression": "0 9 * * *",
    "callback_type": "workflow",
    "callback_id": "workflow-456",
    "status": "active",
}
REMINDER = {
    "name": "Send Reminder",
    "type": "once",
    "next_run": "2024-12-20T15:00:00Z",
    "callback_type": "workflow",
    "callback_id": "workflow-789",
}
FOLLOW_UP = {
    "name": "Follow-up",
    "type": "delayed",
    "delay_seconds": 3600,
    "callback_type": "workflow",
    "callback_id": "workflow-123",
}
UPDATE = {"name": "Updated Schedule", "cron_expression": "0 10 * * *", "status": "paused"}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[time_machine.Coordinates]:
    """Stands at the instant of the document's `created_at` until it is moved. No built-in job runs."""
    monkeypatch.setattr(composition, "register_builtins", lambda engine: None)
    with time_machine.travel(CREATION, tick=False) as coordinates:
        yield coordinates


def created(api: Client, example: dict[str, Any], **fields: Any) -> str:
    """The path of a new schedule."""
    reply = api("POST", SCHEDULES, {**example, **fields})
    assert reply.status == 201, reply.body
    return f"{SCHEDULES}/{reply.body['id']}"


def job_of(api: Client, schedule: str) -> Any:
    """The schedule as native shows it."""
    return api("GET", f"{JOBS}/job_{schedule.rpartition('/schedule-')[2]}").body


def run_at(api: Client, clock: time_machine.Coordinates, *instants: datetime) -> None:
    """What is due at each instant runs then."""
    for instant in instants:
        clock.move_to(instant)
        api.tick()
        while api.work():
            pass


def refused(reply: Reply, status: int, code: str, field: str | None = None) -> str:
    """Holds the reply to the dialect's envelope; gives its message."""
    assert (reply.status, list(reply.body)) == (status, ["error"]), reply.body
    error = reply.body["error"]
    assert list(error) == ["code", "message", "details"]
    assert error["code"] == code
    assert [detail["field"] for detail in error["details"]] == ([field] if field else [])
    message: str = error["message"]
    return message


# -- the document's examples


def test_the_cron_example_is_created_as_printed(api: Client, clock: time_machine.Coordinates) -> None:
    reply = api("POST", SCHEDULES, DAILY)
    assert reply.status == 201
    assert re.fullmatch(r"schedule-[a-z0-9]{12}", reply.body.pop("id"))
    assert reply.body == {
        "name": "Daily Report",
        "type": "cron",
        "cron_expression": "0 9 * * *",
        "next_run": "2024-12-16T09:00:00Z",
        "status": "active",
        "created_at": "2024-12-15T10:00:00Z",
    }


def test_the_once_example_is_created_with_its_instant(api: Client, clock: time_machine.Coordinates) -> None:
    reply = api("POST", SCHEDULES, REMINDER)
    assert reply.status == 201
    del reply.body["id"]
    assert reply.body == {
        "name": "Send Reminder",
        "type": "once",
        "next_run": "2024-12-20T15:00:00Z",
        "status": "active",
        "created_at": "2024-12-15T10:00:00Z",
    }


def test_the_delayed_example_runs_its_delay_after_its_creation(
    api: Client, clock: time_machine.Coordinates
) -> None:
    reply = api("POST", SCHEDULES, FOLLOW_UP)
    assert reply.status == 201
    del reply.body["id"]
    assert reply.body == {
        "name": "Follow-up",
        "type": "delayed",
        "delay_seconds": 3600,
        "next_run": "2024-12-15T11:00:00Z",
        "status": "active",
        "created_at": "2024-12-15T10:00:00Z",
    }


def test_the_list_and_get_examples_are_answered_as_printed(
    api: Client, clock: time_machine.Coordinates
) -> None:
    api("PUT", "/api/targets/workflow-456", {"type": "handler", "name": "echo"})
    clock.move_to(CREATION - timedelta(days=1))
    path = created(api, DAILY)
    run_at(api, clock, datetime(2024, 12, 15, 9, tzinfo=UTC))
    clock.move_to(CREATION)
    printed = {
        "id": path.rpartition("/")[2],
        "name": "Daily Report",
        "type": "cron",
        "cron_expression": "0 9 * * *",
        "next_run": "2024-12-16T09:00:00Z",
        "last_run": "2024-12-15T09:00:00Z",
        "callback_type": "workflow",
        "callback_id": "workflow-456",
        "status": "active",
    }
    reply = api("GET", SCHEDULES)
    assert (reply.status, reply.body) == (200, {"schedules": [printed]})
    executions = [{"id": "exec-20241215T090000Z", "executed_at": "2024-12-15T09:00:00Z", "status": "success"}]
    reply = api("GET", path)
    assert (reply.status, reply.body) == (200, {**printed, "executions": executions})


def test_the_update_example_answers_with_the_schedule(api: Client, clock: time_machine.Coordinates) -> None:
    path = created(api, DAILY)
    reply = api("PUT", path, UPDATE)
    assert reply.status == 200
    assert reply.body == {
        "id": path.rpartition("/")[2],
        "name": "Updated Schedule",
        "type": "cron",
        "cron_expression": "0 10 * * *",
        "next_run": None,
        "last_run": None,
        "callback_type": "workflow",
        "callback_id": "workflow-456",
        "status": "paused",
        "executions": [],
    }
    assert api("GET", path).body == reply.body


def test_the_delete_example_leaves_nothing(api: Client) -> None:
    path = created(api, DAILY)
    reply = api("DELETE", path)
    assert (reply.status, reply.body) == (204, None)
    for method in ("GET", "PUT", "DELETE"):
        refused(api(method, path, {} if method == "PUT" else None), 404, "NOT_FOUND")
    assert api("GET", SCHEDULES).body == {"schedules": []}


def test_the_curl_example_of_an_hourly_schedule_works_as_curl_sends_it(
    api: Client, clock: time_machine.Coordinates
) -> None:
    body = b"""{
    "name": "Hourly Sync",
    "type": "cron",
    "cron_expression": "0 * * * *",
    "callback_type": "workflow",
    "callback_id": "sync-workflow"
    }"""
    reply = api("POST", SCHEDULES, body, FORM)
    assert (reply.status, reply.body["next_run"]) == (201, "2024-12-15T11:00:00Z")


def test_the_curl_example_of_pausing_works_as_curl_sends_it(api: Client) -> None:
    path = created(api, DAILY)
    reply = api("PUT", path, b'{"status": "paused"}', FORM)
    assert (reply.status, reply.body["status"], reply.body["next_run"]) == (200, "paused", None)


@pytest.mark.parametrize("expression", ["* * * * *", "0 * * * *", "0 9 * * *", "0 9 * * 1", "0 9 1 * *"])
def test_each_cron_expression_of_the_document_is_taken(api: Client, expression: str) -> None:
    assert api("GET", created(api, DAILY, cron_expression=expression)).body["cron_expression"] == expression


# -- lists


def test_a_list_has_the_agents_own_schedules_newest_first(api: Client) -> None:
    ids = [created(api, DAILY, name=f"n{n}").rpartition("/")[2] for n in range(3)]
    api("POST", "/api/agents/another/schedules", DAILY)
    api("POST", JOBS, {"name": "n", "agent_id": "agent_7", "schedule": {"type": "every", "interval": 60}})
    assert [one["id"] for one in api("GET", SCHEDULES).body["schedules"]] == ids[::-1]
    assert api("GET", "/api/agents/nobody/schedules").body == {"schedules": []}


def test_a_list_is_filtered_by_status_and_type(api: Client, clock: time_machine.Coordinates) -> None:
    created(api, DAILY, name="active cron")
    created(api, DAILY, name="paused cron", status="paused")
    created(api, FOLLOW_UP, name="done")
    created(api, REMINDER, name="reminder")
    run_at(api, clock, CREATION + timedelta(hours=1))

    def named(query: str) -> list[str]:
        return sorted(one["name"] for one in api("GET", f"{SCHEDULES}?{query}").body["schedules"])

    assert named("status=active") == ["active cron", "reminder"]
    assert named("status=paused") == ["paused cron"]
    assert named("status=completed") == ["done"]
    assert named("type=cron") == ["active cron", "paused cron"]
    assert named("type=once") == ["reminder"]
    assert named("type=delayed") == ["done"]
    assert named("type=cron&status=active") == ["active cron"]
    assert named("type=once&status=paused") == []


@pytest.mark.parametrize("query", ["status=failed", "status=", "type=every", "type=Cron"])
def test_a_wrong_filter_is_400(api: Client, query: str) -> None:
    refused(api("GET", f"{SCHEDULES}?{query}"), 400, "VALIDATION_ERROR", query.partition("=")[0])


# -- wrong requests


@pytest.mark.parametrize(
    ("field", "example", "fields"),
    [
        ("cron_expression", DAILY, {"cron_expression": "every day"}),
        ("cron_expression", DAILY, {"cron_expression": "0 0 30 2 *"}),
        ("cron_expression", DAILY, {"cron_expression": 5}),
        ("cron_expression", DAILY, {"cron_expression": None}),
        ("next_run", REMINDER, {"next_run": "2020-01-01T00:00:00Z"}),
        ("next_run", REMINDER, {"next_run": "tomorrow"}),
        ("next_run", REMINDER, {"next_run": None}),
        ("delay_seconds", FOLLOW_UP, {"delay_seconds": 0}),
        ("delay_seconds", FOLLOW_UP, {"delay_seconds": -5}),
        ("delay_seconds", FOLLOW_UP, {"delay_seconds": 0.5}),
        ("delay_seconds", FOLLOW_UP, {"delay_seconds": "60"}),
        ("delay_seconds", FOLLOW_UP, {"delay_seconds": True}),
        ("delay_seconds", FOLLOW_UP, {"delay_seconds": 10**10}),
        ("delay_seconds", FOLLOW_UP, {"delay_seconds": 1e300}),
        ("delay_seconds", FOLLOW_UP, {"delay_seconds": None}),
        ("delay_seconds", DAILY, {"delay_seconds": 60}),
        ("next_run", DAILY, {"next_run": "2099-01-01T00:00:00Z"}),
        ("cron_expression", REMINDER, {"cron_expression": "* * * * *"}),
        ("type", DAILY, {"type": "every"}),
        ("type", DAILY, {"type": None}),
        ("name", DAILY, {"name": ""}),
        ("name", DAILY, {"name": "x" * 201}),
        ("callback_type", DAILY, {"callback_type": "webhook"}),
        ("callback_id", DAILY, {"callback_id": ""}),
        ("callback_id", DAILY, {"callback_id": "a/b"}),
        ("status", DAILY, {"status": "completed"}),
        ("timezone", DAILY, {"timezone": "Europe/Paris"}),
        ("id", DAILY, {"id": "schedule-1"}),
    ],
)
def test_a_wrong_field_is_400_and_named(
    api: Client, field: str, example: dict[str, Any], fields: dict[str, Any]
) -> None:
    example = example | {"next_run": "2099-01-01T00:00:00Z"} if example is REMINDER else example
    message = refused(api("POST", SCHEDULES, {**example, **fields}), 400, "VALIDATION_ERROR", field)
    assert message.startswith(f"{field}: ")
    assert api("GET", SCHEDULES).body == {"schedules": []}


@pytest.mark.parametrize("missing", ["name", "type", "cron_expression", "callback_type", "callback_id"])
def test_a_missing_field_is_400_and_named(api: Client, missing: str) -> None:
    body = {name: value for name, value in DAILY.items() if name != missing}
    assert "is required" in refused(api("POST", SCHEDULES, body), 400, "VALIDATION_ERROR", missing)


def test_an_issue_is_a_sentence_about_its_field(api: Client) -> None:
    message = refused(api("POST", SCHEDULES, DAILY | {"name": ""}), 400, "VALIDATION_ERROR", "name")
    assert message == "name: should have at least 1 character"


def test_a_past_instant_says_that_it_has_passed(api: Client) -> None:
    message = refused(api("POST", SCHEDULES, REMINDER), 400, "VALIDATION_ERROR", "next_run")
    assert message == "next_run: 2024-12-20T15:00:00Z has passed; give a time to come"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"name=x&type=cron"])
def test_a_body_that_is_no_schedule_is_400(api: Client, body: bytes) -> None:
    reply = api("POST", SCHEDULES, body, FORM)
    assert (reply.status, reply.body["error"]["code"]) == (400, "VALIDATION_ERROR")


def test_an_agents_id_that_none_can_have_is_400(api: Client) -> None:
    refused(api("POST", "/api/agents/a%20b/schedules", DAILY), 400, "VALIDATION_ERROR", "id")


def test_the_ids_of_a_path_may_be_percent_encoded(api: Client) -> None:
    encoded, plain = "/api/agents/team%3Aone/schedules", "/api/agents/team:one/schedules"
    reply = api("POST", encoded, DAILY)
    assert reply.status == 201
    schedule = reply.body["id"]
    for path in (encoded, plain):
        assert [one["id"] for one in api("GET", path).body["schedules"]] == [schedule]
    assert api("GET", f"{encoded}/{schedule.replace('-', '%2D')}").body["id"] == schedule
    assert api("GET", f"{JOBS}?agent_id=team:one").body["count"] == 1


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_an_id_longer_than_any_key_is_404_and_not_looked_up(api: Client, method: str) -> None:
    reply = api(method, f"{SCHEDULES}/schedule-{'%C3%A9' * 300}", {"name": "x"} if method == "PUT" else None)
    message = refused(reply, 404, "NOT_FOUND")
    assert message == f"no schedule_id 'schedule-{'é' * 23}...'"


def test_what_never_reaches_a_view_has_the_same_envelope(api: Client) -> None:
    wrong_kind = api("POST", SCHEDULES, DAILY, {"Content-Type": "text/plain"})
    refused(wrong_kind, 415, "UNSUPPORTED_MEDIA_TYPE")
    wrong_method = api("PATCH", SCHEDULES, {})
    refused(wrong_method, 405, "METHOD_NOT_ALLOWED")
    assert sorted(wrong_method.headers["Allow"].split(", ")) == ["GET", "POST"]
    refused(api("POST", f"{SCHEDULES}/schedule-x", {}), 405, "METHOD_NOT_ALLOWED")
    refused(api("POST", SCHEDULES, {**DAILY, "name": "x" * 300_000}), 413, "PAYLOAD_TOO_LARGE")


def test_what_breaks_is_500_and_says_no_more_than_that(api: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chalicelib.scheduler.jobs.all_jobs", lambda *given: 1 / 0)
    assert "division" not in refused(api("GET", SCHEDULES), 500, "INTERNAL_ERROR")


def test_the_agents_own_records_keep_the_native_envelope(api: Client) -> None:
    reply = api("GET", "/api/agents/agent_7")
    assert (reply.status, reply.body["error"]) == (404, "not_found")


@pytest.mark.parametrize("name", ["schedule-unknown", "job_unknown", "schedule-", "unknown"])
def test_an_unknown_schedule_is_404(api: Client, name: str) -> None:
    for method in ("GET", "PUT", "DELETE"):
        reply = api(method, f"{SCHEDULES}/{name}", {} if method == "PUT" else None)
        assert refused(reply, 404, "NOT_FOUND") == f"no schedule {name!r}"


def test_a_schedule_of_another_agent_or_dialect_is_404(api: Client) -> None:
    name = created(api, DAILY).rpartition("/")[2]
    native = {"name": "n", "agent_id": "agent_7", "schedule": {"type": "every", "interval": 60}}
    job = api("POST", JOBS, native).body["id"]
    for path in (f"/api/agents/another/schedules/{name}", f"{SCHEDULES}/schedule-{job.removeprefix('job_')}"):
        refused(api("GET", path), 404, "NOT_FOUND")
        refused(api("PUT", path, {"name": "mine"}), 404, "NOT_FOUND")
        refused(api("DELETE", path), 404, "NOT_FOUND")
    assert api("GET", JOBS).body["count"] == 2


# -- access


def test_without_credentials_it_is_401_and_with_bad_ones_too(
    api: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused(api("GET", SCHEDULES, headers={"X-API-Key": "bf_wrong"}), 401, "UNAUTHORIZED")
    monkeypatch.setenv("BELFRY_ANONYMOUS_ROLE", "none")
    for method, path, body in (
        ("GET", SCHEDULES, None),
        ("POST", SCHEDULES, DAILY),
        ("GET", f"{SCHEDULES}/schedule-x", None),
        ("PUT", f"{SCHEDULES}/schedule-x", {}),
        ("DELETE", f"{SCHEDULES}/schedule-x", None),
    ):
        assert refused(api(method, path, body), 401, "UNAUTHORIZED") == "Authentication required"


def test_a_viewer_reads_and_an_operator_writes(api: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BELFRY_ANONYMOUS_ROLE", "none")
    viewer, operator = api.key("viewer"), api.key("operator")
    refused(api("POST", SCHEDULES, DAILY, viewer), 403, "FORBIDDEN")
    made = api("POST", SCHEDULES, DAILY, operator)
    path = f"{SCHEDULES}/{made.body['id']}"
    assert made.status == 201
    assert api("GET", path, headers=viewer).status == 200
    refused(api("PUT", path, UPDATE, viewer), 403, "FORBIDDEN")
    refused(api("DELETE", path, headers=viewer), 403, "FORBIDDEN")
    assert api("PUT", path, UPDATE, operator).status == 200
    assert api("DELETE", path, headers=operator).status == 204


def test_a_schedule_that_an_admin_made_a_tasks_is_no_operators_to_change(api: Client) -> None:
    path = created(api, DAILY)
    task = {"action": {"type": "task", "name": "agenda-sweep"}}
    assert api("PUT", f"{JOBS}/{job_of(api, path)['id']}", task).status == 200
    refused(api("PUT", path, {"name": "mine"}, api.key("operator")), 403, "FORBIDDEN")
    refused(api("DELETE", path, headers=api.key("operator")), 403, "FORBIDDEN")


def test_each_write_is_in_the_audit_log_under_agent_and_schedule(api: Client) -> None:
    path = created(api, DAILY)
    api("PUT", path, UPDATE)
    api("GET", path)
    api("PUT", path, {"type": "once"})
    api("DELETE", path)
    records = composition.engine().records
    head = records.get("audit", "head")
    assert head is not None
    entries = [entry for _, entry in records.list(f"audit#{head['at'][:7]}")]
    assert [entry["action"] for entry in entries] == [
        "schedule.create",
        "schedule.update",
        "schedule.delete",
    ]
    assert {entry["target"] for entry in entries} == {f"agent_7/{path.rpartition('/')[2]}"}


# -- changes


def test_an_update_changes_only_what_it_names(api: Client, clock: time_machine.Coordinates) -> None:
    path = created(api, DAILY)
    before = api("GET", path).body
    for change in ({"name": "other"}, {"callback_id": "other"}, {"callback_type": "function"}, {}):
        before |= change
        assert api("PUT", path, change).body == before
    assert api("PUT", path, {"name": None, "cron_expression": None}).body == before


def test_pausing_and_resuming_work_through_put(api: Client, clock: time_machine.Coordinates) -> None:
    path = created(api, DAILY)
    before = api("GET", path).body
    paused = api("PUT", path, {"status": "paused"}).body
    assert (paused["status"], paused["next_run"]) == ("paused", None)
    assert api("PUT", path, {"status": "paused"}).body == paused
    assert api("PUT", path, {"status": "active"}).body == before


@pytest.mark.parametrize(
    ("change", "when"),
    [
        ({"type": "once", "next_run": "2024-12-18T12:00:00Z"}, "2024-12-18T12:00:00Z"),
        ({"type": "delayed", "delay_seconds": 90}, "2024-12-15T10:01:30Z"),
        ({"type": "cron", "cron_expression": "0 7 * * *"}, "2024-12-16T07:00:00Z"),
    ],
)
@pytest.mark.parametrize("example", [DAILY, REMINDER, FOLLOW_UP], ids=["cron", "once", "delayed"])
def test_any_type_becomes_any_other_with_its_field(
    api: Client,
    clock: time_machine.Coordinates,
    example: dict[str, Any],
    change: dict[str, Any],
    when: str,
) -> None:
    reply = api("PUT", created(api, example), change)
    assert (reply.status, reply.body["type"], reply.body["next_run"]) == (200, change["type"], when)
    others = {"cron_expression", "delay_seconds"} - set(change)
    assert not others & set(reply.body)


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("next_run", {"type": "once"}),
        ("delay_seconds", {"type": "delayed"}),
        ("delay_seconds", {"delay_seconds": 5}),
        ("next_run", {"type": "cron", "next_run": "2099-01-01T00:00:00Z"}),
        ("next_run", {"type": "once", "next_run": "2024-12-15T09:59:59Z"}),
        ("cron_expression", {"cron_expression": "0 25 * * *"}),
        ("status", {"status": "completed"}),
        ("executions", {"executions": []}),
    ],
)
def test_an_update_that_is_refused_names_the_field_and_changes_nothing(
    api: Client, clock: time_machine.Coordinates, field: str, change: dict[str, Any]
) -> None:
    path = created(api, DAILY)
    before = api("GET", path).body
    refused(api("PUT", path, {"name": "other", **change}), 400, "VALIDATION_ERROR", field)
    assert api("GET", path).body == before


def test_another_delay_counts_from_the_creation(api: Client, clock: time_machine.Coordinates) -> None:
    path = created(api, FOLLOW_UP)
    clock.shift(600)
    reply = api("PUT", path, {"delay_seconds": 7200})
    assert (reply.body["delay_seconds"], reply.body["next_run"]) == (7200, "2024-12-15T12:00:00Z")
    message = refused(api("PUT", path, {"delay_seconds": 300}), 400, "VALIDATION_ERROR", "delay_seconds")
    assert "2024-12-15T10:00:00Z" in message


def test_a_delay_that_replaces_another_type_counts_from_the_change(
    api: Client, clock: time_machine.Coordinates
) -> None:
    path = created(api, DAILY)
    clock.shift(86_400)
    change = {"type": "delayed", "delay_seconds": 60}
    assert api("PUT", path, change).body["next_run"] == "2024-12-16T10:01:00Z"


def test_a_delay_of_a_century_is_the_longest(api: Client, clock: time_machine.Coordinates) -> None:
    path = created(api, FOLLOW_UP, delay_seconds=100 * 366 * 86_400)
    assert api("GET", path).body["next_run"] == "2125-03-01T10:00:00Z"


def test_a_naive_instant_is_utc(api: Client, clock: time_machine.Coordinates) -> None:
    path = created(api, REMINDER, next_run="2024-12-20T15:00:00")
    assert api("GET", path).body["next_run"] == "2024-12-20T15:00:00Z"
    reply = api("PUT", path, {"next_run": "2024-12-20T15:00:00+02:00"})
    assert reply.body["next_run"] == "2024-12-20T13:00:00Z"


# -- runs


@pytest.mark.parametrize("example", [REMINDER, FOLLOW_UP], ids=["once", "delayed"])
def test_what_runs_once_is_completed_by_its_run(
    api: Client, clock: time_machine.Coordinates, example: dict[str, Any]
) -> None:
    api("PUT", f"/api/targets/{example['callback_id']}", {"type": "handler", "name": "echo"})
    path = created(api, example)
    due = datetime.fromisoformat(api("GET", path).body["next_run"])
    run_at(api, clock, due)
    after = api("GET", path).body
    assert (after["status"], after["next_run"]) == ("completed", None)
    assert datetime.fromisoformat(after["last_run"]) == due
    assert [one["status"] for one in after["executions"]] == ["success"]
    refused(api("PUT", path, {"status": "active"}), 409, "CONFLICT")
    assert api("PUT", path, {"name": "renamed"}).body == {**after, "name": "renamed"}


@pytest.mark.parametrize("is_registered", [True, False], ids=["completed", "failed"])
def test_another_time_makes_a_completed_schedule_active_again(
    api: Client, clock: time_machine.Coordinates, is_registered: bool
) -> None:
    if is_registered:
        api("PUT", "/api/targets/workflow-789", {"type": "handler", "name": "echo"})
    path = created(api, REMINDER)
    due = datetime.fromisoformat(REMINDER["next_run"])
    run_at(api, clock, due)
    assert api("GET", path).body["status"] == "completed"
    after = api("PUT", path, {"next_run": "2024-12-21T15:00:00Z"}).body
    assert (after["status"], after["next_run"]) == ("active", "2024-12-21T15:00:00Z")
    run_at(api, clock, due + timedelta(days=1))
    after = api("GET", path).body
    assert (after["status"], len(after["executions"])) == ("completed", 2)


@pytest.mark.parametrize("callback_type", ["workflow", "function"])
def test_an_unregistered_callback_fails_its_runs_with_a_sentence(
    api: Client, clock: time_machine.Coordinates, callback_type: str
) -> None:
    path = created(api, FOLLOW_UP, callback_type=callback_type, callback_id="workflow-456")
    run_at(api, clock, CREATION + timedelta(hours=1))
    after = api("GET", path).body
    assert (after["status"], after["next_run"]) == ("completed", None)
    assert [one["status"] for one in after["executions"]] == ["failed"]
    (run,) = api("GET", f"{JOBS}/{job_of(api, path)['id']}/runs").body["runs"]
    assert f"exec-{run['id']}" == after["executions"][0]["id"]
    assert run["error"] == {
        "type": "not_registered",
        "message": f"{callback_type} workflow-456 is not registered",
        "permanent": True,
    }


def test_a_cron_schedule_that_keeps_failing_is_shown_as_paused_and_can_be_resumed(
    api: Client, clock: time_machine.Coordinates
) -> None:
    path = created(api, DAILY)
    job = f"{JOBS}/{job_of(api, path)['id']}"
    assert api("PUT", job, {"max_consecutive_failures": 1}).status == 200
    run_at(api, clock, datetime(2024, 12, 16, 9, tzinfo=UTC))
    after = api("GET", path).body
    assert (after["status"], after["next_run"]) == ("paused", None)
    assert api("GET", job).body["status"] == "failed"
    assert api("GET", f"{SCHEDULES}?status=paused").body["schedules"][0]["id"] == after["id"]
    assert api("PUT", path, {"status": "active"}).body["next_run"] == "2024-12-17T09:00:00Z"


def called(api: Client, callback_type: str, callback_id: str) -> Any:
    """A run of a schedule with that callback."""
    path = created(api, DAILY, callback_type=callback_type, callback_id=callback_id)
    job = job_of(api, path)["id"]
    run = api("POST", f"{JOBS}/{job}/trigger", {"input": {"n": 1}}).body["run_id"]
    while api.work():
        pass
    return api("GET", f"{JOBS}/{job}/runs/{run}").body


def test_a_function_is_a_handler_before_it_is_a_target(api: Client) -> None:
    other = {"type": "handler", "name": "echo", "input": "the target's"}
    api("PUT", "/api/targets/echo", other)
    api("PUT", "/api/targets/elsewhere", other)
    assert called(api, "function", "echo")["output"] == {"n": 1}
    assert called(api, "function", "elsewhere")["output"] == "the target's"


def test_a_workflow_is_a_target_but_no_handler(api: Client) -> None:
    api("PUT", "/api/targets/elsewhere", {"type": "handler", "name": "echo"})
    assert called(api, "workflow", "elsewhere")["output"] == {"n": 1}
    assert called(api, "workflow", "echo")["error"]["message"] == "workflow echo is not registered"


def test_a_workflow_is_a_chain_before_it_is_a_target(api: Client) -> None:
    never = {"type": "cron", "expression": "0 0 1 1 *"}
    node = api("POST", JOBS, {"name": "n", "schedule": never, "action": {"type": "handler", "name": "echo"}})
    graph = {"name": "c", "jobs": [node.body["id"]], "edges": []}
    chain = api("POST", "/api/scheduler/chains", graph).body["id"]
    api("PUT", f"/api/targets/{chain}", {"type": "handler", "name": "echo", "input": "the target's"})
    run = called(api, "workflow", chain)
    assert (run["status"], run["output"] == "the target's") == ("completed", False)
    assert api("GET", f"/api/scheduler/chains/{chain}/executions").body["count"] == 1


def test_a_callback_that_is_registered_later_is_found_then(api: Client) -> None:
    assert called(api, "workflow", "late")["status"] == "failed"
    api("PUT", "/api/targets/late", {"type": "handler", "name": "echo"})
    assert called(api, "workflow", "late")["status"] == "completed"


def test_the_last_twenty_executions_are_shown_newest_first(api: Client) -> None:
    path = created(api, DAILY, callback_type="function", callback_id="echo")
    job = job_of(api, path)["id"]
    runs = [api("POST", f"{JOBS}/{job}/trigger").body["run_id"] for _ in range(21)]
    executions = api("GET", path).body["executions"]
    assert {one["status"] for one in executions} == {"running"}, "they are queued"
    assert [one["id"] for one in executions] == [f"exec-{run}" for run in sorted(runs, reverse=True)][:20]
    api("POST", f"{JOBS}/{job}/runs/{max(runs)}/cancel")
    assert api("GET", path).body["executions"][0]["status"] == "cancelled"


def test_a_missed_slot_is_shown_as_skipped(api: Client, clock: time_machine.Coordinates) -> None:
    path = created(api, DAILY, callback_type="function", callback_id="echo")
    run_at(api, clock, datetime(2024, 12, 18, 10, tzinfo=UTC))
    executions = api("GET", path).body["executions"]
    assert [(one["executed_at"], one["status"]) for one in executions] == [
        ("2024-12-18T10:00:00Z", "success"),
        ("2024-12-17T09:00:00Z", "skipped"),
        ("2024-12-16T09:00:00Z", "skipped"),
    ]


# -- the same job elsewhere


def test_a_schedule_is_a_job_of_the_agents_origin(api: Client, clock: time_machine.Coordinates) -> None:
    path = created(api, FOLLOW_UP)
    (job,) = api("GET", f"{JOBS}?origin=agents&agent_id=agent_7").body["jobs"]
    assert path.endswith(f"/schedule-{job['id'].removeprefix('job_')}")
    assert (job["origin"], job["agent_id"], job["owner"]) == ("agents", "agent_7", "anonymous")
    assert job["action"] == {
        "type": "callback",
        "callback_type": "workflow",
        "callback_id": "workflow-123",
    }
    assert job["schedule"] == {
        "type": "at",
        "datetime": "2024-12-15T11:00:00Z",
        "timezone": "UTC",
        "delay_seconds": 3600,
    }
    assert api("GET", "/api/agents").body["count"] == 0, "scheduling registers no agent"


def test_what_native_makes_of_a_schedule_is_shown_and_kept(
    api: Client, clock: time_machine.Coordinates
) -> None:
    path = created(api, FOLLOW_UP)
    job = f"{JOBS}/{job_of(api, path)['id']}"
    api("PUT", job, {"schedule": {"type": "at", "datetime": "2024-12-24T18:00:00Z"}, "tags": ["x"]})
    after = api("GET", path).body
    assert (after["type"], after["next_run"]) == ("once", "2024-12-24T18:00:00Z")
    daily = {"type": "cron", "expression": "0 9 * * *", "timezone": "America/New_York"}
    api("PUT", job, {"schedule": daily, "action": {"type": "handler", "name": "echo"}})
    after = api("PUT", path, {"cron_expression": "0 10 * * *"}).body
    assert (after["next_run"], after["callback_type"], after["callback_id"]) == (
        "2024-12-15T15:00:00Z",
        None,
        None,
    )
    assert (job_of(api, path)["tags"], job_of(api, path)["action"]["name"]) == (["x"], "echo")
    refused(api("PUT", path, {"callback_id": "a"}), 400, "VALIDATION_ERROR", "callback_type")
    api("PUT", job, {"schedule": {"type": "every", "interval": 60}})
    after = api("PUT", path, {"name": "every minute"}).body
    assert (after["type"], after["next_run"], "cron_expression" in after) == (
        "cron",
        "2024-12-15T10:01:00Z",
        False,
    )


def test_a_schedule_that_a_chain_uses_is_not_deleted(api: Client) -> None:
    path = created(api, DAILY)
    job = job_of(api, path)["id"]
    chain = api("POST", "/api/scheduler/chains", {"name": "c", "jobs": [job], "edges": []}).body["id"]
    assert chain in refused(api("DELETE", path), 409, "CONFLICT")


def test_a_target_names_no_callback(api: Client) -> None:
    callback = {"type": "callback", "callback_type": "workflow", "callback_id": "t"}
    assert api("PUT", "/api/targets/t", callback).status == 422
