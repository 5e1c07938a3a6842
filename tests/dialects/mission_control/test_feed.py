"""Activities and notifications over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from chalicelib import composition
from chalicelib.core.errors import ActionError
from chalicelib.scheduler.events import notify
from tests.dialects.conftest import Client
from tests.dialects.native.test_chains import chained, ended, made

JOBS = "/api/scheduler/jobs"
NEVER = {"type": "cron", "expression": "0 0 1 1 *"}


def job(api: Client) -> str:
    action = {"type": "handler", "name": "echo"}
    return str(api("POST", JOBS, {"name": "nightly", "schedule": NEVER, "action": action}).body["id"])


def test_activities_are_listed_newest_first_and_by_type(api: Client) -> None:
    name = job(api)
    api("POST", f"{JOBS}/{name}/pause")
    api("DELETE", f"{JOBS}/{name}")
    body = api("GET", "/api/activities").body
    assert [one["type"] for one in body["activities"]] == ["job.deleted", "job.paused", "job.created"]
    assert (body["count"], body["next_cursor"]) == (3, None)
    newest = body["activities"][0]
    assert newest["message"] == "Job nightly was deleted"
    assert (newest["data"]["job_id"], newest["id"].startswith(newest["at"])) == (name, True)
    (paused,) = api("GET", "/api/activities?type=job.paused").body["activities"]
    assert paused["data"]["status"] == "paused"


def test_activities_come_in_pages(api: Client) -> None:
    names = [job(api) for _ in range(5)]
    seen, cursor = [], ""
    while cursor is not None:
        page = api("GET", f"/api/activities?limit=2{cursor}").body
        seen += [one["data"]["job_id"] for one in page["activities"]]
        cursor = page["next_cursor"] and f"&cursor={page['next_cursor']}"
    assert seen == names[::-1]


def test_notifications_are_listed_newest_first(api: Client) -> None:
    engine = composition.engine()
    for name in ("a", "b"):
        notify(engine, "Agent offline", f"{name} is silent", engine.now())
    body = api("GET", "/api/notifications").body
    assert sorted(one["message"] for one in body["notifications"]) == ["a is silent", "b is silent"]
    assert set(body["notifications"][0]) == {"id", "title", "message", "at"}
    assert (body["count"], body["next_cursor"]) == (2, None)


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=x", "cursor=x", "type=job.exploded", "type=run.completed"]
)
def test_a_wrong_query_is_400_in_mission_controls_words(api: Client, query: str) -> None:
    answer = api("GET", f"/api/activities?{query}")
    assert answer.status == 400
    assert answer.body["error"].startswith(query.partition("=")[0])


@pytest.mark.parametrize("status", ["completed", "failed"])
def test_the_end_of_a_chains_execution_is_an_activity_once(
    api: Client, monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    def act(attempt: Any, settings: Any) -> str:
        if status == "failed" and attempt.job["name"] == "store":
            raise ActionError("broken", "as it was told", permanent=True)
        return "done"

    monkeypatch.setitem(composition.HANDLERS, "echo", act)
    jobs = made(api, "fetch", "store")
    chain = chained(api, jobs, [{"from": 0, "to": 1, "type": "on_success"}])
    api("POST", f"{JOBS}/{jobs[0]}/trigger")
    execution = ended(api, chain["id"])
    (told,) = api("GET", "/api/activities?type=chain.completed").body["activities"]
    assert told["data"]["execution"] == execution["id"]
    assert (told["data"]["status"], told["data"]["chain_name"]) == (status, "Data pipeline")
    assert told["data"]["root"] == jobs[0]


def test_an_execution_that_could_not_be_started_is_an_activity_too(
    api: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = chained(api, made(api, "fetch"), [])

    def refuses(*given: Any) -> bool:
        raise RuntimeError("throttled")

    monkeypatch.setattr(composition.engine().workflows, "start", refuses)
    assert api("POST", f"/api/scheduler/chains/{chain['id']}/trigger").status == 500
    (told,) = api("GET", "/api/activities?type=chain.completed").body["activities"]
    assert (told["data"]["chain_id"], told["data"]["status"]) == (chain["id"], "failed")
