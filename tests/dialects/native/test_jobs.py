"""Jobs over HTTP: the document's examples, and what its users would expect of the rest."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.dialects.conftest import Client

JOBS = "/api/scheduler/jobs"
DAILY = {
    "name": "Daily digest",
    "goal": "Summarize today's activity",
    "schedule": {"type": "cron", "expression": "0 8 * * 1-5", "timezone": "America/New_York"},
    "agent_id": "agent_123",
}
PRICE_ALERT = {
    "name": "Price alert",
    "goal": "Check BTC price and alert if >5% change",
    "agent_id": "agent_123",
    "schedule": {"type": "every", "interval": 3600, "timezone": "UTC"},
    "delivery": {"channel": "slack:#alerts", "format": "markdown"},
    "condition": {"type": "expression", "expression": "price_change_pct > 0.05"},
    "retry": {"max_attempts": 3, "strategy": "exponential", "base_delay": 60},
}


def created(api: Client, **fields: Any) -> dict[str, Any]:
    reply = api("POST", JOBS, {**DAILY, **fields})
    assert reply.status == 201, reply.body
    body: dict[str, Any] = reply.body
    return body


def test_the_documents_example_job_is_listed_as_printed(api: Client) -> None:
    created(api)
    body = api("GET", f"{JOBS}?status=active&limit=10&offset=0").body
    (job,) = body["jobs"]
    assert body["count"] == 1
    for name in ("name", "goal", "schedule", "agent_id"):
        assert job[name] == DAILY[name]
    assert re.fullmatch(r"job_[a-z0-9]{12}", job["id"])
    assert job["status"] == "active"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT08:00:00-0[45]:00", job["next_run_at"])
    assert job["last_run_at"] is None
    assert job["run_count"] == 0
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", job["created_at"])
    assert job["schema_version"] == 1


def test_the_documents_create_example_answers_with_the_job_itself(api: Client) -> None:
    reply = api("POST", JOBS, PRICE_ALERT)
    assert reply.status == 201
    assert reply.body["schedule"] == PRICE_ALERT["schedule"]
    assert reply.body["delivery"] == PRICE_ALERT["delivery"] | {"on": "always", "quiet_hours": None}
    assert reply.body["condition"] == {**PRICE_ALERT["condition"], "gate": "delivery"}  # type: ignore[dict-item]
    assert {name: reply.body["retry"][name] for name in PRICE_ALERT["retry"]} == PRICE_ALERT["retry"]  # type: ignore[attr-defined]
    assert api("GET", f"{JOBS}/{reply.body['id']}").body == reply.body


@pytest.mark.parametrize(
    "schedule",
    [
        {"type": "cron", "expression": "0 9 * * 1-5"},
        {"type": "every", "interval": 3600},
        {"type": "at", "datetime": "2099-04-01T09:00:00Z"},
    ],
)
def test_each_schedule_type_of_the_document_is_taken_and_defaults_to_utc(
    api: Client, schedule: dict[str, Any]
) -> None:
    assert created(api, schedule=schedule)["schedule"] == {**schedule, "timezone": "UTC"}


def test_the_documents_update_example_changes_only_what_it_names(api: Client) -> None:
    job = created(api)
    change = {"name": "Updated name", "schedule": {"type": "cron", "expression": "0 10 * * *"}}
    reply = api("PUT", f"{JOBS}/{job['id']}", change)
    assert reply.status == 200
    assert reply.body["name"] == "Updated name"
    assert reply.body["schedule"] == {**change["schedule"], "timezone": "America/New_York"}  # type: ignore[dict-item]
    assert "T10:00:00-0" in reply.body["next_run_at"]
    assert reply.body["goal"] == DAILY["goal"]


def test_an_update_that_is_refused_changes_nothing(api: Client) -> None:
    job = created(api)
    assert api("PUT", f"{JOBS}/{job['id']}", {"name": "x", "timeout_seconds": -1}).status == 422
    assert api("GET", f"{JOBS}/{job['id']}").body == job


def test_null_in_an_update_is_the_default(api: Client) -> None:
    job = created(api, tags=["a"], timeout_seconds=5)
    body = api("PUT", f"{JOBS}/{job['id']}", {"goal": None, "timeout_seconds": None}).body
    assert (body["goal"], body["timeout_seconds"], body["tags"]) == (None, 300, ["a"])


def test_pausing_is_idempotent_and_shows_its_reason(api: Client) -> None:
    job = created(api)
    paused = api("POST", f"{JOBS}/{job['id']}/pause", {"reason": "holiday"})
    assert (paused.status, paused.body["status"], paused.body["status_reason"]) == (200, "paused", "holiday")
    assert paused.body["next_run_at"] is None
    assert api("POST", f"{JOBS}/{job['id']}/pause").body == paused.body
    resumed = api("POST", f"{JOBS}/{job['id']}/resume")
    assert (resumed.status, resumed.body["status"], resumed.body["status_reason"]) == (200, "active", None)
    assert resumed.body["next_run_at"] == job["next_run_at"]


def test_pausing_and_resuming_leave_an_intervals_grid_where_it_was(api: Client) -> None:
    job = created(api, schedule={"type": "every", "interval": 86_400})
    api("POST", f"{JOBS}/{job['id']}/pause")
    assert api("POST", f"{JOBS}/{job['id']}/resume").body["next_run_at"] == job["next_run_at"]


def test_a_job_can_be_made_paused(api: Client) -> None:
    job = created(api, status="paused")
    assert (job["status"], job["next_run_at"]) == ("paused", None)


def test_a_deleted_job_is_gone(api: Client) -> None:
    job = created(api)
    assert api("DELETE", f"{JOBS}/{job['id']}").status == 204
    assert api("GET", f"{JOBS}/{job['id']}").status == 404
    assert api("DELETE", f"{JOBS}/{job['id']}").status == 404
    assert api("GET", JOBS).body == {"jobs": [], "count": 0}


def test_lists_are_newest_first_and_count_what_matches_before_the_page(api: Client) -> None:
    names = [created(api, name=f"job {n}", tags=["odd" if n % 2 else "even"])["name"] for n in range(5)]
    page = api("GET", f"{JOBS}?limit=2&offset=1").body
    assert ([job["name"] for job in page["jobs"]], page["count"]) == (names[::-1][1:3], 5)
    odd = api("GET", f"{JOBS}?tag=odd&limit=1").body
    assert ([job["name"] for job in odd["jobs"]], odd["count"]) == ([names[3]], 2)
    assert api("GET", f"{JOBS}?status=paused").body == {"jobs": [], "count": 0}
    assert api("GET", f"{JOBS}?agent_id=agent_123").body["count"] == 5


@pytest.mark.parametrize(
    "query", ["status=running", "limit=0", "limit=201", "limit=x", "offset=-1", "origin=x"]
)
def test_a_wrong_query_parameter_is_named(api: Client, query: str) -> None:
    reply = api("GET", f"{JOBS}?{query}")
    assert reply.status == 422
    assert reply.body["details"][0]["field"] == query.partition("=")[0]


def test_one_idempotency_key_makes_one_job(api: Client) -> None:
    key = {"Idempotency-Key": "once"}
    first, second = (api("POST", JOBS, DAILY, key) for _ in range(2))
    assert first.body == second.body
    assert api("GET", JOBS).body["count"] == 1
    other = api("POST", JOBS, {**DAILY, "name": "Another"}, key)
    assert (other.status, other.body["error"]) == (409, "conflict")


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("schedule.expression", {"schedule": {"type": "cron", "expression": "every day"}}),
        ("schedule.expression", {"schedule": {"type": "cron", "expression": "0 0 30 2 *"}}),
        ("schedule.expression", {"schedule": {"type": "cron", "expression": "0 0 * * * *"}}),
        ("schedule.expression", {"schedule": {"type": "cron", "expression": "0 0 * *\n*"}}),
        ("schedule.expression", {"schedule": {"type": "cron", "expression": "R 0 * * *"}}),
        ("schedule.expression", {"schedule": {"type": "cron"}}),
        ("schedule.timezone", {"schedule": {"type": "every", "interval": 5, "timezone": "Europe/Lundon"}}),
        ("schedule.interval", {"schedule": {"type": "every", "interval": 0}}),
        ("schedule.interval", {"schedule": {"type": "every", "interval": 1e12}}),
        ("schedule.interval", {"schedule": {"type": "every", "interval": "5"}}),
        ("schedule.datetime", {"schedule": {"type": "at", "datetime": "2020-01-01T00:00:00Z"}}),
        ("schedule.datetime", {"schedule": {"type": "at", "datetime": "tomorrow"}}),
        ("schedule.type", {"schedule": {"type": "sometimes"}}),
        ("schedule", {"schedule": "* * * * *"}),
        ("name", {"name": "x" * 10_000}),
        ("name", {"name": ""}),
        ("timeout_seconds", {"timeout_seconds": -1}),
        ("timeout_seconds", {"timeout_seconds": 841}),
        ("retry.max_attempts", {"retry": {"max_attempts": 0}}),
        ("retry.strategy", {"retry": {"strategy": "hope"}}),
        (
            "action.headers",
            {"action": {"type": "http", "url": "http://a.example/", "headers": {"X": "a\nb"}}},
        ),
        ("action", {"action": {"type": "carrier_pigeon"}}),
        ("overlap", {"overlap": "maybe"}),
        ("misfire", {"misfire": "maybe"}),
        ("dst.gap", {"dst": {"gap": "maybe"}}),
        ("jitter_seconds", {"jitter_seconds": 601}),
        ("end_at", {"end_at": "2020-01-01T00:00:00Z"}),
        ("end_at", {"start_at": "2099-01-02T00:00:00Z", "end_at": "2099-01-01T00:00:00Z"}),
        ("max_consecutive_failures", {"max_consecutive_failures": -1}),
        ("tags", {"tags": "a"}),
        ("status", {"status": "completed"}),
        ("favourite_colour", {"favourite_colour": "blue"}),
    ],
)
def test_a_wrong_field_is_422_and_named(api: Client, field: str, fields: dict[str, Any]) -> None:
    reply = api("POST", JOBS, {**DAILY, **fields})
    assert (reply.status, reply.body["error"], reply.body["status"]) == (422, "validation_error", 422)
    assert field in [detail["field"] for detail in reply.body["details"]]
    assert api("GET", JOBS).body["count"] == 0


def test_an_unknown_zone_is_answered_with_the_nearest_names(api: Client) -> None:
    schedule = {"type": "every", "interval": 5, "timezone": "America/New_Yrk"}
    assert "America/New_York" in api("POST", JOBS, {**DAILY, "schedule": schedule}).body["message"]


def test_every_wrong_field_is_named_at_once(api: Client) -> None:
    reply = api("POST", JOBS, {"name": "", "schedule": {"type": "every", "interval": 0}, "overlap": "x"})
    assert {detail["field"] for detail in reply.body["details"]} == {"name", "schedule.interval", "overlap"}


def test_a_naive_datetime_is_in_the_schedules_zone(api: Client) -> None:
    schedule = {"type": "at", "datetime": "2099-07-01T09:00:00", "timezone": "Europe/Paris"}
    job = created(api, schedule=schedule)
    assert job["schedule"]["datetime"] == "2099-07-01T07:00:00Z"
    assert job["next_run_at"] == "2099-07-01T09:00:00+02:00"


def test_an_interval_with_start_at_has_its_first_slot_there(api: Client) -> None:
    start = (datetime.now(UTC) + timedelta(days=2)).replace(microsecond=0)
    job = created(api, schedule={"type": "every", "interval": 7200}, start_at=start.isoformat())
    assert datetime.fromisoformat(job["next_run_at"]) == start


@pytest.mark.parametrize(
    "path", ["", "/pause", "/resume", "/trigger", "/runs", "/runs/20261122T140000Z", "/runs/x/cancel"]
)
def test_an_unknown_job_is_404(api: Client, path: str) -> None:
    method = "GET" if path in ("", "/runs", "/runs/20261122T140000Z") else "POST"
    reply = api(method, f"{JOBS}/job_unknown{path}")
    assert reply.status == 404
    assert (reply.body["error"], reply.body["status"]) == ("not_found", 404)


def test_only_an_admin_may_schedule_a_built_in_task(api: Client) -> None:
    task = {**DAILY, "action": {"type": "task", "name": "agenda-sweep"}}
    assert api("POST", JOBS, task, api.key("operator")).status == 403
    assert api("POST", JOBS, task, api.key("admin")).status == 201


def test_the_built_in_jobs_are_listed_with_the_others(api: Client) -> None:
    api.tick()
    jobs = {job["id"]: job for job in api("GET", f"{JOBS}?owner=system").body["jobs"]}
    assert [*jobs] == [job["id"] for job in api("GET", JOBS).body["jobs"]]
    sweep, health = jobs["job_agenda-sweep"], jobs["job_health-check"]
    assert (sweep["name"], sweep["origin"]) == ("agenda-sweep", "native")
    assert (health["name"], health["origin"]) == ("health-check", "codespar")
    expiry = next(job for job in jobs.values() if job["name"] == "certification-expiry-nightly")
    assert (expiry["origin"], expiry["schedule"]["expression"]) == ("nightly", "0 2 * * *")
