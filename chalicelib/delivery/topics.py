"""sns:ARN: publishes to a topic."""

from __future__ import annotations

import re

from pydantic import ValidationError

from chalicelib.core.action import Sns
from chalicelib.core.errors import ActionError
from chalicelib.core.letter import Address, Letter
from chalicelib.delivery import formats
from chalicelib.delivery.tools import TIME_LIMIT, Tools
from chalicelib.net import aws

LIMIT = 250_000  # bytes, of the 256 KB of a message and its attributes
_SUBJECT = 100  # characters, of ASCII, by SNS


def send(address: Address, letter: Letter, tools: Tools) -> None:
    try:
        arn = Sns(type="sns", topic_arn=address.target).topic_arn
    except ValidationError:
        raise ActionError("channel", f"{address.name[:100]}: is no topic's ARN", permanent=True) from None
    aws.call(
        TIME_LIMIT,
        tools.client("sns").publish,
        TopicArn=arn,
        Subject=_subject(formats.title(letter)),
        Message=formats.body(letter, LIMIT),
        MessageAttributes=aws.key_attribute(letter.key),
        **(aws.fifo(letter.key) if arn.endswith(".fifo") else {}),
    )


def _subject(title: str) -> str:
    return re.sub(r"[^\x20-\x7e]", "?", title)[:_SUBJECT]
