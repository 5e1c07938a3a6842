"""sns: publishes a message."""

from __future__ import annotations

from chalicelib.actions import material
from chalicelib.actions.toolbox import Toolbox
from chalicelib.core.action import Attempt, Json, Sns
from chalicelib.net import aws


def perform(settings: Sns, attempt: Attempt, tools: Toolbox) -> Json:
    subject = {"Subject": material.filled_text(settings.subject, attempt)} if settings.subject else {}
    order = aws.fifo(attempt.idempotency_key) if settings.topic_arn.endswith(".fifo") else {}
    answer = aws.call(
        attempt.seconds_left(),
        tools.client("sns").publish,
        TopicArn=settings.topic_arn,
        Message=material.as_text(material.payload(settings.message, attempt)),
        MessageAttributes=aws.key_attribute(attempt.idempotency_key),
        **subject,
        **order,
    )
    return {"message_id": answer["MessageId"]}
