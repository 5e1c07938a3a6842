"""sqs:URL: sends to a queue."""

from __future__ import annotations

from pydantic import ValidationError

from chalicelib.core.action import Sqs
from chalicelib.core.errors import ActionError
from chalicelib.core.letter import Address, Letter
from chalicelib.delivery import formats
from chalicelib.delivery.tools import TIME_LIMIT, Tools
from chalicelib.net import aws

LIMIT = 250_000  # bytes, of the 256 KB of a message and its attributes


def send(address: Address, letter: Letter, tools: Tools) -> None:
    try:
        url = Sqs(type="sqs", queue_url=address.target).queue_url
    except ValidationError:
        raise ActionError("channel", f"{address.name[:100]}: is no queue's URL", permanent=True) from None
    aws.call(
        TIME_LIMIT,
        tools.client("sqs").send_message,
        QueueUrl=url,
        MessageBody=formats.body(letter, LIMIT),
        MessageAttributes=aws.key_attribute(letter.key),
        **(aws.fifo(letter.key) if url.endswith(".fifo") else {}),
    )
