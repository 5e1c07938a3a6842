"""Webhooks over HTTP: who may, what is taken, what is shown; and an event's way to a receiver."""

from __future__ import annotations

import base64
import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.dialects.conftest import Client
from tests.receiver import Receiver, receiving

WEBHOOKS = "/api/webhooks"
JOBS = "/api/scheduler/jobs"
NEVER = {"type": "cron", "expression": "0 0 1 1 *"}
ECHO = {"type": "handler", "name": "echo"}
OWN_SECRET = "whsec_" + base64.b64encode(b"k" * 24).decode()
getaddrinfo = socket.getaddrinfo


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as server:
        yield server


def hook(api: Client, receiver: Receiver, **fields: Any) -> Any:
    made = api("POST", WEBHOOKS, {"name": "ops", "url": receiver.url, **fields})
    assert made.status == 201, made.body
    return made.body


def job(api: Client) -> str:
    made = api("POST", JOBS, {"name": "nightly", "schedule": NEVER, "action": ECHO})
    return str(made.body["id"])


def drain(api: Client) -> None:
    while api.work():
        pass


# -- the way of an event


def test_a_receiver_verifies_both_signatures_of_a_runs_end(api: Client, receiver: Receiver) -> None:
    made = hook(api, receiver, events=["run.completed"])
    name = job(api)
    run = api("POST", f"{JOBS}/{name}/trigger").body["run_id"]
    drain(api)
    (request,) = receiver.received
    request.verify(made["secret"])
    assert request.headers["x-mc-event"] == "run.completed"
    assert request.headers["content-type"] == "application/json"
    assert set(request.json) == {"event", "timestamp", "data"}
    data = request.json["data"]
    assert (data["job_id"], data["job_name"], data["run_id"]) == (name, "nightly", run)
    assert request.json["timestamp"] == data["completed_at"]
    (delivery,) = api("GET", f"{WEBHOOKS}/deliveries").body["deliveries"]
    assert delivery["id"] == request.headers["webhook-id"]
    assert (delivery["status"], delivery["event"], delivery["webhook_id"]) == (
        "delivered",
        "run.completed",
        made["id"],
    )
    assert [(each["status_code"], each["error"]) for each in delivery["attempts"]] == [(200, None)]
    assert len(delivery["response"]) == 1024


def test_every_change_of_a_job_is_told_once_and_only_if_there_is_one(api: Client, receiver: Receiver) -> None:
    hook(api, receiver)
    name = job(api)
    for _ in range(2):
        api("PUT", f"{JOBS}/{name}", {"name": "renamed"})
        api("POST", f"{JOBS}/{name}/pause", {"reason": "holidays"})
    for _ in range(2):
        api("POST", f"{JOBS}/{name}/resume")
    api("PUT", f"{JOBS}/{name}", {"status": "paused"})
    api("DELETE", f"{JOBS}/{name}")
    drain(api)
    assert sorted(receiver.events) == sorted(
        ["job.created", "job.updated", "job.paused", "job.resumed", "job.paused", "job.deleted"]
    )


def test_a_webhook_is_sent_only_the_events_that_it_wants(api: Client, receiver: Receiver) -> None:
    hook(api, receiver, events=["run.failed", "job.deleted"])
    hook(api, receiver, events=["job.created"], enabled=False)
    name = job(api)
    api("POST", f"{JOBS}/{name}/trigger")
    drain(api)
    api("DELETE", f"{JOBS}/{name}")
    drain(api)
    assert receiver.events == ["job.deleted"]


def test_a_dry_run_is_told_to_nobody(api: Client, receiver: Receiver) -> None:
    name = job(api)
    hook(api, receiver)
    api("POST", f"{JOBS}/{name}/trigger", {"dry_run": True})
    drain(api)
    assert receiver.received == []


# -- the routes


def test_a_webhook_is_created_listed_changed_and_deleted(api: Client, receiver: Receiver) -> None:
    made = hook(api, receiver, events=["run.failed", "run.failed"])
    secret = made.pop("secret")
    assert len(base64.b64decode(secret.removeprefix("whsec_"))) == 32
    assert "Save the secret" in made.pop("message")
    assert made == {
        "id": made["id"],
        "name": "ops",
        "url": receiver.url,
        "events": ["run.failed"],
        "enabled": True,
        "disabled_reason": None,
        "consecutive_failures": 0,
        "last_status": None,
        "created_at": made["created_at"],
        "updated_at": made["updated_at"],
    }
    assert api("GET", WEBHOOKS).body == {"webhooks": [made], "count": 1}
    changed = api("PUT", WEBHOOKS, {"id": made["id"], "name": "all", "events": ["*"], "enabled": False})
    assert changed.status == 200
    assert (changed.body["success"], changed.body["secret"]) == (True, None)
    shown = changed.body["webhook"]
    assert (shown["name"], shown["events"], shown["enabled"]) == ("all", ["*"], False)
    assert shown["disabled_reason"] == "a person disabled it"
    assert api("DELETE", WEBHOOKS, {"id": made["id"]}).body == {"success": True, "deleted": 1}
    assert api("GET", WEBHOOKS).body == {"webhooks": [], "count": 0}


