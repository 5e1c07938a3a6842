"""Hiding secrets in what comes back from a target that was given them.

A secret is found as it is, and as URLs, JSON, HTML and Base64 write it, also one within another; in Base64
also as a part of something longer, as in Basic authentication. One that the target hashes, cuts or takes
apart is not found.
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

from chalicelib.core.errors import ActionError

if TYPE_CHECKING:
    from chalicelib.core.action import Json

HIDDEN = "***"

_ESCAPE = re.compile(r"%[0-9A-F]{2}")


def _lower(text: str) -> str:
    return _ESCAPE.sub(lambda match: match[0].lower(), text)


WRITINGS: tuple[Callable[[str], str], ...] = (
    str,
    lambda text: quote(text, ""),
    lambda text: _lower(quote(text, "")),
    lambda text: quote(text, "/"),
    lambda text: quote(text, "!*'()"),  # encodeURIComponent of JavaScript
    lambda text: quote(text, ";,/?:@&=+$!*'()#"),  # encodeURI
    lambda text: quote(text, "%/:?#[]@!$&'()*+,;="),  # all that a URL may have
    quote_plus,
    lambda text: json.dumps(text)[1:-1],
    lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
    html.escape,
    lambda text: html.escape(text).replace("&#x27;", "&#39;").replace("&quot;", "&#34;"),
    lambda text: html.escape(text, quote=False),
)


class Redaction:
    """Of the given secrets. Without any, all stays as it is."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._forms = {form for secret in secrets for form in _forms(secret)}
        self._shortest = min(map(len, self._forms), default=0)

    def text(self, text: str) -> str:
        """`text` with HIDDEN for each stretch of it that is part of a secret."""
        if not self._forms or len(text) < self._shortest:
            return text
        return _without(text, self._found(text))

    def beginning(self, text: str) -> str:
        """The same of a text that was cut off, maybe within a secret."""
        kept = text.rstrip("\ufffd") if self._forms else text  # half a character
        return _without(kept, [*self._found(kept), *self._begun(kept)])

    def value(self, value: Json) -> Json:
        """The same of all strings of `value`, keys too, and of numbers that are written as a secret is."""
        if not self._forms:
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.value(item) for item in value]
        if isinstance(value, dict):
            return {self.text(key): self.value(item) for key, item in value.items()}
        written = json.dumps(value)
        shown = self.text(written)
        return value if shown == written else shown

    @contextmanager
    def in_errors(self) -> Iterator[None]:
        """What is raised within says nothing of the secrets. With them, any error is an ActionError."""
        try:
            yield
        except Exception as error:
            if not self._forms:
                raise
            kind = error.kind if isinstance(error, ActionError) else type(error).__name__
            permanent = isinstance(error, ActionError) and error.permanent
            raise ActionError(self.text(kind), self.text(str(error)), permanent=permanent) from None

    def _found(self, text: str) -> list[tuple[int, int]]:
        return [(start, start + len(form)) for form in self._forms for start in _places(text, form)]

    def _begun(self, text: str) -> list[tuple[int, int]]:
        """Where the text ends with the beginning of a form."""
        longest = max((_begun(text, form) for form in self._forms), default=0)
        return [(len(text) - longest, len(text))] if longest else []


def _forms(secret: str) -> set[str]:
    texts = {secret, secret.encode().decode("latin-1"), *_misread(secret), *_base64(secret.encode())}
    return _written(_written(texts))


def _written(texts: Iterable[str]) -> set[str]:
    return {write(text) for text in texts for write in WRITINGS}


def _misread(secret: str) -> Iterator[str]:
    """The Latin-1 of a header that is read as UTF-8."""
    with suppress(UnicodeEncodeError):
        yield secret.encode("latin-1").decode(errors="replace")


def _base64(secret: bytes) -> Iterator[str]:
    """The digits that are the secret's alone in Base64, wherever among the bytes it is; in both alphabets."""
    for before in range(3):
        digits = base64.b64encode(bytes(before) + secret).decode()
        whole = digits[-(-before * 8 // 6) : (before + len(secret)) * 8 // 6]
        yield from (whole, whole.replace("+", "-").replace("/", "_"))


def _places(text: str, form: str) -> Iterator[int]:
    start = text.find(form)
    while start >= 0:
        yield start
        start = text.find(form, start + 1)  # it may overlap itself


def _begun(text: str, form: str) -> int:
    """How many characters of `form`, but not all, the text ends with."""
    return next((size for size in range(len(form) - 1, 0, -1) if text.endswith(form[:size])), 0)


def _without(text: str, spans: list[tuple[int, int]]) -> str:
    parts, end = list[str](), 0
    for start, stop in sorted(spans):
        if start > end or not parts:
            parts += [text[end:start], HIDDEN]
        end = max(end, stop)
    return "".join([*parts, text[end:]])
