"""What callers send, read strictly: JSON into models, and what is wrong of it named by its field."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from chalicelib.core.action import KINDS
from chalicelib.core.errors import BadRequest, Detail, Invalid

Model = TypeVar("Model", bound=BaseModel)


def parse_object(raw: bytes) -> dict[str, Any]:
    """A JSON object, strictly: no NaN, no number beyond a float, no text that UTF-8 cannot hold."""
    try:
        value = json.loads(raw, parse_constant=_refuse, parse_float=_finite)
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"the body is not JSON: {str(error)[:200]}") from None
    if not isinstance(value, dict):
        raise BadRequest("the body must be a JSON object")
    return value


def _refuse(text: str) -> Any:
    raise ValueError(f"{text} is no JSON")


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError(f"{text} is too large a number")
    return number


def validated(model: type[Model], value: Any) -> Model:
    """The value as the model. Raises Invalid with every wrong field and what is wanted."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise Invalid(*(detail for problem in error.errors() for detail in _details(problem))) from None


def _details(problem: Mapping[str, Any]) -> list[Detail]:
    place = _place(problem["loc"])
    cause = problem.get("ctx", {}).get("error")
    if isinstance(cause, Invalid):
        return [Detail(".".join(filter(None, (place, field))), issue) for field, issue in cause.details]
    return [_detail(place, problem)]


def _detail(place: str, problem: Mapping[str, Any]) -> Detail:
    match problem["type"]:
        case "missing":
            return Detail(place, "is required")
        case "extra_forbidden":
            return Detail(place, "is no field that is known here")
        case "union_tag_not_found":
            return Detail(f"{place}.type", "is required")
        case "union_tag_invalid":
            return Detail(f"{place}.type", f"should be one of {problem['ctx']['expected_tags']}")
        case "model_type" | "model_attributes_type" | "dict_type":
            return Detail(place or "body", "should be an object")
    return Detail(place or "body", _SUBJECT.sub("", str(problem["msg"])))


_SUBJECT = re.compile("^(Value error, |(Input|String|List|Dictionary) (?=should ))")  # not the field's


def _place(loc: Sequence[str | int]) -> str:
    """`schedule.interval` of ("schedule", "every", "interval"): the tag of a union is no field."""
    before = ["schedule" if len(loc) > 1 else None, *loc]  # the body itself may be a union
    return ".".join(
        str(part) for i, part in enumerate(loc) if not (before[i] in ("schedule", "action") and part in _TAGS)
    )


_TAGS = frozenset({"cron", "every", "at", *KINDS})
