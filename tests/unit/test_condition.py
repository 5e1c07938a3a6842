"""Conditions: what they may say, and what they decide."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core.condition import check, judge


@pytest.mark.parametrize(
    ("expression", "output", "holds"),
    [
        ("price_change_pct > 0.05", {"price_change_pct": 0.07}, True),
        ("price_change_pct > 0.05", {"price_change_pct": 0.01}, False),
        ("a and not b", {"a": 1, "b": 0}, True),
        ("a + b * 2 == 7", {"a": 1, "b": 3}, True),
        ("status == 'red' or errors >= 10", {"status": "green", "errors": 12}, True),
        ("'x' in text", {"text": "a box"}, True),
        ("ok == true", {"ok": True}, True),
        ("0 < n < 10", {"n": 5}, True),
    ],
)
def test_a_condition_reads_the_fields_of_the_output(
    expression: str, output: dict[str, object], holds: bool
) -> None:
    verdict = judge(expression, output)  # type: ignore[arg-type]
    assert verdict.holds is holds
    assert expression in verdict.reason


def test_the_reason_names_what_was_read() -> None:
    assert judge("pct > 0.05", {"pct": 0.07}).reason == "pct > 0.05 is true for pct = 0.07"


@pytest.mark.parametrize("output", [{}, None, "text", 5, [1]])
def test_a_missing_name_is_false_and_the_reason_says_so(output: object) -> None:
    verdict = judge("pct > 0.05", output)  # type: ignore[arg-type]
    assert verdict == (False, "the output has no pct")


@pytest.mark.parametrize(
    ("expression", "output"),
    [
        ("a / b > 1", {"a": 1, "b": 0}),
        ("a > 1", {"a": "x"}),
        ("a * b > 1", {"a": "x", "b": 10**9}),
        ("'%999999999d' % a", {"a": 1}),
        ("a % b", {"a": "%999999999d", "b": 1}),
    ],
)
def test_what_cannot_be_evaluated_is_false_and_says_why(expression: str, output: dict[str, object]) -> None:
    verdict = judge(expression, output)  # type: ignore[arg-type]
    assert verdict.holds is False
    assert "cannot be evaluated" in verdict.reason


@pytest.mark.parametrize(
    "expression",
    ["f(1)", "a.b", "a[0]", "lambda: 1", "2 ** 10 ** 9", "[1, 2]", "{}", "a if b else c", "a; b", "a = 1",
     "", "(" * 200, "not " * 200 + "a", "a > " + "1" * 2000, "f'{a}'", "b'x'", "...", "1j",
     "__import__('os')", "a\nb", "a := 1"],
)  # fmt: skip
def test_nothing_else_is_a_condition(expression: str) -> None:
    with pytest.raises(ValueError, match=r"is|has|nests"):
        check(expression)


@given(st.text(max_size=200))
def test_any_text_is_a_condition_or_refused(text: str) -> None:
    try:
        check(text)
    except ValueError:
        return
    judge(text, {"a": 1})
