"""Channels over HTTP, and the document's price alert on its way through them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from standardwebhooks import Webhook

from chalicelib import composition
from chalicelib.scheduler.channels import deliver_text
from tests.dialects.conftest import Client
from tests.receivers import Receiver, receiving

JOBS = "/api/scheduler/jobs"
CHANNELS = "/api/channels"
TOKEN = "4ddbc191d40ee098cbaae6f3523ada2d"
SLACK = f"slack://xoxb-1234-1234-{TOKEN}/{{target}}"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ALERT = {
    "name": "Price alert",
    "goal": "Check BTC price and alert if >5% change",
    "schedule": {"type": "every", "interval": 3600, "timezone": "UTC"},
    "condition": {"type": "expression", "expression": "price_change_pct > 0.05"},
    "retry": {"max_attempts": 3, "strategy": "exponential", "base_delay": 60},
    "action": {"type": "handler", "name": "echo"},
}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def set_up(api: Client, name: str, url: str, **more: Any) -> None:
    reply = api("POST", CHANNELS, {"name": name, "url": url, **more})
    assert reply.status == 200, reply.body


def delivered_to(api: Client, channel: str, output: Any, **delivery: Any) -> Any:
    """The run of a price alert that gives `output`, after its delivery."""
    job = api("POST", JOBS, {**ALERT, "delivery": {"channel": channel, **delivery}}).body["id"]
    run_id = api("POST", f"{JOBS}/{job}/trigger", {"input": output}).body["run_id"]
    while api.work():
        pass
    run = api("GET", f"{JOBS}/{job}/runs/{run_id}").body
    assert api("GET", f"{JOBS}/{job}/runs").body["runs"] == [run]
    assert api("GET", "/api/scheduler/runs").body["runs"][0] == run
    assert run["status"] == "completed"
    return run


def test_a_channel_is_set_up_listed_replaced_and_removed(api: Client) -> None:
    set_up(api, "slack", SLACK)
    set_up(api, "email:ops@example.com", "mailtos://user:hunter22@example.com?to=ops@example.com")
    set_up(api, "slack", SLACK)
    body = api("GET", CHANNELS).body
    assert [(one["name"], one["kind"]) for one in body["channels"]] == [
        ("email:ops@example.com", "email"),
        ("slack", "slack"),
    ]
    assert body["count"] == 2
    assert body["channels"][0]["updated_by"] == "anonymous"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", body["channels"][0]["updated_at"])
    assert api("DELETE", CHANNELS, {"name": "slack"}).status == 204
    assert api("DELETE", CHANNELS, {"name": "slack"}).status == 404
    assert api("GET", CHANNELS).body["count"] == 1


def test_urls_and_secrets_are_written_and_never_shown(
    api: Client, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    hidden = "0123456789abcdefsecret"
    set_up(api, "chat", f"mmost://127.0.0.1:1/{hidden}?to={{target}}")
    set_up(api, "webhook:w", f"http://127.0.0.1:1/{hidden}?token={hidden}", secret=SECRET)
    shown = [delivered_to(api, name, {"price_change_pct": 1}) for name in ("chat:#prices", "webhook:w")]
    shown += [api("POST", f"{CHANNELS}/test", {"name": name}).body for name in ("chat:x", "webhook:w")]
    shown += [api("GET", CHANNELS).body, api("POST", CHANNELS, {"name": "c", "url": f"json://{hidden}"}).body]
    shown += [api("POST", CHANNELS, {"name": "c", "url": f"nonsense://{hidden}"}).body]
    records = composition.engine().records
    shown += [record for kind in ("channel", "audit#2026-11") for _, record in records.list(kind)]
    text = json.dumps(shown) + caplog.text + "".join(capfd.readouterr())
    assert "cannot be reached" in text
    assert "refused the connection" in text
    assert hidden not in text
    assert SECRET not in text


@pytest.mark.parametrize(
    ("body", "field", "said"),
    [
        ({"name": "slack"}, "url", "required"),
        ({"name": "Slack!", "url": SLACK}, "name", "give a kind"),
        ({"name": "slack: x", "url": SLACK}, "name", "give a kind"),
        ({"name": "sns:arn:aws:sns:us-east-1:123456789012:t", "url": SLACK}, "name", "need no set-up"),
        ({"name": "slack", "url": "nonsense"}, "url", "no URL of a service"),
        ({"name": "slack", "url": "slack://"}, "url", "no URL of a service"),
        ({"name": "slack", "url": f"{SLACK}?template=/etc/passwd"}, "url", "template"),
        ({"name": "chat", "url": "json://example.com"}, "url", "set up webhook:NAME instead"),
        ({"name": "chat", "url": "xmls://example.com"}, "url", "set up webhook:NAME instead"),
        ({"name": "chat", "url": "form://example.com"}, "url", "set up webhook:NAME instead"),
        ({"name": "chat", "url": "syslog://"}, "url", "not for servers"),
        ({"name": "chat", "url": "dbus://"}, "url", "no URL of a service"),
        ({"name": "slack", "url": SLACK, "secret": SECRET}, "secret", "webhooks only"),
        ({"name": "webhook:w", "url": "ftp://example.com"}, "url", "http"),
        ({"name": "webhook:w", "url": "https://example.com", "secret": "\u00e4"}, "secret", "base64"),
        ({"name": "webhook:w", "url": "https://example.com", "secret": "whsec_AAAA"}, "secret", "24 to 64"),
        ({"name": "slack", "url": SLACK, "colour": "red"}, "colour", "no field"),
    ],
)
def test_what_cannot_be_a_channel_is_422_and_says_why(
    api: Client, body: dict[str, Any], field: str, said: str
) -> None:
    reply = api("POST", CHANNELS, body)
    assert (reply.status, reply.body["details"][0]["field"]) == (422, field)
    assert said in reply.body["details"][0]["issue"]
    assert api("GET", CHANNELS).body["count"] == 0


def test_only_an_admin_sees_to_channels(api: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BELFRY_ANONYMOUS_ROLE", "none")
    calls = [
        ("GET", CHANNELS, None),
        ("POST", CHANNELS, {"name": "slack", "url": SLACK}),
        ("DELETE", CHANNELS, {"name": "slack"}),
        ("POST", f"{CHANNELS}/test", {"name": "slack"}),
    ]
    operator = api.key("operator")
    for call in calls:
        assert api(*call).status == 401
        assert api(*call, operator).status == 403
    assert api("GET", CHANNELS, None, api.key("admin")).status == 200


def test_the_price_alert_reaches_a_webhook_signed(api: Client, receiver: Receiver) -> None:
    set_up(api, "webhook:prices", receiver.url, secret=SECRET)
    run = delivered_to(api, "webhook:prices", {"price_change_pct": 0.07})
    delivery = run["delivery"]
    assert run["condition"]["holds"] is True
    assert (delivery["status"], delivery["attempts"], delivery["error"]) == ("delivered", 1, None)
    assert delivery["reason"] == "price_change_pct > 0.05 is true for price_change_pct = 0.07"
    assert delivery["delivered_at"] >= run["completed_at"]
    [told] = receiver.received
    assert told.json == {
        "job_id": run["job_id"],
        "job_name": "Price alert",
        "run_id": run["id"],
        "status": "completed",
        "scheduled_for": run["scheduled_for"],
        "completed_at": run["completed_at"],
        "output": {"price_change_pct": 0.07},
        "truncated": False,
        "error": None,
    }
    assert told.headers["Idempotency-Key"] == f"{run['job_id']}/{run['id']}"
    Webhook(SECRET).verify(told.body, told.headers)
    outcome = api("GET", CHANNELS).body["channels"][0]["last_outcome"]
    assert (outcome["delivered"], outcome["error"]) == (True, None)


def test_the_price_alert_reaches_a_chat_by_apprise(api: Client, receiver: Receiver) -> None:
    set_up(api, "mattermost", f"mmost://{receiver.host}/0123456789abcdef?to={{target}}")
    run = delivered_to(api, "mattermost:#alerts", {"price_change_pct": 0.07})
    assert run["delivery"]["status"] == "delivered"
    [told] = receiver.received
    assert told.path == "/hooks/0123456789abcdef"
    assert told.json["channel"] == "alerts"
    assert "Price alert: completed" in told.json["text"]
    assert '"price_change_pct": 0.07' in told.json["text"]


def test_a_small_change_is_not_told_and_the_run_says_why(api: Client, receiver: Receiver) -> None:
    set_up(api, "webhook:prices", receiver.url)
    run = delivered_to(api, "webhook:prices", {"price_change_pct": 0.01})
    assert (run["condition"]["holds"], run["delivery"]["status"]) == (False, "suppressed")
    assert run["delivery"]["reason"] == "price_change_pct > 0.05 is false for price_change_pct = 0.01"
    assert receiver.received == []


def test_an_unknown_channel_is_accepted_and_the_run_says_so(api: Client) -> None:
    run = delivered_to(api, "slack:#alerts", {"price_change_pct": 0.07}, format="markdown")
    assert run["delivery"] == {
        "channel": "slack:#alerts",
        "format": "markdown",
        "status": "undelivered",
        "reason": "no channel slack:#alerts is set up",
        "attempts": 1,
        "delivered_at": None,
        "error": None,
        "next_attempt_at": None,
    }


def test_a_channel_of_its_own_comes_before_its_kind(api: Client, receiver: Receiver) -> None:
    set_up(api, "webhook", f"{receiver.url}/{{target}}")
    set_up(api, "webhook:own", f"http://{receiver.host}/own")
    for name in ("webhook:own", "webhook:a/b?c#d", "webhook:.."):
        delivered_to(api, name, {"price_change_pct": 1})
    assert [told.path for told in receiver.received] == ["/own", "/hook/a%2Fb%3Fc%23d"]


def test_topics_and_queues_need_no_set_up(api: Client) -> None:
    sns, sqs = boto3.client("sns"), boto3.client("sqs")
    told = sqs.create_queue(QueueName="told")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=told, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    topic = sns.create_topic(Name="prices")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes={"RawMessageDelivery": "true"})
    for name in (f"sns:{topic}", f"sqs:{told}"):
        run = delivered_to(api, name, {"price_change_pct": 0.07}, format="json")
        assert run["delivery"]["status"] == "delivered"
        [message] = sqs.receive_message(QueueUrl=told)["Messages"]
        assert json.loads(message["Body"])["output"] == {"price_change_pct": 0.07}
        sqs.delete_message(QueueUrl=told, ReceiptHandle=message["ReceiptHandle"])
    for name in ("sns:prices", "sqs:http://169.254.169.254/", f"sns:{topic}x"):
        run = delivered_to(api, name, {"price_change_pct": 0.07})
        assert (run["delivery"]["status"], run["delivery"]["attempts"]) == ("failed", 1), name


def test_a_test_message_says_how_it_went(api: Client, receiver: Receiver) -> None:
    set_up(api, "webhook:w", receiver.url)
    receiver.statuses = [200, 410]
    good, bad = (api("POST", f"{CHANNELS}/test", {"name": "webhook:w", "text": "hello"}) for _ in range(2))
    assert (good.status, good.body) == (200, {"name": "webhook:w", "delivered": True, "error": None})
    assert bad.body == {"name": "webhook:w", "delivered": False, "error": "webhook:w: it answered 410"}
    assert receiver.received[0].json == {"subject": "Belfry: a test", "text": "hello"}
    assert api("GET", CHANNELS).body["channels"][0]["last_outcome"]["error"] == "webhook:w: it answered 410"
    assert api("POST", f"{CHANNELS}/test", {"name": "slack:#alerts"}).status == 404


def test_reminders_go_to_a_channel_as_they_are_worded(api: Client, receiver: Receiver) -> None:
    set_up(api, "mattermost", f"mmost://{receiver.host}/0123456789abcdef?to={{target}}")
    deliver_text(composition.engine(), "mattermost:mentors", "Expiry", "It ends in 7 days.")
    assert receiver.received[0].json["text"].split("\n")[-1] == "It ends in 7 days."


@pytest.mark.parametrize("url", ["http://{host}/hook", "mmost://{host}/0123456789abcdef"])
def test_an_internal_address_is_refused_unless_its_network_is_allowed(
    api: Client, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    name = "webhook:w" if url.startswith("http") else "chat"
    monkeypatch.setenv("BELFRY_ALLOW_NETWORKS", "")
    set_up(api, name, url.format(host=f"localhost:{receiver.port}"))
    run = delivered_to(api, name, {"price_change_pct": 1})
    assert (run["delivery"]["status"], run["delivery"]["attempts"]) == ("failed", 1)
    assert "private, loopback or otherwise internal address" in run["delivery"]["error"]
    assert receiver.received == []


@pytest.mark.parametrize(
    ("delivery", "field"),
    [
        ({"channel": "slack:#alerts", "format": "morse"}, "delivery.format"),
        ({"channel": "slack:#alerts", "on": "tuesdays"}, "delivery.on"),
        ({"channel": "slack:#alerts", "quiet_hours": {"start": "22:00"}}, "delivery.quiet_hours.end"),
        (
            {"channel": "slack:#alerts", "quiet_hours": {"start": "22:00", "end": "24:00"}},
            "delivery.quiet_hours.end",
        ),
        (
            {"channel": "slack:#alerts", "quiet_hours": {"start": "22:00", "end": "22:00"}},
            "delivery.quiet_hours.end",
        ),
        (
            {
                "channel": "slack:#alerts",
                "quiet_hours": {"start": "22:00", "end": "07:00", "timezone": "Mars/Base"},
            },
            "delivery.quiet_hours.timezone",
        ),
    ],
)
def test_a_wrong_delivery_is_422_naming_the_field(api: Client, delivery: dict[str, Any], field: str) -> None:
    reply = api("POST", JOBS, {**ALERT, "delivery": delivery})
    assert (reply.status, reply.body["details"][0]["field"]) == (422, field)
