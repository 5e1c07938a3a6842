"""Placeholders, and what an input may not do with them."""

from __future__ import annotations

import time
from typing import Any

import pytest

from chalicelib.core import template
from chalicelib.core.action import Json
from chalicelib.core.errors import ActionError

SCOPE: dict[str, Json] = {
    "job": {"name": "Daily digest", "tags": ["a", "b"]},
    "run": {"id": "20261122T140000Z", "scheduled_for": "2026-11-22T14:00:00Z"},
    "input": {"a": {"b": 7}, "items": [{"id": 1}, None], "text": "hi", "with-hyphen": True, "": 1},
}


def nested(levels: int) -> Json:
    value: Json = "x"
    for _ in range(levels):
        value = [value]
    return value


def failure(value: Json, scope: dict[str, Json] | None = None) -> ActionError:
    with pytest.raises(ActionError) as caught:
        template.render(value, scope or SCOPE)
    assert caught.value.kind == "template"
    assert caught.value.permanent
    return caught.value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{{input.a.b}}", 7),
        ("{{ input.a.b }}", 7),
        ("{{input.a}}", {"b": 7}),
        ("{{input.items.0.id}}", 1),
        ("{{input.items.1}}", None),
        ("{{input.with-hyphen}}", True),
        ("{{job.name}}", "Daily digest"),
        ("{{job.tags}}", ["a", "b"]),
        ("{{input}}", SCOPE["input"]),
    ],
)
def test_a_string_that_is_one_placeholder_becomes_the_value_with_its_type(text: str, value: Json) -> None:
    assert template.render(text, SCOPE) == value


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("for {{job.name}}!", "for Daily digest!"),
        ("{{input.text}}{{input.text}}", "hihi"),
        (" {{input.a.b}}", " 7"),
        ("a={{input.a}}", 'a={"b":7}'),
        ("{{input.items.1}} and {{input.with-hyphen}}", "null and true"),
        ("{{{input.text}}}", "{hi}"),
        ('{"a":{"b":{{input.a.b}}}}', '{"a":{"b":7}}'),
        ("no {single} or {{ unclosed }", "no {single} or {{ unclosed }"),
    ],
)
def test_inside_a_longer_string_values_are_put_in_as_text(text: str, filled: str) -> None:
    assert template.render(text, SCOPE) == filled


def test_all_strings_of_a_value_are_filled_but_no_keys() -> None:
    value: Json = {"{{job.name}}": ["{{input.text}}", {"x": "{{run.id}}", "n": 1, "z": None, "t": True}]}
    assert template.render(value, SCOPE) == {
        "{{job.name}}": ["hi", {"x": "20261122T140000Z", "n": 1, "z": None, "t": True}]
    }


@pytest.mark.parametrize("text", ["{{input.evil}}", "-{{input.evil}}-"])
def test_what_an_input_brings_is_never_filled_itself(text: str) -> None:
    scope: dict[str, Json] = {"input": {"evil": "{{job.secret}}"}, "job": {"secret": "s"}}
    assert "{{job.secret}}" in str(template.render(text, scope))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{{input.b}}", "{{input.b}} is missing: input has a, items, text, with-hyphen, "),
        ("{{input.a.c}}", "{{input.a.c}} is missing: input.a has b"),
        ("{{input.items.2}}", "{{input.items.2}} is missing: input.items is a list of 2"),
        ("{{input.items.x}}", "input.items is a list of 2"),
        ("{{input.items.-1}}", "input.items is a list of 2"),
        ("{{input.items.²}}", "input.items is a list of 2"),
        ("{{input.items." + "9" * 5000 + "}}", "input.items is a list of 2"),
        ("{{input.text.x}}", "input.text is a single value"),
        ("{{input.items.1.x}}", "input.items.1 is null"),
        ("{{env.PATH}}", "{{env.PATH}} is unknown; a placeholder begins with job, run or input"),
        ("{{secret:TOKEN}}", "cannot have {{secret:TOKEN}}: only an http action's url, headers and body"),
        ("{{}}", "{{}} is unknown"),
        ("{{jobs.name}}", "{{jobs.name}} is unknown"),
        ("{{input.__class__}}", "{{input.__class__}} is missing"),
    ],
)
def test_a_missing_or_unknown_placeholder_is_named_with_what_exists(text: str, said: str) -> None:
    assert said in str(failure(text))
    assert said in str(failure(f"in {text} a text"))


