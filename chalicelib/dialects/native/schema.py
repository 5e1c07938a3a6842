"""What the native dialect takes: bodies and query parameters."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    RootModel,
    StringConstraints,
    create_model,
    model_validator,
)

from chalicelib.core.access import Role
from chalicelib.core.action import Action, Json, plain
from chalicelib.core.certification import PausedBy, Status
from chalicelib.core.chain import ChainSpec
from chalicelib.core.delivery import DeliveryStatus, Format
from chalicelib.core.errors import Invalid
from chalicelib.core.insight import midnight
from chalicelib.core.instants import parse_instant
from chalicelib.core.job import (
    ExternalId,
    JobStatus,
    Name,
    Origin,
    ScheduleSpec,
    Spec,
    Whole,
    Written,
)
from chalicelib.core.run import FINISHED, RunError, RunStatus, Trigger
from chalicelib.core.schedule import zone
from chalicelib.scheduler.reports import Failure

CALENDAR_LIMIT = timedelta(days=92)

# From the API's document.
JOB_EXAMPLE: dict[str, Any] = {
    "id": "job_abc123",
    "name": "Daily digest",
    "goal": "Summarize today's activity",
    "schedule": {"type": "cron", "expression": "0 8 * * 1-5", "timezone": "America/New_York"},
    "status": "active",
    "agent_id": "agent_123",
    "next_run_at": "2026-03-03T08:00:00-05:00",
    "last_run_at": "2026-03-02T08:00:00-05:00",
    "run_count": 42,
    "created_at": "2026-01-01T00:00:00Z",
    # beside the document's:
    "status_reason": None,
    "last_run_id": "20260302T130000Z",
    "last_run_status": "completed",
    "consecutive_failures": 0,
    "origin": "native",
    "owner": "key_4k7vwq2m9x",
    "updated_at": "2026-01-01T00:00:00Z",
    "schema_version": 1,
}
CREATE_EXAMPLE: dict[str, Any] = {
    "name": "Price alert",
    "goal": "Check BTC price and alert if >5% change",
    "agent_id": "agent_123",
    "schedule": {"type": "every", "interval": 3600, "timezone": "UTC"},
    "delivery": {"channel": "slack:#alerts", "format": "markdown"},
    "condition": {"type": "expression", "expression": "price_change_pct > 0.05"},
    "retry": {"max_attempts": 3, "strategy": "exponential", "base_delay": 60},
}
UPDATE_EXAMPLE: dict[str, Any] = {
    "name": "Updated name",
    "schedule": {"type": "cron", "expression": "0 10 * * *"},
}

Reason = Annotated[str, StringConstraints(min_length=1, max_length=500)]


def _instant(text: str | None) -> str | None:
    if text is not None:
        parse_instant(text)
    return text


def _date(value: object) -> date:
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", value, re.ASCII):
        return date.fromisoformat(value)
    raise ValueError("give a date as 2027-03-26")


class CreateJob(Spec):
    """A job: what people say of it, and whether it starts paused."""

    model_config = ConfigDict(json_schema_extra={"examples": [CREATE_EXAMPLE]})

    status: Literal["active", "paused"] = "active"

    def spec(self) -> Spec:
        return Spec.model_construct(**{name: getattr(self, name) for name in Spec.model_fields})


def _optional(model: type[BaseModel], name: str, example: dict[str, Any]) -> type[BaseModel]:
    """The same fields, none of them required."""
    config = ConfigDict(extra="forbid", json_schema_extra={"examples": [example]})
    fields: dict[str, Any] = {field: (info.annotation, None) for field, info in model.model_fields.items()}
    return create_model(name, __config__=config, **fields)


UpdateJob = _optional(CreateJob, "UpdateJob", UPDATE_EXAMPLE)


class PauseJob(Written):
    reason: Reason | None = None


class TriggerJob(Written):
    """`input` is given to the action. A dry run acts on nothing, and counts for nothing."""

    input: Annotated[dict[str, Any] | None, BeforeValidator(plain)] = None
    dry_run: Annotated[bool, Field(strict=True)] = False


class NoFields(Written):
    """A body that may be sent, and holds nothing."""


class OpenSession(Written):
    key: Annotated[str, StringConstraints(min_length=1, max_length=500)]


class CreateKey(Written):
    role: Role
    name: Annotated[str, StringConstraints(max_length=200)] = ""


class Query(BaseModel):
    model_config = ConfigDict(frozen=True)


class Page(Query):
    limit: Annotated[int, Field(ge=1, le=200)] = 50
    offset: Annotated[int, Field(ge=0, le=1_000_000)] = 0


class JobsQuery(Page):
    status: JobStatus | None = None
    origin: Origin | None = None
    owner: Annotated[str, StringConstraints(min_length=1, max_length=128)] | None = None
    agent_id: Annotated[str, StringConstraints(min_length=1, max_length=128)] | None = None
    tag: Annotated[str, StringConstraints(min_length=1, max_length=64)] | None = None

    def filters(self) -> dict[str, str]:
        return {
            name: str(value)
            for name, value in self.model_dump(exclude={"limit", "offset"}, exclude_none=True).items()
        }


class RunsQuery(Page):
    status: RunStatus | None = None


def _finished(status: RunStatus | None) -> RunStatus | None:
    if status is not None and status not in FINISHED:
        raise ValueError(f"lists finished runs: {', '.join(sorted(FINISHED))}; others are listed by job")
    return status


class RecentRunsQuery(Query):
    limit: Annotated[int, Field(ge=1, le=100)] = 50
    status: Annotated[RunStatus | None, AfterValidator(_finished)] = None
    since: Annotated[str | None, AfterValidator(_instant)] = None
    cursor: str | None = None


def _zone_name(name: str) -> str:
    try:
        return zone(name).key
    except Invalid as error:
        raise ValueError(error.details[0].issue) from None


Zone = Annotated[str, AfterValidator(_zone_name)]


class ZoneQuery(Query):
    timezone: Zone = "UTC"


class ValidateQuery(ZoneQuery):
    type: Literal["cron", "every", "at"]
    value: Annotated[str, StringConstraints(min_length=1, max_length=1000)]
    count: Annotated[int, Field(ge=1, le=100)] = 3
    from_: Annotated[str | None, Field(alias="from"), AfterValidator(_instant)] = None


class CalendarQuery(ZoneQuery):
    """From `start` until before `end`: dates, or instants; without an offset in `timezone`."""

    start: str | None = None
    end: str | None = None

    def window(self, now: datetime) -> tuple[datetime, datetime]:
        """By default a week from today. Raises Invalid naming what is wrong."""
        clock = zone(self.timezone)
        start = _moment("start", self.start, self.timezone) if self.start else midnight(now, clock)
        a_week_on = (start.astimezone(clock) + timedelta(days=7)).astimezone(UTC)  # on the clock
        end = _moment("end", self.end, self.timezone) if self.end else a_week_on
        if end <= start:
            raise Invalid.one("end", "should lie after start")
        if end > (start.astimezone(clock) + CALENDAR_LIMIT).astimezone(UTC):
            raise Invalid.one("end", f"should lie at most {CALENDAR_LIMIT.days} days after start")
        return start, end


def _moment(field: str, text: str, timezone: str) -> datetime:
    """An instant, or the midnight that begins a date."""
    midnight_of = f"{text}T00:00" if re.fullmatch(r"\d{4}-\d\d-\d\d", text) else text
    try:
        return parse_instant(midnight_of, zone(timezone))
    except ValueError as error:
        raise Invalid.one(field, str(error)) from None


class ParseText(Written):
    text: Annotated[str, StringConstraints(min_length=1, max_length=500)]
    timezone: Zone = "UTC"
    now: Annotated[str | None, AfterValidator(_instant)] = None


# -- answers


class Shown(BaseModel):
    """What the dialect gives: all of these fields, and no others."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ErrorDetail(Shown):
    field: str
    issue: str


