"""CodeSpar's tasks over HTTP: the document's examples, and what its users would expect of the rest."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine

import app
from chalicelib import composition
from chalicelib.core.job import JobStatus, Origin
from chalicelib.scheduler import builtins
from chalicelib.scheduler.builtins import BuiltIn
from chalicelib.tasks import JOBS, TASKS
from tests.dialects.conftest import Client

SCHEDULER = "/api/scheduler"
OWN = {"health-check": 300_000, "build-status-report": 86_400_000, "audit-cleanup": 86_400_000}
IDS = {"health-check": "job_health-check", "build-status-report": "job_build-status",
       "audit-cleanup": "job_audit-clean"}  # fmt: skip
NOT_FOUND = {"error": "Task not found", "code": "TASK_NOT_FOUND", "status": 404}
NOON = datetime(2026, 3, 21, 12, 2, tzinfo=UTC)
UTC_SECOND = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


@pytest.fixture
def noon() -> Iterator[time_machine.Coordinates]:
    with time_machine.travel(NOON, tick=False) as traveller:
        yield traveller


@pytest.fixture
def tasks(api: Client, noon: time_machine.Coordinates) -> Client:
    """The API after the first tick, at 12:02 UTC."""
    deploy("one")
    return api


def deploy(stamp: str, *more: BuiltIn) -> None:
    builtins.register(composition.engine(), (*JOBS, *more), stamp, datetime.now(UTC))


def listed(api: Client) -> dict[str, dict[str, Any]]:
    reply = api("GET", SCHEDULER)
    assert reply.status == 200
    return {task["name"]: task for task in reply.body}


def test_the_documents_list_is_a_bare_array_of_its_three_tasks_before_they_have_run(tasks: Client) -> None:
    reply = tasks("GET", SCHEDULER)
    assert isinstance(reply.body, list)
    assert [task["name"] for task in reply.body[:3]] == [*OWN]
    for task in reply.body[:3]:
        assert task == {
            "name": task["name"],
            "intervalMs": OWN[task["name"]],
            "lastRun": None,
            "nextRun": task["nextRun"],
            "runCount": 0,
            "errors": 0,
            "enabled": True,
        }
    following = [task["nextRun"] for task in reply.body[:3]]
    assert following == ["2026-03-21T12:07:00Z", "2026-03-22T06:00:00Z", "2026-03-22T03:00:00Z"]


def test_a_run_shows_as_the_documents_example_does(tasks: Client, noon: time_machine.Coordinates) -> None:
    noon.shift(timedelta(minutes=4, seconds=30))
    tasks.tick()
    noon.shift(timedelta(seconds=30))
    while tasks.work():
        pass
    task = listed(tasks)["health-check"]
    assert task == {
        "name": "health-check",
        "intervalMs": 300000,
        "lastRun": "2026-03-21T12:07:00Z",
        "nextRun": "2026-03-21T12:12:00Z",
        "runCount": 1,
        "errors": 0,
        "enabled": True,
    }
    assert UTC_SECOND.fullmatch(task["lastRun"])


def test_the_documents_pause_and_resume_examples_are_answered_as_printed(tasks: Client) -> None:
    for _ in range(2):  # both are idempotent
        paused = tasks("POST", f"{SCHEDULER}/health-check/pause")
        assert (paused.status, paused.body) == (
            200,
            {"name": "health-check", "enabled": False, "message": "Task paused"},
        )
        assert listed(tasks)["health-check"]["enabled"] is False
    for _ in range(2):
        resumed = tasks("POST", f"{SCHEDULER}/health-check/resume")
        assert (resumed.status, resumed.body) == (
            200,
            {"name": "health-check", "enabled": True, "message": "Task resumed"},
        )
        assert listed(tasks)["health-check"]["enabled"] is True


def test_what_curl_sends_with_a_post_is_taken(tasks: Client) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert tasks("POST", f"{SCHEDULER}/health-check/pause", headers=form).status == 200


def test_a_paused_tasks_next_run_moves_on_and_resuming_keeps_the_grid(
    tasks: Client, noon: time_machine.Coordinates
) -> None:
    tasks("POST", f"{SCHEDULER}/health-check/pause")
    noon.shift(timedelta(minutes=13))
    assert listed(tasks)["health-check"]["nextRun"] == "2026-03-21T12:17:00Z"
    tasks("POST", f"{SCHEDULER}/health-check/resume")
    assert listed(tasks)["health-check"]["nextRun"] == "2026-03-21T12:17:00Z"
    tasks.tick()
    assert listed(tasks)["health-check"]["runCount"] == 0, "the slots of the pause are not made up for"


def test_a_paused_task_is_paused_for_all_dialects_and_keeps_its_state(tasks: Client) -> None:
    tasks("POST", f"{SCHEDULER}/audit-cleanup/pause")
    job = tasks("GET", f"{SCHEDULER}/jobs/job_audit-clean").body
    assert (job["status"], job["origin"], job["owner"]) == ("paused", "codespar", "system")
    assert job["next_run_at"] is None


def test_the_documents_cancel_example_is_answered_as_printed(tasks: Client) -> None:
    reply = tasks("DELETE", f"{SCHEDULER}/audit-cleanup")
    assert (reply.status, reply.body) == (200, {"name": "audit-cleanup", "message": "Task cancelled"})
    assert "audit-cleanup" not in listed(tasks)
    again = tasks("DELETE", f"{SCHEDULER}/audit-cleanup")
    assert (again.status, again.body) == (404, NOT_FOUND)


def test_a_cancelled_task_comes_back_with_the_next_deployment_as_new(tasks: Client) -> None:
    run(tasks, "audit-cleanup")
    assert listed(tasks)["audit-cleanup"]["runCount"] == 1
    tasks("DELETE", f"{SCHEDULER}/audit-cleanup")
    deploy("one")
    assert "audit-cleanup" not in listed(tasks)
    deploy("two")
    task = listed(tasks)["audit-cleanup"]
    assert (task["runCount"], task["lastRun"], task["enabled"]) == (0, None, True)


@pytest.mark.parametrize(("method", "path"), [
    ("POST", "/nobody/pause"), ("POST", "/nobody/resume"), ("DELETE", "/nobody"),
    ("DELETE", "/agenda-sweep"), ("POST", "/job_health-check/pause"), ("DELETE", "/%00%ff"),
])  # fmt: skip
def test_an_unknown_name_is_the_documents_error(tasks: Client, method: str, path: str) -> None:
    reply = tasks(method, f"{SCHEDULER}{path}")
    assert (reply.status, reply.body) == (404, NOT_FOUND)


def test_a_persons_job_is_no_task(tasks: Client) -> None:
    schedule = {"type": "every", "interval": 60}
    made = tasks("POST", f"{SCHEDULER}/jobs", {"name": "mine", "schedule": schedule})
    assert made.status == 201
    assert "mine" not in listed(tasks)
    assert tasks("DELETE", f"{SCHEDULER}/mine").status == 404


def test_names_are_url_decoded(tasks: Client) -> None:
    reply = tasks("POST", f"{SCHEDULER}/health%2Dcheck/pause")
    assert (reply.status, reply.body["name"]) == (200, "health-check")
    deploy("two", builtin("job_odd", "a:b", {"type": "every", "interval": 60}))
    assert tasks("DELETE", f"{SCHEDULER}/a%3Ab").body == {"name": "a:b", "message": "Task cancelled"}


def builtin(job_id: str, name: str, schedule: dict[str, Any], origin: Origin = Origin.NATIVE) -> BuiltIn:
    action = {"type": "handler", "name": "echo"}
    return BuiltIn(job_id, {"name": name, "schedule": schedule, "action": action}, origin, JobStatus.PAUSED)


def test_mission_controls_tasks_come_next_under_their_ids_and_then_what_runs_at_an_interval(
    tasks: Client,
) -> None:
    daily, minutely = {"type": "cron", "expression": "0 3 * * *"}, {"type": "every", "interval": 60}
    mission = {
        "job_sessions": ("claude_session_scan", minutely),
        "job_webhooks": ("webhook_retry", minutely),
        "job_agent_beat": ("agent_heartbeat", {"type": "every", "interval": 300}),
        "job_auto_cleanup": ("auto_cleanup", {"type": "cron", "expression": "0 4 * * *"}),
        "job_auto_backup": ("auto_backup", daily),
    }
    engine = composition.engine()
    for job_id in mission:
        if engine.jobs.get(job_id):
            tasks("DELETE", f"{SCHEDULER}/jobs/{job_id}")
    deploy(
        "two",
        *(
            builtin(job_id, name, schedule, Origin.MISSION_CONTROL)
            for job_id, (name, schedule) in mission.items()
        ),
        builtin("job_z", "zz-every-hour", {"type": "every", "interval": 3600}),
        builtin("job_y", "zy-weekly", {"type": "cron", "expression": "0 3 * * 1"}),
        builtin("job_x", "zx-daily", daily),
    )
    found = listed(tasks)
    names = [*found]
    assert names[:8] == [
        *OWN, "auto_backup", "auto_cleanup", "agent_heartbeat", "webhook_retry", "claude_session_scan"
    ]  # fmt: skip
    assert [name for name in names[8:] if name.startswith("z")] == ["zx-daily", "zz-every-hour"]
    assert "agenda-sweep" not in names
    assert (found["auto_backup"]["intervalMs"], found["auto_backup"]["enabled"]) == (86_400_000, False)
    assert found["zz-every-hour"]["intervalMs"] == 3_600_000


def test_a_task_that_was_given_an_uneven_schedule_still_has_an_interval(tasks: Client) -> None:
    weekly = {"schedule": {"type": "cron", "expression": "0 3 * * 1"}}
    assert tasks("PUT", f"{SCHEDULER}/jobs/job_audit-clean", weekly).status == 200
    assert listed(tasks)["audit-cleanup"]["intervalMs"] == 7 * 86_400_000


def test_no_task_has_the_name_of_a_path(api: Client) -> None:
    taken = {path.split("/")[3] for path in app.app.routes if path.startswith(f"{SCHEDULER}/")}
    assert not taken & {job.spec["name"] for job in JOBS}


# -- who may


def test_without_credentials_it_is_401(api: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BELFRY_ANONYMOUS_ROLE", "none")
    wanted = {"error": "Authentication required", "code": "UNAUTHORIZED", "status": 401}
    for method, path in (("GET", ""), ("POST", "/health-check/pause"), ("POST", "/health-check/resume"),
                         ("DELETE", "/health-check")):  # fmt: skip
        reply = api(method, f"{SCHEDULER}{path}")
        assert (reply.status, reply.body) == (401, wanted)


def test_a_viewer_reads_and_an_admin_writes(tasks: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BELFRY_ANONYMOUS_ROLE", "none")
    viewer, operator, admin = (tasks.key(role) for role in ("viewer", "operator", "admin"))
    assert tasks("GET", SCHEDULER, headers=viewer).status == 200
    for headers in (viewer, operator):
        for method, path in (("POST", "/health-check/pause"), ("POST", "/health-check/resume"),
                             ("DELETE", "/health-check")):  # fmt: skip
            reply = tasks(method, f"{SCHEDULER}{path}", headers=headers)
            assert (reply.status, reply.body["code"]) == (403, "FORBIDDEN")
            assert reply.body == {
                "error": "Requires admin role or higher",
                "code": "FORBIDDEN",
                "status": 403,
            }
    assert tasks("DELETE", f"{SCHEDULER}/health-check", headers=admin).status == 200


def test_other_errors_have_the_envelope_too(tasks: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    path = f"{SCHEDULER}/health-check/pause"
    for reply, status, code in (
        (tasks("POST", path, {"colour": "red"}), 400, "VALIDATION_ERROR"),
        (tasks("POST", path, b"[]"), 400, "VALIDATION_ERROR"),
        (tasks("POST", path, {}, {"Content-Type": "text/plain"}), 415, "UNSUPPORTED_MEDIA_TYPE"),
    ):
        assert (reply.status, reply.body["code"], reply.body["status"]) == (status, code, status)
        assert set(reply.body) == {"error", "code", "status"}
    monkeypatch.setattr("chalicelib.scheduler.jobs.pause", lambda *given: 1 / 0)
    broke = tasks("POST", path)
    assert (broke.status, broke.body["code"]) == (500, "INTERNAL_ERROR")


def test_a_task_that_a_chain_uses_is_not_cancelled(tasks: Client) -> None:
    jobs = ["job_health-check", "job_audit-clean"]
    edges = [{"from": jobs[0], "to": jobs[1], "type": "on_success"}]
    made = tasks("POST", f"{SCHEDULER}/chains", {"name": "c", "jobs": jobs, "edges": edges})
    assert made.status == 201, made.body
    reply = tasks("DELETE", f"{SCHEDULER}/health-check")
    assert (reply.status, reply.body["code"]) == (409, "CONFLICT")


# -- isolation


def run(api: Client, *names: str) -> None:
    for name in names:
        assert api("POST", f"{SCHEDULER}/jobs/{IDS[name]}/trigger").status == 202
    while api.work():
        pass


def test_a_task_that_throws_is_counted_and_logged_and_the_others_go_on(
    api: Client,
    noon: time_machine.Coordinates,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(engine: Any, attempt: Any) -> None:
        raise ValueError("no disk left")

    monkeypatch.setitem(TASKS, "health-check", broken)
    deploy("one")
    with caplog.at_level(logging.WARNING):
        run(api, *OWN)
    found = listed(api)
    assert [(found[name]["runCount"], found[name]["errors"]) for name in OWN] == [(0, 1), (1, 0), (1, 0)]
    assert all(found[name]["enabled"] for name in OWN)
    assert found["health-check"]["lastRun"] == "2026-03-21T12:02:00Z"
    assert "ValueError: no disk left" in caplog.text
