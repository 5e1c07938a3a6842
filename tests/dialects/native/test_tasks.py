"""The maintenance tasks as jobs: the worker runs them, and their result is the run's output."""

from __future__ import annotations

import pytest

from tests.dialects.conftest import Client

JOBS = "/api/scheduler/jobs"
NEVER = {"type": "cron", "expression": "0 0 1 1 *"}
MESSAGES = {
    "auto_backup": "Backup created (1KB)",
    "auto_cleanup": "Cleaned 0 stale records",
    "agent_heartbeat": "All agents healthy",
    "claude_session_scan": "Scanned 0 session(s), 0 active",
}


@pytest.mark.parametrize("task", MESSAGES)
def test_a_task_is_run_by_the_worker_and_says_what_it_did(api: Client, task: str) -> None:
    job = api("POST", JOBS, {"name": task, "schedule": NEVER, "action": {"type": "task", "name": task}})
    run = api("POST", f"{JOBS}/{job.body['id']}/trigger", {}).body["run_id"]
    api.work()
    found = api("GET", f"{JOBS}/{job.body['id']}/runs/{run}").body
    assert (found["status"], found["error"]) == ("completed", None)
    assert (found["output"]["ok"], found["output"]["message"]) == (True, MESSAGES[task])
