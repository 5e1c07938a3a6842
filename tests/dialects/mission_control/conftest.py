"""Mission Control as its user has it: the cookie of a session, and five tasks with stand-ins for work."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import boto3
import pytest
import time_machine

from chalicelib import composition
from chalicelib.core.action import Attempt, Json
from chalicelib.scheduler.engine import Engine
from tests.dialects.conftest import Client, Reply

START = datetime(2026, 11, 22, 14, 0, tzinfo=UTC)
SAYS = {
    "auto_backup": "Backup created (2048KB)",
    "auto_cleanup": "Cleaned 342 stale records",
    "agent_heartbeat": "Marked 2 agent(s) offline: agent-alpha, agent-beta",
    "webhook_retry": "Processed 3 retries (2 ok, 1 failed)",
    "claude_session_scan": "Scanned 12 session(s), 3 active",
}
JOB_IDS = {
    "auto_backup": "job_auto_backup",
    "auto_cleanup": "job_auto_cleanup",
    "agent_heartbeat": "job_agent_beat",
    "webhook_retry": "job_webhooks",
    "claude_session_scan": "job_sessions",
}


Outcome = Json | Exception | Callable[[], Json]


@dataclass
class Mission:
    """Speaks to the API with an admin's session. Its clock stands still but for the engine's sleeps.

    While the engine sleeps the worker works, unless `worker_is_up` says that there is none.
    """

    api: Client
    clock: time_machine.Coordinates
    cookie: dict[str, str] = field(default_factory=dict)
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    before_sleep: Callable[[], object] = lambda: None
    worker_is_up: bool = True
    slept: float = 0

    def __call__(self, method: str, path: str, body: Any = None) -> Reply:
        return self.api(method, path, body, self.cookie)

    def log_in(self, role: str) -> None:
        key = self.api.key(role)["X-API-Key"]
        reply = self.api("POST", "/api/auth/session", {"key": key})
        self.cookie = {"Cookie": reply.headers["Set-Cookie"].partition(";")[0]}

    def go_to(self, instant: datetime) -> None:
        """To a later day: what was in the queue is gone, and the session is a new one."""
        boto3.client("sqs").purge_queue(QueueUrl=os.environ["BELFRY_RUNS_QUEUE"])
        self.clock.move_to(instant)
        self.log_in("admin")

    def tasks(self) -> dict[str, dict[str, Any]]:
        return {task["id"]: task for task in self("GET", "/api/scheduler").body["tasks"]}

    def settings(self) -> dict[str, dict[str, Any]]:
        return {one["key"]: one for one in self("GET", "/api/settings").body["settings"]}

    def put(self, **settings: str) -> Reply:
        """`general__auto_backup` stands for general.auto_backup."""
        named = {key.replace("__", "."): value for key, value in settings.items()}
        return self("PUT", "/api/settings", {"settings": named})

    def run(self, task_id: Any) -> Reply:
        return self("POST", "/api/scheduler", {"task_id": task_id})

    def sleep(self, seconds: float) -> None:
        self.before_sleep()
        self.slept += seconds
        self.clock.shift(timedelta(seconds=seconds))
        if self.worker_is_up:
            self.api.work()

    def perform(self, name: str, engine: Engine, attempt: Attempt) -> Json:
        outcome = self.outcomes.get(name, {"ok": True, "message": SAYS[name]})
        if isinstance(outcome, Exception):
            raise outcome
        return outcome() if callable(outcome) else outcome


@pytest.fixture
def mission(api: Client, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mission]:
    with time_machine.travel(START, tick=False) as clock:
        made = Mission(api, clock)
        for name in SAYS:
            monkeypatch.setitem(composition.TASKS, name, partial(made.perform, name))
        monkeypatch.setattr(composition, "compose", partial(composition.compose, sleep=made.sleep))
        composition.register_builtins(composition.engine())
        monkeypatch.setenv("BELFRY_ANONYMOUS_ROLE", "none")
        made.log_in("admin")
        yield made
