"""The tasks health-check, build-status-report and audit-cleanup, each run by itself."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from chalicelib.core.access import Principal, Role
from chalicelib.core.action import Attempt
from chalicelib.core.instants import iso
from chalicelib.scheduler import audit, targets
from chalicelib.tasks import TASKS
from tests.integration.actions_support import attempt
from tests.support import MINUTE, World

TOKEN = "ghp_0123456789abcdef"


def made(world: World, waited: timedelta = timedelta(), dry_run: bool = False) -> Attempt:
    """An attempt of a run whose slot was so long ago."""
    run = {"scheduled_for": iso(world.clock.now() - waited), "dry_run": dry_run}
    return replace(attempt(), run=run)


def done(world: World, task: str, **given: Any) -> Any:
    return TASKS[task](world.engine, made(world, **given))


# -- health-check


def test_all_is_well_after_a_tick(world: World) -> None:
    world.tick()
    result = done(world, "health-check", waited=timedelta(milliseconds=250))
    assert (result["status"], result["degraded"]) == ("ok", [])
    assert result["components"] == {
        "tables": {"jobs": "ok", "runs": "ok", "agenda": "ok", "records": "ok"},
        "queue": {"depth": 0, "age_ms": 250},
        "dead_letters": {"count": 0},
        "agents": {"online": 0, "offline": []},
        "channels": {"count": 0},
        "tick": {"last_tick_at": iso(world.clock.now()), "lateness_ms": 0},
    }


def test_what_is_degraded_is_logged_and_listed(world: World, caplog: pytest.LogCaptureFixture) -> None:
    now = world.clock.now()
    world.tick()
    for name in ("a", "b", "c"):
        targets.put_agent(world.engine, name, name.upper(), "t", now)
    for name in ("b", "a"):
        targets.heartbeat(world.engine, name, targets.OFFLINE, None, now)
    world.engine.records.put("dead_letter", "m1", {"at": iso(now)})
    world.clock.advance(3 * MINUTE)
    with caplog.at_level(logging.WARNING):
        result = done(world, "health-check", waited=timedelta(seconds=61))
    assert result["status"] == "degraded"
    assert result["degraded"] == [
        "queue: this run waited 61 s",
        "dead_letters: 1 messages were given up on",
        "agents: a, b offline",
        f"tick: the last one was at {iso(now)}",
    ]
    assert [record.message for record in caplog.records] == [
        f"degraded: {problem}" for problem in result["degraded"]
    ]
    assert {record.levelname for record in caplog.records} == {"WARNING"}
    assert result["components"]["agents"] == {"online": 1, "offline": ["a", "b"]}


def test_before_the_first_tick_and_while_dispatch_is_paused_the_tick_is_degraded(world: World) -> None:
    assert done(world, "health-check")["degraded"] == ["tick: there was none yet"]
    world.put_setting("engine.paused", "true")
    assert done(world, "health-check")["degraded"] == ["tick: dispatch is paused"]


def test_a_component_that_cannot_be_read_does_not_hide_the_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*given: Any) -> None:
        raise ConnectionError("no route")

    world.tick()
    monkeypatch.setattr(world.engine.queue, "depth", fail)
    monkeypatch.setattr(world.engine.runs, "get", fail)
    result = done(world, "health-check")
    assert "tables: runs cannot be read" in result["degraded"]
    assert "queue: cannot be read (ConnectionError)" in result["degraded"]
    assert result["components"]["tables"]["jobs"] == "ok"
    assert result["components"]["agents"] == {"online": 0, "offline": []}


# -- build-status-report


class GitHub(BaseHTTPRequestHandler):
    """Answers as GitHub does to GET /repos/{owner}/{repo}/actions/runs?per_page=1."""

    asked: list[tuple[str, dict[str, str]]]
    answers: dict[str, tuple[int, Any]]

    def do_GET(self) -> None:
        self.asked.append((self.path, dict(self.headers)))
        unknown = (404, {"message": "Not Found", "documentation_url": "https://docs.github.com/rest"})
        status, body = self.answers.get(self.path.removeprefix("/api/v3"), unknown)
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *given: object) -> None:
        pass


@contextmanager
def github(**answers: tuple[int, Any]) -> Iterator[tuple[str, list[tuple[str, dict[str, str]]]]]:
    """The URL of a server that knows these repositories of acme, and the requests it got."""
    paths = {f"/repos/acme/{name}/actions/runs?per_page=1": answer for name, answer in answers.items()}
    asked: list[tuple[str, dict[str, str]]] = []
    handler = type("Made", (GitHub,), {"answers": paths, "asked": asked})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()


def latest(status: str, conclusion: str | None) -> tuple[int, Any]:
    run = {
        "id": 30433642,
        "name": "Build",
        "head_branch": "main",
        "run_number": 562,
        "status": status,
        "conclusion": conclusion,
        "html_url": "https://github.com/acme/x/actions/runs/30433642",
    }
    return 200, {"total_count": 1, "workflow_runs": [run]}


@pytest.fixture
def linked(tables: dict[str, str]) -> World:
    """A world that may reach this machine."""
    return World({**tables, "BELFRY_ALLOW_NETWORKS": "127.0.0.0/8"})


def link(world: World, url: str, repos: str, token: str = "") -> None:
    for key, value in (("api_url", url), ("repos", repos), ("token", token)):
        world.put_setting(f"github.{key}", value)


def test_the_latest_build_of_each_linked_repository_is_reported(linked: World) -> None:
    with github(
        web=latest("completed", "success"),
        api=latest("in_progress", None),
        docs=(200, {"total_count": 0, "workflow_runs": []}),
    ) as (url, asked):
        link(linked, f"{url}/api/v3/", "acme/web, acme/api,acme/docs", TOKEN)
        result = done(linked, "build-status-report")
    page = "https://github.com/acme/x/actions/runs/30433642"
    assert result == {
        "repos": [
            {"repo": "acme/web", "status": "completed", "conclusion": "success", "url": page},
            {"repo": "acme/api", "status": "in_progress", "conclusion": None, "url": page},
            {"repo": "acme/docs", "status": None, "conclusion": None, "url": None},
        ],
        "counts": {"success": 1, "in_progress": 1, "none": 1},
    }
    assert [path for path, _ in asked] == [
        f"/api/v3/repos/acme/{name}/actions/runs?per_page=1" for name in ("web", "api", "docs")
    ]
    _, headers = asked[0]
    assert headers["Authorization"] == f"Bearer {TOKEN}"
    assert headers["Accept"] == "application/vnd.github+json"
    assert headers["User-Agent"].startswith("belfry/")  # GitHub refuses requests without one


def test_a_repository_that_fails_is_listed_with_its_error_and_the_others_go_on(
    linked: World, caplog: pytest.LogCaptureFixture
) -> None:
    with github(
        web=latest("completed", "failure"),
        odd=(200, b"<html>"),
        list=(200, []),
        deep=(200, b"[" * 100_000),
        vast=(200, b" " * 1_100_000),
        moved=(301, {"message": "Moved Permanently", "url": "https://api.github.com/repositories/1"}),
    ) as (url, _):
        names = ["gone", "odd", "list", "deep", "vast", "moved", "web"]
        link(linked, url, ",".join(f"acme/{name}" for name in names), TOKEN)
        result = done(linked, "build-status-report")
    assert result["counts"] == {"error": 6, "failure": 1}
    errors = {report["repo"]: report.get("error") for report in result["repos"]}
    assert errors["acme/gone"] == "GitHub answered 404: Not Found"
    assert errors["acme/odd"] == errors["acme/list"] == errors["acme/deep"]
    assert errors["acme/odd"] == "GitHub's answer is no list of workflow runs"
    assert "over 1048576 bytes" in errors["acme/vast"]
    assert errors["acme/moved"] == "GitHub answered 301: Moved Permanently"
    assert errors["acme/web"] is None
    assert TOKEN not in json.dumps(result) + caplog.text


@pytest.mark.parametrize("url", ["http://127.0.0.1:99999", "http://[:::1]", "http://127.0.0.1:1"])
def test_an_api_that_cannot_be_reached_is_each_repositorys_error(linked: World, url: str) -> None:
    link(linked, url, "acme/web,acme/api")
    result = done(linked, "build-status-report")
    assert result["counts"] == {"error": 2}
    assert all(url in report["error"] for report in result["repos"])


def test_no_private_address_is_asked_unless_the_deployment_allows_it(world: World) -> None:
    with github(web=latest("completed", "success")) as (url, asked):
        link(world, url, "acme/web", TOKEN)
        result = done(world, "build-status-report")
    assert "private, loopback" in result["repos"][0]["error"]
    assert asked == []


def test_without_a_token_none_is_sent_and_without_repositories_nobody_is_asked(linked: World) -> None:
    assert done(linked, "build-status-report") == {"repos": [], "counts": {}}
    with github(web=latest("completed", "success")) as (url, asked):
        link(linked, url, "acme/web")
        done(linked, "build-status-report")
    assert "Authorization" not in asked[0][1]


# -- audit-cleanup


def test_the_cleanup_says_what_it_deleted_and_a_dry_run_what_it_would(world: World) -> None:
    who = Principal("key_a", Role.ADMIN)
    for _ in range(10):
        audit.append(world.engine, who, "job.create", None, {}, world.clock.now())
    world.clock.advance(timedelta(days=366))
    assert done(world, "audit-cleanup", dry_run=True) == {"deleted": 8, "checkpoint": None}
    result = done(world, "audit-cleanup")
    assert result["deleted"] == 8
    assert (result["checkpoint"]["first_seq"], result["checkpoint"]["last_seq"]) == (2, 9)
    assert done(world, "audit-cleanup")["deleted"] == 0
