"""Step Functions: one STANDARD state machine a chain, its executions, and the reports of their nodes."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from functools import cached_property
from typing import Any

from botocore.exceptions import ClientError

from chalicelib.core.asl import definition
from chalicelib.core.chain import Chain

# A token is good once. It is spent, or its execution has ended or was stopped: there is nobody to report to.
_SPENT = {"TaskTimedOut", "TaskDoesNotExist", "InvalidToken"}

_GONE = {"StateMachineDoesNotExist", "StateMachineDeleting"}
_STATUSES = {
    "RUNNING": "running",
    "PENDING_REDRIVE": "running",
    "SUCCEEDED": "completed",
    "ABORTED": "cancelled",
}

log = logging.getLogger(__name__)


class Workflows:
    """`role` lets the machines send to the runs queue; `log_group` is theirs, if there is one (an ARN)."""

    def __init__(self, client: Callable[[], Any], queue_url: str, role: str, log_group: str) -> None:
        self._make, self._queue_url, self._role, self._log_group = client, queue_url, role, log_group

    @cached_property
    def _client(self) -> Any:
        """Made when it is first used: most invocations have nothing to do with chains."""
        return self._make()

    def definition(self, chain: Chain) -> dict[str, Any]:
        """The chain in Amazon States Language."""
        return definition(chain, self._queue_url)

    def create(self, chain: Chain) -> str:
        """The chain's state machine, named by its id and revision; gives its ARN."""
        machine: dict[str, Any] = {
            "name": f"{chain.chain_id}-{chain.revision}",
            "definition": json.dumps(self.definition(chain)),
            "roleArn": self._role,
            "type": "STANDARD",
            "tracingConfiguration": {"enabled": True},
        }
        if self._log_group:
            destination = {"cloudWatchLogsLogGroup": {"logGroupArn": self._log_group}}
            machine["loggingConfiguration"] = {
                "level": "ALL",
                "includeExecutionData": False,  # it holds task tokens
                "destinations": [destination],
            }
        arn: str = self._client.create_state_machine(**machine)["stateMachineArn"]
        return arn

    def delete(self, machine_arn: str) -> None:
        """Executions in progress go on to their end."""
        self._client.delete_state_machine(stateMachineArn=machine_arn)

    def start(self, machine_arn: str, name: str, start_input: dict[str, Any]) -> bool:
        """Starts the execution of that name, if it has not been started; false if there is no machine."""
        try:
            self._client.start_execution(
                stateMachineArn=machine_arn, name=name, input=json.dumps(start_input)
            )
        except ClientError as error:
            if error.response["Error"]["Code"] in _GONE:
                return False
            if error.response["Error"]["Code"] != "ExecutionAlreadyExists":
                raise
        return True

    def status(self, machine_arn: str, name: str) -> str:
        """running, completed, failed or cancelled; failed if it is not there."""
        try:
            found = self._client.describe_execution(executionArn=_execution(machine_arn, name))
        except ClientError as error:
            if error.response["Error"]["Code"] != "ExecutionDoesNotExist":
                raise
            return "failed"
        return _STATUSES.get(found["status"], "failed")

    def stop(self, machine_arn: str, name: str, reason: str) -> None:
        """Stops the execution, if it has not ended."""
        try:
            self._client.stop_execution(executionArn=_execution(machine_arn, name), cause=reason)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ExecutionDoesNotExist":
                raise

    def report(self, token: str, status: str, run_id: str) -> None:
        """Tells a node's outcome to its execution: a failed job is an outcome too."""
        try:
            self._client.send_task_success(
                taskToken=token, output=json.dumps({"status": status, "run_id": run_id})
            )
        except ClientError as error:
            if error.response["Error"]["Code"] not in _SPENT:
                raise
            log.info("nobody waits for the outcome of run %s any more", run_id)


def _execution(machine_arn: str, name: str) -> str:
    return f"{machine_arn.replace(':stateMachine:', ':execution:')}:{name}"
