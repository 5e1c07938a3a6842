"""Placeholders: `{{job.name}}`, `{{run.scheduled_for}}`, `{{input.items.0}}` in the strings of a JSON value.

`{{secret:NAME}}` stands for a secret. Only the settings of an http action may have it, and it is filled only
where the one who renders hands in the secrets.

A string that is one placeholder becomes the value, with its type. Inside a longer string a string is put in
as it is, anything else as compact JSON. What was put in is never searched again, and an object's keys never
are: an input cannot bring placeholders of its own. It takes time linear in what comes out, which is bounded.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from chalicelib.core.errors import ActionError

if TYPE_CHECKING:
    from chalicelib.core.action import Json

ROOTS = ("job", "run", "input")
SECRET_NAME = "1 to 64 letters, digits or any of . _ -"  # noqa: S105 (what a name is)
MAX_DEPTH = 64
MAX_FILLED = 1024 * 1024  # characters that placeholders may put in, in all

TOO_DEEP = f"is nested deeper than {MAX_DEPTH} levels"

_PLACEHOLDER = re.compile(r"\{\{([^{}]*)\}\}")
_INDEX = re.compile(r"[0-9]{1,9}")
_SECRET = "secret:"  # noqa: S105 (a prefix)
_SECRET_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_SHOWN_KEYS, _SHOWN_CHARACTERS = 10, 100


def placeholders(value: Json) -> set[str]:
    """The names between the braces in all strings of `value`, with the spaces around them cut off."""
    return {name.strip() for text in _strings(value) for name in _PLACEHOLDER.findall(text)}


def secrets(value: Json) -> set[str]:
    """The names of the secrets that the placeholders in `value` stand for."""
    return {name.removeprefix(_SECRET) for name in placeholders(value) if name.startswith(_SECRET)}


def is_secret_name(text: str) -> bool:
    return _SECRET_NAME.fullmatch(text) is not None


def secret_placeholder(name: str) -> str:
    return "{{" + _SECRET + name + "}}"


def is_placeholder(value: Json) -> bool:
    """Whether `value` is one placeholder and nothing else, so that it may become anything."""
    return isinstance(value, str) and _PLACEHOLDER.fullmatch(value) is not None


def without_placeholders(text: str, stand_in: str) -> str:
    """`text` with each placeholder replaced by `stand_in`, to judge what is around them."""
    return _PLACEHOLDER.sub(stand_in, text)


def too_deep(value: Json) -> bool:
    """Whether lists and objects lie in one another over MAX_DEPTH deep; found without recursion."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [child for item in level for child in _children(item)]
        if not level:
            return False
    return True


def problem(value: Json) -> str | None:
    """What is wrong with `value` as a template, as far as that can be said before there is a run."""
    named = sorted(secrets(value))
    return _no_secret_here(named[0]) if named else problem_beside_secrets(value)


def problem_beside_secrets(value: Json) -> str | None:
    """The same of a template that may have secrets."""
    if too_deep(value):
        return TOO_DEEP
    unnamed = sorted(name for name in secrets(value) if not is_secret_name(name))
    if unnamed:
        return f"has the placeholder {_shown(_SECRET + unnamed[0])}; a secret's name has {SECRET_NAME}"
    names = (name for name in placeholders(value) if not name.startswith(_SECRET))
    unknown = sorted(name for name in names if name.split(".")[0] not in ROOTS)
    return f"has the unknown placeholder {_shown(unknown[0])}; {_roots()}" if unknown else None


def _no_secret_here(name: str) -> str:
    return (
        f"cannot have {_shown(_SECRET + name)}: only an http action's url, headers and body may have secrets"
    )


def _refuse_secret(name: str) -> str:
    raise _error(f"the settings value {_no_secret_here(name)}")


def render(value: Json, scope: Mapping[str, Json], secret: Callable[[str], str] = _refuse_secret) -> Json:
    """`value` with its placeholders filled from `scope`, and those of secrets with what `secret` gives.

    Raises ActionError("template"), permanent.
    """
    if too_deep(value):
        raise _error(f"the settings value {TOO_DEEP}")
    return _Filling(scope, secret).value(value)


def render_text(
    text: str,
    scope: Mapping[str, Json],
    quote: Callable[[str], str] = str,
    secret: Callable[[str], str] = _refuse_secret,
) -> str:
    """`text` with its placeholders filled, always a string; `quote` is applied to each value put in."""
    return _Filling(scope, secret).text(text, quote)


@dataclass
class _Filling:
    """One rendering, and how much it may still put in."""

    scope: Mapping[str, Json]
    secret: Callable[[str], str]
    room: int = MAX_FILLED

    def value(self, value: Json) -> Json:
        if isinstance(value, str):
            return self.string(value)
        if isinstance(value, list):
            return [self.value(item) for item in value]
        if isinstance(value, dict):
            return {key: self.value(item) for key, item in value.items()}
        return value

    def string(self, text: str) -> Json:
        whole = _PLACEHOLDER.fullmatch(text)
        return self.look_up(whole[1])[0] if whole else self.text(text, str)

    def text(self, text: str, quote: Callable[[str], str]) -> str:
        return _PLACEHOLDER.sub(lambda match: quote(self.look_up(match[1])[1]), text)

    def look_up(self, name: str) -> tuple[Json, str]:
        """The value of a placeholder and its text; it is charged for its text either way."""
        value = self.find(name.strip())
        if too_deep(value):
            raise _error(f"{_shown(name.strip())} {TOO_DEEP}")
        text = (
            value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        )
        self.room -= len(text)
        if self.room < 0:
            raise _error(f"the placeholders put in more than {MAX_FILLED} characters")
        return value, text

    def find(self, name: str) -> Json:
        if name.startswith(_SECRET):
            return self.secret(name.removeprefix(_SECRET))
        return _look_up(name, self.scope)


def _look_up(name: str, scope: Mapping[str, Json]) -> Json:
    root, *path = name.split(".")
    if root not in ROOTS or root not in scope:
        raise _error(f"{_shown(name)} is unknown; {_roots()}")
    value = scope[root]
    for depth, part in enumerate(path, 1):
        if not _has(value, part):
            where = _cut(".".join([root, *path][:depth]))
            raise _error(f"{_shown(name)} is missing: {where} {_contents(value)}")
        value = value[int(part)] if isinstance(value, list) else cast("dict[str, Json]", value)[part]
    return value


def _has(value: Json, part: str) -> bool:
    if isinstance(value, list):
        return bool(_INDEX.fullmatch(part)) and int(part) < len(value)
    return isinstance(value, dict) and part in value


def _contents(value: Json) -> str:
    if isinstance(value, list):
        return f"is a list of {len(value)}"
    if isinstance(value, dict):
        keys = [_cut(key) for key in list(value)[:_SHOWN_KEYS]]
        more = ["..."] if len(value) > _SHOWN_KEYS else []
        return f"has {', '.join(keys + more)}" if keys else "is empty"
    return "is null" if value is None else "is a single value"


def _strings(value: Json) -> Iterator[str]:
    todo = [value]
    while todo:
        item = todo.pop()
        if isinstance(item, str):
            yield item
        todo.extend(_children(item))


def _children(value: Json) -> list[Json]:
    if isinstance(value, list):
        return value
    return list(value.values()) if isinstance(value, dict) else []


def _roots() -> str:
    return "a placeholder begins with " + ", ".join(ROOTS[:-1]) + f" or {ROOTS[-1]}"


def _shown(name: str) -> str:
    return "{{" + _cut(name) + "}}"


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "..."


def _error(message: str) -> ActionError:
    return ActionError("template", message, permanent=True)
