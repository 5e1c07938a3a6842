"""bedrock_model: asks a model by the Converse API; what it says is the output."""

from __future__ import annotations

import logging
from typing import Any

from chalicelib.actions import material
from chalicelib.actions.toolbox import Toolbox
from chalicelib.core.action import Attempt, BedrockModel, Json
from chalicelib.net import aws

log = logging.getLogger(__name__)


def perform(settings: BedrockModel, attempt: Attempt, tools: Toolbox) -> Json:
    answer = aws.call(
        attempt.seconds_left(),
        tools.client("bedrock-runtime").converse,
        modelId=settings.model_id,
        messages=[{"role": "user", "content": [{"text": material.prompt(settings.prompt, attempt)}]}],
        **_options(settings, attempt),
    )
    usage = _usage(answer)
    _record(settings, attempt, tools, usage)
    return {
        "text": _text(answer),
        "stop_reason": answer.get("stopReason"),
        "model_id": settings.model_id,
        "usage": dict(usage),
    }


def _options(settings: BedrockModel, attempt: Attempt) -> dict[str, Any]:
    given = {"maxTokens": settings.max_tokens, "temperature": settings.temperature}
    inference = {name: value for name, value in given.items() if value is not None}
    options: dict[str, Any] = {"inferenceConfig": inference} if inference else {}
    if settings.system:
        options["system"] = [{"text": material.filled_text(settings.system, attempt)}]
    return options


def _text(answer: dict[str, Any]) -> str:
    """What it says; what it thinks before is left out."""
    content = answer.get("output", {}).get("message", {}).get("content", [])
    return "".join(block["text"] for block in content if "text" in block)


def _usage(answer: dict[str, Any]) -> dict[str, int]:
    counted = answer.get("usage", {})
    return {
        "input_tokens": counted.get("inputTokens", 0),
        "output_tokens": counted.get("outputTokens", 0),
    }


def _record(settings: BedrockModel, attempt: Attempt, tools: Toolbox, usage: dict[str, int]) -> None:
    """An answer that was paid for is not lost for a count that fails: asking again is paid for again."""
    facts: dict[str, Json] = {
        "agent_id": attempt.job.get("agent_id"),
        "job_id": attempt.job["id"],
        "run_id": attempt.run["id"],
        "model": settings.model_id,
        **usage,
    }
    try:
        tools.record_usage(facts)
    except Exception:
        log.exception("the tokens of run %s are not counted", attempt.idempotency_key)
