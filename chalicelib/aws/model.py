"""A language model on Bedrock, asked by the Converse API to answer with a schedule."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.core.errors import Unavailable
from chalicelib.core.instants import short_iso

_LIMIT = 10  # seconds for the whole answer
_TOOL = "answer_with_schedule"
_INSTRUCTIONS = (
    "Turn the user's text into one schedule by calling the tool. Cron has five fields. Use `every` for "
    "plain intervals in seconds, `at` for a single instant (ISO 8601 with offset). If the text is no "
    "schedule, or one that cannot be held exactly, call the tool with the reason in `refused` and nothing "
    "else. "
    "It is {now} now; the default zone is {timezone}."
)
_SCHEMA = {
    "type": "object",
    "properties": {
        "type": {"type": "string", "enum": ["cron", "every", "at"]},
        "expression": {"type": "string", "description": "for cron: minute hour day month weekday"},
        "interval": {"type": "integer", "description": "for every: seconds"},
        "datetime": {"type": "string", "description": "for at: ISO 8601"},
        "timezone": {"type": "string", "description": "an IANA name"},
        "refused": {"type": "string", "description": "why the text is no schedule"},
    },
}


def ask(model_id: str, text: str, timezone: str, now: datetime) -> dict[str, Any]:
    """The tool call's arguments: unchecked. Raises Unavailable where the model gives none in time."""
    config = Config(
        connect_timeout=3, read_timeout=_LIMIT, retries={"mode": "standard", "total_max_attempts": 1}
    )
    make: Any = boto3.client
    try:
        answer = make("bedrock-runtime", config=config).converse(
            modelId=model_id,
            system=[{"text": _INSTRUCTIONS.format(now=short_iso(now), timezone=timezone)}],
            messages=[{"role": "user", "content": [{"text": text}]}],
            toolConfig={
                "tools": [{"toolSpec": {"name": _TOOL, "inputSchema": {"json": _SCHEMA}}}],
                "toolChoice": {"tool": {"name": _TOOL}},
            },
            inferenceConfig={"maxTokens": 300, "temperature": 0},
        )
    except (BotoCoreError, ClientError) as error:
        raise Unavailable(f"the model could not be asked: {error}") from None
    return _arguments(answer)


def _arguments(answer: dict[str, Any]) -> dict[str, Any]:
    for block in answer.get("output", {}).get("message", {}).get("content", []):
        given = block.get("toolUse", {}).get("input")
        if isinstance(given, dict):
            return given
    raise Unavailable("the model gave no schedule")
