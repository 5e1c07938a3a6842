"""The OpenAPI document says what there is, all of it."""

from __future__ import annotations

from typing import Any

import pytest

import app
from chalicelib.dialects.http import Api, Route
from tests.dialects.conftest import Client

ROUTES = [(api, route) for api in app.APIS for route in api.routes]


@pytest.mark.parametrize(
    ("api_", "route"), ROUTES, ids=lambda part: getattr(part, "path", getattr(part, "name", ""))
)
def test_every_route_has_its_models(api_: Api, route: Route) -> None:
    if route.method in ("POST", "PUT"):
        assert route.takes is not None, "the body has no model"
    if not route.path.endswith(("/docs", "/diagram")):  # which give text
        assert (route.gives is None) == (route.status == 204), "the answer has no model"


def test_the_document_has_every_route_of_the_app(api: Client) -> None:
    document = api("GET", "/api/openapi.json").body
    assert document["openapi"].startswith("3.1")
    documented = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    registered = {(method, path) for path, methods in app.app.routes.items() for method in methods}
    assert documented == registered


def test_every_reference_in_the_document_resolves(api: Client) -> None:
    document = api("GET", "/api/openapi.json").body
    found = set(_references(document))
    assert found
    for reference in found:
        assert reference.removeprefix("#/components/schemas/") in document["components"]["schemas"]


def test_operation_ids_are_unique_and_path_parameters_are_declared(api: Client) -> None:
    document = api("GET", "/api/openapi.json").body
    operations = [(path, one) for path, methods in document["paths"].items() for one in methods.values()]
    ids = [one["operationId"] for _, one in operations]
    assert len(set(ids)) == len(ids)
    for path, one in operations:
        declared = {parameter["name"] for parameter in one["parameters"] if parameter["in"] == "path"}
        assert declared == {part[1:-1] for part in path.split("/") if part.startswith("{")}


def test_the_documents_examples_are_in_it(api: Client) -> None:
    schemas = api("GET", "/api/openapi.json").body["components"]["schemas"]
    assert schemas["CreateJob"]["examples"][0]["name"] == "Price alert"
    assert schemas["JobView"]["examples"][0]["id"] == "job_abc123"


def test_the_examples_are_what_their_models_take() -> None:
    for api in app.APIS:
        for route in api.routes:
            for model in filter(None, (route.takes, route.gives)):
                extra = model.model_config.get("json_schema_extra") or {}
                for example in extra.get("examples", ()):  # type: ignore[union-attr]
                    model.model_validate(example)


def test_the_page_shows_every_path(api: Client) -> None:
    reply = api("GET", "/api/docs")
    assert reply.status == 200
    assert reply.headers["Content-Type"].startswith("text/html")
    for path in app.app.routes:
        assert path in reply.body


def test_one_variable_name_stands_at_each_level_of_a_path() -> None:
    """API Gateway refuses two; Chalice does not look."""
    names: dict[str, set[str]] = {}
    for path in app.app.routes:
        parts = path.split("/")
        for level, part in enumerate(parts):
            if part.startswith("{"):
                above = "/".join("{}" if one.startswith("{") else one for one in parts[:level])
                names.setdefault(above, set()).add(part)
    assert {above: some for above, some in names.items() if len(some) > 1} == {}


def _references(part: Any) -> list[str]:
    if isinstance(part, dict):
        own = [part["$ref"]] if isinstance(part.get("$ref"), str) else []
        return own + [reference for value in part.values() for reference in _references(value)]
    if isinstance(part, list):
        return [reference for value in part for reference in _references(value)]
    return []
