"""The certification jobs: what they change, what they never do twice, and what a dry run leaves alone."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import boto3
import pytest
import time_machine

from chalicelib import composition
from chalicelib.core.errors import ActionError
from chalicelib.scheduler import channels
from tests.dialects.conftest import Client

JOBS = "/api/v1/scheduler/jobs"
CERTIFICATIONS = "/api/certifications"
EXPIRY, LIFT = "certification-expiry-nightly", "pause-auto-lift-check"
TODAY = date(2026, 3, 26)
TABLES = ("JOBS", "RUNS", "AGENDA", "RECORDS")
Items = dict[tuple[str, str, str], Any]


@pytest.fixture
def clock(api: Client) -> Iterator[Any]:
    """Ten o'clock, with the built-in jobs registered."""
    with time_machine.travel("2026-03-26T10:00:00Z", tick=False) as clock:
        api.tick()
        yield clock


@pytest.fixture
def sent(api: Client, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, str]]:
    """The reminders that leave, with a channel for them."""
    letters: list[tuple[str, str, str]] = []
    monkeypatch.setattr(channels, "deliver_text", lambda engine, *letter: letters.append(letter))
    composition.engine().records.put("settings", "certifications.channel", {"value": "slack:#mentors"})
    return letters


def put(api: Client, key: str, days: int, **fields: Any) -> Any:
    """A certification that expires so many days from today."""
    body = {"mentor": f"mentor {key}", "certification": "First aid", **fields}
    expires_on = (TODAY + timedelta(days=days)).isoformat()
    reply = api("PUT", f"{CERTIFICATIONS}/{key}", {**body, "expires_on": expires_on})
    assert reply.status == 200, reply.body
    return reply.body


def run(api: Client, job: str = EXPIRY, **body: Any) -> Any:
    """What a run of the job found."""
    run_id = api("POST", f"{JOBS}/{job}/trigger", body).body["run_id"]
    assert api.work() == 1
    result = api("GET", f"{JOBS}/{job}/last-result").body
    assert result["run_id"] == run_id
    return result["result_summary"]


def mentors(api: Client) -> None:
    """87 of them: 2 have expired, 5 are to be reminded, and the others hold for long."""
    for number, days in enumerate([-1, -30, 60, 45, 30, 7, 0, *[61 + n for n in range(80)]]):
        put(api, f"c{number}", days)


def stored() -> Items:
    """Every item of every table, by table and key."""
    client = boto3.client("dynamodb")
    found: Items = {}
    for table in TABLES:
        name = os.environ[f"BELFRY_{table}_TABLE"]
        keys = [part["AttributeName"] for part in client.describe_table(TableName=name)["Table"]["KeySchema"]]
        for page in client.get_paginator("scan").paginate(TableName=name):
            for item in page["Items"]:
                first, second = (next(iter(item[key].values())) for key in keys)
                found[table, first, second] = item
    return found


def changed(before: Items, after: Items) -> set[tuple[str, str]]:
    """Table and partition of each item that was added, changed or removed."""
    return {key[:2] for key in {*before, *after} if before.get(key) != after.get(key)}


def test_two_runs_in_one_day_over_87_mentors_change_once(api: Client, clock: Any, sent: list[Any]) -> None:
    mentors(api)
    assert run(api) == {
        "mentors_checked": 87,
        "expired_found": 2,
        "auto_paused": 2,
        "reminders_sent": 5,
        "errors": 0,
    }
    assert len(sent) == 5
    before = api("GET", CERTIFICATIONS).body
    clock.shift(timedelta(hours=5))
    again = run(api)
    assert again == {
        "mentors_checked": 87,
        "expired_found": 2,
        "auto_paused": 0,
        "reminders_sent": 0,
        "errors": 0,
    }
    assert len(sent) == 5
    assert api("GET", CERTIFICATIONS).body == before
    assert run(api, LIFT) == {"mentors_checked": 87, "pauses_lifted": 0, "errors": 0}
    assert api("GET", CERTIFICATIONS).body == before


