"""GET /api/sessions: Claude Code's sessions, as they were scanned."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from chalicelib import composition
from chalicelib.core.instants import iso
from chalicelib.tasks import TASKS
from tests.dialects.conftest import Client
from tests.integration.tasks_support import attempt

SESSIONS = "/api/sessions"


@pytest.fixture
def scanned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, api: Client) -> None:
    """Two sessions: one with a message of now, one of yesterday."""
    monkeypatch.setenv("BELFRY_SESSIONS_DIRECTORY", str(tmp_path))
    (tmp_path / "-home-me").mkdir()
    for name, age in (("old", timedelta(days=1)), ("new", timedelta())):
        said = {
            "type": "user",
            "timestamp": iso(datetime.now(UTC) - age),
            "gitBranch": "main",
            "message": {"role": "user", "content": "hi"},
        }
        (tmp_path / f"-home-me/{name}.jsonl").write_text(json.dumps(said) + "\n")
    TASKS["claude_session_scan"](composition.engine(), attempt())


@pytest.mark.usefixtures("scanned")
def test_sessions_are_listed_with_the_latest_first(api: Client) -> None:
    reply = api("GET", SESSIONS)
    assert (reply.status, reply.body["count"]) == (200, 2)
    assert [(one["id"], one["active"]) for one in reply.body["sessions"]] == [("new", True), ("old", False)]
    session = reply.body["sessions"][0]
    assert session.pop("first_message") == session.pop("last_message")
    assert session == {
        "id": "new",
        "project": "-home-me",
        "model": None,
        "branch": "main",
        "user_messages": 1,
        "assistant_messages": 0,
        "tool_uses": 0,
        "input_tokens": 0,
        "output_tokens": 0,
        "cache_tokens": 0,
        "active": True,
    }
    page = api("GET", f"{SESSIONS}?limit=1&offset=1").body
    assert ([one["id"] for one in page["sessions"]], page["count"]) == (["old"], 2)


@pytest.mark.usefixtures("scanned")
def test_their_messages_are_activity(api: Client) -> None:
    heatmap = api("GET", "/api/scheduler/smart/heatmap").body
    assert heatmap["total"] == 2


def test_a_viewer_reads_them_and_nobody_else(api: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    viewer = api.key("viewer")
    monkeypatch.setenv("BELFRY_ANONYMOUS_ROLE", "none")
    assert api("GET", SESSIONS, headers=viewer).body == {"sessions": [], "count": 0}
    assert api("GET", SESSIONS).status == 401
    assert api("GET", f"{SESSIONS}?limit=0", headers=viewer).status == 422
