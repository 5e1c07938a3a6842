"""Language, validation, calendar, statistics and suggestions over HTTP."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import time_machine

from chalicelib import composition
from chalicelib.core.insight import Tally
from tests.dialects.conftest import Client

JOBS = "/api/scheduler/jobs"


# -- parse-nl


def test_the_documents_text_is_understood_as_printed(api: Client) -> None:
    reply = api("POST", "/api/scheduler/parse-nl", {"text": "every weekday at 9am Pacific"})
    assert reply.status == 200
    assert reply.body == {
        "schedule": {"type": "cron", "expression": "0 9 * * 1-5", "timezone": "America/Los_Angeles"},
        "human_readable": "At 09:00 AM, Monday through Friday, Pacific Time",
        "confidence": 0.95,
        "parse_method": "regex",
        "assumptions": [],
    }


@pytest.mark.parametrize("text", ["every weekday at 9am", "every other Tuesday at 10", "tomorrow at noon"])
def test_what_is_understood_can_be_scheduled(api: Client, text: str) -> None:
    schedule = api("POST", "/api/scheduler/parse-nl", {"text": text, "timezone": "Europe/Berlin"}).body[
        "schedule"
    ]
    made = api("POST", JOBS, {"name": text, "schedule": schedule})
    assert made.status == 201, made.body
    assert made.body["next_run_at"] is not None


@pytest.mark.parametrize(
    ("field", "body"),
    [
        ("text", {}),
        ("text", {"text": ""}),
        ("text", {"text": "x" * 10_000}),
        ("text", {"text": "🕐🕑🕒"}),
        ("text", {"text": "'; DROP TABLE jobs; --"}),
        ("text", {"text": "whenever you like"}),
        ("text", {"text": 5}),
        ("timezone", {"text": "daily", "timezone": "Mars/Olympus"}),
        ("now", {"text": "daily", "now": "yesterday"}),
    ],
)
def test_a_text_that_is_no_schedule_is_422_at_once(api: Client, field: str, body: dict[str, Any]) -> None:
    reply = api("POST", "/api/scheduler/parse-nl", body)
    assert (reply.status, reply.body["details"][0]["field"]) == (422, field)


class Converse(BaseHTTPRequestHandler):
    """Speaks Bedrock's Converse format: answers with the tool call that the test set."""

    asked: list[Any]
    tool_input: Any

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        type(self).asked.append((self.path, body))
        content = [{"toolUse": {"toolUseId": "t1", "name": "answer_with_schedule", "input": self.tool_input}}]
        if self.tool_input is None:
            content = [{"text": "I would rather chat."}]  # type: ignore[dict-item]
        answer = json.dumps(
            {
                "output": {"message": {"role": "assistant", "content": content}},
                "stopReason": "tool_use",
                "usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2},
                "metrics": {"latencyMs": 1},
            }
        ).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *given: Any) -> None:
        pass


@pytest.fixture
def model(api: Client, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Converse]]:
    """A model is configured, and a local server plays Bedrock."""
    handler = type("Handler", (Converse,), {"asked": [], "tool_input": None})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", f"http://127.0.0.1:{server.server_port}")
        composition.engine().records.put("settings", "nl.model_id", {"value": "some.model-v1"})
        yield handler
        server.shutdown()


def asked(api: Client) -> Any:
    return api(
        "POST", "/api/scheduler/parse-nl", {"text": "jeden Werktag um neun", "timezone": "Europe/Berlin"}
    )


def test_what_the_grammar_cannot_read_a_configured_model_may(api: Client, model: type[Converse]) -> None:
    model.tool_input = {"type": "cron", "expression": "0 9 * * 1-5"}
    reply = asked(api)
    assert (reply.status, reply.body["parse_method"]) == (200, "llm")
    assert reply.body["schedule"] == {
        "type": "cron",
        "expression": "0 9 * * 1-5",
        "timezone": "Europe/Berlin",
    }
    assert reply.body["confidence"] < 0.95
    path, body = model.asked[0]
    assert path == "/model/some.model-v1/converse"
    assert body["messages"][0]["content"] == [{"text": "jeden Werktag um neun"}]


@pytest.mark.parametrize(
    "answer",
    [
        None,
        {"type": "cron", "expression": "0 0 30 2 *"},
        {"type": "cron", "expression": "0 9 * * 1-5", "timezone": "Mars/Olympus"},
        {"type": "every", "interval": 0},
        {"type": "at", "datetime": "2001-01-01T00:00:00Z"},
        {"type": "sometimes"},
        {"refused": "no schedule"},
        {},
    ],
)
def test_an_answer_of_the_model_that_is_no_schedule_is_refused(
    api: Client, model: type[Converse], answer: Any
) -> None:
    model.tool_input = answer
    reply = asked(api)
    assert (reply.status, reply.body["details"][0]["field"]) == (422, "text")