def test_a_secret_is_never_shown_again_and_not_in_the_tables(api: Client, receiver: Receiver) -> None:
    made = hook(api, receiver)
    api("POST", f"{WEBHOOKS}/test", {"id": made["id"]})
    drain(api)
    shown = [api("GET", path).body for path in (WEBHOOKS, f"{WEBHOOKS}/deliveries", "/api/activities")]
    records = api.app.composition.engine().records
    stored = [row for kind in ("webhook", f"webhook_delivery#{made['id']}") for row in records.list(kind)]
    assert stored
    assert made["secret"] not in str([shown, stored])


def test_a_secret_can_be_given_and_changed(api: Client, receiver: Receiver) -> None:
    made = hook(api, receiver, secret=OWN_SECRET)
    assert made["secret"] == OWN_SECRET
    api("POST", f"{WEBHOOKS}/test", {"id": made["id"]})
    receiver.received[-1].verify(OWN_SECRET)
    again = api("PUT", WEBHOOKS, {"id": made["id"], "regenerate_secret": True}).body
    assert again["secret"] != OWN_SECRET
    api("POST", f"{WEBHOOKS}/test", {"id": made["id"]})
    receiver.received[-1].verify(again["secret"])


def test_a_test_is_sent_at_once_and_its_outcome_answered(api: Client, receiver: Receiver) -> None:
    made = hook(api, receiver, events=["run.failed"], enabled=False)
    receiver.answers = [200, 503]
    good = api("POST", f"{WEBHOOKS}/test", {"id": made["id"]}).body
    assert (good["success"], good["status_code"], good["error"], good["status"]) == (
        True,
        200,
        None,
        "delivered",
    )
    assert receiver.events == ["test.ping"]
    receiver.received[0].verify(made["secret"])
    bad = api("POST", f"{WEBHOOKS}/test", {"id": made["id"]}).body
    assert (bad["success"], bad["status_code"], bad["error"], bad["status"]) == (
        False,
        503,
        "answered 503",
        "dead",
    )
    assert isinstance(bad["duration_ms"], int)
    listed = api("GET", f"{WEBHOOKS}/deliveries").body["deliveries"]
    assert [each["id"] for each in listed] == [bad["delivery_id"], good["delivery_id"]]
    assert api("GET", WEBHOOKS).body["webhooks"][0]["consecutive_failures"] == 0


def test_a_failed_delivery_can_be_retried_by_hand(api: Client, receiver: Receiver) -> None:
    hook(api, receiver, events=["job.created"])
    receiver.answers = [500, 500]
    job(api)
    drain(api)
    (delivery,) = api("GET", f"{WEBHOOKS}/deliveries").body["deliveries"]
    assert (delivery["status"], bool(delivery["next_retry_at"])) == ("retrying", True)
    path, body = f"{WEBHOOKS}/retry", {"delivery_id": delivery["id"]}
    outcomes = [api("POST", path, body).body for _ in range(2)]
    assert [(one["success"], one["status"]) for one in outcomes] == [(False, "retrying"), (True, "delivered")]
    assert {request.headers["webhook-id"] for request in receiver.received} == {delivery["id"]}
    assert len({request.body for request in receiver.received}) == 1
    refused = api("POST", path, body)
    assert (refused.status, refused.body) == (409, {"error": f"delivery {delivery['id']} has been delivered"})
    (after,) = api("GET", f"{WEBHOOKS}/deliveries").body["deliveries"]
    assert (after["next_retry_at"], [one["manual"] for one in after["attempts"]]) == (
        None,
        [False, True, True],
    )


def test_deliveries_are_paged_newest_first_by_webhook_or_over_all(api: Client, receiver: Receiver) -> None:
    ids = [hook(api, receiver, events=["job.created"])["id"] for _ in range(2)]
    for _ in range(3):
        job(api)
    drain(api)
    seen, cursor = [], ""
    while cursor is not None:
        page = api("GET", f"{WEBHOOKS}/deliveries?limit=2{cursor}").body
        assert page["count"] == len(page["deliveries"]) == 2
        seen += page["deliveries"]
        cursor = page["next_cursor"] and f"&cursor={page['next_cursor']}"
    assert len({one["id"] for one in seen}) == 6
    assert [one["id"].partition("-")[2] for one in seen] == sorted(
        (one["id"].partition("-")[2] for one in seen), reverse=True
    )
    own = api("GET", f"{WEBHOOKS}/deliveries?webhook_id={ids[0]}").body
    assert {one["webhook_id"] for one in own["deliveries"]} == {ids[0]}
    assert (own["count"], own["next_cursor"]) == (3, None)


