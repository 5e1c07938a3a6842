"""The APIs in OpenAPI 3.1, made from the registered routes and their models, and a page that shows them."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic.json_schema import models_json_schema

from chalicelib.dialects.http import Answer, Api, Call, Candidate, Route, endpoints

_REFERENCE = "#/components/schemas/{model}"
_ERRORS = ("400", "401", "403", "404", "405", "409", "413", "415", "422", "429", "500")
_TEMPLATE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Belfry API</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }}
code, pre {{ font: 13px/1.45 ui-monospace, monospace }}
pre {{ background: #f5f5f2; padding: .8rem; overflow: auto }}
details {{ border-bottom: 1px solid #ddd; padding: .4rem 0 }} summary {{ cursor: pointer }}
summary b {{ display: inline-block; width: 4.5rem; color: #064 }} table {{ border-collapse: collapse }}
td {{ padding: .1rem .8rem .1rem 0; vertical-align: top }} h2 {{ margin-top: 2rem }}
</style></head><body><h1>Belfry API</h1>
<p>Authenticate with <code>Authorization: Bearer KEY</code>, <code>X-API-Key: KEY</code> or the cookie
<code>mc-session</code>. The same as data: <a href="/api/openapi.json">/api/openapi.json</a>.</p>
{body}
</body></html>
"""


class OpenApi(BaseModel):
    """An OpenAPI document."""

    model_config = ConfigDict(extra="allow")

    openapi: str
    info: dict[str, Any]
    paths: dict[str, Any]
    components: dict[str, Any]


def api(apis: Sequence[Api]) -> Api:
    """The routes that show all the others, and themselves."""
    first = apis[0]
    own = Api("docs", (), first.render_error, first.error)
    everything = [*apis, own]

    @cache
    def made() -> dict[str, Any]:
        return document(everything)

    @own.route("GET", "/api/openapi.json", gives=OpenApi)
    def get_openapi(call: Call) -> Answer:
        return Answer(made())

    @own.route("GET", "/api/docs", gives=None)
    def get_docs(call: Call) -> Answer:
        return Answer(page(made()), headers={"Content-Type": "text/html; charset=utf-8"})

    return own


def document(apis: Sequence[Api]) -> dict[str, Any]:
    """The OpenAPI document of all routes of `apis`."""
    schemas = _schemas(apis)
    paths: dict[str, dict[str, Any]] = {}
    for (method, path), candidates in endpoints(apis).items():
        paths.setdefault(path, {})[method.lower()] = _shared(candidates, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Belfry", "version": "1", "description": "A serverless job scheduler."},
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
                "session": {"type": "apiKey", "in": "cookie", "name": "mc-session"},
            },
        },
        "security": [{"bearer": []}, {"key": []}, {"session": []}],
    }


def _models(apis: Sequence[Api]) -> list[type[BaseModel]]:
    """Every model of every route, each once."""
    given = (
        model
        for api in apis
        for route in api.routes
        for model in (route.takes, route.query, route.gives, api.error)
    )
    return list(dict.fromkeys(model for model in given if model))


def _schemas(apis: Sequence[Api]) -> dict[str, Any]:
    models = [(model, "validation") for model in _models(apis)]
    _, made = models_json_schema(models, ref_template=_REFERENCE)  # type: ignore[arg-type]
    schemas: dict[str, Any] = made["$defs"]
    return schemas


def _shared(candidates: Sequence[Candidate], schemas: dict[str, Any]) -> dict[str, Any]:
    """The operation of a method and path; where several APIs have it, what any of them takes and gives."""
    operations = [_operation(api, route, schemas) for api, route in candidates]
    if len(operations) == 1:
        return operations[0]
    parameters = {(one["in"], one["name"]): one for made in operations for one in made["parameters"]}
    statuses = dict.fromkeys(code for made in operations for code in made["responses"])
    shared: dict[str, Any] = {
        "operationId": "_or_".join(made["operationId"] for made in operations),
        "summary": " or ".join(dict.fromkeys(made["summary"] for made in operations)),
        "description": " ".join(map(_says_when, candidates)),
        "tags": [api.name for api, _ in candidates],
        "parameters": [*parameters.values()],
        "responses": {
            code: _either(made["responses"][code] for made in operations if code in made["responses"])
            for code in statuses
        },
    }
    if bodies := [made["requestBody"] for made in operations if "requestBody" in made]:
        shared["requestBody"] = {**_either(bodies), "required": False}
    return shared