class NativeError(Shown):
    error: str
    message: str
    status: int
    details: list[ErrorDetail] | None = None


class JobView(Spec):
    """A job. `next_run_at` is null unless it is active; the times of runs carry the zone's offset."""

    model_config = ConfigDict(json_schema_extra={"examples": [JOB_EXAMPLE]})

    id: str
    status: JobStatus
    status_reason: str | None
    next_run_at: str | None
    last_run_at: str | None
    last_run_id: str | None
    last_run_status: RunStatus | None
    run_count: int
    consecutive_failures: int
    origin: Origin
    owner: str
    created_at: str
    updated_at: str
    schema_version: int


class JobList(Shown):
    """`count` is the number of jobs that match, before limit and offset."""

    jobs: list[JobView]
    count: int


class AttemptView(Shown):
    number: int
    started_at: str
    completed_at: str | None
    error: RunError | None


class MissedView(Shown):
    """Many missed slots that share a row."""

    from_: Annotated[str, Field(alias="from")]
    until: str
    count: int


class CompleteRun(Written):
    """How a run's target ended that had answered 202."""

    status: Literal["completed", "failed"] = "completed"
    output: Annotated[Json, BeforeValidator(plain)] = None
    error: Annotated[str, Field(min_length=1, max_length=500)] | None = None
    permanent: bool = Field(default=False, description="Of a failure: another attempt would fail too.")

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        if self.status == "completed" and (self.error or self.permanent):
            raise Invalid.one("error", 'belongs to a failure: give the status "failed" with it')
        if self.status == "failed" and self.output is not None:
            raise Invalid.one("output", "belongs to a completed run; say in error what went wrong")
        return self

    def outcome(self) -> Json | Failure:
        if self.status == "completed":
            return self.output
        return Failure(self.error or "the target reported that it failed", self.permanent)


