"""Transcripts of Claude Code: a JSON object a line, read as a stream into a session's figures.

The format is not documented; this is what its lines look like. `type` is user, assistant or another, which is
passed over. An assistant's message has a line for each block of its content; they repeat its id, and its
usage, which may grow. Results of tools, and what is said to a subagent (`isSidechain`) or by the program
itself (`isMeta`, `isCompactSummary`), stand in user lines, and are no user's messages.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from chalicelib.core.insight import bucket
from chalicelib.core.instants import from_iso, iso, parse_instant

MAX_FILE = 50 * 1024 * 1024
MAX_LINE = 8 * 1024 * 1024
ACTIVE = timedelta(minutes=15)
_MAX_TEXT = 200  # characters of a model's or branch's name
_IDS = 1000  # messages whose usage may still grow
_NOT_SAID = ("isSidechain", "isMeta", "isCompactSummary")


class Line(NamedTuple):
    """A line without its end. `data` is None where it is too long to be looked at."""

    data: bytes | None
    ended: bool  # false for the last one, if it has no end: it may be half written


def lines(chunks: Iterable[bytes], limit: int = MAX_LINE) -> Iterator[Line]:
    """The lines of a file that comes in chunks, with no more than one of them held."""
    held, too_long = bytearray(), False
    for chunk in chunks:
        *ends, rest = chunk.split(b"\n")
        for end in ends:
            too_long = too_long or len(held) + len(end) > limit
            yield Line(None if too_long else bytes(held + end), ended=True)
            held, too_long = bytearray(), False
        too_long = too_long or len(held) + len(rest) > limit
        if too_long:
            held = bytearray()
        else:
            held += rest
    if held or too_long:
        yield Line(None if too_long else bytes(held), ended=False)


class _Usage(NamedTuple):
    """Tokens. Those read from and written to the cache are counted apart from the input."""

    input: int = 0
    output: int = 0
    cache: int = 0


@dataclass
class Session:
    """What is kept of a session. Times are ISO text, None before the first message."""

    model: str | None = None
    branch: str | None = None
    user_messages: int = 0
    assistant_messages: int = 0
    tool_uses: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_tokens: int = 0
    first_message: str | None = None
    last_message: str | None = None
    bad_lines: int = 0
    activity: dict[str, int] = field(default_factory=dict)  # user messages by the quarter of an hour

    def as_record(self) -> dict[str, Any]:
        return asdict(self)


def is_active(last_message: str | None, now: datetime) -> bool:
    return last_message is not None and abs(now - from_iso(last_message)) <= ACTIVE


def read(given: Iterable[Line], since: datetime, until: datetime) -> Session:
    """A session's figures. Activity is that of user messages from `since` to `until`."""
    session, reader = Session(), _Reader()
    for line in given:
        try:
            _add(session, reader, line.data)
        except (ValueError, TypeError, RecursionError):
            session.bad_lines += line.ended
    session.activity = {
        iso(at): number for at, number in sorted(reader.said.items()) if bucket(since) <= at <= until
    }
    return session


@dataclass
class _Reader:
    """What is remembered while a file is read."""

    usages: dict[str, _Usage] = field(default_factory=dict)  # by message, the latest ones
    said: Counter[datetime] = field(default_factory=Counter)


def _add(session: Session, reader: _Reader, data: bytes | None) -> None:
    """Raises ValueError, TypeError or RecursionError where the line is bad; then it counts for nothing."""
    if data is None:
        raise ValueError("too long")
    if not data.strip():
        return
    line = _object(json.loads(data))
    if line.get("type") not in ("user", "assistant"):
        return
    at = parse_instant(_text(line.get("timestamp")))
    message = _object(line.get("message"))
    blocks = _blocks(message.get("content"))
    if line["type"] == "user":
        if not _is_said(line, blocks):
            return
        session.user_messages += 1
        reader.said[bucket(at)] += 1
    else:
        _add_assistant(session, reader, message, blocks)
    session.branch = _name(line.get("gitBranch")) or session.branch
    session.first_message = min(session.first_message or iso(at), iso(at))
    session.last_message = max(session.last_message or iso(at), iso(at))


def _is_said(line: dict[str, Any], blocks: list[str]) -> bool:
    """Whether a user has said it."""
    return any(kind != "tool_result" for kind in blocks) and not any(line.get(name) for name in _NOT_SAID)


def _add_assistant(session: Session, reader: _Reader, message: dict[str, Any], blocks: list[str]) -> None:
    known, usage = reader.usages, _usage(message.get("usage"))
    message_id = _name(message.get("id")) or f"message {session.assistant_messages}"
    before = known.pop(message_id, None)
    if before is None:
        session.assistant_messages += 1
        before = _Usage()
    counted = _Usage(*map(max, usage, before))
    known[message_id] = counted
    if len(known) > _IDS:
        del known[next(iter(known))]
    session.input_tokens += counted.input - before.input
    session.output_tokens += counted.output - before.output
    session.cache_tokens += counted.cache - before.cache
    session.tool_uses += blocks.count("tool_use")
    model = _name(message.get("model"))
    session.model = model if model and model != "<synthetic>" else session.model


def _usage(value: Any) -> _Usage:
    given = _object(value or {})
    cache = _tokens(given.get("cache_creation_input_tokens")) + _tokens(given.get("cache_read_input_tokens"))
    return _Usage(_tokens(given.get("input_tokens")), _tokens(given.get("output_tokens")), cache)


def _tokens(value: Any) -> int:
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 10**12:
        raise ValueError("no count of tokens")
    return value


def _blocks(content: Any) -> list[str]:
    """The types of a message's blocks; text alone is one block."""
    if isinstance(content, str):
        return ["text"]
    if not isinstance(content, list):
        raise TypeError("no content")
    return [_text(_object(block).get("type")) for block in content]


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError("no object")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("no text")
    return value


def _name(value: Any) -> str | None:
    """A short text that UTF-8 can hold."""
    return value[:_MAX_TEXT].encode(errors="replace").decode() if isinstance(value, str) else None
