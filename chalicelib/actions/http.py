"""http: calls a URL; what it answers is the output.

Messages name the URL as the settings have it, without its query, and no headers: what placeholders bring may
be secret. Secrets that the settings name are fetched here and go nowhere else: in what comes back they are
hidden, before anything of it is cut.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from urllib.parse import SplitResult, quote, urlsplit

from chalicelib.actions import material
from chalicelib.actions.toolbox import Toolbox
from chalicelib.core import template
from chalicelib.core.action import (
    COMPLETION_TOKEN,
    Accepted,
    Attempt,
    Http,
    Json,
    Outcome,
    header_problem,
    plain,
)
from chalicelib.core.errors import ActionError
from chalicelib.core.redaction import Redaction
from chalicelib.net import aws, wire

MAX_FILLED_URL = 8192
SHOWN_BODY = 200
ACCEPTED = 202

_CHARSET = re.compile(
    r"(utf|iso|windows|us-ascii|latin|shift_jis|euc|gb|big5|koi8)[a-z0-9_-]*", re.IGNORECASE
)


def perform(settings: Http, attempt: Attempt, tools: Toolbox) -> Outcome:
    secrets = _secrets(settings, attempt, tools)
    hidden = Redaction(secrets.values())
    with hidden.in_errors():
        request = _request(settings, attempt, secrets)
        answer = wire.send(request, wire.Limits(networks=tools.networks, seconds_left=attempt.seconds_left))
        if answer.status == ACCEPTED and not settings.success_statuses:
            return Accepted(_output(answer, hidden))
        if answer.status not in (settings.success_statuses or range(200, 300)):
            raise _failed(request, answer, hidden)
        return _output(answer, hidden)


def _secrets(settings: Http, attempt: Attempt, tools: Toolbox) -> dict[str, str]:
    """The secrets that the settings name. Raises ActionError, permanent, where one is not set."""
    return {name: _secret(name, attempt, tools) for name in settings.secrets}


def _secret(name: str, attempt: Attempt, tools: Toolbox) -> str:
    value: str | None = aws.call(attempt.seconds_left(), partial(tools.secret, name))
    if value is None:
        message = f"secret {name} is not set: PUT /api/secrets/{name}"
        raise ActionError("not_registered", message, permanent=True)
    return value


def _request(settings: Http, attempt: Attempt, secrets: Mapping[str, str]) -> wire.Request:
    body = template.render(settings.body, material.scope(attempt), secrets.__getitem__)
    if settings.body is None:
        body = attempt.assignment
    has_body = not (settings.body is None and attempt.assignment is None)
    return wire.Request(
        method=settings.method,
        url=_url(settings.url, attempt, secrets),
        headers=_headers(settings, attempt, secrets, _kind(body) if has_body else None),
        body=material.as_text(body).encode(errors="replace") if has_body else None,
        label=f"{settings.method} {_place(settings.url)}",
    )


def _kind(body: Json) -> str:
    return "text/plain; charset=utf-8" if isinstance(body, str) else "application/json"


def _url(text: str, attempt: Attempt, secrets: Mapping[str, str]) -> SplitResult:
    url = template.render_text(
        text,
        material.scope(attempt),
        lambda value: quote(value, "", errors="replace"),
        secrets.__getitem__,
    )
    if len(url) > MAX_FILLED_URL:
        raise _bad("url", f"has over {MAX_FILLED_URL} characters once its placeholders are filled")
    parts = urlsplit(url)
    if {".", ".."} & set(parts.path.split("/")):  # servers resolve them: an input could leave its place
        raise _bad("url", "has . or .. in its path once its placeholders are filled")
    return parts


def _headers(
    settings: Http, attempt: Attempt, secrets: Mapping[str, str], kind: str | None
) -> dict[str, str]:
    """`kind` is the body's, where there is a body."""
    scope = material.scope(attempt)
    given = {
        name: template.render_text(value, scope, secret=secrets.__getitem__)
        for name, value in settings.headers.items()
    }
    for name, value in given.items():
        issue = header_problem(name, value)
        if issue:
            raise _bad("headers", f"{name!r} {issue}")
    names = {name.lower() for name in given}
    standard = {"User-Agent": wire.USER_AGENT, "Accept": "*/*"} | ({"Content-Type": kind} if kind else {})
    own = {name: value for name, value in standard.items() if name.lower() not in names}
    set_here = {
        "Idempotency-Key": attempt.idempotency_key,
        COMPLETION_TOKEN: attempt.completion_token,
        "Connection": "close",
    }
    return own | given | set_here


def _place(url: str) -> str:
    """A URL as far as messages may show it."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def _bad(field: str, issue: str) -> ActionError:
    return ActionError("template", f"{field}: {issue}", permanent=True)


def _output(answer: wire.Answer, hidden: Redaction) -> Json:
    kind = answer.headers.get_content_type()
    if not answer.cut and (kind == "application/json" or kind.endswith("+json")):
        with suppress(ValueError, RecursionError):
            return hidden.value(plain(json.loads(answer.body)))
    text = _text(answer)
    return (hidden.beginning(text) if answer.cut else hidden.text(text)) or None


def _text(answer: wire.Answer) -> str:
    named = answer.headers.get_content_charset("utf-8")
    charset = named if _CHARSET.fullmatch(named) else "utf-8"  # some codecs take quadratic time
    try:
        return answer.body.decode(charset, errors="replace")
    except LookupError:
        return answer.body.decode(errors="replace")


def _failed(request: wire.Request, answer: wire.Answer, hidden: Redaction) -> ActionError:
    status = answer.status
    if 300 <= status < 400:
        said = f"answered {status} and points to {_pointed(answer, hidden)}; redirects are not followed"
    else:
        said = f"answered {status}: {_shown(answer, hidden)}"
    return ActionError("http_status", f"{request.label} {said}", permanent=wire.is_permanent(status))


def _shown(answer: wire.Answer, hidden: Redaction) -> str:
    output = _output(answer, hidden)
    return "" if output is None else " ".join(material.as_text(output).split())[:SHOWN_BODY]


def _pointed(answer: wire.Answer, hidden: Redaction) -> str:
    try:
        return hidden.text(_place(answer.headers.get("Location", "nowhere")))[:SHOWN_BODY]
    except ValueError:
        return "no valid URL"
