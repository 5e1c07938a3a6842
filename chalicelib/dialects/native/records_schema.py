"""What the routes of records take and give."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    RootModel,
    StringConstraints,
    model_validator,
)

from chalicelib.core.access import Role
from chalicelib.core.action import Action
from chalicelib.core.certification import PausedBy, Status
from chalicelib.core.errors import Invalid
from chalicelib.core.job import (
    ExternalId,
    Name,
    Whole,
    Written,
)
from chalicelib.dialects.native.schema import Reason, Shown


def _date(value: object) -> date:
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", value, re.ASCII):
        return date.fromisoformat(value)
    raise ValueError("give a date as 2027-03-26")


class OpenSession(Written):
    key: Annotated[str, StringConstraints(min_length=1, max_length=500)]


class CreateKey(Written):
    role: Role
    name: Annotated[str, StringConstraints(max_length=200)] = ""


class SessionView(Shown):
    expires_at: str


class KeyView(Shown):
    id: str
    name: str
    role: Role
    created_at: str


class NewKey(KeyView):
    """`key` is in this answer, and nowhere else."""

    key: str


class KeyList(Shown):
    keys: list[KeyView]
    count: int


class SecretBody(Written):
    """`value` is never shown again."""

    model_config = ConfigDict(hide_input_in_errors=True)

    value: Annotated[str, Field(json_schema_extra={"writeOnly": True, "format": "password"})]


class SecretView(Shown):
    id: str
    updated_at: str
    updated_by: str


class SecretList(Shown):
    secrets: list[SecretView]
    count: int


# -- targets, agents and sessions of Claude Code


def _no_target(action: Action) -> Action:
    if action.type in ("target", "callback"):
        raise ValueError("a target is an action itself, and names no other target")
    return action


class TargetBody(RootModel[Annotated[Action, AfterValidator(_no_target)]]):
    """An action's settings."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"type": "http", "method": "POST", "url": "https://agents.example/run"}]
        }
    )


class TargetView(Shown):
    id: str
    action: dict[str, Any]
    updated_at: str


class ClaudeSessionView(Shown):
    """A session of Claude Code. It is active if it has a message of the last fifteen minutes."""

    id: str
    project: str
    model: str | None
    branch: str | None
    user_messages: int
    assistant_messages: int
    tool_uses: int
    input_tokens: int
    output_tokens: int
    cache_tokens: int
    first_message: str | None
    last_message: str | None
    active: bool


class ClaudeSessionList(Shown):
    """Those with the latest messages first; `count` is that of all, before limit and offset."""

    sessions: list[ClaudeSessionView]
    count: int


class TargetList(Shown):
    targets: list[TargetView]
    count: int


class AgentBody(Written):
    """`target` is the id of what the agent's goals are sent to."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "Researcher", "target": "researcher"}]}
    )

    name: Name
    target: ExternalId


class AgentView(Shown):
    id: str
    name: str
    target: str
    status: str
    last_seen: str


class AgentList(Shown):
    agents: list[AgentView]
    count: int


class TokenUsage(Written):
    model: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None
    input_tokens: Annotated[Whole, Field(ge=0)] = 0
    output_tokens: Annotated[Whole, Field(ge=0)] = 0


class Heartbeat(Written):
    status: Annotated[str, StringConstraints(min_length=1, max_length=64)] | None = None
    token_usage: TokenUsage | None = None


class HeartbeatView(Shown):
    status: Literal["HEARTBEAT_OK"]
    agent: str
    checked_at: str


# -- channels

CHANNEL_EXAMPLE: dict[str, Any] = {
    "name": "slack",
    "url": "slack://xoxb-1234-1234-4ddbc191d40ee098cbaae6f3523ada2d/{target}",
}


def _channel_name(name: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_-]{0,31}(:\S(.*\S)?)?", name, re.ASCII) or not name.isprintable():
        raise ValueError("give a kind, or a kind and a name: slack, slack:#alerts, webhook:orders")
    return name


ChannelName = Annotated[str, StringConstraints(max_length=500), AfterValidator(_channel_name)]


class ChannelBody(Written):
    """`{target}` in the URL stands for what follows the kind in a channel's name.

    `secret` is what a webhook is signed with. Neither is shown again.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [CHANNEL_EXAMPLE]})

    name: ChannelName
    url: Annotated[str, StringConstraints(min_length=1, max_length=3000)]
    secret: Annotated[str, StringConstraints(min_length=1, max_length=500)] | None = None


class NamedChannel(Written):
    name: ChannelName


class ChannelTest(NamedChannel):
    text: Annotated[str, StringConstraints(min_length=1, max_length=2000)] | None = None


class ChannelOutcome(Shown):
    delivered: bool
    error: str | None
    at: str


class ChannelView(Shown):
    name: str
    kind: str
    updated_at: str
    updated_by: str
    last_outcome: ChannelOutcome | None


class ChannelList(Shown):
    channels: list[ChannelView]
    count: int


class ChannelTested(Shown):
    name: str
    delivered: bool
    error: str | None


# -- certifications


class CertificationBody(Written):
    """A status that is not given stays; another `expires_on` is a renewal, and begins the reminders anew."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"mentor": "mentor-12", "certification": "First aid", "expires_on": "2027-03-26"},
            ]
        }
    )

    mentor: Name
    certification: Name
    expires_on: Annotated[date, BeforeValidator(_date)]
    status: Status | None = None
    paused_reason: Reason | None = None

    @model_validator(mode="after")
    def _a_reason_is_a_pauses(self) -> Self:
        if self.paused_reason is not None and self.status is not Status.PAUSED:
            raise Invalid.one("paused_reason", "is of status paused only")
        return self


class CertificationView(Shown):
    """`paused_by` is expiry, whose pause a renewal lifts, or person. `reminded`: the days ahead done with."""

    id: str
    mentor: str
    certification: str
    expires_on: str
    status: Status
    paused_reason: str | None
    paused_by: PausedBy | None
    reminded: list[int]
    updated_at: str


class CertificationList(Shown):
    certifications: list[CertificationView]
    count: int
