"""Secrets in http actions: what is sent, and that nothing of them comes back."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from botocore.exceptions import ClientError

from chalicelib.actions import Toolbox
from chalicelib.core.action import Json
from chalicelib.core.errors import ActionError
from chalicelib.net import wire
from tests.integration import actions_support as support
from tests.integration.actions_support import attempt, toolbox
from tests.integration.test_actions_http import Receiver, Server, free_port, replying, serving

TOKEN, HARD = "s3cret-token-0123", 'p/w"ü\\ &x'
SECRETS = {"TOKEN": TOKEN, "HARD": HARD, "LINES": "first line\nsecond line"}
BEARER = {"Authorization": "Bearer {{secret:TOKEN}}"}


def tools(**known: Any) -> Toolbox:
    return toolbox(allow="127.0.0.0/8", **{"secret": SECRETS.get, **known})


def settings(server: Server, path: str = "/hook", **more: Any) -> dict[str, Any]:
    return {"type": "http", "url": server.url + path, **more}


def act(server: Server, path: str = "/hook", value: Json = None, **more: Any) -> Json:
    return support.act(settings(server, path, **more), attempt(value), tools())


def failure(server: Server, path: str = "/hook", value: Json = None, **more: Any) -> ActionError:
    return support.failure(settings(server, path, **more), attempt(value), tools())


def echo(request: Receiver) -> None:
    """Answers with all that it was sent, as httpbin does."""
    told = {
        "path": request.path,
        "headers": dict(request.headers.items()),
        "data": request.body.decode(),
        request.headers.get("Authorization", "none"): True,
    }
    request.send(200, json.dumps(told).encode(), Content_Type="application/json")


@pytest.fixture
def echoing() -> Iterator[Server]:
    with serving(echo) as server:
        yield server


def test_secrets_are_filled_in_headers_body_and_url(echoing: Server) -> None:
    path = "/a/{{secret:HARD}}?key={{ secret:TOKEN }}&x={{input.x}}"
    body: Json = {"a": ["{{secret:HARD}}", "-{{secret:LINES}}-"], "{{secret:TOKEN}}": "{{input.x}}"}
    act(echoing, path, headers=BEARER, body=body)
    [request] = echoing.received
    assert request.path == f"/a/{quote(HARD, '')}?key={TOKEN}&x=1"
    assert request.headers["Authorization"] == f"Bearer {TOKEN}"
    sent = {"a": [HARD, f"-{SECRETS['LINES']}-"], "{{secret:TOKEN}}": 1}
    assert json.loads(request.body) == sent, "keys are never filled"


def test_a_target_that_echoes_them_brings_none_into_the_output(echoing: Server) -> None:
    output = act(
        echoing, "/{{secret:HARD}}", headers=BEARER, body={"a": "{{secret:HARD}}", "b": "{{secret:LINES}}"}
    )
    assert isinstance(output, dict)
    assert output["path"] == "/***"
    assert output["headers"]["Authorization"] == "Bearer ***"  # type: ignore[index,call-overload]
    assert output["data"] == '{"a":"***","b":"***"}'
    assert output["Bearer ***"] is True


def test_only_what_the_action_itself_uses_is_hidden() -> None:
    with serving(replying(200, f"{TOKEN} {HARD}".encode())) as server:
        assert act(server, headers=BEARER) == f"*** {HARD}"
        assert act(server) == f"{TOKEN} {HARD}"


@pytest.mark.parametrize("status", [400, 500])
@pytest.mark.parametrize("kind", ["application/json", "text/plain"])
@pytest.mark.parametrize("filler", [0, 195, 210])
def test_errors_hide_them_before_they_are_cut(status: int, kind: str, filler: int) -> None:
    said = json.dumps(
        {"x": "x" * filler, "no": [TOKEN, HARD, base64.b64encode(f"me:{TOKEN}".encode()).decode()]}
    )
    with serving(replying(status, said.encode(), Content_Type=kind)) as server:
        error = failure(server, headers=BEARER, body="{{secret:HARD}}")
    shown = str(error)
    assert "answered" in shown
    assert TOKEN[:4] not in shown
    assert json.dumps(HARD)[1:5] not in shown
    assert "czNj" not in shown, "nor in Base64"


def test_where_a_redirect_points_is_hidden_too() -> None:
    with serving(replying(302, Location=f"https://x.example/{quote(HARD, '')}/{TOKEN}")) as server:
        error = failure(server, headers=BEARER, body="{{secret:HARD}}")
    assert "points to https://x.example/***/***; redirects" in str(error)


@pytest.mark.parametrize("shown", [1, 4, len(TOKEN) - 1])
@pytest.mark.parametrize("status", [200, 500])
def test_a_secret_cut_in_two_by_the_limit_of_a_body_shows_none_of_it(shown: int, status: int) -> None:
    body = b" " * (wire.MAX_BODY - shown) + TOKEN.encode()
    with serving(replying(status, body)) as server:
        if status == 200:
            output = act(server, headers=BEARER)
            assert output == " " * (wire.MAX_BODY - shown) + "***"
        else:
            assert str(failure(server, headers=BEARER)).endswith("answered 500: ***")


def test_what_goes_wrong_on_the_way_names_the_placeholder() -> None:
    url = f"http://127.0.0.1:{free_port()}/{{{{secret:TOKEN}}}}?k={{{{secret:TOKEN}}}}"
    error = support.failure({"type": "http", "url": url, "headers": BEARER}, tools=tools())
    assert "/{{secret:TOKEN}}: it refused the connection" in str(error)
    assert TOKEN not in str(error)


def test_an_error_that_nobody_thought_of_says_nothing_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(request: wire.Request, limits: wire.Limits) -> wire.Answer:
        raise ValueError(f"bad header {request.headers['Authorization']!r}")

    monkeypatch.setattr(wire, "send", broken)
    with serving() as server:
        error = failure(server, headers=BEARER)
    assert str(error) == "bad header 'Bearer ***'"


def test_a_secret_that_is_no_header_is_refused_without_showing_it() -> None:
    with serving() as server:
        error = failure(server, headers={"X-Key": "{{secret:LINES}}"})
    assert not server.received
    assert (error.kind, error.permanent) == ("template", True)
    assert str(error).startswith(
        "headers: 'X-Key' should have a value of Latin-1 characters without newlines"
    )


def test_a_secret_that_is_not_set_fails_for_good_and_says_what_to_do() -> None:
    with serving() as server:
        error = failure(server, headers={"X-Key": "{{secret:nothing}}"})
    assert not server.received
    assert error.permanent
    assert str(error) == "secret nothing is not set: PUT /api/secrets/nothing"


@pytest.mark.parametrize(
    ("code", "status", "permanent"),
    [("AccessDeniedException", 400, True), ("ThrottlingException", 400, False)],
)
def test_a_store_that_refuses_is_told(code: str, status: int, permanent: bool) -> None:
    def refuse(name: str) -> str:
        response: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
        raise ClientError(response, "GetParameter")

    with serving() as server:
        error = support.failure(settings(server, headers=BEARER), tools=tools(secret=refuse))
    assert (error.kind, error.permanent) == (code, permanent)


@pytest.mark.parametrize("where", ["body", "url", "header"])
def test_an_input_brings_no_secrets(where: str, echoing: Server) -> None:
    evil = {"x": "{{secret:TOKEN}}"}
    more = {"body": {"body": "-{{input.x}}-"}, "url": {}, "header": {"headers": {"X-A": "{{input.x}}"}}}[
        where
    ]
    act(echoing, "/{{input.x}}" if where == "url" else "/", evil, **more)
    [request] = echoing.received
    sent = f"{request.path} {request.body.decode()} {request.headers}"
    assert TOKEN not in sent
    assert "secret:TOKEN" in sent or quote("{{secret:TOKEN}}", "") in sent