def test_messages_stay_short_whatever_the_input() -> None:
    scope: dict[str, Json] = {"input": {"k" * 5000 + str(i): i for i in range(1000)}}
    assert len(str(failure("{{input." + "p" * 5000 + "}}", scope))) < 2000


def test_unknown_roots_are_found_before_there_is_a_run() -> None:
    value: Json = {"a": ["{{job.name}} {{ env.HOME }}"]}
    assert template.placeholders(value) == {"job.name", "env.HOME"}
    assert "{{env.HOME}}" in str(template.problem(value))
    assert template.problem("{{job.anything}} {{input.x}} {{run.y}}") is None


def test_secrets_are_filled_where_they_are_handed_in_and_nowhere_else() -> None:
    value: Json = {"a": ["{{secret:A.b-1}}", "x {{ secret:B }} {{job.name}}"], "{{secret:C}}": 1}
    assert template.secrets(value) == {"A.b-1", "B"}
    known = {"A.b-1": "{{job.name}}", "B": "{{secret:B}}"}
    assert template.render(value, SCOPE, known.__getitem__) == {
        "a": ["{{job.name}}", "x {{secret:B}} Daily digest"],
        "{{secret:C}}": 1,
    }
    assert template.render_text("{{secret:B}}", SCOPE, str.lower, known.__getitem__) == "{{secret:b}}"
    assert template.render("{{ secret:B }}", SCOPE, template.secret_placeholder) == "{{secret:B}}"


def test_secrets_are_refused_before_there_is_a_run_but_where_they_may_be() -> None:
    assert "cannot have {{secret:A}}: only an http action's" in str(template.problem(["{{ secret:A }}"]))
    assert template.problem_beside_secrets("{{secret:A}} {{job.name}}") is None
    assert "{{env.X}}" in str(template.problem_beside_secrets("{{secret:A}} {{env.X}}"))


@pytest.mark.parametrize("name", ["", "a b", " a", "a:b", "a/b", "a" * 65, "ä"])
def test_what_cannot_be_the_name_of_a_secret_is_refused(name: str) -> None:
    assert "a secret's name has 1 to 64" in str(template.problem_beside_secrets("{{secret:" + name + "}}"))


@pytest.mark.parametrize("levels", [template.MAX_DEPTH + 1, 100_000])
def test_deep_nesting_is_refused_without_recursion(levels: int) -> None:
    assert template.problem(nested(levels)) == template.TOO_DEEP
    assert "nested deeper" in str(failure(nested(levels)))
    scope: dict[str, Json] = {"input": nested(levels)}
    assert "{{input}} is nested deeper" in str(failure("{{input}}", scope))
    assert "{{input}} is nested deeper" in str(failure("text {{input}}", scope))


def test_the_deepest_that_is_allowed_is_filled() -> None:
    value = nested(template.MAX_DEPTH)
    assert template.problem(value) is None
    assert template.render(value, SCOPE) == value


@pytest.mark.parametrize("value", ["{{input}}" * 100_000, ["{{input}}"] * 100_000, ["-{{input}}"] * 100_000])
def test_what_placeholders_put_in_is_bounded(value: Any) -> None:
    began = time.monotonic()
    assert "more than 1048576 characters" in str(failure(value, {"input": ["x" * 100_000]}))
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("text", ["{{" * 300_000, "{{x" * 200_000, "{{" + " " * 500_000, "}}" * 300_000])
def test_odd_texts_take_linear_time(text: str) -> None:
    began = time.monotonic()
    assert template.render(text, SCOPE) == text
    assert time.monotonic() - began < 5


def test_a_text_is_quoted_where_its_place_wants_it() -> None:
    assert template.render_text("/{{input.text}}", SCOPE, str.upper) == "/HI"
