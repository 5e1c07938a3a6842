"""Settings over HTTP: what there is, what is refused, and that the controls are views of their jobs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from chalicelib import composition
from chalicelib.core.instants import millis
from chalicelib.core.settings import MASK, SETTINGS, Kind, Setting
from tests.dialects.mission_control.conftest import JOB_IDS, START, Mission

URL = "/api/settings"
JOBS = "/api/scheduler/jobs"
CONTROLS = {
    "general.auto_backup": "auto_backup",
    "general.auto_cleanup": "auto_cleanup",
    "general.agent_heartbeat": "agent_heartbeat",
    "webhooks.retry_enabled": "webhook_retry",
    "general.claude_session_scan": "claude_session_scan",
}


def test_every_known_key_is_listed_with_its_default(mission: Mission) -> None:
    reply = mission("GET", URL)
    assert reply.status == 200
    assert [one["key"] for one in reply.body["settings"]] == [*SETTINGS]
    shown = mission.settings()
    assert {key: one["value"] for key, one in shown.items()} == {
        key: setting.default for key, setting in SETTINGS.items()
    }
    assert all(one["is_default"] for one in shown.values())
    assert shown["retention.token_usage"] == {
        "key": "retention.token_usage",
        "value": "90",
        "description": SETTINGS["retention.token_usage"].description,
        "category": "retention",
        "updated_by": None,
        "updated_at": None,
        "is_default": True,
    }


@pytest.mark.parametrize(
    ("settings", "task_id", "enabled"),
    [({"general.auto_backup": "true"}, "auto_backup", True),
     ({"general.auto_cleanup": "false"}, "auto_cleanup", False)],
)  # fmt: skip
def test_the_documents_curls_enable_and_disable(
    mission: Mission, settings: dict[str, str], task_id: str, enabled: bool
) -> None:
    mission("POST", f"{JOBS}/{JOB_IDS['auto_cleanup']}/resume")
    reply = mission("PUT", URL, {"settings": settings})
    assert (reply.status, reply.body) == (200, {"updated": [*settings], "count": 1})
    assert mission.tasks()[task_id]["enabled"] is enabled


def test_what_is_written_is_read_with_who_and_when_and_reset_again(mission: Mission) -> None:
    written = mission("PUT", URL, {"settings": {"retention.runs": "45", "nl.model_id": "some.model"}})
    assert written.body == {"updated": ["retention.runs", "nl.model_id"], "count": 2}
    one = mission.settings()["retention.runs"]
    assert (one["value"], one["is_default"], one["updated_at"]) == ("45", False, millis(START))
    assert one["updated_by"].startswith("key_")
    assert composition.engine().settings()["retention.runs"] == 45
    reply = mission("DELETE", URL, {"key": "retention.runs"})
    assert (reply.status, reply.body) == (200, {"reset": "retention.runs", "default_value": "30"})
    one = mission.settings()["retention.runs"]
    assert (one["value"], one["is_default"], one["updated_by"], one["updated_at"]) == ("30", True, None, None)
    assert mission.settings()["nl.model_id"]["value"] == "some.model"
    assert mission("DELETE", URL, {"key": "retention.runs"}).status == 200


@pytest.mark.parametrize(
    ("settings", "issue"),
    [
        ({"engine.paused": "yes"}, "engine.paused: give true or false"),
        ({"retention.runs": "-1"}, "retention.runs: give a whole number from 0 to 99999"),
        ({"retention.runs": ""}, "retention.runs: give a whole number from 0 to 99999"),
        ({"retention.runs": "100000"}, "retention.runs: give a whole number from 0 to 99999"),
        ({"retention.runs": 30}, "settings.retention.runs: should be a valid string"),
        ({"engine.paused": True}, "settings.engine.paused: should be a valid string"),
        ({"nope": "1"}, "nope: 'nope' is no setting; GET /api/settings lists them"),
        ([], "settings: should be an object"),
    ],
)
def test_a_wrong_value_or_key_is_400_and_nothing_of_the_request_is_written(
    mission: Mission, settings: Any, issue: str
) -> None:
    before = mission.settings()
    given = {"general.auto_backup": "true", "nl.model_id": "m", **settings} if settings else settings
    reply = mission("PUT", URL, {"settings": given})
    assert (reply.status, reply.body) == (400, {"error": issue})
    assert mission.settings() == before
    assert mission.tasks()["auto_backup"]["enabled"] is False


def test_all_that_is_wrong_is_named_at_once(mission: Mission) -> None:
    reply = mission.put(engine__paused="1", retention__runs="x", nope="")
    assert reply.status == 400
    for key in ("engine.paused", "retention.runs", "nope"):
        assert f"{key}: " in reply.body["error"]


@pytest.mark.parametrize(
    ("method", "body", "issue"),
    [("PUT", {}, "settings: is required"), ("DELETE", {}, "key: is required"),
     ("PUT", {"settings": {}, "x": 1}, "x: is no field that is known here"),
     ("DELETE", {"key": "nope"}, "key: 'nope' is no setting; GET /api/settings lists them")],
)  # fmt: skip
def test_a_wrong_body_is_400(mission: Mission, method: str, body: Any, issue: str) -> None:
    reply = mission(method, URL, body)
    assert (reply.status, reply.body) == (400, {"error": issue})


def test_writes_are_in_the_audit_log_without_their_values(mission: Mission) -> None:
    mission.put(nl__model_id="some.model", engine__paused="false")
    mission("DELETE", URL, {"key": "nl.model_id"})
    entries = mission.api.audited()
    assert [(entry["action"], entry["target"]) for entry in entries[-2:]] == [
        ("settings.update", "nl.model_id, engine.paused"),
        ("settings.reset", "nl.model_id"),
    ]
    assert "some.model" not in str(entries)


@pytest.mark.parametrize(("key", "task_id"), CONTROLS.items())
def test_a_control_and_its_jobs_status_are_one(mission: Mission, key: str, task_id: str) -> None:
    job = f"{JOBS}/{JOB_IDS[task_id]}"
    for value, status in (("true", "active"), ("false", "paused"), ("false", "paused"), ("true", "active")):
        assert mission("PUT", URL, {"settings": {key: value}}).status == 200
        assert mission("GET", job).body["status"] == status
        assert mission.settings()[key]["value"] == value
        assert mission.tasks()[task_id]["enabled"] is (value == "true")
    mission.clock.shift(timedelta(minutes=1))
    mission("POST", f"{job}/pause")
    shown = mission.settings()[key]
    assert (shown["value"], shown["updated_by"]) == ("false", None)
    assert shown["is_default"] is (SETTINGS[key].default == "false")
    assert shown["updated_at"] == (None if shown["is_default"] else millis(START + timedelta(minutes=1)))
    mission("POST", f"{job}/resume")
    assert mission.settings()[key]["value"] == "true"


def test_a_job_paused_by_its_control_says_so(mission: Mission) -> None:
    mission.put(webhooks__retry_enabled="false")
    assert mission("GET", f"{JOBS}/job_webhooks").body["status_reason"] == "webhooks.retry_enabled is false"


def test_enabling_and_disabling_leave_the_grid_where_it_was(mission: Mission) -> None:
    before = mission.tasks()["agent_heartbeat"]["nextRun"]
    mission.clock.shift(timedelta(seconds=100))
    mission.put(general__agent_heartbeat="false")
    mission.put(general__agent_heartbeat="true")
    assert mission.tasks()["agent_heartbeat"]["nextRun"] == before


@pytest.mark.parametrize(("key", "task_id"), CONTROLS.items())
def test_enabling_a_cancelled_task_registers_it_again(mission: Mission, key: str, task_id: str) -> None:
    job = f"{JOBS}/{JOB_IDS[task_id]}"
    registered = mission("GET", job).body
    assert mission("DELETE", job).status == 204
    assert mission.settings()[key]["value"] == "false"
    mission("PUT", URL, {"settings": {key: "false"}})
    assert mission("GET", job).status == 404
    mission("PUT", URL, {"settings": {key: "true"}})
    again = mission("GET", job).body
    assert again["status"] == "active"
    for name in ("name", "schedule", "action", "origin", "owner", "max_consecutive_failures"):
        assert again[name] == registered[name]
    assert mission.tasks()[task_id]["enabled"] is True


@pytest.mark.parametrize(("key", "task_id"), CONTROLS.items())
def test_resetting_a_control_gives_the_job_its_first_status(mission: Mission, key: str, task_id: str) -> None:
    opposite = {"true": "false", "false": "true"}[SETTINGS[key].default]
    mission("PUT", URL, {"settings": {key: opposite}})
    assert mission.settings()[key]["is_default"] is False
    reply = mission("DELETE", URL, {"key": key})
    assert reply.body == {"reset": key, "default_value": SETTINGS[key].default}
    assert mission.settings()[key]["is_default"] is True
    assert mission.tasks()[task_id]["enabled"] is (SETTINGS[key].default == "true")


def test_a_control_whose_job_has_no_slot_left_is_409_and_nothing_is_written(mission: Mission) -> None:
    at = {"schedule": {"type": "at", "datetime": "2026-11-22T14:30:00Z"}}
    assert mission("PUT", f"{JOBS}/job_auto_cleanup", at).status == 200
    mission.clock.shift(timedelta(hours=1))
    reply = mission.put(general__auto_backup="true", general__auto_cleanup="true", nl__model_id="m")
    assert reply.status == 409
    assert "general.auto_cleanup cannot be enabled" in reply.body["error"]
    assert mission.settings()["general.auto_backup"]["value"] == "false"
    assert mission.settings()["nl.model_id"]["value"] == ""


def test_a_paused_engine_starts_nothing_and_its_status_says_so(mission: Mission) -> None:
    mission.put(engine__paused="true")
    assert mission("GET", "/api/scheduler/status").body["paused"] is True
    mission.clock.shift(timedelta(minutes=10))
    mission.api.tick()
    mission.api.work()
    assert {task["lastRun"] for task in mission.tasks().values()} == {None}
    mission.put(engine__paused="false")
    assert mission("GET", "/api/scheduler/status").body["paused"] is False
    mission.api.tick()
    while mission.api.work():
        pass
    assert mission.tasks()["agent_heartbeat"]["lastRun"] == millis(START + timedelta(minutes=10))


def test_a_secret_is_never_shown_and_its_mask_is_no_value(
    mission: Mission, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting = Setting("test.token", Kind.SECRET, "", "A token.")
    monkeypatch.setitem(SETTINGS, setting.key, setting)
    assert mission.settings()["test.token"]["value"] == ""
    mission.put(test__token="hunter2")
    assert mission.settings()["test.token"]["value"] == MASK
    assert composition.engine().settings()["test.token"] == "hunter2"
    assert mission.put(test__token=MASK).status == 400
    assert composition.engine().settings()["test.token"] == "hunter2"
