"""Who may do what, the errors of requests that cannot be read, and the audit of what was written."""

from __future__ import annotations

import json
from typing import Any

import pytest
import time_machine

from chalicelib import composition
from chalicelib.core.audit import digest
from tests.dialects.conftest import Client

JOBS = "/api/scheduler/jobs"
JOB = {"name": "n", "schedule": {"type": "every", "interval": 3600}}


@pytest.fixture
def closed(api: Client, monkeypatch: pytest.MonkeyPatch) -> Client:
    """The API as it is deployed: nobody without credentials."""
    monkeypatch.setenv("BELFRY_ANONYMOUS_ROLE", "none")
    return api


def test_without_credentials_it_is_401(closed: Client) -> None:
    reply = closed("GET", JOBS)
    assert (reply.status, reply.body) == (
        401,
        {"error": "unauthorized", "message": "Authentication required", "status": 401},
    )


@pytest.mark.parametrize(
    "headers",
    [{"X-API-Key": "bf_wrong"}, {"Authorization": "Bearer bf_wrong"}, {"Authorization": "Basic YTpi"},
     {"Cookie": "mc-session=wrong"}],
)  # fmt: skip
def test_bad_credentials_are_401_even_where_none_would_do(api: Client, headers: dict[str, str]) -> None:
    assert api("GET", JOBS).status == 200
    assert api("GET", JOBS, headers=headers).status == 401


def test_roles_include_those_below_them(closed: Client) -> None:
    viewer, operator, admin = (closed.key(role) for role in ("viewer", "operator", "admin"))
    assert closed("GET", JOBS, headers=viewer).status == 200
    refused = closed("POST", JOBS, JOB, viewer)
    assert (refused.status, refused.body["error"]) == (403, "forbidden")
    assert closed("POST", JOBS, JOB, operator).status == 201
    assert closed("GET", "/api/keys", headers=operator).status == 403
    assert closed("GET", "/api/keys", headers=admin).body["count"] == 3


def test_a_bearer_token_is_a_key(closed: Client) -> None:
    key = closed.key("viewer")["X-API-Key"]
    assert closed("GET", JOBS, headers={"Authorization": f"Bearer {key}"}).status == 200


def test_a_key_is_shown_once_and_stored_as_a_hash(api: Client) -> None:
    made = api("POST", "/api/keys", {"role": "operator", "name": "ci"})
    assert made.status == 201
    listed = api("GET", "/api/keys").body["keys"]
    assert [key["id"] for key in listed] == [made.body["id"]]
    assert made.body["key"] not in json.dumps(listed)
    stored = list(composition.engine().records.list("key"))
    assert made.body["key"] not in json.dumps(stored)
    assert api("DELETE", f"/api/keys/{made.body['id']}").status == 204
    assert api("GET", JOBS, headers={"X-API-Key": made.body["key"]}).status == 401


@pytest.mark.parametrize("body", [{}, {"role": "king"}, {"role": "admin", "colour": "red"}])
def test_a_wrong_key_request_is_422(api: Client, body: dict[str, Any]) -> None:
    assert api("POST", "/api/keys", body).status == 422


def test_a_session_is_a_key_in_a_cookie(closed: Client) -> None:
    key = closed.key("viewer")["X-API-Key"]
    reply = closed("POST", "/api/auth/session", {"key": key})
    assert reply.status == 201
    cookie = reply.headers["Set-Cookie"]
    for part in ("HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=43200"):
        assert part in cookie
    assert "Secure" not in cookie
    assert closed("GET", JOBS, headers={"Cookie": cookie.partition(";")[0]}).status == 200


def test_opening_a_session_is_in_the_audit_log_under_its_key(closed: Client) -> None:
    made = closed("POST", "/api/keys", {"role": "viewer"}, closed.key("admin")).body
    closed("POST", "/api/auth/session", {"key": made["key"]})
    last = closed.audited()[-1]
    assert (last["action"], last["actor"], last["role"]) == ("session.open", made["id"], "viewer")
    assert made["key"] not in str(last)


