"""The one way in: every route of every dialect is authenticated, parsed, answered and audited here.

A dialect declares its routes on an `Api`; `mount` gives them to Chalice. A view is handed a `Call`
and gives an `Answer`; what it raises of the error tree is rendered by its dialect.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, get_type_hints
from urllib.parse import unquote

from chalice.app import Chalice, Request, Response
from pydantic import BaseModel

from chalicelib.core.access import Credentials, Principal, Role
from chalicelib.core.action import Action
from chalicelib.core.errors import (
    BadRequest,
    BelfryError,
    Forbidden,
    Invalid,
    MethodNotAllowed,
    NotFound,
    TooLarge,
    UnsupportedMediaType,
)
from chalicelib.core.ids import is_id
from chalicelib.core.insight import Tally, bucket
from chalicelib.dialects.parsing import Model, parse_object, validated
from chalicelib.scheduler import audit
from chalicelib.scheduler.access import authenticate
from chalicelib.scheduler.engine import Engine

BODY_LIMIT = 256 * 1024  # bytes
PATH_LIMIT = 512  # bytes of a variable: no id is longer, and DynamoDB refuses keys of over 1,024
SESSION_COOKIE = "mc-session"
_CONTENT_TYPES = ["application/json", "application/x-www-form-urlencoded"]  # the second is what curl -d sends

log = logging.getLogger(__name__)

Rendered = tuple[int, Any]  # status, JSON body


@dataclass(frozen=True)
class Host:
    """What routes need of the process they run in."""

    engine: Callable[[], Engine]
    anonymous_role: Callable[[], Role | None]


@dataclass(frozen=True)
class Answer:
    """What a view gives. `target` is the id that the audit log names, where the path names none.

    `status` is the route's where the view does not say another. `who` is the one who asked, where the
    credentials are in the body.
    """

    body: Any = None
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    target: str | None = None
    who: Principal | None = None


@dataclass(frozen=True)
class Call:
    """A request: who asks, of which engine, for what. `path` has the variables of the path, URL-decoded."""

    engine: Engine
    who: Principal
    path: Mapping[str, str]
    request: Request
    now: datetime

    @property
    def idempotency_key(self) -> str | None:
        key: str | None = self.request.headers.get("idempotency-key")
        if key is not None and not 1 <= len(key) <= 255:
            raise Invalid.one("Idempotency-Key", "give 1 to 255 characters")
        return key

    def may_use(self, action: Action) -> None:
        """Built-in tasks are an admin's to schedule. Raises Forbidden."""
        if action.type == "task" and not self.who.role.includes(Role.ADMIN):
            raise Forbidden(Role.ADMIN)

    def new_id(self, name: str) -> str:
        """An id that the caller gives to something new in the path. Raises Invalid."""
        if not is_id(self.path[name]):
            raise Invalid.one(name, "give 1 to 64 letters, digits or any of _ . : -")
        return self.path[name]

    def json(self) -> dict[str, Any]:
        """The body, which must be a JSON object; an absent one is empty. Raises BadRequest, TooLarge."""
        raw: Any = self.request.raw_body
        if len(raw) > BODY_LIMIT:
            raise TooLarge(BODY_LIMIT)
        return parse_object(raw) if raw.strip() else {}

    def body(self, model: type[Model]) -> Model:
        """The body as a model. Raises Invalid naming each wrong field."""
        return validated(model, self.json())

    def query(self, model: type[Model]) -> Model:
        """The query parameters as a model; those that it does not know are ignored."""
        known = {field.alias or name for name, field in model.model_fields.items()}
        given = dict(self.request.query_params or {})
        return validated(model, {name: value for name, value in given.items() if name in known})


View = Callable[..., Answer]  # of the Call, and of `body` and `query` as models where it names them


@dataclass(frozen=True, kw_only=True)
class Route:
    method: str
    path: str
    view: View
    role: Role | None  # None: open to all
    writes: str | None  # what the audit log calls it; None: it only reads
    body: type[BaseModel] | None  # that the view is handed
    query: type[BaseModel] | None
    takes: type[BaseModel] | None  # the body as documented
    gives: type[BaseModel] | None  # the answer; None: it has no JSON
    status: int
    title: str
    when: Callable[[Request], bool] | None  # which requests are its; None: what is left

    def arguments(self, call: Call) -> dict[str, BaseModel]:
        """What the view is handed besides the call. Raises Invalid and its kin."""
        given: dict[str, BaseModel] = {}
        if self.body:
            given["body"] = call.body(self.body)
        if self.query:
            given["query"] = call.query(self.query)
        return given


@dataclass
class Api:
    """A dialect's routes, and how it says what is wrong."""

    name: str
    prefixes: tuple[str, ...]
    render_error: Callable[[BelfryError | None], Rendered]
    error: type[BaseModel]  # the model of what `render_error` renders
    routes: list[Route] = field(default_factory=list)

    def route(
        self,
        method: str,
        path: str,
        *,
        gives: type[BaseModel] | None,
        status: int = 200,
        role: Role | None = Role.VIEWER,
        writes: str | None = None,
        takes: type[BaseModel] | None = None,
        when: Callable[[Request], bool] | None = None,
    ) -> Callable[[View], View]:
        """Registers a view. What it names as `body` and `query` it is handed as the models it annotates.

        `gives` is the model of its answer; `takes` documents a body that the view reads by itself. Where
        several APIs have this method and path, the first whose `when` holds answers, else the one
        without; the docstring of `when` says in the API's documentation which requests these are.
        """

        def add(view: View) -> View:
            models = get_type_hints(view)
            body, query = models.get("body"), models.get("query")
            self.routes.append(
                Route(
                    method=method,
                    path=path,
                    view=view,
                    role=role,
                    writes=writes,
                    body=body,
                    query=query,
                    takes=takes or body,
                    gives=gives,
                    status=status,
                    title=view.__name__.replace("_", " "),
                    when=when,
                )
            )
            return view

        return add


