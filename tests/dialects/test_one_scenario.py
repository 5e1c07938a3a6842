"""One scenario through every dialect: each does of it what it has verbs for, and native sees all of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pytest

from chalicelib import composition
from tests.dialects.conftest import Client, Reply

NATIVE = "/api/scheduler/jobs"
SCHEDULES = "/api/agents/agent_1/schedules"
NIGHTLY = "/api/v1/scheduler/jobs"
TASKS = "/api/scheduler"
MISSION = "/api/scheduler?dialect=mission_control"
SETTING = "general.agent_heartbeat"
NAME = "weekly report"


@dataclass(frozen=True)
class Dialect:
    """Its verbs, each given the client and what it calls the job. A verb that it lacks is left out."""

    origin: str
    verbs: Mapping[str, Callable[[Client, str], Reply]]
    called: Callable[[Reply], str]  # what it calls the job that `create` or, without it, the listing gave
    native_id: Callable[[Client, str], str]
    is_active: Callable[[Client, str], bool]
    runs: Callable[[Client, str], int]  # that its history shows
    listed: Callable[[Reply], list[str]]


def _by_name(api: Client, name: str) -> str:
    (found,) = [job["id"] for job in api("GET", f"{NATIVE}?limit=200").body["jobs"] if job["name"] == name]
    return str(found)


def _mission_task(api: Client, task_id: str) -> Any:
    (found,) = [task for task in api("GET", MISSION).body["tasks"] if task["id"] == task_id]
    return found


def _codespar_task(api: Client, name: str) -> Any:
    (found,) = [task for task in api("GET", TASKS).body if task["name"] == name]
    return found


def _nightly_job(api: Client, name: str) -> Any:
    (found,) = [job for job in api("GET", NIGHTLY).body["data"] if job["job_name"] == name]
    return found


def _control(api: Client, value: str) -> Reply:
    return api("PUT", "/api/settings", {"settings": {SETTING: value}})


CRON = {"type": "cron", "expression": "0 9 * * 1"}
ECHO = {"type": "handler", "name": "echo"}
CALLBACK = {"callback_type": "function", "callback_id": "echo"}

DIALECTS = {
    "native": Dialect(
        origin="native",
        verbs={
            "create": lambda api, _: api("POST", NATIVE, {"name": NAME, "schedule": CRON, "action": ECHO}),
            "list": lambda api, _: api("GET", NATIVE),
            "get": lambda api, job: api("GET", f"{NATIVE}/{job}"),
            "change": lambda api, job: api("PUT", f"{NATIVE}/{job}", {"name": "changed"}),
            "pause": lambda api, job: api("POST", f"{NATIVE}/{job}/pause"),
            "resume": lambda api, job: api("POST", f"{NATIVE}/{job}/resume"),
            "trigger": lambda api, job: api("POST", f"{NATIVE}/{job}/trigger"),
            "delete": lambda api, job: api("DELETE", f"{NATIVE}/{job}"),
        },
        called=lambda made: str(made.body["id"]),
        native_id=lambda api, job: job,
        is_active=lambda api, job: api("GET", f"{NATIVE}/{job}").body["status"] == "active",
        runs=lambda api, job: len(api("GET", f"{NATIVE}/{job}/runs").body["runs"]),
        listed=lambda reply: [job["id"] for job in reply.body["jobs"]],
    ),
    "agents": Dialect(
        origin="agents",
        verbs={
            "create": lambda api, _: api(
                "POST", SCHEDULES, {"name": NAME, "type": "cron", "cron_expression": "0 9 * * 1", **CALLBACK}
            ),
            "list": lambda api, _: api("GET", SCHEDULES),
            "get": lambda api, one: api("GET", f"{SCHEDULES}/{one}"),
            "change": lambda api, one: api("PUT", f"{SCHEDULES}/{one}", {"name": "changed"}),
            "pause": lambda api, one: api("PUT", f"{SCHEDULES}/{one}", {"status": "paused"}),
            "resume": lambda api, one: api("PUT", f"{SCHEDULES}/{one}", {"status": "active"}),
            "delete": lambda api, one: api("DELETE", f"{SCHEDULES}/{one}"),
        },
        called=lambda made: str(made.body["id"]),
        native_id=lambda api, one: one.replace("schedule-", "job_"),
        is_active=lambda api, one: api("GET", f"{SCHEDULES}/{one}").body["status"] == "active",
        runs=lambda api, one: len(api("GET", f"{SCHEDULES}/{one}").body["executions"]),
        listed=lambda reply: [one["id"] for one in reply.body["schedules"]],
    ),
    "nightly": Dialect(
        origin="nightly",
        verbs={
            "create": lambda api, _: api(
                "POST",
                NIGHTLY,
                {"job_name": "weekly-report", "cron_expression": "0 9 * * 1", "handler": "echo"},
            ),
            "list": lambda api, _: api("GET", NIGHTLY),
            "trigger": lambda api, name: api("POST", f"{NIGHTLY}/{name}/trigger"),
            "delete": lambda api, name: api("DELETE", f"{NIGHTLY}/{name}"),
        },
        called=lambda made: str(made.body["job_name"]),
        native_id=_by_name,
        is_active=lambda api, name: bool(_nightly_job(api, name)["is_active"]),
        runs=lambda api, name: int(api("GET", f"{NIGHTLY}/{name}/last-result").status == 200),
        listed=lambda reply: [job["job_name"] for job in reply.body["data"]],
    ),
    "codespar": Dialect(
        origin="codespar",
        verbs={
            "list": lambda api, _: api("GET", TASKS),
            "pause": lambda api, name: api("POST", f"{TASKS}/{quote(name)}/pause"),
            "resume": lambda api, name: api("POST", f"{TASKS}/{quote(name)}/resume"),
            "delete": lambda api, name: api("DELETE", f"{TASKS}/{quote(name)}"),
        },
        called=lambda listing: str(listing.body[0]["name"]),
        native_id=_by_name,
        is_active=lambda api, name: bool(_codespar_task(api, name)["enabled"]),
        runs=lambda api, name: int(_codespar_task(api, name)["runCount"]),
        listed=lambda reply: [task["name"] for task in reply.body],
    ),
    "mission_control": Dialect(
        origin="mission_control",
        verbs={
            "list": lambda api, _: api("GET", MISSION),
            "pause": lambda api, _: _control(api, "false"),
            "resume": lambda api, _: _control(api, "true"),
            "trigger": lambda api, task: api("POST", TASKS, {"task_id": task}),
        },
        called=lambda listing: str(listing.body["tasks"][2]["id"]),
        native_id=_by_name,
        is_active=lambda api, task: bool(_mission_task(api, task)["enabled"]),
        runs=lambda api, task: int("lastResult" in _mission_task(api, task)),
        listed=lambda reply: [task["id"] for task in reply.body["tasks"]],
    ),
}


@pytest.fixture
def at_work(api: Client) -> Client:
    """The built-in jobs are there, and whoever waits for a run lets the worker go on."""
    composition.register_builtins(composition.engine())
    object.__setattr__(composition.engine(), "sleep", lambda seconds: api.work())  # it is this test's alone
    return api


@pytest.mark.parametrize("name", DIALECTS)
def test_the_same_story_is_told_in_every_dialect(name: str, at_work: Client) -> None:
    api, dialect = at_work, DIALECTS[name]
    verbs = dialect.verbs

    def do(verb: str) -> Reply:
        reply = verbs[verb](api, job)
        assert reply.status in (200, 201, 202, 204), (verb, reply.status, reply.body)
        return reply

    job = ""
    job = dialect.called(do("create" if "create" in verbs else "list"))
    assert job in dialect.listed(do("list"))
    native = api("GET", f"{NATIVE}/{dialect.native_id(api, job)}").body
    assert (native["origin"], native["status"]) == (dialect.origin, "active")
    path = f"{NATIVE}/{native['id']}"
    if "get" in verbs:
        assert do("get").body["id"] == job
    if "change" in verbs:
        do("change")
        assert api("GET", path).body["name"] == "changed"
    if "pause" in verbs:
        do("pause")
        assert (dialect.is_active(api, job), api("GET", path).body["status"]) == (False, "paused")
        do("resume")
        assert (dialect.is_active(api, job), api("GET", path).body["status"]) == (True, "active")
    assert dialect.runs(api, job) == 0
    if "trigger" in verbs:
        do("trigger")
    else:
        assert api("POST", f"{path}/trigger").status == 202
    while api.work():
        pass
    (run,) = api("GET", f"{path}/runs").body["runs"]
    assert (run["status"], run["trigger"]) == ("completed", "manual"), run
    assert dialect.runs(api, job) == 1
    if "delete" in verbs:
        do("delete")
        assert api("GET", path).status == 404
        assert job not in dialect.listed(do("list"))
