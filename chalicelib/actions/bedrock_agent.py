"""bedrock_agent: asks an agent of Bedrock and waits for the end of what it says."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from botocore.eventstream import ParserError
from botocore.exceptions import EventStreamError
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

from chalicelib.actions import material
from chalicelib.actions.toolbox import Toolbox
from chalicelib.core.action import Attempt, BedrockAgent, Json, session_problem
from chalicelib.core.errors import ActionError
from chalicelib.net import aws

PERMANENT = frozenset({"accessDeniedException", "resourceNotFoundException", "validationException"})
"""Exceptions within the stream that would come again; all others may pass."""


def perform(settings: BedrockAgent, attempt: Attempt, tools: Toolbox) -> Json:
    session = _session(settings, attempt)
    text = aws.call(
        attempt.seconds_left(),
        _invoke(tools.client("bedrock-agent-runtime").invoke_agent),
        agentId=settings.agent_id,
        agentAliasId=settings.agent_alias_id,
        sessionId=session,
        inputText=material.prompt(settings.prompt, attempt),
    )
    return {"text": text, "session_id": session}


def session_of(key: str) -> str:
    """The idempotency key as the id of a session, which has no slash and at most 100 characters."""
    return key.replace("/", ":") if len(key) <= 100 else hashlib.sha256(key.encode()).hexdigest()


def _session(settings: BedrockAgent, attempt: Attempt) -> str:
    if settings.session_id is None:
        return session_of(attempt.idempotency_key)
    session = material.filled_text(settings.session_id, attempt)
    if issue := session_problem(session):
        raise ActionError("template", f"session_id: {issue}", permanent=True)
    return session


def _invoke(operation: Callable[..., Any]) -> Callable[..., str]:
    """The invocation with its stream read, so that both are waited for together."""

    def invoke(**parameters: Any) -> str:
        stream = operation(**parameters)["completion"]
        try:
            return b"".join(map(_bytes, stream)).decode(errors="replace")
        except EventStreamError as error:
            raise _stream_error(error) from error
        except (HTTPError, ParserError, ResponseParserError) as error:
            raise ActionError(
                "connection", f"the agent's answer broke off ({type(error).__name__})"
            ) from error
        finally:
            stream.close()

    return invoke


def _bytes(event: dict[str, Any]) -> bytes:
    """What an event adds to the text; traces and files add nothing."""
    if "returnControl" in event:
        message = "the agent hands back control for an action, and Belfry carries none out"
        raise ActionError("return_control", message, permanent=True)
    return bytes(event.get("chunk", {}).get("bytes", b""))


def _stream_error(error: EventStreamError) -> ActionError:
    said: Any = error.response.get("Error", {})
    code = said.get("Code") or "Unknown"
    kind = code[:1].upper() + code[1:]
    message = f"the agent failed with {kind}: {said.get('Message') or 'no reason given'}"
    return ActionError(kind, message, permanent=code in PERMANENT)
