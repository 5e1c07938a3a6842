"""What API Gateway does between a socket and the API function: routes, events, answers."""

from __future__ import annotations

import base64
import json
import logging
import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import parse_qs

from chalice.app import Chalice, Request
from chalice.local import LambdaContext

log = logging.getLogger(__name__)

API_SECONDS = 29
Headers = list[tuple[str, str]]


class Answer(NamedTuple):
    status: int
    headers: Headers
    body: bytes


class Call(NamedTuple):
    """A request as it came: path and query are still encoded."""

    method: str
    path: str
    query: str
    headers: Headers
    body: bytes
    source: str


def refusal(status: int, code: str, message: str, *headers: tuple[str, str]) -> Answer:
    """An error in the native envelope, for what never reaches the function."""
    body = json.dumps({"error": code, "message": message, "status": status}).encode()
    return Answer(status, [("Content-Type", "application/json"), *headers], body)


class Match(NamedTuple):
    template: str
    parameters: dict[str, str]


@dataclass
class Routes:
    """Path templates, matched as API Gateway does: whole segments, static ones first, values left encoded."""

    templates: list[str]
    _by_length: dict[int, list[tuple[str, list[str]]]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        for template in sorted(self.templates):  # "{" sorts after the letters
            parts = template.split("/")
            self._by_length.setdefault(len(parts), []).append((template, parts))

    def match(self, path: str) -> Match | None:
        segments = (path[:-1] if path.endswith("/") and path != "/" else path).split("/")
        for template, parts in self._by_length.get(len(segments), []):
            if all(_fits(part, segment) for part, segment in zip(parts, segments, strict=True)):
                named = zip(parts, segments, strict=True)
                return Match(template, {part[1:-1]: value for part, value in named if part.startswith("{")})
        return None


def _fits(part: str, segment: str) -> bool:
    return segment != "" if part.startswith("{") else part == segment


class Gateway:
    """Answers calls with a Chalice app, from any thread."""

    def __init__(self, app: Chalice) -> None:
        self._app = app
        self._routes = Routes(list(app.routes))
        _keep_requests_apart(app)

    def answer(self, call: Call) -> Answer:
        """What the API answers. HEAD is answered as GET; what sends it leaves out the body.

        A method that the path does not take is the app's to refuse, in the envelope of the path's dialect.
        """
        match = self._routes.match(call.path)
        if match is None:
            return refusal(404, "not_found", "There is nothing at this path.")
        methods = self._app.routes[match.template]
        call = call._replace(method="GET") if call.method == "HEAD" and "GET" in methods else call
        return self._invoke(event_of(call, match, self._app.api.binary_types))

    def _invoke(self, event: dict[str, Any]) -> Answer:
        try:
            return _answer(self._app(event, LambdaContext("api", 512, API_SECONDS * 1000)))
        except Exception:
            log.exception("the API function failed")
            return refusal(500, "internal_error", "The API function failed.")


def event_of(call: Call, match: Match, binary_types: list[str]) -> dict[str, Any]:
    """The event of a Lambda proxy integration."""
    query = parse_qs(call.query, keep_blank_values=True) or None
    several: dict[str, list[str]] = {}
    for name, value in call.headers:
        several.setdefault(name, []).append(value)
    headers = {name: values[-1] for name, values in several.items()}
    return {
        "resource": match.template,
        "path": call.path,
        "httpMethod": call.method,
        "headers": headers,
        "multiValueHeaders": several,
        "queryStringParameters": query and {name: values[-1] for name, values in query.items()},
        "multiValueQueryStringParameters": query,
        "pathParameters": match.parameters or None,
        "stageVariables": None,
        "requestContext": _context(call, match),
        **_body(call.body, headers, binary_types),
    }


def _context(call: Call, match: Match) -> dict[str, Any]:
    return {
        "resourcePath": match.template,
        "httpMethod": call.method,
        "path": call.path,
        "protocol": "HTTP/1.1",
        "stage": "local",
        "requestId": str(uuid.uuid4()),
        "requestTimeEpoch": int(time.time() * 1000),
        "identity": {"sourceIp": call.source, "userAgent": dict(call.headers).get("User-Agent")},
    }


def _body(body: bytes, headers: dict[str, str], binary_types: list[str]) -> dict[str, Any]:
    lowered = {name.lower(): value for name, value in headers.items()}
    if body and lowered.get("content-type") in binary_types:
        return {"body": base64.b64encode(body).decode("ascii"), "isBase64Encoded": True}
    return {"body": body.decode("utf-8", "replace") or None, "isBase64Encoded": False}


def _answer(response: dict[str, Any]) -> Answer:
    headers = [(name, str(value)) for name, value in response["headers"].items()]
    for name, values in response["multiValueHeaders"].items():
        headers += [(name, str(value)) for value in values]
    if "content-type" not in {name.lower() for name, _ in headers}:
        headers.append(("Content-Type", "application/json"))
    body = response["body"]
    encoded = response.get("isBase64Encoded")
    return Answer(response["statusCode"], headers, base64.b64decode(body) if encoded else body.encode())


class _PerThread:
    """An attribute with a value a thread: on Lambda a process serves one request at a time, here many."""

    def __init__(self) -> None:
        self._local = threading.local()

    def __get__(self, instance: object, owner: type) -> Any:
        return getattr(self._local, "value", None)

    def __set__(self, instance: object, value: Any) -> None:
        self._local.value = value


class _RequestPerThread:
    current_request: Request | None = _PerThread()  # type: ignore[assignment]
    lambda_context: Any = _PerThread()


def _keep_requests_apart(app: Chalice) -> None:
    """Chalice keeps the request and the context on the app. Give each thread its own."""
    if not isinstance(app, _RequestPerThread):
        app.__class__ = type("ThreadedChalice", (_RequestPerThread, type(app)), {})
