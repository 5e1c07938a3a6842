"""bedrock_model and bedrock_agent, against servers that speak their wire formats."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote

import pytest

from chalicelib import composition
from chalicelib.actions import Toolbox, bedrock_agent
from chalicelib.core.errors import ActionError
from tests.integration import actions_support as support
from tests.integration.actions_support import JOB, attempt, toolbox
from tests.integration.test_actions_http import Answer, Receiver, Server, serving

MODEL = {"type": "bedrock_model", "model_id": "amazon.nova-lite-v1:0"}
AGENT = {"type": "bedrock_agent", "agent_id": "AGENT12345", "agent_alias_id": "TSTALIASID"}
SAID = {
    "output": {
        "message": {
            "role": "assistant",
            "content": [
                {"reasoningContent": {"reasoningText": {"text": "hm"}}},
                {"text": "All "},
                {"text": "is well"},
            ],
        }
    },
    "stopReason": "end_turn",
    "usage": {"inputTokens": 12, "outputTokens": 3, "totalTokens": 15},
    "metrics": {"latencyMs": 10},
}


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in (("ACCESS_KEY_ID", "x"), ("SECRET_ACCESS_KEY", "x"), ("DEFAULT_REGION", "us-east-1")):
        monkeypatch.setenv(f"AWS_{name}", value)
    composition._action_client.cache_clear()
    yield
    composition._action_client.cache_clear()


@contextmanager
def bedrock(answer: Answer) -> Iterator[tuple[Server, Toolbox, list[Any]]]:
    """The server, tools whose clients call it, and the usage that was recorded."""
    used: list[Any] = []
    with pytest.MonkeyPatch.context() as patch, serving(answer) as server:
        for service in ("BEDROCK_RUNTIME", "BEDROCK_AGENT_RUNTIME"):
            patch.setenv(f"AWS_ENDPOINT_URL_{service}", server.url)
        yield server, toolbox(client=composition._action_client, record_usage=used.append), used


def replying(status: int, body: Any, **headers: str) -> Answer:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return lambda request: request.send(status, raw, **{"Content_Type": "application/json", **headers})


def refusing(status: int, code: str) -> Answer:
    return replying(status, {"message": "as it was told"}, x_amzn_ErrorType=f"{code}:http://internal/")


def event(payload: Any, **headers: str) -> bytes:
    """A message of application/vnd.amazon.eventstream: prelude, its CRC, headers, payload, CRC of all."""
    named = {f":{name.replace('_', '-')}": value.encode() for name, value in headers.items()}
    head = b"".join(
        struct.pack("!B", len(name)) + name.encode() + struct.pack("!BH", 7, len(value)) + value
        for name, value in named.items()
    )
    body = json.dumps(payload).encode()
    prelude = struct.pack("!II", 16 + len(head) + len(body), len(head))
    message = prelude + struct.pack("!I", zlib.crc32(prelude)) + head + body
    return message + struct.pack("!I", zlib.crc32(message))


def happening(kind: str, payload: Any) -> bytes:
    return event(payload, event_type=kind, content_type="application/json", message_type="event")


def chunk(text: bytes) -> bytes:
    return happening("chunk", {"bytes": base64.b64encode(text).decode()})


def broken_by(kind: str) -> bytes:
    return event(
        {"message": "as it was told"},
        exception_type=kind,
        content_type="application/json",
        message_type="exception",
    )


def streaming(*events: bytes) -> Answer:
    return replying(200, b"".join(events), Content_Type="application/vnd.amazon.eventstream")


def failure(settings: dict[str, Any], answer: Answer, **given: Any) -> ActionError:
    with bedrock(answer) as (_, tools, _):
        return support.failure(settings, attempt(**given), tools)


# The model


def test_a_model_is_asked_the_goal_and_its_text_is_the_output() -> None:
    with bedrock(replying(200, SAID)) as (server, tools, used):
        output = support.act(MODEL, attempt(), tools)
    [request] = server.received
    assert unquote(request.path) == "/model/amazon.nova-lite-v1:0/converse"
    assert json.loads(request.body) == {"messages": [{"role": "user", "content": [{"text": "Summarize"}]}]}
    assert output == {
        "text": "All is well",
        "stop_reason": "end_turn",
        "model_id": "amazon.nova-lite-v1:0",
        "usage": {"input_tokens": 12, "output_tokens": 3},
    }
    assert used == [
        {
            "agent_id": None,
            "job_id": "job_abc",
            "run_id": "20261122T140000Z",
            "model": "amazon.nova-lite-v1:0",
            "input_tokens": 12,
            "output_tokens": 3,
        }
    ]


def test_a_model_is_given_the_prompt_and_the_options_of_the_settings() -> None:
    settings = MODEL | {
        "prompt": "Say {{input.x}}\nof {{job.name}}",
        "system": "Be {{input.tone}}",
        "max_tokens": 50,
        "temperature": 0.0,
    }
    with bedrock(replying(200, SAID)) as (server, tools, _):
        support.act(settings, attempt({"x": "{{job.goal}}", "tone": "short"}), tools)
    assert json.loads(server.received[0].body) == {
        "messages": [{"role": "user", "content": [{"text": "Say {{job.goal}}\nof Daily digest"}]}],
        "system": [{"text": "Be short"}],
        "inferenceConfig": {"maxTokens": 50, "temperature": 0.0},
    }


@pytest.mark.parametrize("settings", [MODEL, AGENT])
@pytest.mark.parametrize(("goal", "prompt"), [(None, None), (" ", None), ("g", "{{input.x}}")])
def test_without_anything_to_ask_the_attempt_fails_for_good(
    settings: dict[str, Any], goal: str | None, prompt: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(JOB, "goal", goal)
    with bedrock(replying(200, SAID)) as (server, tools, _):
        error = support.failure(settings | {"prompt": prompt}, attempt({"x": ""}), tools)
    assert not server.received
    assert error.permanent
    assert str(error) == "there is no prompt: give the action a prompt, or the job a goal"


@pytest.mark.parametrize("settings", [MODEL, AGENT])
@pytest.mark.parametrize(
    ("status", "code", "permanent"),
    [
        (400, "ValidationException", True),
        (403, "AccessDeniedException", True),
        (404, "ResourceNotFoundException", True),
        (408, "ModelTimeoutException", False),
        (409, "ConflictException", False),
        (424, "ModelErrorException", False),
        (424, "DependencyFailedException", False),
        (424, "ModelNotReadyException", False),
        (429, "ThrottlingException", False),
        (500, "InternalServerException", False),
        (503, "ServiceUnavailableException", False),
    ],
)
def test_an_error_that_would_come_again_is_permanent_and_each_is_asked_once(
    settings: dict[str, Any], status: int, code: str, permanent: bool
) -> None:
    with bedrock(refusing(status, code)) as (server, tools, used):
        error = support.failure(settings, attempt(), tools)
    assert len(server.received) == 1, "whether to ask again is the job's retry policy's"
    assert (error.kind, error.permanent) == (code, permanent)
    assert "as it was told" in str(error)
    assert used == []


@pytest.mark.parametrize("settings", [MODEL, AGENT])
def test_one_that_does_not_answer_in_time_is_given_up(settings: dict[str, Any]) -> None:
    def silent(request: Receiver) -> None:
        request.rfile.read(1)  # until the connection ends, or the server's patience

    with bedrock(silent) as (server, tools, _):
        Receiver.timeout, before = 1, Receiver.timeout
        try:
            error = support.failure(settings, attempt(seconds=0.3), tools)
        finally:
            Receiver.timeout = before
    assert (error.kind, error.permanent) == ("timeout", False)
    assert len(server.received) == 1


def test_an_answer_whose_count_cannot_be_kept_is_not_lost(caplog: pytest.LogCaptureFixture) -> None:
    def refuse(facts: Any) -> None:
        raise RuntimeError("the table is away")

    with bedrock(replying(200, SAID)) as (_, tools, _):
        given = toolbox(client=tools.client, record_usage=refuse)
        output = support.act(MODEL, attempt(), given)
    assert isinstance(output, dict)
    assert output["text"] == "All is well"
    assert "the tokens of run job_abc/20261122T140000Z are not counted" in caplog.text


# The agent


def test_an_agent_is_asked_the_goal_and_its_chunks_are_joined() -> None:
    half, other_half = "Grüße aus Köln".encode()[:3], "Grüße aus Köln".encode()[3:]
    trace = happening("trace", {"agentId": "AGENT12345"})
    with bedrock(streaming(chunk(half), trace, chunk(other_half))) as (server, tools, _):
        output = support.act(AGENT, attempt(), tools)
    [request] = server.received
    session = "job_abc:20261122T140000Z"
    assert unquote(request.path) == f"/agents/AGENT12345/agentAliases/TSTALIASID/sessions/{session}/text"
    assert json.loads(request.body)["inputText"] == "Summarize"
    assert output == {"text": "Grüße aus Köln", "session_id": session}


def test_an_agents_session_and_prompt_may_be_given() -> None:
    settings = AGENT | {"session_id": "talk-{{input.user}}", "prompt": "Say {{input.user}}"}
    with bedrock(streaming(chunk(b"hi"))) as (server, tools, _):
        output = support.act(settings, attempt({"user": "u1"}), tools)
        error = support.failure(settings, attempt({"user": "a/b"}), tools)
    assert output == {"text": "hi", "session_id": "talk-u1"}
    [request] = server.received
    assert json.loads(request.body)["inputText"] == "Say u1"
    assert (str(error), error.permanent) == (
        "session_id: should be 2 to 100 letters, digits or any of . _ : -",
        True,
    )


@pytest.mark.parametrize("key", ["job_abc/20261122T140000Z", f"{'j' * 64}/{'r' * 64}"])
def test_each_run_has_a_session_of_its_own_that_bedrock_takes(key: str) -> None:
    session = bedrock_agent.session_of(key)
    assert bedrock_agent.session_problem(session) is None
    assert session != bedrock_agent.session_of(key[:-1] + "x")
    assert session == bedrock_agent.session_of(key), "every attempt has the same"


def test_an_agent_that_hands_back_control_fails_for_good_and_says_so() -> None:
    control = happening("returnControl", {"invocationId": "i", "invocationInputs": []})
    error = failure(AGENT, streaming(chunk(b"so far"), control))
    assert (error.kind, error.permanent) == ("return_control", True)
    assert "hands back control" in str(error)


@pytest.mark.parametrize(
    ("kind", "permanent"),
    [
        ("validationException", True),
        ("accessDeniedException", True),
        ("resourceNotFoundException", True),
        ("throttlingException", False),
        ("internalServerException", False),
        ("dependencyFailedException", False),
        ("badGatewayException", False),
    ],
)
def test_an_exception_in_the_stream_is_an_error(kind: str, permanent: bool) -> None:
    error = failure(AGENT, streaming(chunk(b"so far"), broken_by(kind)))
    name = kind[0].upper() + kind[1:]
    assert (error.kind, error.permanent) == (name, permanent)
    assert str(error) == f"the agent failed with {name}: as it was told"


def test_an_error_that_the_model_of_the_service_does_not_know_is_told_too() -> None:
    odd = event({}, error_code="Odd", error_message="as it was told", message_type="error")
    error = failure(AGENT, streaming(odd))
    assert (error.kind, error.permanent) == ("Odd", False)
    assert "as it was told" in str(error)


def damaged(stream: bytes) -> bytes:
    return stream[:-1] + bytes([stream[-1] ^ 1])


def cut_short(request: Receiver) -> None:
    request.send_response(200)
    request.send_header("Content-Type", "application/vnd.amazon.eventstream")
    request.send_header("Transfer-Encoding", "chunked")
    request.end_headers()
    request.wfile.write(b"1000\r\n" + chunk(b"so far"))


@pytest.mark.parametrize("answer", [streaming(damaged(chunk(b"so far"))), cut_short])
def test_a_stream_that_breaks_off_may_pass(answer: Callable[[Receiver], None]) -> None:
    error = failure(AGENT, answer)
    assert (error.kind, error.permanent) == ("connection", False)
    assert "broke off" in str(error)


def test_an_agent_that_goes_on_for_too_long_is_given_up() -> None:
    def slowly(request: Receiver) -> None:
        request.send_response(200)
        request.send_header("Content-Type", "application/vnd.amazon.eventstream")
        request.end_headers()
        request.wfile.write(chunk(b"so far"))
        request.wfile.flush()
        request.connection.settimeout(1)
        request.rfile.read(1)

    error = failure(AGENT, slowly, seconds=0.3)
    assert (error.kind, error.permanent) == ("timeout", False)