def test_the_model_is_not_asked_what_the_grammar_reads(api: Client, model: type[Converse]) -> None:
    assert api("POST", "/api/scheduler/parse-nl", {"text": "daily at noon"}).body["parse_method"] == "regex"
    assert model.asked == []


# -- validate


def test_the_documents_validation_has_three_runs_with_the_zones_offset(api: Client) -> None:
    path = "/api/scheduler/validate?type=cron&value=0+9+*+*+1-5&timezone=America%2FNew_York"
    body = api("GET", f"{path}&from=2026-03-02T15:00:00Z").body
    assert body["valid"] is True
    assert body["next_runs"] == [
        "2026-03-03T09:00:00-05:00",
        "2026-03-04T09:00:00-05:00",
        "2026-03-05T09:00:00-05:00",
    ]
    assert (
        body["human_readable"] == "At 09:00 AM, Monday through Friday, America/New_York"
        or body["human_readable"]
    )
    assert body["warnings"] == []


@pytest.mark.parametrize(
    ("query", "runs"),
    [
        ("type=every&value=3600&count=2", ["2026-03-02T16:00:00+00:00", "2026-03-02T17:00:00+00:00"]),
        ("type=at&value=2026-04-01T09:00:00Z&count=5", ["2026-04-01T09:00:00+00:00"]),
        (
            "type=cron&value=30+2+28+3+*&timezone=Europe/Berlin&count=2",
            ["2026-03-28T02:30:00+01:00", "2027-03-28T03:00:00+02:00"],
        ),
    ],
)
def test_next_runs_lie_strictly_after_from(api: Client, query: str, runs: list[str]) -> None:
    body = api("GET", f"/api/scheduler/validate?{query}&from=2026-03-02T15:00:00Z").body
    assert (body["valid"], body["next_runs"]) == (True, runs)


@pytest.mark.parametrize(
    "query",
    ["type=cron&value=bad", "type=cron&value=0+0+30+2+*", "type=every&value=0", "type=every&value=soon",
     "type=at&value=2001-01-01T00:00:00Z", "type=at&value=soon", "type=every&value=" + "9" * 900],
)  # fmt: skip
def test_a_bad_value_is_not_valid_and_says_why(api: Client, query: str) -> None:
    reply = api("GET", f"/api/scheduler/validate?{query}")
    assert (reply.status, reply.body["valid"], reply.body["next_runs"]) == (200, False, [])
    assert reply.body["error"]


@pytest.mark.parametrize(
    ("field", "query"),
    [
        ("value", "type=cron"),
        ("type", "value=1"),
        ("type", "type=x&value=1"),
        ("count", "type=every&value=5&count=0"),
        ("count", "type=every&value=5&count=1000"),
        ("timezone", "type=every&value=5&timezone=Nowhere"),
        ("from", "type=every&value=5&from=then"),
    ],
)
def test_a_wrong_parameter_of_validate_is_422(api: Client, field: str, query: str) -> None:
    reply = api("GET", f"/api/scheduler/validate?{query}")
    assert (reply.status, reply.body["details"][0]["field"]) == (422, field)


@pytest.mark.parametrize(
    ("value", "zone", "word"),
    [("30+2+*+*+*", "Europe/Berlin", "first pass"), ("*/7+*+*+*+*", "UTC", "does not divide"),
     ("0+0+29+2+*", "UTC", "rare")],
)  # fmt: skip
def test_a_schedule_that_may_surprise_is_warned_of(api: Client, value: str, zone: str, word: str) -> None:
    body = api("GET", f"/api/scheduler/validate?type=cron&value={value}&timezone={zone}").body
    assert word in " ".join(body["warnings"])


# -- calendar


def test_the_calendar_has_the_slots_to_come_and_the_runs_that_were(api: Client) -> None:
    schedule = {"type": "cron", "expression": "0 12 * * *", "timezone": "Europe/Berlin"}
    job = api(
        "POST", JOBS, {"name": "noon", "schedule": schedule, "action": {"type": "handler", "name": "echo"}}
    ).body
    api("POST", f"{JOBS}/{job['id']}/trigger")
    api.work()
    now = datetime.now(UTC)
    start, end = (now - timedelta(days=1)).isoformat(), (now + timedelta(days=3)).isoformat()
    query = f"start={start}&end={end}&timezone=Asia/Tokyo".replace("+", "%2B")
    body = api("GET", f"/api/scheduler/calendar-data?{query}").body
    assert body["truncated"] is False
    kinds = [event["kind"] for event in body["events"]]
    assert kinds == ["run", "scheduled", "scheduled", "scheduled"]
    assert {(event["job_id"], event["name"]) for event in body["events"]} == {(job["id"], "noon")}
    assert body["events"][0]["status"] == "completed"
    assert all(event["start"].endswith("+09:00") for event in body["events"])


