"""POST /api/cleanup: counts by table, for admins alone, in Mission Control's envelope."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from chalicelib import composition
from chalicelib.core.instants import iso
from chalicelib.core.settings import SETTINGS, Kind
from chalicelib.scheduler import targets
from tests.dialects.conftest import Client

CLEANUP = "/api/cleanup"


@pytest.fixture
def stale(api: Client) -> None:
    """Three notifications of 61, and one of 59 days ago."""
    for days in (61, 61.5, 62, 59):
        at = iso(datetime.now(UTC) - timedelta(days=days))
        composition.engine().records.put(f"notification#{at[:7]}", f"{at}#x", {})


@pytest.mark.usefixtures("stale")
def test_it_answers_the_counts_by_table_and_a_dry_run_removes_none(api: Client) -> None:
    counts = {"activities": 0, "audit_log": 0, "notifications": 3, "pipeline_runs": 0, "token_usage": 0}
    expected = {
        "ok": True,
        "message": "Cleaned 3 stale records",
        "counts": counts,
        "total": 3,
        "complete": True,
    }
    for _ in range(2):
        assert api("POST", CLEANUP, {"dry_run": True}).body == {**expected, "dry_run": True}
    assert api("POST", CLEANUP, {"dry_run": False}).body == {**expected, "dry_run": False}
    again = api("POST", CLEANUP).body
    assert (again["total"], again["message"]) == (0, "Cleaned 0 stale records")


def test_errors_are_in_mission_controls_envelope(api: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    assert api("POST", CLEANUP, {"dry_run": "perhaps"}).status == 400
    reply = api("POST", CLEANUP, {"dryrun": True})
    assert (reply.status, reply.body) == (400, {"error": "dryrun: is no field that is known here"})
    reply = api("POST", CLEANUP, {}, api.key("operator"))
    assert (reply.status, reply.body) == (403, {"error": "Requires admin role or higher"})
    monkeypatch.setenv("BELFRY_ANONYMOUS_ROLE", "none")
    reply = api("POST", CLEANUP, {})
    assert (reply.status, reply.body) == (401, {"error": "Authentication required"})


def test_the_longest_retentions_are_within_what_dates_can_be(api: Client) -> None:
    keys = [key for key, setting in SETTINGS.items() if setting.kind is Kind.NATURAL]
    assert api("PUT", "/api/settings", {"settings": dict.fromkeys(keys, "99999")}).status == 200
    assert api("POST", CLEANUP).body["message"] == "Cleaned 0 stale records"
    assert targets.mark_silent_agents(composition.engine(), datetime.now(UTC)) == []
    assert composition.engine().settings().run_expiry(datetime.now(UTC)) is not None