class ReportProgress(Written):
    """How far a run's target is that had answered 202. Both fields are shown on the run."""

    message: Annotated[str, Field(max_length=500)] | None = None
    percent: Annotated[float, Field(ge=0, le=100)] | None = None


class DeliveryView(Shown):
    """Where the result went, or why not. `error` is the last attempt's."""

    channel: str
    format: Format
    status: DeliveryStatus
    reason: str | None
    attempts: int | None
    delivered_at: str | None
    error: str | None
    next_attempt_at: str | None


class RunView(Shown):
    """A run. `reason` says why it is as it is, where that is not self-evident."""

    id: str
    job_id: str
    status: RunStatus
    reason: str | None
    trigger: Trigger
    scheduled_for: str
    started_at: str | None
    completed_at: str | None
    not_before: str | None
    lateness_ms: int | None
    attempts: list[AttemptView]
    input: Any
    output: Any
    truncated: bool
    error: RunError | None
    condition: dict[str, str | bool] | None
    delivery: DeliveryView | None
    chain_id: str | None
    execution: str | None
    awaited_until: str | None = Field(
        description="Of a running one whose target goes on by itself: when its silence is too long."
    )
    progress: dict[str, Any] | None
    rerun_of: str | None
    triggered_by: str | None
    dry_run: bool
    missed: MissedView | None
    schema_version: int


class RunList(Shown):
    """`count` is the number of runs in this answer."""

    runs: list[RunView]
    count: int


class RecentRuns(RunList):
    next_cursor: str | None


class Queued(Shown):
    run_id: str
    status: Literal["queued"]
    job_id: str


class StatusView(Shown):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "running": True,
                    "tick_interval_seconds": 30,
                    "next_tick_at": "2026-03-02T14:00:30Z",
                    "jobs_checked_last_tick": 10,
                    "paused": False,
                    "lookahead_seconds": 180,
                    "last_tick_at": "2026-03-02T14:00:00Z",
                    "last_tick_lateness_ms": 12,
                    "queue_depth": 3,
                    "dead_letters": 0,
                }
            ]
        }
    )

    running: bool
    paused: bool
    tick_interval_seconds: float
    lookahead_seconds: float
    next_tick_at: str
    last_tick_at: str | None
    last_tick_lateness_ms: int | None
    jobs_checked_last_tick: int
    queue_depth: int
    dead_letters: int


class UnderstoodView(Shown):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "schedule": {
                        "type": "cron",
                        "expression": "0 9 * * 1-5",
                        "timezone": "America/Los_Angeles",
                    },
                    "human_readable": "At 09:00 AM, Monday through Friday, Pacific Time",
                    "confidence": 0.95,
                    "parse_method": "regex",
                    "assumptions": [],
                }
            ]
        }
    )

    schedule: ScheduleSpec
    human_readable: str
    confidence: float
    parse_method: Literal["regex", "llm"]
    assumptions: list[str]


