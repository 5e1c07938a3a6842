"""What the routes of webhooks take and give."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from chalicelib.core.action import url_problem
from chalicelib.core.event import sent_to_webhooks
from chalicelib.core.job import Written
from chalicelib.core.webhook import ALL_EVENTS, NoticeStatus, Try, new_secret, secret_problem

WEBHOOK_EXAMPLE: dict[str, Any] = {
    "name": "ops",
    "url": "https://example.com/hooks/belfry",
    "events": ["run.failed", "job.auto_paused"],
}


def _url(url: str) -> str:
    if issue := url_problem(url):
        raise ValueError(issue)
    if "{{" in url:
        raise ValueError("should have no placeholders")
    return url


def _events(names: list[str]) -> list[str]:
    known = [*sent_to_webhooks(), ALL_EVENTS]
    if unknown := [name for name in names if name not in known]:
        raise ValueError(f"there is no event {unknown[0]!r}; give some of {', '.join(known)}")
    return list(dict.fromkeys(names))


def _secret(text: str) -> str:
    if issue := secret_problem(text):
        raise ValueError(f"{issue}, or leave it out to get one")
    return text


Id = Annotated[str, StringConstraints(min_length=1, max_length=64)]
WebhookName = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Url = Annotated[str, AfterValidator(_url)]
EventNames = Annotated[list[str], Field(min_length=1, max_length=100), AfterValidator(_events)]
Secret = Annotated[str, StringConstraints(max_length=200), AfterValidator(_secret)]
Flag = Annotated[bool, Field(strict=True)]


class CreateWebhook(Written):
    """A subscriber. Without `secret` one is made; every webhook is signed."""

    model_config = ConfigDict(json_schema_extra={"examples": [WEBHOOK_EXAMPLE]})

    name: WebhookName
    url: Url
    events: EventNames = Field(default_factory=lambda: [ALL_EVENTS])
    enabled: Flag = True
    secret: Secret | None = None
    generate_secret: Literal[True] = True


class UpdateWebhook(Written):
    """`reset_circuit` enables it and forgets its failures, as `enabled: true` does."""

    id: Id
    name: WebhookName | None = None
    url: Url | None = None
    events: EventNames | None = None
    enabled: Flag | None = None
    secret: Secret | None = None
    regenerate_secret: Flag = False
    reset_circuit: Flag = False

    @model_validator(mode="after")
    def _one_secret(self) -> UpdateWebhook:
        if self.secret and self.regenerate_secret:
            raise ValueError("give a secret or regenerate_secret, not both")
        if self.reset_circuit and self.enabled is False:
            raise ValueError("reset_circuit enables the webhook; leave `enabled` out")
        return self

    def new_secret(self) -> str | None:
        return new_secret() if self.regenerate_secret else self.secret

    def changes(self) -> dict[str, Any]:
        given = self.model_dump(include={"name", "url", "events", "enabled"}, exclude_none=True)
        if "events" in given:
            given["events"] = tuple(given["events"])
        return given | ({"enabled": True} if self.reset_circuit else {})


class OneWebhook(Written):
    id: Id


class OneDelivery(Written):
    delivery_id: Id


class DeliveriesQuery(BaseModel):
    model_config = ConfigDict(frozen=True)

    webhook_id: Id | None = None
    limit: Annotated[int, Field(ge=1, le=200)] = 50
    cursor: str | None = None


# -- answers


class _Given(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class WebhookView(_Given):
    """`consecutive_failures` counts deliveries that failed for good; at five it is disabled."""

    id: str
    name: str
    url: str
    events: list[str]
    enabled: bool
    disabled_reason: str | None
    consecutive_failures: int
    last_status: int | None
    created_at: str
    updated_at: str


class NewWebhook(WebhookView):
    secret: str
    message: str


class UpdatedWebhook(_Given):
    success: bool
    webhook: WebhookView
    secret: str | None
    message: str | None


class DeletedWebhook(_Given):
    success: bool
    deleted: int


class WebhookList(_Given):
    webhooks: list[WebhookView]
    count: int


class WebhookDelivery(_Given):
    """`id` is the webhook-id that the receiver saw; `response` the first 1 KB of its last answer."""

    id: str
    webhook_id: str
    event: str
    status: NoticeStatus
    reason: str | None
    attempts: list[Try]
    next_retry_at: str | None
    response: str | None
    created_at: str


class DeliveryList(_Given):
    """`count` is the number of deliveries in this answer."""

    deliveries: list[WebhookDelivery]
    count: int
    next_cursor: str | None


class DeliveryOutcome(_Given):
    """`status` is the delivery's, `status_code` of HTTP (null: no answer came)."""

    success: bool
    delivery_id: str
    status: NoticeStatus
    status_code: int | None
    error: str | None
    duration_ms: int
    response: str | None