GOOD = {"name": "n", "url": "https://example.com/x"}


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"url": "https://example.com/x"}, "name: "),
        ({"name": "n"}, "url: "),
        (GOOD | {"url": "ftp://example.com"}, "url: should begin with http"),
        (GOOD | {"url": "https://u:p@example.com"}, "url: should have no user"),
        (GOOD | {"url": "https://example.com/{{x}}"}, "url: should have no placeholders"),
        (GOOD | {"url": "not a url"}, "url: "),
        (GOOD | {"events": []}, "events: "),
        (
            GOOD | {"events": ["run.exploded"]},
            "events: there is no event 'run.exploded'; give some of job.created",
        ),
        (GOOD | {"events": ["webhook.delivery_failed"]}, "events: "),
        (GOOD | {"enabled": "yes"}, "enabled: "),
        (GOOD | {"secret": "hunter2"}, "secret: give whsec_"),
        (GOOD | {"secret": "whsec_" + base64.b64encode(b"short").decode()}, "secret: give whsec_"),
        (GOOD | {"secret": "whsec_" + base64.b64encode(b"k" * 65).decode()}, "secret: give whsec_"),
        (GOOD | {"secret": "whsec_ü"}, "secret: give whsec_"),
        (GOOD | {"colour": "red"}, "colour: is no field"),
    ],
)
def test_a_wrong_body_is_400_and_names_its_field(api: Client, body: dict[str, Any], named: str) -> None:
    answer = api("POST", WEBHOOKS, body)
    assert answer.status == 400
    assert set(answer.body) == {"error"}
    assert answer.body["error"].startswith(named), answer.body
    assert api("GET", WEBHOOKS).body["count"] == 0


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("PUT", WEBHOOKS, {"name": "n"}, 400),
        ("PUT", WEBHOOKS, {"id": "wh_none", "name": "n"}, 404),
        ("PUT", WEBHOOKS, {"id": "wh_none", "secret": OWN_SECRET, "regenerate_secret": True}, 400),
        ("PUT", WEBHOOKS, {"id": "wh_none", "enabled": False, "reset_circuit": True}, 400),
        ("DELETE", WEBHOOKS, {}, 400),
        ("DELETE", WEBHOOKS, {"id": "../x"}, 404),
        ("POST", f"{WEBHOOKS}/test", {"id": "wh_none"}, 404),
        ("POST", f"{WEBHOOKS}/retry", {"delivery_id": "wh_none-1-2"}, 404),
        ("POST", f"{WEBHOOKS}/retry", {"delivery_id": "a/b"}, 404),
        ("POST", f"{WEBHOOKS}/retry", {}, 400),
        ("GET", f"{WEBHOOKS}/deliveries?cursor=x", None, 400),
        ("GET", f"{WEBHOOKS}/deliveries?limit=0", None, 400),
        ("POST", WEBHOOKS, b"[1]", 400),
    ],
)
def test_what_cannot_be_done_says_so_in_mission_controls_words(
    api: Client, method: str, path: str, body: Any, status: int
) -> None:
    answer = api(method, path, body)
    assert answer.status == status
    assert set(answer.body) == {"error"}


ROUTES = [
    ("GET", WEBHOOKS),
    ("POST", WEBHOOKS),
    ("PUT", WEBHOOKS),
    ("DELETE", WEBHOOKS),
    ("GET", f"{WEBHOOKS}/deliveries"),
    ("POST", f"{WEBHOOKS}/retry"),
    ("POST", f"{WEBHOOKS}/test"),
    ("GET", "/api/activities"),
    ("GET", "/api/notifications"),
]


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_it_is_all_an_admins(api: Client, monkeypatch: pytest.MonkeyPatch, method: str, path: str) -> None:
    monkeypatch.setenv("BELFRY_ANONYMOUS_ROLE", "none")
    assert (api(method, path).status, api(method, path).body) == (401, {"error": "Authentication required"})
    answer = api(method, path, headers=api.key("operator"))
    assert (answer.status, answer.body) == (403, {"error": "Requires admin role or higher"})
    assert api(method, path, headers=api.key("admin")).status < 401


