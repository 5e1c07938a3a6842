"""The five tasks: as the document lists them, run by hand, and as the jobs that they are."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chalicelib import composition
from chalicelib.core.action import Json
from chalicelib.core.errors import ActionError
from chalicelib.core.instants import millis
from tests.dialects.conftest import Client
from tests.dialects.mission_control.conftest import JOB_IDS, SAYS, START, Mission

SCHEDULER = "/api/scheduler"
JOBS = "/api/scheduler/jobs"
INVALID = (
    "Invalid task_id provided. Must be one of: "
    "auto_backup, auto_cleanup, agent_heartbeat, webhook_retry, claude_session_scan"
)


def ms(*when: int) -> int:
    return millis(datetime(*when, tzinfo=UTC))  # type: ignore[arg-type]


def test_the_five_tasks_are_listed_in_the_documents_order_before_any_has_run(mission: Mission) -> None:
    reply = mission("GET", SCHEDULER)
    assert reply.status == 200
    minute_on = millis(START + timedelta(minutes=1))
    never = {"lastRun": None, "running": False}
    assert reply.body == {
        "tasks": [
            {"id": "auto_backup", "name": "Auto Backup", "enabled": False,
             "nextRun": ms(2026, 11, 23, 3), **never},
            {"id": "auto_cleanup", "name": "Auto Cleanup", "enabled": False,
             "nextRun": ms(2026, 11, 23, 4), **never},
            {"id": "agent_heartbeat", "name": "Agent Heartbeat Check", "enabled": True,
             "nextRun": millis(START + timedelta(minutes=5)), **never},
            {"id": "webhook_retry", "name": "Webhook Retry", "enabled": True, "nextRun": minute_on, **never},
            {"id": "claude_session_scan", "name": "Claude Session Scan", "enabled": True,
             "nextRun": minute_on, **never},
        ]
    }  # fmt: skip


@pytest.mark.parametrize("task_id", SAYS)
def test_each_task_runs_now_on_demand_and_says_what_it_did(mission: Mission, task_id: str) -> None:
    reply = mission.run(task_id)
    assert (reply.status, reply.body) == (200, {"ok": True, "message": SAYS[task_id]})
    task = mission.tasks()[task_id]
    assert task["lastResult"] == {"ok": True, "message": SAYS[task_id], "timestamp": task["lastRun"]}
    assert START <= datetime.fromtimestamp(task["lastRun"] / 1000, UTC) <= START + timedelta(seconds=1)


def test_the_documents_example_of_a_backup_in_the_list(mission: Mission) -> None:
    mission.put(general__auto_backup="true")
    mission.run("auto_backup")
    task = mission.tasks()["auto_backup"]
    last = task["lastRun"]
    assert task == {
        "id": "auto_backup",
        "name": "Auto Backup",
        "enabled": True,
        "lastRun": last,
        "nextRun": ms(2026, 11, 23, 3),
        "running": False,
        "lastResult": {"ok": True, "message": "Backup created (2048KB)", "timestamp": last},
    }


def test_a_run_by_hand_is_a_run_like_any_other(mission: Mission) -> None:
    mission.run("auto_cleanup")
    (run,) = mission("GET", f"{JOBS}/job_auto_cleanup/runs").body["runs"]
    assert (run["status"], run["trigger"]) == ("completed", "manual")
    assert run["triggered_by"].startswith("key_")
    assert run["output"] == {"ok": True, "message": SAYS["auto_cleanup"]}
    job = mission("GET", f"{JOBS}/job_auto_cleanup").body
    assert (job["run_count"], job["status"], job["origin"], job["owner"]) == (
        1, "paused", "mission_control", "system",
    )  # fmt: skip


def test_a_failed_task_is_500_with_its_error(mission: Mission) -> None:
    mission.outcomes["auto_backup"] = ActionError("aws", "table belfry-runs has no backups")
    reply = mission.run("auto_backup")
    assert (reply.status, reply.body) == (500, {"ok": False, "message": "table belfry-runs has no backups"})
    assert mission.tasks()["auto_backup"]["lastResult"]["message"] == "table belfry-runs has no backups"
    assert mission.tasks()["auto_backup"]["lastResult"]["ok"] is False


def test_many_failures_do_not_disable_a_task(mission: Mission) -> None:
    mission.outcomes["agent_heartbeat"] = ActionError("aws", "no")
    for _ in range(12):
        assert mission.run("agent_heartbeat").status == 500
    assert mission.tasks()["agent_heartbeat"]["enabled"] is True


@pytest.mark.parametrize(
    ("output", "message"), [("done", "done"), ({"count": 3}, '{"count": 3}'), (None, "null")]
)
def test_an_output_without_a_message_is_shown_as_it_is(mission: Mission, output: Any, message: str) -> None:
    mission.outcomes["webhook_retry"] = output
    assert mission.run("webhook_retry").body == {"ok": True, "message": message}


def test_after_25_seconds_the_answer_is_that_it_still_runs(mission: Mission) -> None:
    mission.worker_is_up = False
    reply = mission.run("auto_backup")
    (run,) = mission("GET", f"{JOBS}/job_auto_backup/runs").body["runs"]
    assert (reply.status, reply.body) == (200, {"ok": True, "message": f"Still running: run {run['id']}"})
    assert mission.slept == 25
    mission.api.work()
    assert mission.tasks()["auto_backup"]["lastResult"]["message"] == SAYS["auto_backup"]


def test_a_task_that_runs_says_so_and_does_not_run_twice(mission: Mission) -> None:
    seen: list[Any] = []

    def look() -> Json:
        seen.extend((mission.tasks()["auto_backup"]["running"], mission.run("auto_backup")))
        return {"ok": True, "message": "looked"}

    mission.outcomes["auto_backup"] = look
    assert mission.run("auto_backup").body == {"ok": True, "message": "looked"}
    assert seen[0] is True
    assert seen[1].status == 409
    assert seen[1].body["error"].startswith("job 'auto_backup' is running: run 20261122T140000Z-")
    assert mission.tasks()["auto_backup"]["running"] is False


def test_a_task_that_has_not_begun_yet_is_not_run_twice_either(mission: Mission) -> None:
    mission.worker_is_up = False
    mission.run("auto_backup")
    (run,) = mission("GET", f"{JOBS}/job_auto_backup/runs").body["runs"]
    reply = mission.run("auto_backup")
    assert reply.status == 409
    assert reply.body == {"error": f"job 'auto_backup' is running: run {run['id']} has not ended"}
    mission.api.work()
    assert mission.tasks()["auto_backup"]["lastResult"]["ok"] is True


@pytest.mark.parametrize("body", [{}, {"task_id": "nope"}, {"task_id": None}, {"task_id": ["auto_backup"]}])
def test_a_bad_or_missing_task_is_400_naming_all_five(mission: Mission, body: dict[str, Any]) -> None:
    reply = mission("POST", SCHEDULER, body)
    assert (reply.status, reply.body) == (400, {"error": INVALID})


def test_a_field_that_is_not_known_is_named(mission: Mission) -> None:
    reply = mission("POST", SCHEDULER, {"task_id": "auto_backup", "force": True})
    assert (reply.status, reply.body) == (400, {"error": "force: is no field that is known here"})


def test_what_cannot_be_read_is_refused_in_the_dialects_envelope(mission: Mission) -> None:
    for body, headers, status in (
        (b"[", {}, 400),
        (b"{}", {"Content-Type": "text/plain"}, 415),
        (b"x" * 300_000, {}, 413),
    ):
        reply = mission.api("POST", SCHEDULER, body, {**mission.cookie, **headers})
        assert (reply.status, set(reply.body)) == (status, {"error"})


def test_no_credentials_are_401_and_too_little_a_role_403(mission: Mission) -> None:
    def answers() -> set[tuple[int, str]]:
        calls = (
            ("GET", f"{SCHEDULER}?dialect=mission_control", None),
            ("POST", SCHEDULER, {"task_id": "auto_backup"}),
            ("GET", "/api/settings", None),
            ("PUT", "/api/settings", {"settings": {}}),
            ("DELETE", "/api/settings", {"key": "engine.paused"}),
        )
        replies = [mission(*call) for call in calls]
        assert all(set(reply.body) == {"error"} for reply in replies)
        return {(reply.status, reply.body["error"]) for reply in replies}

    mission.cookie = {}
    assert answers() == {(401, "Authentication required")}
    for role in ("viewer", "operator"):
        mission.log_in(role)
        assert answers() == {(403, "Requires admin role or higher")}
    assert {entry["action"] for entry in mission.api.audited()} == {"session.open"}


def test_a_cookie_that_is_no_session_is_401_in_the_dialects_envelope(mission: Mission) -> None:
    mission.cookie = {"Cookie": "mc-session=YOUR_SESSION_TOKEN"}
    for path in (SCHEDULER, "/api/settings"):
        reply = mission("GET", path)
        assert (reply.status, reply.body) == (401, {"error": "Authentication required"})


def test_a_wrong_dialect_is_named(mission: Mission) -> None:
    reply = mission("GET", f"{SCHEDULER}?dialect=morse")
    assert (reply.status, reply.body) == (
        400, {"error": "dialect: should be 'mission_control' or 'codespar'"},
    )  # fmt: skip


def test_a_run_by_hand_is_in_the_audit_log(mission: Mission) -> None:
    mission.run("agent_heartbeat")
    last = mission.api.audited()[-1]
    assert (last["action"], last["target"]) == ("task.run", "agent_heartbeat")


def test_next_runs_come_from_the_clock_whatever_ran_last_and_when_paused(mission: Mission) -> None:
    mission.put(general__agent_heartbeat="false")
    mission.go_to(datetime(2026, 11, 23, 4, 2, tzinfo=UTC))
    mission.run("agent_heartbeat")
    tasks = mission.tasks()
    assert tasks["auto_backup"]["nextRun"] == ms(2026, 11, 24, 3)
    assert tasks["auto_cleanup"]["nextRun"] == ms(2026, 11, 24, 4)
    assert tasks["agent_heartbeat"]["nextRun"] == ms(2026, 11, 23, 4, 5)
    assert tasks["agent_heartbeat"]["enabled"] is False


def test_an_enabled_backup_runs_at_three_and_a_disabled_one_does_not(mission: Mission) -> None:
    for job in mission("GET", f"{JOBS}?limit=200").body["jobs"]:
        if job["schedule"]["type"] == "every":  # else a day of their slots is missed
            mission("POST", f"{JOBS}/{job['id']}/pause")
    for enabled, runs in (("false", 0), ("true", 1)):
        mission.put(general__auto_backup=enabled)
        mission.go_to(datetime(2026, 11, 23 + runs, 2, 59, 30, tzinfo=UTC))
        mission.api.tick()
        mission.clock.shift(timedelta(seconds=31))
        while mission.api.work():
            pass
        found = mission("GET", f"{JOBS}/job_auto_backup/runs").body["runs"]
        assert [(run["scheduled_for"], run["status"]) for run in found] == (
            [("2026-11-24T03:00:00Z", "completed")] * runs
        )
    assert mission.tasks()["auto_backup"]["lastRun"] == ms(2026, 11, 24, 3, 0, 1)


def test_pausing_and_resuming_the_job_is_disabling_and_enabling_the_task(mission: Mission) -> None:
    for task_id, job_id in JOB_IDS.items():
        mission("POST", f"{JOBS}/{job_id}/resume")
        assert mission.tasks()[task_id]["enabled"] is True
        mission("POST", f"{JOBS}/{job_id}/pause")
        assert mission.tasks()[task_id]["enabled"] is False


def test_a_cancelled_task_is_shown_as_disabled_and_says_how_to_get_it_back(mission: Mission) -> None:
    mission.run("auto_backup")
    assert mission("DELETE", f"{JOBS}/job_auto_backup").status == 204
    assert mission.tasks()["auto_backup"] == {
        "id": "auto_backup",
        "name": "Auto Backup",
        "enabled": False,
        "lastRun": None,
        "nextRun": ms(2026, 11, 23, 3),
        "running": False,
    }
    reply = mission.run("auto_backup")
    assert (reply.status, reply.body) == (
        409, {"error": "auto_backup was cancelled; enable general.auto_backup to register it again"},
    )  # fmt: skip


def test_a_cancelled_run_is_no_success(mission: Mission) -> None:
    run = mission("POST", f"{JOBS}/job_sessions/trigger").body["run_id"]
    mission.outcomes["claude_session_scan"] = lambda: str(
        mission("POST", f"{JOBS}/job_sessions/runs/{run}/cancel").status
    )
    mission.api.work()
    mission.clock.shift(timedelta(seconds=5))
    mission.api.work()  # its message comes again, to settle it
    result = mission.tasks()["claude_session_scan"]["lastResult"]
    assert (result["ok"], result["message"][:14]) == (False, "cancelled by k")


def test_a_result_whose_row_has_expired_keeps_its_status(mission: Mission) -> None:
    mission.run("auto_backup")
    (run,) = mission("GET", f"{JOBS}/job_auto_backup/runs").body["runs"]
    composition.engine().runs._table.delete({"job_id": "job_auto_backup", "run_id": run["id"]})
    task = mission.tasks()["auto_backup"]
    assert task["lastResult"] == {"ok": True, "message": "completed", "timestamp": task["lastRun"]}


def test_a_task_with_a_schedule_that_has_ended_shows_its_own_one(mission: Mission) -> None:
    at = {"schedule": {"type": "at", "datetime": "2026-11-22T14:30:00Z"}}
    assert mission("PUT", f"{JOBS}/job_auto_backup", at).status == 200
    assert mission.tasks()["auto_backup"]["nextRun"] == ms(2026, 11, 22, 14, 30)
    mission.clock.shift(timedelta(hours=1))
    assert mission.tasks()["auto_backup"]["nextRun"] == ms(2026, 11, 23, 3)


def test_the_native_list_has_the_tasks_by_origin(mission: Mission) -> None:
    jobs = mission("GET", f"{JOBS}?origin=mission_control&limit=10").body
    assert {job["id"]: job["name"] for job in jobs["jobs"]} == {job: task for task, job in JOB_IDS.items()}
    assert {job["schedule"].get("expression") for job in jobs["jobs"]} == {"0 3 * * *", "0 4 * * *", None}
    assert {job["schedule"].get("interval") for job in jobs["jobs"]} == {300, 60, None}


def test_an_admins_key_will_do_where_the_dialect_is_named(mission: Mission, api: Client) -> None:
    reply = api("GET", f"{SCHEDULER}?dialect=mission_control", headers=api.key("admin"))
    assert (reply.status, len(reply.body["tasks"])) == (200, 5)
