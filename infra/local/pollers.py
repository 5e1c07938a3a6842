"""The event-source mapping between a queue and its function, which moto does not play."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from chalice.local import LambdaContext

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef

log = logging.getLogger(__name__)

POLL_SECONDS = 0.1
BACK_OFF_SECONDS = 1.0
BATCH = 10
FUNCTION_SECONDS = 900

Function = Callable[[dict[str, Any], Any], Any]


class Poller:
    """Hands a queue's messages to a function: batches of ten at most, so many invocations at once at most.

    A message is deleted unless the function names it in `batchItemFailures`. If the function raises, all of
    the batch stays, and comes again when its visibility ends.
    """

    def __init__(self, sqs: SQSClient, queue_url: str, function: Function, concurrency: int) -> None:
        self._sqs = sqs
        self._url = queue_url
        self._arn = sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["QueueArn"])["Attributes"][
            "QueueArn"
        ]
        self._function = function
        self._concurrency = concurrency
        self._free = threading.Semaphore(concurrency)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"poll {self._arn}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Receive no more. Invocations in progress go on."""
        self._stopping.set()
        self._thread.join()

    def drain(self, deadline: float) -> bool:
        """Wait for the invocations in progress, until this monotonic time. True if none is left."""
        taken = 0
        while taken < self._concurrency and self._free.acquire(timeout=max(0.0, deadline - time.monotonic())):
            taken += 1
        self._free.release(taken)
        return taken == self._concurrency

    def _run(self) -> None:
        while not self._stopping.is_set():
            if self._free.acquire(timeout=POLL_SECONDS):
                self._stopping.wait(self._poll())

    def _poll(self) -> float:
        """Receive once, start an invocation if anything came, and give the seconds until the next poll."""
        try:
            batch = self._receive()
        except Exception:
            log.exception("cannot receive from %s", self._url)
            self._free.release()
            return BACK_OFF_SECONDS
        if not batch:
            self._free.release()
            return POLL_SECONDS
        threading.Thread(target=self._invoke, args=(batch,), name="invocation", daemon=True).start()
        return 0 if len(batch) == BATCH else POLL_SECONDS

    def _receive(self) -> Sequence[MessageTypeDef]:
        answer = self._sqs.receive_message(
            QueueUrl=self._url,
            MaxNumberOfMessages=BATCH,
            MessageSystemAttributeNames=["All"],
            MessageAttributeNames=["All"],
            WaitTimeSeconds=0,
        )
        return answer.get("Messages", [])

    def _invoke(self, batch: Sequence[MessageTypeDef]) -> None:
        try:
            event = {
                "Records": [record(message, self._arn, os.environ["AWS_DEFAULT_REGION"]) for message in batch]
            }
            answer = self._function(event, LambdaContext(self._arn, 512, FUNCTION_SECONDS * 1000))
            self._delete(batch, failed(answer, batch))
        except Exception:
            log.exception("a batch of %d from %s failed and stays in the queue", len(batch), self._url)
        finally:
            self._free.release()

    def _delete(self, batch: Sequence[MessageTypeDef], kept: set[str]) -> None:
        handles = [message["ReceiptHandle"] for message in batch if message["MessageId"] not in kept]
        if handles:
            self._sqs.delete_message_batch(
                QueueUrl=self._url,
                Entries=[{"Id": str(n), "ReceiptHandle": handle} for n, handle in enumerate(handles)],
            )


def record(message: MessageTypeDef, queue_arn: str, region: str) -> dict[str, Any]:
    """A message as Lambda hands it over."""
    return {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": message.get("Attributes", {}),
        "messageAttributes": {
            name: _attribute(value) for name, value in message.get("MessageAttributes", {}).items()
        },
        "md5OfBody": message["MD5OfBody"],
        "eventSource": "aws:sqs",
        "eventSourceARN": queue_arn,
        "awsRegion": region,
    }


def _attribute(value: Mapping[str, Any]) -> dict[str, Any]:
    lowered = {key[0].lower() + key[1:]: part for key, part in value.items()}
    return {"stringListValues": [], "binaryListValues": [], **lowered}


def failed(answer: Any, batch: Sequence[MessageTypeDef]) -> set[str]:
    """The ids that `batchItemFailures` names; all of the batch if it names one that is not in it."""
    ids = {message["MessageId"] for message in batch}
    named = {failure["itemIdentifier"] for failure in (answer or {}).get("batchItemFailures") or []}
    return named if named <= ids else ids
