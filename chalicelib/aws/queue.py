"""The runs queue and its dead letters."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, TypeVar

from chalicelib.aws.dynamo import chunks
from chalicelib.core.errand import Errand
from chalicelib.core.run import LONGEST_DELAY, Message

Sent = TypeVar("Sent", Message, Errand, Message | Errand)

log = logging.getLogger(__name__)


class Queue:
    def __init__(self, client: Any, url: str, dead_letters_url: str) -> None:
        self._client, self._url, self._dead_letters_url = client, url, dead_letters_url

    def send(self, messages: Iterable[Sent], now: datetime, at_least: timedelta = timedelta()) -> list[Sent]:
        """Sends each so that it arrives in the second before it is due, not before `at_least` from now.

        Gives those that SQS refused.
        """
        failed: list[Sent] = []
        for batch in chunks(list(messages), 10):
            entries = [
                {
                    "Id": str(i),
                    "MessageBody": message.encode(),
                    "DelaySeconds": _delay(max(message.due - now, at_least)),
                }
                for i, message in enumerate(batch)
            ]
            answer = self._client.send_message_batch(QueueUrl=self._url, Entries=entries)
            refused = answer.get("Failed", [])
            for failure in refused:
                log.warning("SQS refused %s: %s", batch[int(failure["Id"])], failure.get("Message"))
            failed += [batch[int(failure["Id"])] for failure in refused]
        return failed

    def hide(self, seconds_by_receipt: dict[str, int]) -> None:
        """Sets for how long from now the messages stay invisible. One that is gone is let be."""
        for batch in chunks(list(seconds_by_receipt.items()), 10):
            entries = [
                {"Id": str(i), "ReceiptHandle": receipt, "VisibilityTimeout": max(0, min(seconds, 43_000))}
                for i, (receipt, seconds) in enumerate(batch)
            ]
            answer = self._client.change_message_visibility_batch(QueueUrl=self._url, Entries=entries)
            for failure in answer.get("Failed", []):
                log.warning("a message's visibility stays as it was: %s", failure.get("Message"))

    def bury(self, body: str) -> None:
        """To the dead letters, as it came."""
        self._client.send_message(QueueUrl=self._dead_letters_url, MessageBody=body)

    def depth(self) -> int:
        """Roughly how many messages wait, are delayed, or are being worked on."""
        names = [
            "ApproximateNumberOfMessages",
            "ApproximateNumberOfMessagesDelayed",
            "ApproximateNumberOfMessagesNotVisible",
        ]
        answer = self._client.get_queue_attributes(QueueUrl=self._url, AttributeNames=names)
        return sum(int(answer["Attributes"].get(name, 0)) for name in names)


def _delay(wanted: timedelta) -> int:
    return max(0, int(min(wanted, LONGEST_DELAY).total_seconds()))
