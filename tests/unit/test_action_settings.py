"""The settings of actions: what is refused, under which name, in which words."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from chalicelib.actions import ACTIONS
from chalicelib.core import action
from chalicelib.core.action import Action
from chalicelib.net.addresses import networks

ACTION: TypeAdapter[Action] = TypeAdapter(Action)
HTTP = {"type": "http", "url": "https://example.com/hook"}
MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:m"
MINIMAL: list[dict[str, Any]] = [
    HTTP,
    {"type": "lambda", "function": "resize"},
    {"type": "sqs", "queue_url": "https://sqs.us-east-1.amazonaws.com/123456789012/q"},
    {"type": "sns", "topic_arn": "arn:aws:sns:us-east-1:123456789012:t"},
    {"type": "eventbridge", "detail_type": "done"},
    {"type": "step_functions", "state_machine_arn": MACHINE},
    {"type": "bedrock_model", "model_id": "amazon.nova-lite-v1:0"},
    {"type": "bedrock_agent", "agent_id": "AGENT12345", "agent_alias_id": "TSTALIASID"},
    {"type": "chain", "chain": "chain_abc"},
    {"type": "handler", "name": "echo"},
    {"type": "task", "name": "agenda-sweep"},
]


def issues(settings: Any) -> dict[str, str]:
    """What is said of each wrong field; the kind, which pydantic puts first, is left out."""
    with pytest.raises(ValidationError) as caught:
        ACTION.validate_python(settings)
    return {".".join(map(str, error["loc"][1:])): error["msg"] for error in caught.value.errors()}


def issue(field: str, settings: Any) -> str:
    found = issues(settings)
    assert list(found) == [field]
    return found[field]


def nested(levels: int) -> Any:
    value: Any = "x"
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize("settings", MINIMAL, ids=lambda settings: settings["type"])
def test_the_least_of_each_kind_is_accepted_and_survives_json(settings: dict[str, Any]) -> None:
    known = ACTION.validate_python(settings)
    assert ACTION.validate_json(known.model_dump_json()) == known


def test_every_kind_has_settings_and_code() -> None:
    assert [settings["type"] for settings in MINIMAL] == [*ACTIONS]
    assert [*ACTIONS, "target", "callback"] == list(action.KINDS), "these two stand for other actions"


@pytest.mark.parametrize("settings", [{}, {"type": "ftp"}, {"type": []}, 3, None, "http", {"type": None}])
def test_another_kind_is_refused_with_a_list_of_the_kinds(settings: Any) -> None:
    assert "one of http, lambda, sqs" in issue("", settings)


@pytest.mark.parametrize("settings", MINIMAL, ids=lambda settings: settings["type"])
def test_unknown_fields_are_named(settings: dict[str, Any]) -> None:
    assert list(issues(settings | {"retries": 3})) == ["retries"]


@pytest.mark.parametrize("settings", MINIMAL, ids=lambda settings: settings["type"])
def test_settings_do_not_change(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        setattr(ACTION.validate_python(settings), "type", "other")  # noqa: B010


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("", "http://"),
        ("example.com", "http://"),
        ("ftp://example.com/", "http://"),
        ("file:///etc/passwd", "http://"),
        ("http://", "host"),
        ("http:///path", "host"),
        ("https://user:secret@example.com/", "Authorization"),
        ("https://secret@example.com/", "Authorization"),
        ("https://exa mple.com/", "spaces"),
        ("https://example.com/a b", "spaces"),
        ("https://example.com/a\nb", "spaces"),
        ("https://example.com/a\r\nX: y", "spaces"),
        ("https://example.com/\x00", "spaces"),
        ("https://example.com/\u2028", "spaces"),
        ("https://example.com\\@evil.example/", "backslashes"),
        ("https://example.com:99999/", "like https://"),
        ("https://example.com:0/", "port"),
        ("https://example.com:x/", "like https://"),
        ("https://[::1/", "like https://"),
        ("https://[::g]/", "like https://"),
        ("https://[fe80::1%25eth0]/", "host"),
        ("https://a..b/", "like https://"),
        ("https://<host>/", "host"),
        ("https://" + "a" * 64 + ".com/", "like https://"),
        ("https://example.com/" + "a" * 2048, "2048"),
        ("https://example.com/a/../b", ".."),
        ("https://{{input.host}}/", "after the host"),
        ("{{input.url}}", "http://"),
        ("https://example.com{{input.rest}}", "after the host"),
        ("https://example.com/{{env.HOME}}", "{{env.HOME}}"),
        ("https://{{secret:HOST}}/", "after the host"),
        ("https://me:{{secret:WORD}}@example.com/", "after the host"),
        ("https://example.com:{{secret:PORT}}/", "after the host"),
        ("{{secret:URL_}}", "http://"),
        ("https://example.com/{{secret:a b}}", "a secret's name"),
    ],
)
def test_a_url_that_cannot_be_called_is_refused(url: str, wanted: str) -> None:
    assert wanted in issue("url", HTTP | {"url": url})


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:8000/x",
        "http://127.0.0.1/",
        "https://[::1]:8443/",
        "https://bücher.example/ä?q=ü",
        "https://example.com?x={{ input.x }}&y={{run.id}}",
        "HTTPS://EXAMPLE.COM/{{input.a.b}}/{{job.name}}",
        "http://a_b.internal./",
        "https://example.com/{{secret:A}}?key={{ secret:B }}",
    ],
)
def test_other_urls_are_kept_as_they_are(url: str) -> None:
    known = ACTION.validate_python(HTTP | {"url": url})
    assert isinstance(known, action.Http)
    assert known.url == url


@pytest.mark.parametrize(
    ("headers", "wanted"),
    [
        ({"X-A": "a\nb"}, "newlines"),
        ({"X-A": "a\r\nHost: evil"}, "newlines"),
        ({"X-A": "\x00"}, "control"),
        ({"X-A": "\x85"}, "control"),
        ({"X-A": "€"}, "Latin-1"),
        ({"X-A\n": "a"}, "header name"),
        ({"X A": "a"}, "header name"),
        ({"": "a"}, "header name"),
        ({"X:": "a"}, "header name"),
        ({"Ä": "a"}, "header name"),
        ({"host": "evil"}, "set by Belfry"),
        ({"Content-Length": "1"}, "set by Belfry"),
        ({"TRANSFER-ENCODING": "chunked"}, "set by Belfry"),
        ({"Connection": "close"}, "set by Belfry"),
        ({"idempotency-key": "x"}, "set by Belfry"),
        ({"X-A": "a" * 4097}, "4096"),
        ({f"X-{i}": "a" for i in range(51)}, "at most 50"),
        ({"X-A": "{{secret.x}}"}, "{{secret.x}}"),
        ({"X-A": "{{secret:}}"}, "a secret's name"),
        ({"X-{{secret:A}}": "a"}, "header name"),
    ],
)
def test_a_header_that_cannot_be_sent_is_refused_under_headers(headers: dict[str, str], wanted: str) -> None:
    assert wanted in issue("headers", HTTP | {"headers": headers})


def test_ordinary_headers_are_accepted() -> None:
    headers = {
        "Authorization": "Bearer x",
        "X-Job": "{{job.name}}",
        "X-Key": "Key {{secret:A}}",
        "X-Umlaut": "ä",
        "X-Empty": "",
        "a.b~c": "\t",
    }
    known = ACTION.validate_python(HTTP | {"headers": headers})
    assert isinstance(known, action.Http)
    assert known.headers == headers


@pytest.mark.parametrize(
    ("field", "value", "wanted"),
    [
        ("method", "TRACE", "'GET'"),
        ("method", "get", "'GET'"),
        ("body", float("nan"), "JSON"),
        ("body", {"a": [float("inf")]}, "JSON"),
        ("body", "\ud800", "JSON"),
        ("body", nested(65), "64 levels"),
        ("body", nested(100_000), "64 levels"),
        ("body", {"a": ["{{os.environ}}"]}, "{{os.environ}}"),
        ("success_statuses.0", [99], "100 to 599"),
        ("success_statuses.1", [200, 600], "100 to 599"),
        ("success_statuses", list(range(100, 300)), "100 items"),
    ],
)
def test_other_wrong_http_settings_are_named(field: str, value: Any, wanted: str) -> None:
    assert wanted in issue(field, HTTP | {field.split(".")[0]: value})


@pytest.mark.parametrize(
    ("kind", "field", "value", "wanted"),
    [
        ("lambda", "function", "", "name or ARN"),
        ("lambda", "function", "a b", "name or ARN"),
        ("lambda", "function", "resize\n", "name or ARN"),
        ("lambda", "function", "arn:aws:s3:::bucket", "name or ARN"),
        ("lambda", "payload", "{{x}}", "{{x}}"),
        ("lambda", "payload", ["{{secret:A}}"], "only an http action"),
        ("sqs", "message", {"a": "x{{secret:A}}"}, "only an http action"),
        ("sns", "subject", "{{secret:A}}", "only an http action"),
        ("eventbridge", "detail", "{{secret:A}}", "only an http action"),
        ("step_functions", "input", "{{secret:A}}", "only an http action"),
        ("handler", "input", "{{secret:A}}", "only an http action"),
        ("sqs", "queue_url", "q", "queue's URL"),
        ("sqs", "queue_url", "https://example.com/", "queue's URL"),
        ("sqs", "queue_url", "https://sqs.us-east-1.amazonaws.com/123456789012/q/../r", "queue's URL"),
        ("sqs", "group_id", "a b", "no spaces"),
        ("sqs", "message", nested(65), "64 levels"),
        ("sns", "topic_arn", "t", "topic's ARN"),
        ("sns", "subject", "a\nb", "one line"),
        ("sns", "subject", "", "1 to 100"),
        ("eventbridge", "bus", "a b", "event bus"),
        ("eventbridge", "source", "aws.ec2", "not beginning with aws."),
        ("eventbridge", "detail_type", "x" * 129, "1 to 128"),
        ("eventbridge", "detail", [1], "an object"),
        ("eventbridge", "detail", "text {{input}}", "an object"),
        ("step_functions", "state_machine_arn", "m", "state machine's ARN"),
        ("step_functions", "poll_seconds", 0, "0.1 to 60"),
        ("step_functions", "poll_seconds", 61, "0.1 to 60"),
        ("step_functions", "poll_seconds", float("nan"), "0.1 to 60"),
        ("bedrock_model", "model_id", "", "id or ARN"),
        ("bedrock_model", "model_id", "a model", "id or ARN"),
        ("bedrock_model", "prompt", " \n", "1 to 100000"),
        ("bedrock_model", "prompt", "x" * 100_001, "1 to 100000"),
        ("bedrock_model", "prompt", "{{secret:A}}", "only an http action"),
        ("bedrock_model", "system", "{{env.HOME}}", "{{env.HOME}}"),
        ("bedrock_model", "max_tokens", 0, "greater than or equal to 1"),
        ("bedrock_model", "max_tokens", "5", "integer"),
        ("bedrock_model", "temperature", 1.1, "less than or equal to 1"),
        ("bedrock_model", "temperature", float("nan"), "than or equal"),
        ("bedrock_agent", "agent_id", "a/b", "letters and digits"),
        ("bedrock_agent", "agent_alias_id", "A" * 11, "letters and digits"),
        ("bedrock_agent", "session_id", "x", "2 to 100"),
        ("bedrock_agent", "session_id", "a b", "2 to 100"),
        ("bedrock_agent", "session_id", "{{secret:A}}", "only an http action"),
        ("bedrock_agent", "prompt", "", "1 to 100000"),
        ("chain", "chain", "a/b", "1 to 64"),
        ("handler", "name", "", "1 to 64"),
        ("handler", "name", "a/b", "1 to 64"),
        ("handler", "name", "a" * 65, "1 to 64"),
        ("handler", "name", "echo\n", "1 to 64"),
        ("task", "name", "../x", "1 to 64"),
    ],
)
def test_wrong_settings_of_other_kinds_are_named(kind: str, field: str, value: Any, wanted: str) -> None:
    [settings] = [known for known in MINIMAL if known["type"] == kind]
    assert wanted in issue(field, settings | {field: value})


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        ("lambda", "function", "arn:aws:lambda:eu-west-1:123456789012:function:resize:$LATEST"),
        ("lambda", "function", "123456789012:function:resize"),
        ("lambda", "function", "resize:live"),
        ("sqs", "queue_url", "http://localhost:4566/000000000000/q.fifo"),
        ("sqs", "queue_url", "http://localhost:4566/queue/us-east-1/000000000000/q"),
        ("sns", "topic_arn", "arn:aws-us-gov:sns:us-gov-west-1:123456789012:t.fifo"),
        ("sns", "subject", "{{job.name}} has run"),
        ("eventbridge", "bus", "arn:aws:events:us-east-1:123456789012:event-bus/b"),
        ("eventbridge", "detail", "{{input}}"),
        ("step_functions", "state_machine_arn", MACHINE + ":live"),
        ("step_functions", "poll_seconds", 0.1),
        ("bedrock_model", "model_id", "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.a.b-v1:0"),
        ("bedrock_model", "prompt", "Say {{input.x}}\nand no more"),
        ("bedrock_model", "temperature", 0),
        ("bedrock_agent", "session_id", "{{job.id}}"),
        ("bedrock_agent", "session_id", "talk-{{input.user}}.1"),
        ("handler", "name", "a.b_c:d-E9"),
    ],
)
def test_other_settings_are_accepted(kind: str, field: str, value: Any) -> None:
    [settings] = [known for known in MINIMAL if known["type"] == kind]
    assert getattr(ACTION.validate_python(settings | {field: value}), field) == value


def test_a_value_goes_through_json_or_says_why_not() -> None:
    assert action.plain({"a": (1, 2), 3: None}) == {"a": [1, 2], "3": None}
    loop: list[Any] = []
    loop += [loop, loop]
    for wrong in (object(), {1, 2}, float("nan"), "\ud800", nested(65), nested(100_000), loop):
        with pytest.raises(ValueError, match=r"is not JSON|nested deeper"):
            action.plain(wrong)


def test_networks_are_read_from_a_list() -> None:
    assert list(map(str, networks(" 127.0.0.0/8, ::1/128,"))) == ["127.0.0.0/8", "::1/128"]
    assert networks("") == ()


@pytest.mark.parametrize("text", ["10.0.0.0/8, banana", "banana", "banana, 10.0.0.0/8"])
def test_a_network_that_cannot_be_read_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="'banana' is not a network"):
        networks(text)
