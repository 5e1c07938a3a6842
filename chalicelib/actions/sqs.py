"""sqs: sends a message."""

from __future__ import annotations

from chalicelib.actions import material
from chalicelib.actions.toolbox import Toolbox
from chalicelib.core.action import Attempt, Json, Sqs
from chalicelib.net import aws


def perform(settings: Sqs, attempt: Attempt, tools: Toolbox) -> Json:
    answer = aws.call(
        attempt.seconds_left(),
        tools.client("sqs").send_message,
        QueueUrl=settings.queue_url,
        MessageBody=material.as_text(material.payload(settings.message, attempt)),
        MessageAttributes=aws.key_attribute(attempt.idempotency_key),
        **_ordering(settings, attempt),
    )
    return {"message_id": answer["MessageId"]}


def _ordering(settings: Sqs, attempt: Attempt) -> dict[str, str]:
    if settings.queue_url.endswith(".fifo"):
        return aws.fifo(attempt.idempotency_key, settings.group_id)
    return {"MessageGroupId": settings.group_id} if settings.group_id else {}