Candidate = tuple[Api, Route]


def mount(app: Chalice, apis: Sequence[Api], host: Host) -> None:
    """Registers the routes, and gives Chalice's own refusals the envelope of the dialect they fall to."""
    for (method, path), candidates in endpoints(apis).items():
        view = _chalice_view(app, candidates, host)
        app.route(path, methods=[method], content_types=_CONTENT_TYPES, name=view.__name__)(view)

    @app.middleware("http")
    def reshape(request: Request, get_response: Callable[[Request], Response]) -> Response:
        response = get_response(request)
        if not (isinstance(response.body, dict) and set(response.body) == {"Code", "Message"}):
            return response
        status, body = _api_of(apis, request).render_error(_own_words(request, response.status_code))
        return _response(status, body, response.headers)


def endpoints(apis: Sequence[Api]) -> dict[tuple[str, str], list[Candidate]]:
    """Who may answer, by method and path. Raises ValueError where two would without a `when`."""
    found: dict[tuple[str, str], list[Candidate]] = {}
    for api in apis:
        for route in api.routes:
            found.setdefault((route.method, route.path), []).append((api, route))
    for (method, path), candidates in found.items():
        if sum(route.when is None for _, route in candidates) > 1:
            raise ValueError(f"{method} {path} is registered twice")
    return found


def _chosen(candidates: Sequence[Candidate], request: Request) -> Candidate:
    """The first whose `when` holds, else the one without; one that is alone has no choice."""
    asked_for = (one for one in candidates if one[1].when and one[1].when(request))
    others = (one for one in candidates if one[1].when is None)
    return next(asked_for, None) or next(others, candidates[0])


def _own_words(request: Request, status: int) -> BelfryError | None:
    """What Chalice refused by itself, as the error tree says it; None: it broke."""
    if status == 405:
        return MethodNotAllowed(request.method, request.path)
    if status == 415:
        return UnsupportedMediaType(request.headers.get("content-type", ""))
    return BadRequest("the request cannot be read") if status == 400 else None


def _api_of(apis: Sequence[Api], request: Request) -> Api:
    """The API that would answer, or another of that path, else that with the longest prefix.

    The first API is everybody's.
    """
    path = request.path
    of_path = [(api, route) for api in apis for route in api.routes if route.path == path]
    of_method = [(api, route) for api, route in of_path if route.method == request.method]
    if candidates := of_method or of_path:
        return _chosen(candidates, request)[0]
    matching = [(len(prefix), api) for api in apis for prefix in api.prefixes if path.startswith(prefix)]
    return max(matching, key=lambda pair: pair[0])[1] if matching else apis[0]


def _chalice_view(app: Chalice, candidates: Sequence[Candidate], host: Host) -> Callable[..., Response]:
    def view(**path: str) -> Response:
        request: Any = app.current_request  # there is one while a view runs
        decoded = {name: unquote(value) for name, value in path.items()}  # the gateway leaves them encoded
        api, route = _chosen(candidates, request)
        try:
            answer = _answer(route, host, request, decoded)
        except BelfryError as error:
            return _response(*api.render_error(error))
        except Exception:
            log.exception("%s %s broke", route.method, route.path)
            return _response(*api.render_error(None))
        return _response(answer.status or route.status, answer.body, answer.headers)

    first, route_of_first = candidates[0]
    view.__name__ = f"{first.name}_{route_of_first.view.__name__}"
    return view


def _answer(route: Route, host: Host, request: Request, path: Mapping[str, str]) -> Answer:
    engine, now = host.engine(), datetime.now(UTC)
    who = Principal("anonymous", Role.VIEWER)
    if route.role is not None:
        who = authenticate(engine, credentials(request), host.anonymous_role(), now)
        if not who.role.includes(route.role):
            raise Forbidden(route.role)
    _refuse_endless(path)
    call = Call(engine, who, path, request, now)
    answer = route.view(call, **route.arguments(call))
    if route.writes:
        target = answer.target or "/".join(path.values()) or None
        details = {"path": request.path, "status": answer.status or route.status}
        audit.append(engine, answer.who or who, route.writes, target, details, now)
        engine.counters.add(Tally(bucket(now), activity=1))
    return answer


def _refuse_endless(path: Mapping[str, str]) -> None:
    """Raises NotFound where a variable is longer than any key can be."""
    for name, value in path.items():
        if len(value.encode()) > PATH_LIMIT:
            raise NotFound(name, f"{value[:32]}...")


def credentials(request: Request) -> Credentials:
    """What the request shows of a key or a session."""
    authorization = request.headers.get("authorization")
    key = request.headers.get("x-api-key") if authorization is None else _bearer(authorization)
    cookies = (part.strip().partition("=") for part in request.headers.get("cookie", "").split(";"))
    session = next((value for name, _, value in cookies if name == SESSION_COOKIE), None)
    return Credentials(key, session)


def _bearer(authorization: str) -> str:
    """The token; empty, and so no good, where the scheme is another."""
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _response(status: int, body: Any, headers: Mapping[str, str | list[str]] | None = None) -> Response:
    """A 204 has no body; Chalice would send `null`."""
    return Response(body="" if body is None else body, status_code=status, headers=dict(headers or {}))