def test_a_session_cookie_is_secure_off_loopback(closed: Client) -> None:
    key = closed.key("viewer")["X-API-Key"]
    reply = closed("POST", "/api/auth/session", {"key": key}, {"Host": "api.example.com"})
    assert reply.headers["Set-Cookie"].endswith("; Secure")
    spoofed = closed("POST", "/api/auth/session", {"key": key}, {"Host": "localhost.example.com"})
    assert spoofed.headers["Set-Cookie"].endswith("; Secure")


def test_a_session_ends_with_its_time_and_with_its_key(closed: Client) -> None:
    admin = closed.key("admin")
    made = closed("POST", "/api/keys", {"role": "viewer"}, admin).body
    cookie = {
        "Cookie": closed("POST", "/api/auth/session", {"key": made["key"]})
        .headers["Set-Cookie"]
        .partition(";")[0]
    }
    with time_machine.travel("2999-01-01", tick=False):
        assert closed("GET", JOBS, headers=cookie).status == 401
    assert closed("GET", JOBS, headers=cookie).status == 200
    closed("DELETE", f"/api/keys/{made['id']}", headers=admin)
    assert closed("GET", JOBS, headers=cookie).status == 401


def test_a_session_needs_a_known_key(closed: Client) -> None:
    assert closed("POST", "/api/auth/session", {"key": "bf_wrong"}).status == 401
    assert closed("POST", "/api/auth/session", {}).status == 422


@pytest.mark.parametrize("body", [b"{", b"[]", b'"x"', b"null", b"\xff", b'{"name": NaN}', b"[" * 100_000])
def test_a_body_that_is_no_json_object_is_400(api: Client, body: bytes) -> None:
    reply = api("POST", JOBS, body)
    assert (reply.status, reply.body["error"], reply.body["status"]) == (400, "bad_request", 400)


def test_a_body_of_300_kb_is_413(api: Client) -> None:
    reply = api("POST", JOBS, {**JOB, "goal": "x" * 300_000})
    assert (reply.status, reply.body["error"]) == (413, "payload_too_large")


def test_a_wrong_content_type_is_415(api: Client) -> None:
    reply = api("POST", JOBS, JOB, {"Content-Type": "text/plain"})
    assert (reply.status, reply.body["error"]) == (415, "unsupported_media_type")


def test_json_sent_as_a_form_is_taken(api: Client) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert api("POST", JOBS, JOB, form).status == 201


def test_an_unknown_method_is_405_and_an_unknown_path_404_in_the_native_envelope(api: Client) -> None:
    for reply, status, code in (
        (api("PATCH", JOBS, {}), 405, "method_not_allowed"),
        (api("GET", "/api/scheduler/no/thing"), 404, "not_found"),
    ):
        assert (reply.status, reply.body["error"], reply.body["status"]) == (status, code, status)


def test_what_breaks_is_500_and_says_no_more_than_that(api: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chalicelib.scheduler.jobs.list_jobs", lambda *given: 1 / 0)
    reply = api("GET", JOBS)
    assert (reply.status, reply.body["error"]) == (500, "internal_error")
    assert "ZeroDivisionError" not in reply.body["message"]


def test_each_write_leaves_a_chained_audit_entry_and_no_refused_one_does(api: Client) -> None:
    operator = api.key("operator")
    job = api("POST", JOBS, JOB, operator).body["id"]
    api("POST", f"{JOBS}/{job}/pause", headers=operator)
    api("POST", JOBS, {}, operator)
    api("GET", JOBS, headers=operator)
    api("DELETE", f"{JOBS}/{job}", headers=operator)
    records = composition.engine().records
    head = records.get("audit", "head")
    assert head is not None
    entries = [entry for _, entry in records.list(f"audit#{head['at'][:7]}")]
    assert [entry["action"] for entry in entries] == ["job.create", "job.pause", "job.delete"]
    assert {entry["target"] for entry in entries} == {job}
    assert [entry["seq"] for entry in entries] == [1, 2, 3]
    assert [entry["prev_hash"] for entry in entries] == ["", *(entry["hash"] for entry in entries[:-1])]
    assert all(entry["hash"] == digest(entry) for entry in entries)
    assert head["hash"] == entries[-1]["hash"]
