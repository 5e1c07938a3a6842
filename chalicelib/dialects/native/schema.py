"""What the native dialect takes and gives: jobs, runs, and what its other schemas are made of."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    create_model,
    model_validator,
)

from chalicelib.core.action import Json, plain
from chalicelib.core.delivery import DeliveryStatus, Format
from chalicelib.core.errors import Invalid
from chalicelib.core.instants import parse_instant
from chalicelib.core.job import (
    JobStatus,
    Origin,
    Spec,
    Written,
)
from chalicelib.core.run import FINISHED, RunError, RunStatus, Trigger
from chalicelib.scheduler.reports import Failure

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
