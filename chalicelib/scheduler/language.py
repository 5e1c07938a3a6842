"""Schedules in words: the grammar first, then, where a deployment names one, a language model."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from chalicelib.core import natural
from chalicelib.core.advice import odd_wall_time, warnings
from chalicelib.core.errors import Invalid, Unavailable
from chalicelib.core.instants import parse_instant
from chalicelib.core.job import AtSpec, ScheduleSpec, checked_schedule, parsed
from chalicelib.scheduler.engine import Engine

_MODEL_CONFIDENCE = 0.7  # its answer is checked to be a schedule, not to be the one that was meant


@dataclass(frozen=True)
class Understood:
    schedule: dict[str, Any]
    human_readable: str
    confidence: float
    method: str  # regex (the grammar) or llm
    assumptions: tuple[str, ...]


def understand(engine: Engine, text: str, timezone: str, now: datetime) -> Understood:
    """The schedule that `text` says. Raises Invalid("text") with what was understood and what was not."""
    try:
        parsed = natural.parse(text, now=now, timezone=timezone)
    except Invalid as refusal:
        model_id = engine.settings()["nl.model_id"]
        if not model_id or refusal.details[0].field != "text":
            raise
        return _asked(engine, model_id, text, timezone, now, refusal)
    described = natural.describe(parsed.schedule)
    return Understood(parsed.schedule, described, parsed.confidence, "regex", parsed.assumptions)


def _asked(
    engine: Engine, model_id: str, text: str, timezone: str, now: datetime, refusal: Invalid
) -> Understood:
    """The model's answer, if it is a schedule that a job could have."""
    issue = refusal.details[0].issue
    try:
        answer = engine.ask_model(model_id, text, timezone, now)
        if answer.get("refused"):
            raise Unavailable(f"the model refuses: {str(answer['refused'])[:200]}")
        spec = checked_schedule({"timezone": timezone} | {k: v for k, v in answer.items() if k != "refused"})
        _require_future(spec, now)
    except (Invalid, Unavailable) as error:
        raise Invalid.one("text", f"{issue} ({error})") from None
    schedule = spec.model_dump(exclude_none=True)
    said = ("read by a language model; check it before you rely on it",)
    return Understood(schedule, natural.describe(schedule), _MODEL_CONFIDENCE, "llm", said)


def _require_future(spec: ScheduleSpec, now: datetime) -> None:
    if isinstance(spec, AtSpec) and parse_instant(spec.datetime) <= now:
        raise Invalid.one("datetime", f"{spec.datetime} has passed")


@dataclass(frozen=True)
class Validated:
    """A schedule that a job could have, or why not."""

    error: str | None = None
    next_runs: tuple[datetime, ...] = ()
    human_readable: str = ""
    warnings: tuple[str, ...] = ()


_VALUES = {"cron": "expression", "every": "interval", "at": "datetime"}


def validate(kind: str, value: str, timezone: str, count: int, start: datetime, now: datetime) -> Validated:
    """Whether `value` is a schedule of that kind, and its next `count` runs strictly after `start`."""
    given: str | int = int(value) if kind == "every" and value.isascii() and value.isdigit() else value
    try:
        spec = checked_schedule({"type": kind, _VALUES[kind]: given, "timezone": timezone})
        _require_future(spec, min(start, now))
    except Invalid as error:
        return Validated(error="; ".join(issue for _, issue in error.details))
    schedule = parsed(spec, start.replace(microsecond=0))
    slots: list[datetime] = []
    while len(slots) < count and (slot := schedule.next(slots[-1] if slots else start)):
        slots.append(slot)
    described = natural.describe(spec.model_dump(exclude_none=True))
    said = [*warnings(schedule, start), *(odd_wall_time(value, schedule.zone) if kind == "at" else ())]
    return Validated(None, tuple(slots), described, tuple(said))
