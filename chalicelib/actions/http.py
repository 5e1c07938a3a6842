"""http: calls a URL; what it answers is the output.

Messages name the URL as the settings have it, without its query, and no headers: what placeholders bring may
be secret.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from urllib.parse import SplitResult, quote, urlsplit

from chalicelib.actions import material, wire
from chalicelib.actions.toolbox import Toolbox
from chalicelib.core import template
from chalicelib.core.action import Attempt, Http, Json, header_problem, plain
from chalicelib.core.errors import ActionError

MAX_FILLED_URL = 8192
SHOWN_BODY = 200
RETRIED_4XX = frozenset({408, 425, 429})

_CHARSET = re.compile(
    r"(utf|iso|windows|us-ascii|latin|shift_jis|euc|gb|big5|koi8)[a-z0-9_-]*", re.IGNORECASE
)


def perform(settings: Http, attempt: Attempt, tools: Toolbox) -> Json:
    request = _request(settings, attempt)
    answer = wire.send(request, wire.Limits(networks=tools.networks, seconds_left=attempt.seconds_left))
    if answer.status not in (settings.success_statuses or range(200, 300)):
        raise _failed(request, answer)
    return _output(answer)


def _request(settings: Http, attempt: Attempt) -> wire.Request:
    body = None if settings.body is None else material.filled(settings.body, attempt)
    return wire.Request(
        method=settings.method,
        url=_url(settings.url, attempt),
        headers=_headers(settings, body, attempt),
        body=None if settings.body is None else material.as_text(body).encode(errors="replace"),
        label=f"{settings.method} {_place(settings.url)}",
    )


def _url(text: str, attempt: Attempt) -> SplitResult:
    url = template.render_text(
        text, material.scope(attempt), lambda value: quote(value, "", errors="replace")
    )
    if len(url) > MAX_FILLED_URL:
        raise _bad("url", f"has over {MAX_FILLED_URL} characters once its placeholders are filled")
    parts = urlsplit(url)
    if {".", ".."} & set(parts.path.split("/")):  # servers resolve them: an input could leave its place
        raise _bad("url", "has . or .. in its path once its placeholders are filled")
    return parts


def _headers(settings: Http, body: Json, attempt: Attempt) -> dict[str, str]:
    given = {name: material.filled_text(value, attempt) for name, value in settings.headers.items()}
    for name, value in given.items():
        issue = header_problem(name, value)
        if issue:
            raise _bad("headers", f"{name!r} {issue}")
    names = {name.lower() for name in given}
    own = {name: value for name, value in _own_headers(settings, body).items() if name.lower() not in names}
    return own | given | {"Idempotency-Key": attempt.idempotency_key, "Connection": "close"}


def _own_headers(settings: Http, body: Json) -> dict[str, str]:
    headers = {"User-Agent": wire.USER_AGENT, "Accept": "*/*"}
    if settings.body is not None:
        kind = "text/plain; charset=utf-8" if isinstance(body, str) else "application/json"
        headers["Content-Type"] = kind
    return headers


def _place(url: str) -> str:
    """A URL as far as messages may show it."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def _bad(field: str, issue: str) -> ActionError:
    return ActionError("template", f"{field}: {issue}", permanent=True)


def _output(answer: wire.Answer) -> Json:
    kind = answer.headers.get_content_type()
    if not answer.cut and (kind == "application/json" or kind.endswith("+json")):
        with suppress(ValueError, RecursionError):
            return plain(json.loads(answer.body))
    return _text(answer) or None


def _text(answer: wire.Answer) -> str:
    named = answer.headers.get_content_charset("utf-8")
    charset = named if _CHARSET.fullmatch(named) else "utf-8"  # some codecs take quadratic time
    try:
        return answer.body.decode(charset, errors="replace")
    except LookupError:
        return answer.body.decode(errors="replace")


def _failed(request: wire.Request, answer: wire.Answer) -> ActionError:
    status = answer.status
    if 300 <= status < 400:
        said = f"answered {status} and points to {_pointed(answer)}; redirects are not followed"
    else:
        said = f"answered {status}: {' '.join(_text(answer).split())[:SHOWN_BODY]}"
    permanent = 300 <= status < 500 and status not in RETRIED_4XX
    return ActionError("http_status", f"{request.label} {said}", permanent=permanent)


def _pointed(answer: wire.Answer) -> str:
    try:
        return _place(answer.headers.get("Location", "nowhere"))[:SHOWN_BODY]
    except ValueError:
        return "no valid URL"
