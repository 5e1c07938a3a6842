"""A letter in each format: what is said, what is escaped, what is cut."""

from __future__ import annotations

import html
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from chalicelib.core.delivery import Format
from chalicelib.core.letter import Letter, of_run, of_text
from chalicelib.core.run import Run, RunError, RunStatus, Trigger
from chalicelib.delivery import formats

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
LIMIT = 3500


def letter(form: Format = Format.MARKDOWN, name: str = "Daily digest", **fields: Any) -> Letter:
    known: dict[str, Any] = {
        "job_id": "job_a",
        "run_id": "20261122T120000Z",
        "status": RunStatus.COMPLETED,
        "trigger": Trigger.SCHEDULE,
        "revision": 1,
        "scheduled_for": NOON,
        "created_at": NOON,
        "completed_at": NOON.replace(second=3, microsecond=250_000),
        "output": {"items": 3},
    }
    return of_run(Run(**{**known, **fields}), name, form, NOON)


def test_markdown_has_labels_and_the_output_as_code() -> None:
    assert formats.body(letter(), LIMIT) == (
        "**Status:** completed  \n"
        "**Scheduled for:** 2026-11-22T12:00:00Z  \n"
        "**Completed:** 2026-11-22T12:00:03.250Z  \n"
        "**Run:** 20261122T120000Z  \n"
        "\n"
        '```\n{\n  "items": 3\n}\n```'
    )


def test_text_is_the_same_without_marks() -> None:
    assert formats.body(letter(Format.TEXT, output="All is well."), LIMIT) == (
        "Status: completed\n"
        "Scheduled for: 2026-11-22T12:00:00Z\n"
        "Completed: 2026-11-22T12:00:03.250Z\n"
        "Run: 20261122T120000Z\n"
        "\n"
        "All is well."
    )


def test_json_is_a_stable_object() -> None:
    assert json.loads(formats.body(letter(Format.JSON), LIMIT)) == {
        "job_id": "job_a",
        "job_name": "Daily digest",
        "run_id": "20261122T120000Z",
        "status": "completed",
        "scheduled_for": "2026-11-22T12:00:00Z",
        "completed_at": "2026-11-22T12:00:03.250Z",
        "output": {"items": 3},
        "truncated": False,
        "error": None,
    }


def test_html_is_escaped() -> None:
    body = formats.body(letter(Format.HTML, output="<script>alert(1)</script>"), LIMIT)
    assert "<b>Status:</b> completed<br>" in body
    assert "<pre>&lt;script&gt;alert(1)&lt;/script&gt;</pre>" in body


@pytest.mark.parametrize("form", [*Format])
def test_a_failure_says_why(form: Format) -> None:
    error = RunError(type="http_status", message="POST https://example.com answered 500")
    failed = letter(form, status=RunStatus.FAILED, output=None, error=error)
    assert formats.title(failed) == "Daily digest: failed"
    assert "POST https://example.com answered 500" in formats.body(failed, LIMIT)


def test_markdown_that_is_put_in_stays_text() -> None:
    error = RunError(type="x", message="*bold* [link](http://x) `code`\n# head")
    body = formats.body(letter(status=RunStatus.FAILED, output=None, error=error), LIMIT)
    assert r"**Error:** \*bold\* \[link\](http://x) \`code\` # head" in body


def test_an_output_cannot_end_its_code_block() -> None:
    body = formats.body(letter(output="a\n```\nb ```` c"), LIMIT)
    assert body.endswith("`````\na\n```\nb ```` c\n`````")


def test_an_output_calls_nobody() -> None:
    body = formats.body(letter(output="<!channel> <@U123> @everyone ops@example.com"), LIMIT)
    for call in ("<!channel", "<@U123", "@everyone"):
        assert call not in body
    assert "ops@example.com" in body


@pytest.mark.parametrize("form", [*Format])
@pytest.mark.parametrize("limit", [500, 3500, 20_000])
@pytest.mark.parametrize("unit", ["x", '"', "<&>", "€", "😀", "```"])
def test_what_is_too_long_is_cut_with_a_note(form: Format, limit: int, unit: str) -> None:
    body = formats.body(letter(form, output=unit * 30_000), limit)
    assert limit * 0.8 < len(body.encode()) <= limit
    assert formats.CUT in body
    if form is Format.JSON:
        assert json.loads(body)["truncated"] is True
    if form is Format.HTML:
        assert body.endswith("</pre>")
        assert html.unescape(body).count(unit[0]) > 10
    if form is Format.MARKDOWN:
        assert body.endswith("```")


def test_a_place_for_a_short_message_gets_its_beginning() -> None:
    assert formats.body(letter(Format.TEXT), 40) == "Status: completed\nScheduled for: 2026-11"


def test_a_title_is_one_line_of_bounded_length() -> None:
    assert formats.title(letter(name="n" * 300)) == "n" * 200
    assert formats.title(of_text("k", "two\nlines", "", NOON)) == "two lines"


def test_words_are_sent_as_they_are() -> None:
    assert formats.body(of_text("k", "Expiry", "It ends.\nSoon.", NOON), LIMIT) == "It ends.\nSoon."
