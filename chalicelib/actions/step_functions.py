"""step_functions: starts an execution and waits for its end; stops it on cancel and when time is up."""

from __future__ import annotations

import hashlib
import json
import time
from contextlib import suppress
from typing import Any

from chalicelib.actions import material
from chalicelib.actions.toolbox import Toolbox
from chalicelib.core.action import Attempt, Json, StepFunctions, plain
from chalicelib.core.errors import ActionError
from chalicelib.net import aws

STOP_SECONDS = 5.0
UNDER_WAY = ("RUNNING", "PENDING_REDRIVE")


def perform(settings: StepFunctions, attempt: Attempt, tools: Toolbox) -> Json:
    client = tools.client("stepfunctions")
    execution = _start(client, settings, attempt)
    try:
        end = _wait(client, execution, settings.poll_seconds, attempt)
    except ActionError as error:  # whatever it was: the next attempt must not run beside this one
        _stop(client, execution, error)
        raise
    if end["status"] != "SUCCEEDED":
        raise _failed(end)
    return _output(end.get("output"))


def execution_name(attempt: Attempt) -> str:
    """The same for the same attempt, so that starting it twice is starting it once. 71 characters."""
    named = f"{attempt.idempotency_key}#{attempt.number}"
    return "belfry-" + hashlib.sha256(named.encode()).hexdigest()


def _start(client: Any, settings: StepFunctions, attempt: Attempt) -> str:
    name = execution_name(attempt)
    try:
        started = aws.call(
            attempt.seconds_left(),
            client.start_execution,
            stateMachineArn=settings.state_machine_arn,
            name=name,
            input=json.dumps(material.payload(settings.input, attempt)),
        )
    except ActionError as error:
        if error.kind != "ExecutionAlreadyExists":
            raise
        return _execution_arn(settings.state_machine_arn, name)
    return str(started["executionArn"])


def _execution_arn(machine: str, name: str) -> str:
    """`arn:aws:states:<region>:<account>:stateMachine:<machine>[:<version>]` -> the execution's."""
    parts = machine.split(":")
    return ":".join([*parts[:5], "execution", parts[6], name])


def _wait(client: Any, execution: str, poll_seconds: float, attempt: Attempt) -> dict[str, Any]:
    while True:
        state: dict[str, Any] = aws.call(
            attempt.seconds_left(), client.describe_execution, executionArn=execution
        )
        if state["status"] not in UNDER_WAY:
            return state
        if attempt.is_cancelled():
            raise ActionError("cancelled", "the run was cancelled, and the execution stopped", permanent=True)
        time.sleep(max(0.0, min(poll_seconds, attempt.seconds_left())))


def _stop(client: Any, execution: str, reason: ActionError) -> None:
    with suppress(ActionError):  # the reason to stop is what is reported
        aws.call(
            STOP_SECONDS,
            client.stop_execution,
            executionArn=execution,
            error=f"Belfry.{reason.kind}"[:256],
            cause=str(reason),
        )


def _failed(end: dict[str, Any]) -> ActionError:
    kind = end.get("error") or end["status"]
    cause = end.get("cause") or "no cause given"
    return ActionError(kind, f"the execution {end['name']} ended {end['status']}: {kind}: {cause}")


def _output(text: str | None) -> Json:
    try:
        return plain(json.loads(text)) if text else None
    except (ValueError, RecursionError):
        return text
