"""Whose GET /api/scheduler it is. The other dialect is a small one of the test's own."""

from __future__ import annotations

from typing import Any

import pytest
from chalice.app import Chalice
from pydantic import BaseModel, RootModel

from chalicelib import composition
from chalicelib.core.access import Role
from chalicelib.dialects.http import Answer, Api, Host, mount
from chalicelib.dialects.mission_control.routes import API
from infra.local.gateway import Call, Gateway
from tests.dialects.mission_control.conftest import Mission


class Names(RootModel[list[str]]):
    pass


class Wrong(BaseModel):
    code: str


OTHER = Api("other", (), lambda error: (401, {"code": "UNAUTHORIZED"}), Wrong)


@OTHER.route("GET", "/api/scheduler", gives=Names)
def list_names(call: Any) -> Answer:
    return Answer(["other"])


def ask(anonymous: Role | None, query: str, headers: dict[str, str]) -> tuple[int, str]:
    app = Chalice("both")
    mount(app, [OTHER, API], Host(composition.engine, lambda: anonymous))
    answer = Gateway(app).answer(Call("GET", "/api/scheduler", query, [*headers.items()], b"", "127.0.0.1"))
    body = answer.body.decode()
    return answer.status, "mission_control" if body.startswith(('{"tasks"', '{"error"')) else body


@pytest.mark.parametrize(
    ("query", "cookie", "who"),
    [
        ("", True, "mission_control"),
        ("", False, '["other"]'),
        ("dialect=mission_control", False, "mission_control"),
        ("dialect=mission_control", True, "mission_control"),
        ("dialect=codespar", True, '["other"]'),
        ("dialect=codespar", False, '["other"]'),
    ],
)
def test_the_cookie_decides_unless_the_dialect_is_named(
    mission: Mission, query: str, cookie: bool, who: str
) -> None:
    assert ask(Role.ADMIN, query, mission.cookie if cookie else {}) == (200, who)


@pytest.mark.parametrize(
    ("query", "headers", "body"),
    [
        ("", {}, '{"code":"UNAUTHORIZED"}'),
        ("", {"Cookie": "other=1"}, '{"code":"UNAUTHORIZED"}'),
        ("", {"Cookie": "mc-session=bad"}, "mission_control"),
        ("dialect=mission_control", {}, "mission_control"),
        ("dialect=codespar", {"Cookie": "mc-session=bad"}, '{"code":"UNAUTHORIZED"}'),
    ],
)
def test_each_refuses_in_its_own_envelope(
    mission: Mission, query: str, headers: dict[str, str], body: str
) -> None:
    assert ask(None, query, headers) == (401, body)