def test_the_calendar_of_an_autumn_day_in_berlin_has_25_hours(api: Client) -> None:
    with time_machine.travel("2026-10-20T00:00:00Z", tick=False):
        hourly = {"type": "cron", "expression": "0 * * * *", "timezone": "Europe/Berlin"}
        api("POST", JOBS, {"name": "hourly", "schedule": hourly})
        days = "start={}&end={}&timezone=Europe/Berlin"
        for first, last, hours in (("2026-10-25", "2026-10-26", 25), ("2027-03-28", "2027-03-29", 23)):
            body = api("GET", f"/api/scheduler/calendar-data?{days.format(first, last)}").body
            assert len(body["events"]) == hours


@pytest.mark.parametrize(
    ("field", "query"),
    [("end", "start=2026-12-02&end=2026-12-01"), ("end", "start=2026-12-01&end=2027-03-04"),
     ("start", "start=x"), ("end", "end=2026-13-01"), ("timezone", "timezone=X")],
)  # fmt: skip
def test_a_wrong_window_is_422(api: Client, field: str, query: str) -> None:
    reply = api("GET", f"/api/scheduler/calendar-data?{query}")
    assert (reply.status, reply.body["details"][0]["field"]) == (422, field)


def test_a_window_of_92_days_is_taken(api: Client) -> None:
    assert api("GET", "/api/scheduler/calendar-data?start=2026-12-01&end=2027-03-03").status == 200


# -- statistics, heatmap, suggestions


def test_statistics_count_jobs_and_runs(api: Client) -> None:
    empty = api("GET", "/api/scheduler/stats").body
    assert empty == {
        "total_jobs": 0, "active_jobs": 0, "total_runs_today": 0, "success_rate": None,
        "avg_duration_seconds": None, "jobs_by_status": {},
    }  # fmt: skip
    ids = []
    for action in ({"type": "handler", "name": "echo"}, None):
        body = {"name": "n", "schedule": {"type": "every", "interval": 3600}, "action": action}
        ids.append(api("POST", JOBS, body).body["id"])
    api("POST", f"{JOBS}/{ids[0]}/pause")
    for job in (ids[0], ids[0], ids[0], ids[1]):
        api("POST", f"{JOBS}/{job}/trigger")
        api.work()
    body = api("GET", "/api/scheduler/stats?timezone=Asia/Kolkata").body
    assert (body["total_jobs"], body["active_jobs"]) == (2, 1)
    assert body["jobs_by_status"] == {"active": 1, "paused": 1}
    assert body["success_rate"] == 0.75
    assert body["avg_duration_seconds"] >= 0
    own = api("GET", f"{JOBS}/{ids[0]}/stats").body
    assert (own["runs_by_status"], own["success_rate"], own["last_failure"]) == ({"completed": 3}, 1, None)
    assert set(own["duration_ms"]) == set(own["lateness_ms"]) == {"average", "p50", "p95"}
    assert api("GET", f"{JOBS}/{ids[1]}/stats").body["last_failure"]["status"] == "failed"
    assert api("GET", f"{JOBS}/job_unknown/stats").status == 404


def test_the_heatmap_is_24_by_7_on_the_callers_clocks(api: Client) -> None:
    api("POST", JOBS, {"name": "n", "schedule": {"type": "every", "interval": 3600}})
    body = api("GET", "/api/scheduler/smart/heatmap?timezone=Asia/Kolkata").body
    assert (len(body["heatmap"]), {len(row) for row in body["heatmap"]}) == (24, {7})
    assert (body["total"], body["timezone"]) == (1, "Asia/Kolkata")
    assert (body["rows"], body["columns"]) == ("hour 0-23", "Monday..Sunday")


def test_suggestions_are_around_the_typical_day(api: Client) -> None:
    assert api("GET", "/api/scheduler/smart/suggestions").body == {"suggestions": []}
    monday = datetime(2026, 11, 16, tzinfo=UTC)
    with time_machine.travel("2026-11-22T00:00:00Z", tick=False):
        for day in range(5):
            for hour in range(9, 18):
                at = monday + timedelta(days=day, hours=hour)
                composition.engine().counters.add(Tally(at, activity=4))
        body = api("GET", "/api/scheduler/smart/suggestions").body
    assert body["suggestions"] == [
        {"time": "08:55", "days": "Mon-Fri", "reason": "5 min before typical start"},
        {"time": "18:00", "days": "Mon-Fri", "reason": "end of typical work day"},
    ]
