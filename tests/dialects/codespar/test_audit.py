"""The audit log over HTTP."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from chalicelib import composition
from chalicelib.scheduler import audit_reading
from tests.dialects.conftest import Client

AUDIT = "/api/audit"
JOBS = "/api/scheduler/jobs"
JOB = {"name": "n", "schedule": {"type": "every", "interval": 3600}}


@pytest.fixture
def written(api: Client) -> list[str]:
    """The ids of five jobs that were created, the last of which was deleted again."""
    made = [api("POST", JOBS, JOB).body["id"] for _ in range(5)]
    api("DELETE", f"{JOBS}/{made[-1]}")
    return made


def test_the_log_is_listed_newest_first_by_pages(api: Client, written: list[str]) -> None:
    first = api("GET", f"{AUDIT}?limit=4").body
    assert [entry["seq"] for entry in first["entries"]] == [6, 5, 4, 3]
    assert first["count"] == 4
    newest = first["entries"][0]
    assert (newest["action"], newest["target"], newest["actor"]) == ("job.delete", written[-1], "anonymous")
    second = api("GET", f"{AUDIT}?limit=4&cursor={first['next_cursor']}").body
    assert [entry["seq"] for entry in second["entries"]] == [2, 1]
    assert second["next_cursor"] is None


def test_the_log_is_filtered(api: Client, written: list[str]) -> None:
    key = api.key("operator")
    api("POST", JOBS, JOB, key)
    (mine,) = api("GET", AUDIT).body["entries"][:1]
    assert api("GET", f"{AUDIT}?actor={mine['actor']}").body["entries"] == [mine]
    assert api("GET", f"{AUDIT}?action=job.delete").body["count"] == 1
    assert api("GET", f"{AUDIT}?since={mine['at']}").body["entries"][0] == mine
    assert api("GET", f"{AUDIT}?until=2020-01-01T00:00:00Z").body["count"] == 0
    assert api("GET", f"{AUDIT}?since=2999-01-01T00:00:00Z").body["count"] == 0


@pytest.mark.parametrize("query", [
    "limit=0", "limit=201", "limit=x", "since=yesterday", "until=2026", "actor=", "cursor=x",
    "cursor=2026-13.000000000001",
])  # fmt: skip
def test_a_wrong_query_is_400_and_names_the_field(api: Client, written: list[str], query: str) -> None:
    reply = api("GET", f"{AUDIT}?{query}")
    assert (reply.status, reply.body["code"], reply.body["status"]) == (400, "VALIDATION_ERROR", 400)
    assert query.partition("=")[0] in reply.body["error"]


def test_an_empty_log_is_empty_and_sound(api: Client) -> None:
    assert api("GET", AUDIT).body == {"entries": [], "count": 0, "next_cursor": None}
    sound = {"valid": True, "entries": 0, "broken": None, "head": None, "checkpoint": None}
    assert api("GET", f"{AUDIT}/verify").body == sound


def test_anyone_can_check_a_hash(api: Client, written: list[str]) -> None:
    newest, before = api("GET", f"{AUDIT}?limit=2").body["entries"]
    facts = {name: value for name, value in newest.items() if name != "hash"}
    canonical = json.dumps(facts, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    assert hashlib.sha256(canonical.encode()).hexdigest() == newest["hash"]
    assert newest["prev_hash"] == before["hash"]


def test_a_sound_log_verifies_and_a_changed_entry_is_named(api: Client, written: list[str]) -> None:
    found = api("GET", f"{AUDIT}/verify").body
    assert (found["valid"], found["entries"], found["broken"], found["head"]["seq"]) == (True, 6, None, 6)
    records = composition.engine().records
    head = audit_reading.head_of(composition.engine())
    assert head
    kind = audit_reading.kind(head.at)
    entry: Any = records.get(kind, "000000000003")
    records.put(kind, "000000000003", {**entry, "actor": "somebody else"})
    found = api("GET", f"{AUDIT}/verify").body
    assert (found["valid"], found["entries"]) == (False, 0)
    assert found["broken"] == {"seq": 3, "issue": "entry 3 is not as it was written"}


def test_a_viewer_reads_the_log_and_nobody_else(api: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BELFRY_ANONYMOUS_ROLE", "none")
    for path in (AUDIT, f"{AUDIT}/verify"):
        assert api("GET", path).body == {
            "error": "Authentication required",
            "code": "UNAUTHORIZED",
            "status": 401,
        }
        assert api("GET", path, headers=api.key("viewer")).status == 200


def test_no_secret_is_in_the_log(api: Client) -> None:
    made = api("POST", "/api/keys", {"role": "viewer", "name": "ci"}).body
    target = {"type": "http", "url": "https://example.com/?k=hush", "headers": {"Authorization": "hush"}}
    assert api("PUT", "/api/targets/t", target).status == 200
    text = json.dumps(api("GET", AUDIT).body)
    assert made["key"] not in text
    assert "hush" not in text
    assert made["id"] in text