def test_a_dry_run_writes_nothing_but_its_own_traces(api: Client, clock: Any, sent: list[Any]) -> None:
    mentors(api)
    clock.shift(timedelta(hours=1))
    before = stored()
    reply = api("POST", f"{JOBS}/{EXPIRY}/trigger", {"triggered_by": "coordinator-007", "dry_run": True})
    api.work()
    after = stored()
    run_id = reply.body["run_id"].removeprefix("run-")
    (job_id,) = {second for table, second, third in after if third == run_id and table == "RUNS"}
    assert {key for key in {*before, *after} if before.get(key) != after.get(key)} >= {
        ("RUNS", job_id, run_id)
    }
    assert changed(before, after) == {
        ("RUNS", job_id),
        ("RECORDS", "run_log#2026-03-26"),
        ("RECORDS", "audit"),
        ("RECORDS", "audit#2026-03"),
        ("RECORDS", "counters#2026-03"),
    }
    assert [key for key in before if key[0] == "RUNS" and before[key] != after.get(key)] == []
    assert sent == []
    row = composition.engine().runs.get(job_id, run_id)
    assert row
    assert row.dry_run
    assert row.output == {
        "mentors_checked": 87,
        "expired_found": 2,
        "auto_paused": 2,
        "reminders_sent": 5,
        "errors": 0,
        "dry_run": True,
    }
    assert api("GET", f"{JOBS}/{EXPIRY}/last-result").status == 404


def test_a_dry_run_of_the_lift_changes_no_record(api: Client, clock: Any) -> None:
    put(api, "a", -1)
    run(api)
    put(api, "a", 300)
    before = api("GET", CERTIFICATIONS).body
    api("POST", f"{JOBS}/{LIFT}/trigger", {"dry_run": True})
    api.work()
    assert api("GET", CERTIFICATIONS).body == before
    assert run(api, LIFT)["pauses_lifted"] == 1


def test_reminders_go_out_60_30_and_7_days_ahead_each_once(api: Client, clock: Any, sent: list[Any]) -> None:
    put(api, "a", 62)
    on: list[int] = []
    for day in range(65):
        if run(api)["reminders_sent"]:
            on.append(62 - day)
        clock.shift(timedelta(days=1))
    assert on == [60, 30, 7]
    assert sent[0] == (
        "slack:#mentors",
        "First aid of mentor a expires in 60 days",
        "First aid of mentor a expires in 60 days, on 2026-05-27."
        " After that day mentor a is paused until it is renewed.",
    )
    assert api("GET", f"{CERTIFICATIONS}/a").body["status"] == "paused"


def test_of_several_thresholds_passed_the_nearest_is_reminded_of(
    api: Client, clock: Any, sent: list[Any]
) -> None:
    put(api, "a", 5)
    assert run(api)["reminders_sent"] == 1
    assert api("GET", f"{CERTIFICATIONS}/a").body["reminded"] == [60, 30, 7]
    assert run(api)["reminders_sent"] == 0


def test_an_expired_mentor_is_paused_until_it_is_renewed(api: Client, clock: Any) -> None:
    put(api, "a", -1)
    run(api)
    paused = api("GET", f"{CERTIFICATIONS}/a").body
    assert (paused["status"], paused["paused_by"]) == ("paused", "expiry")
    assert paused["paused_reason"] == "certification First aid expired on 2026-03-25"
    assert run(api, LIFT)["pauses_lifted"] == 0
    assert put(api, "a", 364)["status"] == "paused"
    assert run(api, LIFT) == {"mentors_checked": 1, "pauses_lifted": 1, "errors": 0}
    lifted = api("GET", f"{CERTIFICATIONS}/a").body
    assert (lifted["status"], lifted["paused_by"], lifted["paused_reason"]) == ("active", None, None)
    assert run(api, LIFT)["pauses_lifted"] == 0


def test_a_pause_that_a_person_made_is_not_lifted(api: Client, clock: Any) -> None:
    put(api, "a", 100, status="paused", paused_reason="on leave")
    put(api, "b", -1)
    run(api)
    put(api, "b", 100, status="paused", paused_reason="complaint")
    assert run(api, LIFT)["pauses_lifted"] == 0
    assert {one["paused_reason"] for one in api("GET", CERTIFICATIONS).body["certifications"]} == {
        "on leave",
        "complaint",
    }


