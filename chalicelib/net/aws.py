"""Calls to AWS, and which of its errors would come again."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from chalicelib.core.errors import ActionError
from chalicelib.net.waiting import within

PASSING = frozenset(
    {
        "BandwidthLimitExceeded",
        "ConcurrentModificationException",
        "ConflictException",
        "DependencyFailedException",
        "EC2ThrottledException",
        "ExecutionLimitExceeded",
        "ExpiredToken",
        "ExpiredTokenException",
        "InternalException",
        "InternalFailure",
        "KmsThrottled",
        "LimitExceededException",
        "ModelErrorException",
        "ModelNotReadyException",
        "ModelTimeoutException",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceededException",
        "RequestExpired",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "RequestTimeout",
        "RequestTimeoutException",
        "ResourceConflictException",
        "ResourceNotReadyException",
        "ServiceUnavailable",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
"""Codes of errors that pass although their status is 4xx: throttling, and what is still being set up."""


def call(seconds: float, operation: Callable[..., Any], **parameters: Any) -> Any:
    """The operation's answer, waited for `seconds` at most. Raises ActionError."""
    try:
        return within(seconds, partial(operation, **parameters))
    except ClientError as error:
        raise client_error(error) from error
    except BotoCoreError as error:
        permanent = isinstance(error, ParamValidationError)
        raise ActionError(type(error).__name__, str(error), permanent=permanent) from error


def client_error(error: ClientError) -> ActionError:
    """Permanent: any 4xx but the PASSING ones, as AccessDenied, ValidationException, NonExistentQueue."""
    code = error.response.get("Error", {}).get("Code", "Unknown")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500)
    permanent = 400 <= status < 500 and status != 429 and code not in PASSING
    return ActionError(code, str(error), permanent=permanent)


def key_attribute(key: str) -> dict[str, dict[str, str]]:
    """An idempotency key, `<job_id>/<run_id>`, as SQS and SNS carry it."""
    return {"Idempotency-Key": {"DataType": "String", "StringValue": key}}


def fifo(key: str, group: str | None = None) -> dict[str, str]:
    """A FIFO message's group (the job, unless one is given) and the key that has a repeated one dropped."""
    return {"MessageGroupId": group or key.partition("/")[0], "MessageDeduplicationId": key}
