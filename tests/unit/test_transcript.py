"""Transcripts of Claude Code: what their lines come to."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chalicelib.core.sessions import File
from chalicelib.core.transcript import Line, Session, is_active, lines, read

START = datetime(2026, 11, 22, 14, 0, tzinfo=UTC)
ALL = (START - timedelta(days=30), START + timedelta(days=1))


def line(kind: str, message: Any = None, **fields: Any) -> dict[str, Any]:
    """As Claude Code writes it, but for what is not read."""
    return {
        "parentUuid": None,
        "isSidechain": False,
        "userType": "external",
        "cwd": "/home/someone/project",
        "sessionId": "0b9e",
        "version": "2.0.1",
        "gitBranch": "main",
        "type": kind,
        "message": message,
        "uuid": "u",
        "timestamp": "2026-11-22T14:00:00.123Z",
        **fields,
    }


def said(content: Any = "hello", **fields: Any) -> dict[str, Any]:
    return line("user", {"role": "user", "content": content}, **fields)


def answer(
    message_id: str | None = "msg_1", *blocks: str, usage: Any = None, model: str = "claude-x", **fields: Any
) -> dict[str, Any]:
    message: dict[str, Any] = {
        "id": message_id,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [{"type": block} for block in blocks or ("text",)],
    }
    return line("assistant", message if usage is None else {**message, "usage": usage}, **fields)


def usage(given: int = 10, out: int = 5, made: int = 0, read: int = 0) -> dict[str, Any]:
    return {
        "input_tokens": given,
        "output_tokens": out,
        "cache_creation_input_tokens": made,
        "cache_read_input_tokens": read,
        "service_tier": "standard",
    }


def text(*given: Any) -> bytes:
    return b"".join((one if isinstance(one, bytes) else json.dumps(one).encode()) + b"\n" for one in given)


def session(*given: Any) -> Session:
    return read(lines([text(*given)]), *ALL)


def test_a_conversation_is_counted() -> None:
    found = session(
        {"type": "summary", "summary": "A title", "leafUuid": "x"},
        {"type": "file-history-snapshot", "snapshot": {}},
        said(timestamp="2026-11-22T14:00:00.000Z"),
        answer("msg_1", "thinking", usage=usage(10, 5, 100, 1000)),
        answer("msg_1", "tool_use", usage=usage(10, 5, 100, 1000)),
        said([{"type": "tool_result", "tool_use_id": "t", "content": "ok"}]),
        answer("msg_2", "text", "tool_use", usage=usage(1, 2), model="claude-y"),
        line("system", None, content="compacted"),
        said([{"type": "text", "text": "go on"}, {"type": "image"}], gitBranch="feature"),
        answer("msg_3", usage=usage(3, 4), timestamp="2026-11-22T15:16:17.000Z", gitBranch="feature"),
    )
    assert found == Session(
        model="claude-x",
        branch="feature",
        user_messages=2,
        assistant_messages=3,
        tool_uses=2,
        input_tokens=14,
        output_tokens=11,
        cache_tokens=1100,
        first_message="2026-11-22T14:00:00.000Z",
        last_message="2026-11-22T15:16:17.000Z",
        bad_lines=0,
        activity={"2026-11-22T14:00:00.000Z": 2},
    )


def test_the_usage_of_a_message_that_grows_from_line_to_line_is_its_last_one() -> None:
    found = session(
        answer("msg_1", usage=usage(10, 1)),
        answer("msg_2", usage=usage(1, 1)),
        answer("msg_1", usage=usage(10, 300)),
    )
    assert (found.assistant_messages, found.input_tokens, found.output_tokens) == (2, 11, 301)


def test_messages_without_an_id_are_each_counted() -> None:
    assert session(answer(None), answer(None)).assistant_messages == 2


@pytest.mark.parametrize("mark", ["isSidechain", "isMeta", "isCompactSummary"])
def test_what_a_program_says_is_no_users_message(mark: str) -> None:
    found = session(said(**{mark: True}), said(**{mark: False}))
    assert (found.user_messages, found.bad_lines) == (1, 0)


def test_a_made_up_model_is_no_model() -> None:
    assert session(answer("a"), answer("b", model="<synthetic>")).model == "claude-x"


BAD: list[Any] = [
    b"not json",
    b'{"type": "user"',
    b"[1]",
    b'"text"',
    b"\xff\xfe{}",
    b"[" * 100_000,
    b'{"type": "assistant", "n": ' + b"9" * 5000 + b"}",
    line("user", None),
    line("user", {"content": None}),
    line("user", {"content": ["text"]}),
    line("user", {"content": [{"type": 1}]}),
    said(timestamp=None),
    said(timestamp="yesterday"),
    said(timestamp=1763820000),
    answer("bad", usage={"input_tokens": "many"}),
    answer("bad", usage={"input_tokens": -1}),
    answer("bad", usage={"output_tokens": 10**15}),
    answer("bad", usage=[1]),
]


@pytest.mark.parametrize("bad", BAD, ids=range(len(BAD)))
def test_a_bad_line_is_counted_and_the_others_are_read(bad: Any) -> None:
    found = session(said(), bad, answer(usage=usage()))
    assert found.bad_lines == 1
    found.bad_lines = 0
    assert found == session(said(), answer(usage=usage()))


def test_names_are_cut_and_can_be_stored() -> None:
    found = session(said(gitBranch="b" * 1000), answer(model="m\ud800"))
    assert found.branch == "main"
    assert session(said(gitBranch="b" * 1000)).branch == "b" * 200
    assert found.model == "m?"


def test_a_torn_last_line_is_not_bad_and_a_whole_one_without_its_end_counts() -> None:
    whole = text(said(), said())
    torn = read(lines([whole[:-20]]), *ALL)
    assert (torn.user_messages, torn.bad_lines) == (1, 0)
    assert read(lines([whole[:-1]]), *ALL).user_messages == 2


def test_lines_come_whole_however_the_chunks_are_cut() -> None:
    data = text(said("ä"), b"", said("ö\r"), answer())[:-1]
    expected = [*lines([data])]
    assert [line.ended for line in expected] == [True, True, True, False]
    for size in (1, 2, 3, 7, 64):
        assert [*lines(data[i : i + size] for i in range(0, len(data), size))] == expected


def test_a_line_that_is_too_long_is_bad_and_is_not_held() -> None:
    chunks = [b"x" * 6, b"x" * 6, b"\nshort\n", b"y" * 11]
    assert [*lines(chunks, limit=10)] == [Line(None, True), Line(b"short", True), Line(None, False)]
    assert [*lines([b"x" * 11 + b"\n" + b"x" * 10 + b"\n"], limit=10)] == [
        Line(None, True), Line(b"x" * 10, True),
    ]  # fmt: skip


def test_activity_is_of_the_time_that_was_asked_for() -> None:
    given = [
        said(timestamp=at)
        for at in ("2026-10-01T00:00:00Z", "2026-11-22T13:59:59Z", "2026-11-22T14:14:59+00:00",
                   "2026-11-22T16:20:00+02:00", "2026-11-24T00:00:00Z")
    ]  # fmt: skip
    assert session(*given).activity == {
        "2026-11-22T13:45:00.000Z": 1,
        "2026-11-22T14:00:00.000Z": 1,
        "2026-11-22T14:15:00.000Z": 1,
    }
    assert session(*given).user_messages == 5


def test_active_is_a_message_of_the_last_fifteen_minutes() -> None:
    assert is_active("2026-11-22T13:45:00.000Z", START)
    assert not is_active("2026-11-22T13:44:59.999Z", START)
    assert not is_active("8999-01-01T00:00:00.000Z", START)
    assert not is_active(None, START)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("-home-me-project/0b9e.jsonl", True),
        ("0b9e.jsonl", False),
        ("project/.jsonl", False),
        ("/0b9e.jsonl", False),
        ("project/notes.md", False),
        ("project/session/subagents/agent-1.jsonl", False),
        ("project/directory.jsonl/", False),
        (f"project/{'x' * 1000}.jsonl", False),
        ("project/\udcff.jsonl", False),
    ],
)
def test_a_transcript_is_known_by_its_path(path: str, expected: bool) -> None:
    assert File(path, 1, "x").is_transcript is expected