def _says_when(candidate: Candidate) -> str:
    api, route = candidate
    when = f"for {(route.when.__doc__ or '').strip()}" if route.when else "for any other request."
    return f"{api.name}: {when}"


def _either(parts: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """One of these responses or bodies."""
    first, *others = parts
    schemas = [one["content"]["application/json"]["schema"] for one in (first, *others)]
    distinct = [schema for i, schema in enumerate(schemas) if schema not in schemas[:i]]
    schema = {"oneOf": distinct} if len(distinct) > 1 else distinct[0]
    return {**first, "content": {"application/json": {"schema": schema}}}


def _operation(api: Api, route: Route, schemas: dict[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": f"{api.name}_{route.view.__name__}",
        "summary": route.title.capitalize(),
        "tags": [api.name],
        "parameters": [*_path_parameters(route), *_query_parameters(route, schemas)],
        "responses": {
            str(route.status): _response(route),
            **{code: _json(api.error, "An error") for code in _ERRORS},
        },
    }
    if route.view.__doc__:
        operation["description"] = " ".join(route.view.__doc__.split())
    if route.takes:
        required = "required" in schemas[route.takes.__name__]
        operation["requestBody"] = {"content": _content(route.takes), "required": required}
    if route.role is None:
        operation["security"] = []
    return operation


def _path_parameters(route: Route) -> Iterator[dict[str, Any]]:
    for name in re.findall(r"{(\w+)}", route.path):
        yield {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _query_parameters(route: Route, schemas: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if route.query is None:
        return
    schema = schemas[route.query.__name__]
    for name, one in schema["properties"].items():
        yield {"name": name, "in": "query", "required": name in schema.get("required", ()), "schema": one}


def _response(route: Route) -> dict[str, Any]:
    if route.status == 204:
        return {"description": "Done"}
    if route.gives is None:
        return {"description": "Text", "content": {"text/plain": {"schema": {"type": "string"}}}}
    return _json(route.gives, "Done")


def _json(model: type[BaseModel], description: str) -> dict[str, Any]:
    return {"description": description, "content": _content(model)}


def _content(model: type[BaseModel]) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": _REFERENCE.format(model=model.__name__)}}}


def page(document: dict[str, Any]) -> str:
    """The document as a page that needs nothing from elsewhere."""
    parts: list[str] = []
    tag = None
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if operation["tags"][0] != tag:
                tag = operation["tags"][0]
                parts.append(f"<h2>{html.escape(tag)}</h2>")
            parts.append(_details(document, path, method, operation))
    return _TEMPLATE.format(body="\n".join(parts))


def _details(document: dict[str, Any], path: str, method: str, operation: dict[str, Any]) -> str:
    rows = "".join(
        f"<tr><td><code>{html.escape(one['name'])}</code></td><td>{one['in']}</td>"
        f"<td><code>{html.escape(json.dumps(one['schema']))}</code></td></tr>"
        for one in operation["parameters"]
    )
    status = next(iter(operation["responses"]))
    shown = [("Takes", operation.get("requestBody")), (f"Gives {status}", operation["responses"][status])]
    blocks = "".join(
        f"<p>{title}</p><pre>{html.escape(json.dumps(_shown(document, part), indent=2))}</pre>"
        for title, part in shown
        if part and "application/json" in part.get("content", {})
    )
    description = html.escape(operation.get("description", ""))
    return (
        f"<details><summary><b>{method.upper()}</b><code>{html.escape(path)}</code> "
        f"{html.escape(operation['summary'])}</summary><p>{description}</p><table>{rows}</table>{blocks}</details>"
    )


def _shown(document: dict[str, Any], part: dict[str, Any]) -> Any:
    """An example where the model has one, else its schema; of either model where there are several."""
    schema = part["content"]["application/json"]["schema"]
    if "oneOf" in schema:
        return {"oneOf": [_example(document, one) for one in schema["oneOf"]]}
    return _example(document, schema)


def _example(document: dict[str, Any], reference: dict[str, str]) -> Any:
    schema = document["components"]["schemas"][reference["$ref"].rpartition("/")[2]]
    return schema["examples"][0] if "examples" in schema else schema