class ValidationView(Shown):
    """Of a bad value: `valid` false, `error`, and no runs."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "valid": True,
                    "next_runs": [
                        "2026-03-03T09:00:00-05:00",
                        "2026-03-04T09:00:00-05:00",
                        "2026-03-05T09:00:00-05:00",
                    ],
                    "human_readable": "At 09:00 AM, Monday through Friday, Eastern Time",
                    "warnings": [],
                }
            ]
        }
    )

    valid: bool
    next_runs: list[str]
    error: str | None = None
    human_readable: str | None = None
    warnings: list[str] | None = None


class StatisticsView(Shown):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "total_jobs": 12,
                    "active_jobs": 10,
                    "total_runs_today": 45,
                    "success_rate": 0.97,
                    "avg_duration_seconds": 38,
                    "jobs_by_status": {"active": 10, "paused": 2},
                }
            ]
        }
    )

    total_jobs: int
    active_jobs: int
    total_runs_today: int
    success_rate: float | None
    avg_duration_seconds: float | None
    jobs_by_status: dict[JobStatus, int]


class SpreadView(Shown):
    average: float | None
    p50: int | None
    p95: int | None


class JobStatisticsView(Shown):
    """Of the newest thousand runs of thirty days."""

    job_id: str
    runs_by_status: dict[RunStatus, int]
    success_rate: float | None
    duration_ms: SpreadView
    lateness_ms: SpreadView
    last_failure: RunView | None


class HeatmapView(Shown):
    """24 rows, one an hour, of 7 columns, one a weekday from Monday."""

    heatmap: list[list[int]]
    rows: str
    columns: str
    timezone: str
    total: int


class SuggestionView(Shown):
    time: str
    days: str
    reason: str


class SuggestionList(Shown):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "suggestions": [
                        {"time": "08:55", "days": "Mon-Fri", "reason": "5 min before typical start"},
                        {"time": "17:30", "days": "Mon-Fri", "reason": "end of typical work day"},
                    ]
                }
            ]
        }
    )

    suggestions: list[SuggestionView]


class EventView(Shown):
    job_id: str
    name: str
    start: str
    end: str
    kind: Literal["scheduled", "run"]
    status: str


class CalendarView(Shown):
    events: list[EventView]
    truncated: bool


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


# -- chains

CHAIN_EXAMPLE: dict[str, Any] = {
    "name": "Data pipeline",
    "jobs": ["job_fetch", "job_transform", "job_store"],
    "edges": [
        {"from": "job_fetch", "to": "job_transform", "type": "on_success"},
        {"from": "job_transform", "to": "job_store", "type": "on_success"},
        {"from": "job_fetch", "to": "job_store", "type": "on_failure"},
    ],
}


class CreateChain(ChainSpec):
    """A graph over jobs that exist."""

    model_config = ConfigDict(json_schema_extra={"examples": [CHAIN_EXAMPLE]})


class ChainView(ChainSpec):
    id: str
    owner: str
    created_at: str
    schema_version: int


class ChainList(Shown):
    chains: list[ChainView]
    count: int


class ExecutionsQuery(Query):
    limit: Annotated[int, Field(ge=1, le=100)] = 50


class ExecutionView(Shown):
    """`root` is the job whose own run began it; null: it was triggered whole."""

    id: str
    chain_id: str
    status: Literal["running", "completed", "failed", "cancelled"]
    root: str | None
    started_at: str
    completed_at: str | None


class ExecutionList(Shown):
    executions: list[ExecutionView]
    count: int


class NodeView(Shown):
    status: Literal["waiting", "ready", "running", "completed", "failed", "skipped"]
    run_id: str | None


class ExecutionDetailView(ExecutionView):
    nodes: dict[str, NodeView]


class Started(Shown):
    execution_id: str
    chain_id: str
    status: Literal["running"]


class Definition(BaseModel):
    """The state machine, in Amazon States Language."""

    model_config = ConfigDict(extra="allow")

    StartAt: str
    States: dict[str, Any]


class DiagramQuery(Query):
    execution: Annotated[str, StringConstraints(min_length=1, max_length=80)] | None = None


# -- targets and agents


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
