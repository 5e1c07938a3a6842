"""Two APIs at one method and path: who answers, in whose envelope, and what the document says of it."""

from __future__ import annotations

from typing import Any

import pytest
from chalice.app import Chalice, Request
from pydantic import BaseModel, RootModel

from chalicelib import composition
from chalicelib.core.access import Role
from chalicelib.dialects import docs
from chalicelib.dialects.http import Answer, Api, Host, mount
from infra.local.gateway import Call, Gateway
from tests.dialects.conftest import Client


class Red(BaseModel):
    red: int


class Blues(RootModel[list[int]]):
    pass


class RedError(BaseModel):
    error: str


class BlueError(BaseModel):
    wrong: str


class Shade(BaseModel):
    shade: str = "dark"


def asks_for_red(request: Request) -> bool:
    """requests with `?colour=red`."""
    return (request.query_params or {}).get("colour") == "red"  # type: ignore[call-overload]


def red_and_blue() -> list[Api]:
    """Blue is registered first, and has no `when`."""
    red = Api("red", (), lambda error: (401 if error else 500, {"error": str(error)}), RedError)
    blue = Api("blue", (), lambda error: (401 if error else 500, {"wrong": str(error)}), BlueError)

    @blue.route("GET", "/colours", gives=Blues)
    def list_blues(call: Any, query: Shade) -> Answer:
        return Answer([1, 2])

    @red.route("GET", "/colours", gives=Red, role=Role.ADMIN, when=asks_for_red)
    def list_reds(call: Any) -> Answer:
        return Answer({"red": 1})

    return [blue, red]


class Served:
    def __init__(self, apis: list[Api], role: Role | None) -> None:
        app = Chalice("shared")
        mount(app, apis, Host(composition.engine, lambda: role))
        self.gateway = Gateway(app)

    def __call__(self, query: str, **headers: str) -> tuple[int, str]:
        given = [("Host", "localhost"), *headers.items()]
        answer = self.gateway.answer(Call("GET", "/colours", query, given, b"", "127.0.0.1"))
        return answer.status, answer.body.decode()


def test_the_one_whose_condition_holds_answers_else_the_one_without(api: Client) -> None:
    served = Served(red_and_blue(), Role.ADMIN)
    assert served("colour=red") == (200, '{"red":1}')
    assert served("colour=blue") == (200, "[1,2]")
    assert served("") == (200, "[1,2]")


def test_each_refuses_by_its_own_role_in_its_own_envelope(api: Client) -> None:
    served = Served(red_and_blue(), None)
    assert served("colour=red") == (401, '{"error":"Authentication required"}')
    assert served("") == (401, '{"wrong":"Authentication required"}')
    served = Served(red_and_blue(), Role.VIEWER)
    assert served("colour=red") == (401, '{"error":"Requires admin role or higher"}')
    assert served("")[0] == 200


def test_one_that_is_alone_answers_everybody(api: Client) -> None:
    served = Served(red_and_blue()[1:], Role.ADMIN)
    assert served("") == (200, '{"red":1}')


def test_two_without_a_condition_are_refused() -> None:
    blue, _ = red_and_blue()
    again, _ = red_and_blue()
    with pytest.raises(ValueError, match="GET /colours is registered twice"):
        mount(Chalice("shared"), [blue, again], Host(composition.engine, lambda: None))


def test_the_document_shows_both_and_says_who_answers_whom() -> None:
    document = docs.document(red_and_blue())
    operation = document["paths"]["/colours"]["get"]
    assert operation["operationId"] == "blue_list_blues_or_red_list_reds"
    assert operation["tags"] == ["blue", "red"]
    assert operation["description"] == "blue: for any other request. red: for requests with `?colour=red`."
    assert [one["name"] for one in operation["parameters"]] == ["shade"]
    schemas = {
        status: operation["responses"][status]["content"]["application/json"]["schema"]
        for status in ("200", "401")
    }
    for status, models in (("200", ("Blues", "Red")), ("401", ("BlueError", "RedError"))):
        assert schemas[status] == {"oneOf": [{"$ref": f"#/components/schemas/{model}"} for model in models]}
        assert set(models) <= set(document["components"]["schemas"])
    assert "/colours" in docs.page(document)