def test_each_write_is_in_the_audit_log_with_its_webhook(api: Client, receiver: Receiver) -> None:
    made = hook(api, receiver)
    api("PUT", WEBHOOKS, {"id": made["id"], "name": "x"})
    api("DELETE", WEBHOOKS, {"id": made["id"]})
    engine = api.app.composition.engine()
    head = engine.records.get("audit", "head")
    entries = [entry for _, entry in engine.records.list(f"audit#{head['at'][:7]}")]
    assert [(one["action"], one["target"]) for one in entries] == [
        (f"webhook.{verb}", made["id"]) for verb in ("create", "update", "delete")
    ]


def test_there_is_a_limit_to_how_many_webhooks_there_are(
    api: Client, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chalicelib.scheduler.webhooks.MOST", 1)
    hook(api, receiver)
    answer = api("POST", WEBHOOKS, {"name": "two", "url": receiver.url})
    assert (answer.status, answer.body) == (409, {"error": "there are 1 webhooks already; delete one first"})


# -- addresses


@pytest.fixture
def deployed(api: Client, monkeypatch: pytest.MonkeyPatch) -> Client:
    """No private network is allowed."""
    monkeypatch.setenv("BELFRY_ALLOW_NETWORKS", "")
    api.app.composition.engine.cache_clear()
    return api


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "2130706433",
        "0x7f.1",
        "[::1]",
        "[fe80::1]",
        "[fd00::1]",
        "[::ffff:127.0.0.1]",
        "[64:ff9b::a00:1]",
        "224.0.0.1",
    ],
)
def test_an_internal_address_is_refused_where_it_is_written(deployed: Client, host: str) -> None:
    answer = deployed("POST", WEBHOOKS, {"name": "n", "url": f"http://{host}:8000/x"})
    assert answer.status == 400
    assert answer.body["error"].startswith("url: is at a private, loopback or otherwise internal address")


def resolving(*answers: str) -> Any:
    """A resolver that gives one after the other, and the last for ever."""
    left = list(answers)

    def resolve(host: str, port: int, **more: Any) -> Any:
        if host != "rebind.example":
            return getaddrinfo(host, port, **more)
        address = left.pop(0) if len(left) > 1 else left[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    return resolve


def test_a_name_that_resolves_to_an_internal_address_is_refused(
    deployed: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", resolving("10.0.0.1"))
    answer = deployed("POST", WEBHOOKS, {"name": "n", "url": "http://rebind.example/x"})
    assert (answer.status, answer.body["error"].startswith("url: is at a private")) == (400, True)


def test_a_name_that_does_not_resolve_yet_is_taken(deployed: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    made = deployed("POST", WEBHOOKS, {"name": "n", "url": "http://rebind.example/x"}).body
    outcome = deployed("POST", f"{WEBHOOKS}/test", {"id": made["id"]}).body
    assert (outcome["success"], outcome["status_code"]) == (False, None)
    assert "its name does not resolve" in outcome["error"]


def test_a_name_that_turns_internal_after_it_was_written_is_not_connected_to(
    deployed: Client, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", resolving("93.184.216.34", "127.0.0.1"))
    url = f"http://rebind.example:{receiver.server_port}/x"
    made = deployed("POST", WEBHOOKS, {"name": "n", "url": url, "events": ["job.created"]})
    assert made.status == 201
    job(deployed)
    drain(deployed)
    (delivery,) = deployed("GET", f"{WEBHOOKS}/deliveries").body["deliveries"]
    assert receiver.received == []
    assert delivery["status"] == "retrying"
    assert "private, loopback or otherwise internal" in delivery["attempts"][0]["error"]


def test_a_url_cannot_be_changed_to_an_internal_one(
    deployed: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", resolving("93.184.216.34"))
    made = deployed("POST", WEBHOOKS, {"name": "n", "url": "http://rebind.example/x"}).body
    answer = deployed("PUT", WEBHOOKS, {"id": made["id"], "url": "http://127.0.0.1/x"})
    assert answer.status == 400
    assert deployed("GET", WEBHOOKS).body["webhooks"][0]["url"] == "http://rebind.example/x"


def test_a_redirect_is_not_followed(api: Client, receiver: Receiver) -> None:
    made = hook(api, receiver)
    receiver.otherwise = 302
    outcome = api("POST", f"{WEBHOOKS}/test", {"id": made["id"]}).body
    assert (outcome["success"], outcome["error"]) == (False, "answered 302; redirects are not followed")
    assert len(receiver.received) == 1


def test_the_loopback_is_allowed_where_the_deployment_says_so(api: Client, receiver: Receiver) -> None:
    assert os.environ["BELFRY_ALLOW_NETWORKS"] == "127.0.0.0/8"
    assert hook(api, receiver)["url"] == receiver.url
