"""Conditions: an expression over a JSON output that decides whether a run or its delivery goes ahead.

Names, numbers, text, arithmetic, comparison, `and`, `or`, `not` and brackets; nothing else. A name is a
field of the output; one that is not there makes the condition false, with that as the reason.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any, NamedTuple

from chalicelib.core.action import Json

LONGEST = 1000  # characters
_DEEPEST = 50  # nested operations

_ALLOWED: tuple[type[ast.AST], ...] = (
    ast.Expression, ast.Name, ast.Load, ast.Constant,
    ast.BinOp, ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod,
    ast.UnaryOp, ast.UAdd, ast.USub, ast.Not,
    ast.BoolOp, ast.And, ast.Or,
    ast.Compare, ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.In, ast.NotIn,
)  # fmt: skip
_WANTED = "use names, numbers, text, arithmetic, comparisons, and, or, not"
_CONSTANTS = {"true": True, "false": False, "null": None}


class Verdict(NamedTuple):
    holds: bool
    reason: str


def check(expression: str) -> str:
    """The expression. Raises ValueError, with a sentence, for what is no condition."""
    if len(expression) > LONGEST:
        raise ValueError(f"is longer than {LONGEST} characters")
    try:
        tree = ast.parse(expression.strip(), mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise ValueError("is no expression such as price_change_pct > 0.05") from None
    if _depth(tree) > _DEEPEST:
        raise ValueError(f"nests more than {_DEEPEST} operations")
    for node in ast.walk(tree):
        if not isinstance(node, _ALLOWED):
            raise ValueError(f"has {_named(node)}; {_WANTED}")
        if isinstance(node, ast.Constant) and not isinstance(node.value, bool | int | float | str | None):
            raise ValueError("has a value that is no number and no text")
    return expression


def judge(expression: str, output: Json) -> Verdict:
    """Whether the condition holds for the output, and why."""
    from simpleeval import (  # only jobs with a condition need it
        DEFAULT_OPERATORS,
        InvalidExpression,
        NameNotDefined,
        SimpleEval,
    )

    fields = dict(output) if isinstance(output, Mapping) else {}
    operators = {**DEFAULT_OPERATORS, ast.Mod: _remainder}
    evaluator = SimpleEval(operators=operators, names={**_CONSTANTS, **fields}, functions={})
    try:
        value = evaluator.eval(check(expression))
    except NameNotDefined as missing:
        return Verdict(False, f"the output has no {missing.name}")
    except (InvalidExpression, ValueError, TypeError, ArithmeticError, RecursionError) as error:
        return Verdict(False, f"{expression} cannot be evaluated: {str(error)[:200]}")
    outcome = "true" if value else "false"
    return Verdict(bool(value), f"{expression} is {outcome} for {_used(expression, fields)}")


def _remainder(left: Any, right: Any) -> Any:
    """Of numbers only: of a text, % is a format, and "%999999999d" fills the memory."""
    if isinstance(left, str):
        raise TypeError("% is for numbers")
    return left % right


def _used(expression: str, fields: Mapping[str, Json]) -> str:
    """`price_change_pct = 0.07`: the fields that the expression reads."""
    nodes = ast.walk(ast.parse(expression.strip(), mode="eval"))
    names = dict.fromkeys(node.id for node in nodes if isinstance(node, ast.Name))
    shown = [f"{name} = {str(fields[name])[:50]}" for name in names if name in fields]
    return ", ".join(shown) or "any output"


def _depth(tree: ast.AST) -> int:
    """How deep the tree is, without recursion."""
    deepest, todo = 0, [(tree, 0)]
    while todo:
        node, depth = todo.pop()
        deepest = max(deepest, depth)
        todo += [(child, depth + 1) for child in ast.iter_child_nodes(node)]
    return deepest


_NAMES = {ast.Call: "a call", ast.Attribute: "an attribute", ast.Lambda: "a lambda", ast.Pow: "a power"}


def _named(node: ast.AST) -> str:
    return _NAMES.get(type(node), f"a {type(node).__name__.lower()}")