def test_one_bad_record_does_not_stop_the_others(api: Client, clock: Any, sent: list[Any]) -> None:
    mentors(api)
    engine = composition.engine()
    bad = {"mentor": "x", "certification": "y", "expires_on": "soon"}
    for key, record in (("a-bad", bad), ("c5-bad", {}), ("z-bad", ["no record"])):
        engine.records.put("certification", key, record)  # type: ignore[arg-type]
    found = run(api)
    assert found == {
        "mentors_checked": 87,
        "expired_found": 2,
        "auto_paused": 2,
        "reminders_sent": 5,
        "errors": 3,
    }
    assert engine.records.get("certification", "a-bad") == bad
    assert run(api, LIFT)["errors"] == 3


def test_a_reminder_that_does_not_leave_is_an_error_and_stays_due(
    api: Client, clock: Any, sent: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    put(api, "a", 7)
    put(api, "b", 7)
    accepts = channels.deliver_text

    def refusing(engine: Any, channel: str, subject: str, text: str) -> None:
        if "mentor a" in subject:
            raise ActionError("http_status", "slack answered 500")
        accepts(engine, channel, subject, text)

    with monkeypatch.context() as patch:
        patch.setattr(channels, "deliver_text", refusing)
        found = run(api)
    assert (found["reminders_sent"], found["errors"]) == (1, 1)
    assert api("GET", f"{CERTIFICATIONS}/a").body["reminded"] == []
    found = run(api)
    assert (found["reminders_sent"], found["errors"], len(sent)) == (1, 0, 2)


def test_without_a_channel_a_reminder_is_a_notification(api: Client, clock: Any) -> None:
    put(api, "a", 7)
    found = run(api)
    assert (found["reminders_sent"], found["errors"]) == (1, 0)
    assert api("GET", f"{CERTIFICATIONS}/a").body["reminded"] == [60, 30, 7]
    (notification,) = api("GET", "/api/notifications").body["notifications"]
    assert "mentor a" in notification["title"]
    assert run(api)["reminders_sent"] == 0
    assert api("GET", "/api/notifications").body["count"] == 1


def test_a_channel_that_is_not_set_up_is_an_error(api: Client, clock: Any) -> None:
    composition.engine().records.put("settings", "certifications.channel", {"value": "slack:#mentors"})
    put(api, "a", 7)
    found = run(api)
    assert (found["reminders_sent"], found["errors"]) == (0, 1)


def test_a_renewal_in_the_middle_of_the_check_is_not_undone(
    api: Client, clock: Any, sent: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    put(api, "a", 7)
    monkeypatch.setattr(channels, "deliver_text", lambda engine, *letter: put(api, "a", 400))
    found = run(api)
    assert (found["reminders_sent"], found["errors"]) == (0, 1)
    after = api("GET", f"{CERTIFICATIONS}/a").body
    assert (after["expires_on"], after["reminded"]) == ("2027-04-30", [])


def test_mentors_are_counted_once_however_many_certifications_they_have(api: Client, clock: Any) -> None:
    put(api, "a", 100, mentor="Ada")
    put(api, "b", 100, mentor="Ada", certification="Fire safety")
    assert run(api)["mentors_checked"] == 1


def test_the_weekly_report_lists_what_expires_soonest_first(api: Client, clock: Any) -> None:
    for key, days in (("a", 61), ("b", 60), ("c", -2), ("d", 7), ("e", 0)):
        put(api, key, days)
    body = {"job_name": "weekly", "cron_expression": "0 8 * * 1", "handler": "generateWeeklyExpiryReport"}
    api("POST", JOBS, body)
    before = api("GET", CERTIFICATIONS).body
    found = run(api, "weekly")
    assert [line["id"] for line in found.pop("listed")] == ["c", "e", "d", "b"]
    assert found == {
        "from": "2026-03-26",
        "until": "2026-04-02",
        "certifications": 5,
        "expired": 1,
        "expiring_in_7_days": 2,
        "expiring_in_30_days": 2,
        "expiring_in_60_days": 3,
        "mentors_checked": 5,
        "errors": 0,
        "unlisted": 0,
    }
    assert api("GET", CERTIFICATIONS).body == before


def test_the_weekly_report_on_many_is_still_kept_whole(api: Client, clock: Any) -> None:
    for number in range(120):
        put(api, f"c{number}", 3, mentor="m" * 200, certification="c" * 200)
    api(
        "POST",
        JOBS,
        {"job_name": "w", "cron_expression": "0 8 * * 1", "handler": "generateWeeklyExpiryReport"},
    )
    found = run(api, "w")
    assert (len(found["listed"]), found["unlisted"], found["expiring_in_7_days"]) == (50, 70, 120)
    assert len(json.dumps(found)) < 32_000


# -- the records over HTTP


def test_a_certification_is_written_read_listed_and_deleted(api: Client) -> None:
    body = {"mentor": "Ada", "certification": "First aid", "expires_on": "2027-03-26"}
    made = api("PUT", f"{CERTIFICATIONS}/c-1", body)
    assert made.status == 200
    assert made.body.pop("updated_at")
    assert made.body == {
        "id": "c-1",
        **body,
        "status": "active",
        "paused_reason": None,
        "paused_by": None,
        "reminded": [],
    }
    (listed,) = api("GET", CERTIFICATIONS).body["certifications"]
    assert listed == api("GET", f"{CERTIFICATIONS}/c-1").body
    assert api("DELETE", f"{CERTIFICATIONS}/c-1").status == 204
    assert api("GET", f"{CERTIFICATIONS}/c-1").status == 404
    assert api("DELETE", f"{CERTIFICATIONS}/c-1").status == 404
    assert api("GET", CERTIFICATIONS).body == {"certifications": [], "count": 0}


def test_a_record_that_cannot_be_read_is_written_anew(api: Client) -> None:
    composition.engine().records.put("certification", "a", {"mentor": 7})
    assert put(api, "a", 100)["status"] == "active"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"mentor": ""}, "mentor"),
        ({"certification": None}, "certification"),
        ({"expires_on": "26.3.2027"}, "expires_on"),
        ({"expires_on": "2027-02-30"}, "expires_on"),
        ({"expires_on": 1_800_000_000}, "expires_on"),
        ({"status": "expired"}, "status"),
        ({"paused_reason": "on leave"}, "paused_reason"),
        ({"status": "active", "paused_reason": "on leave"}, "paused_reason"),
        ({"reminded": [60]}, "reminded"),
    ],
)
def test_a_wrong_certification_is_422_and_writes_nothing(
    api: Client, change: dict[str, Any], field: str
) -> None:
    body = {"mentor": "Ada", "certification": "First aid", "expires_on": "2027-03-26", **change}
    reply = api("PUT", f"{CERTIFICATIONS}/c-1", body)
    assert (reply.status, reply.body["error"]) == (422, "validation_error")
    assert reply.body["details"][0]["field"] == field
    assert api("GET", CERTIFICATIONS).body["count"] == 0


def test_an_operator_writes_certifications_and_a_viewer_reads_them(
    api: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BELFRY_ANONYMOUS_ROLE", "none")
    body = {"mentor": "Ada", "certification": "First aid", "expires_on": "2027-03-26"}
    viewer, operator = api.key("viewer"), api.key("operator")
    assert api("GET", CERTIFICATIONS).status == 401
    assert api("PUT", f"{CERTIFICATIONS}/a", body, viewer).status == 403
    assert api("PUT", f"{CERTIFICATIONS}/a", body, operator).status == 200
    assert api("GET", f"{CERTIFICATIONS}/a", headers=viewer).status == 200
    assert api("GET", CERTIFICATIONS, headers=viewer).body["count"] == 1
    assert api("DELETE", f"{CERTIFICATIONS}/a", headers=viewer).status == 403
    assert api("DELETE", f"{CERTIFICATIONS}/a", headers=operator).status == 204
