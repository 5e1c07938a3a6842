"""A letter as text, in each format. What is put in is escaped, and cut where it would be too long."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Mapping

from chalicelib.core.action import Json
from chalicelib.core.delivery import Format
from chalicelib.core.letter import Letter

CUT = "… (cut: the run holds the rest)"

_LABELS = {
    "status": "Status",
    "error": "Error",
    "scheduled_for": "Scheduled for",
    "completed_at": "Completed",
    "run_id": "Run",
}
_MARKDOWN = re.compile(r"([\\`*_\[\]<>~|])")
_MENTION = re.compile(r"(?<=<)(?=[!@#])|(?<=@)(?=everyone|here|channel|all)")
_APART = "\u200b"  # a space of no width: what would call people is text


def title(letter: Letter) -> str:
    """One line of at most 200 characters."""
    return " ".join(letter.subject.split())[:200]


def body(letter: Letter, limit: int, form: Format | None = None) -> str:
    """The letter in its format, or in `form`; at most `limit` bytes of UTF-8."""
    write = _WRITERS[form or letter.format]
    content = _content(letter.facts)
    text, kept = write(letter.facts, content), len(content)
    while (size := len(text.encode())) > limit and kept:
        kept = min(kept - 1, kept * limit // size)
        text = write(letter.facts, content[:kept] + CUT)
    return _cut(text, limit)


def _content(facts: Mapping[str, Json]) -> str:
    """The part of a letter that may be long."""
    value = facts["text"] if "text" in facts else facts.get("output")
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value, ensure_ascii=False, indent=2)


def _rows(facts: Mapping[str, Json]) -> list[tuple[str, str]]:
    return [(label, str(facts[name])) for name, label in _LABELS.items() if facts.get(name) is not None]


def _text(facts: Mapping[str, Json], content: str) -> str:
    rows = "\n".join(f"{label}: {value}" for label, value in _rows(facts))
    return "\n\n".join(filter(None, (rows, content)))


def _markdown(facts: Mapping[str, Json], content: str) -> str:
    rows = "\n".join(f"**{label}:** {_escaped(value)}  " for label, value in _rows(facts))
    return "\n\n".join(filter(None, (rows, _fenced(_MENTION.sub(_APART, content)))))


def _escaped(text: str) -> str:
    return _MARKDOWN.sub(r"\\\1", _MENTION.sub(_APART, " ".join(text.split())))


def _fenced(content: str) -> str:
    """As code, between fences that are longer than any in it."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", content)), default=0))
    return f"{fence}\n{content}\n{fence}" if content else ""


def _html(facts: Mapping[str, Json], content: str) -> str:
    rows = "<br>\n".join(f"<b>{label}:</b> {html.escape(value)}" for label, value in _rows(facts))
    code = f"<pre>{html.escape(content)}</pre>" if content else ""
    return "\n".join(filter(None, (f"<p>{rows}</p>" if rows else "", code)))


def _json(facts: Mapping[str, Json], content: str) -> str:
    """The facts; `content` stands for their output where it is cut."""
    changes: dict[str, Json] = {}
    if content.endswith(CUT):
        changes = {"text": content} if "text" in facts else {"output": content, "truncated": True}
    return json.dumps({**facts, **changes}, ensure_ascii=False, separators=(",", ":"))


_WRITERS: dict[Format, Callable[[Mapping[str, Json], str], str]] = {
    Format.TEXT: _text,
    Format.MARKDOWN: _markdown,
    Format.HTML: _html,
    Format.JSON: _json,
}


def _cut(text: str, limit: int) -> str:
    return text.encode()[:limit].decode(errors="ignore")
