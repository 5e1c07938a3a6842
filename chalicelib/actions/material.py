"""What an action sends: its settings with the placeholders filled, or else the run itself."""

from __future__ import annotations

import json
from collections.abc import Mapping

from chalicelib.core import template
from chalicelib.core.action import Attempt, Json
from chalicelib.core.errors import ActionError


def scope(attempt: Attempt) -> Mapping[str, Json]:
    """What placeholders can name."""
    return {"job": dict(attempt.job), "run": dict(attempt.run), "input": attempt.input}


def filled(value: Json, attempt: Attempt) -> Json:
    return template.render(value, scope(attempt))


def filled_text(text: str, attempt: Attempt) -> str:
    return template.render_text(text, scope(attempt))


def payload(value: Json, attempt: Attempt) -> Json:
    """`value` with its placeholders filled; where there is none, what the run is about."""
    return about(attempt) if value is None else filled(value, attempt)


def prompt(text: str | None, attempt: Attempt) -> str:
    """`text` with its placeholders filled, or else the job's goal. Raises ActionError for neither."""
    said = attempt.job.get("goal") if text is None else filled_text(text, attempt)
    if not isinstance(said, str) or not said.strip():
        raise ActionError(
            "template", "there is no prompt: give the action a prompt, or the job a goal", permanent=True
        )
    return said


def about(attempt: Attempt) -> Json:
    job_id, _, run_id = attempt.idempotency_key.partition("/")
    return {
        "job_id": job_id,
        "run_id": run_id,
        "name": attempt.job.get("name"),
        "goal": attempt.job.get("goal"),
        "input": attempt.input,
        "scheduled_for": attempt.run.get("scheduled_for"),
        "attempt": attempt.number,
    }


def as_text(value: Json) -> str:
    """A string as it is, anything else as compact JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
