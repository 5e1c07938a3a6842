"""What the nightly dialect takes and gives."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from chalicelib.core import schedule
from chalicelib.core.errors import Invalid
from chalicelib.core.ids import is_id
from chalicelib.core.job import ExternalId, Written

# From the API's document.
JOB_EXAMPLE: dict[str, Any] = {
    "job_name": "certification-expiry-nightly",
    "cron_expression": "0 2 * * *",
    "is_active": True,
    "last_run_at": "2026-03-26T02:00:00Z",
    "last_run_status": "success",
    "next_run_at": "2026-03-27T02:00:00Z",
}
REGISTER_EXAMPLE: dict[str, Any] = {
    "job_name": "weekly-expiry-summary-report",
    "cron_expression": "0 8 * * 1",
    "handler": "generateWeeklyExpiryReport",
    "is_active": True,
}
REGISTERED_EXAMPLE: dict[str, Any] = {
    "job_name": "weekly-expiry-summary-report",
    "cron_expression": "0 8 * * 1",
    "is_active": True,
    "created_at": "2026-03-26T09:00:00Z",
    "next_run_at": "2026-03-30T08:00:00Z",
}
TRIGGER_EXAMPLE: dict[str, Any] = {"triggered_by": "coordinator-007", "dry_run": False}
TRIGGERED_EXAMPLE: dict[str, Any] = {
    "job_name": "certification-expiry-nightly",
    "triggered_at": "2026-03-26T10:15:00Z",
    "run_id": "run-0094",
    "status": "running",
}
RESULT_EXAMPLE: dict[str, Any] = {
    "job_name": "certification-expiry-nightly",
    "run_id": "run-0093",
    "started_at": "2026-03-26T02:00:00Z",
    "completed_at": "2026-03-26T02:00:01Z",
    "status": "success",
    "result_summary": {
        "mentors_checked": 87,
        "expired_found": 2,
        "auto_paused": 2,
        "reminders_sent": 5,
        "errors": 0,
    },
}
DEREGISTERED_EXAMPLE: dict[str, Any] = {
    "deleted": True,
    "job_name": "weekly-expiry-summary-report",
    "cancelled_at": "2026-03-26T11:00:00Z",
}


def _examples(*examples: dict[str, Any]) -> dict[str, Any]:
    return {"examples": [*examples]}


def _job_name(text: str) -> str:
    if not is_id(text):
        raise ValueError("give 1 to 64 letters, digits or any of . _ : -")
    return text


def _expression(text: str) -> str:
    try:
        schedule.cron(text, "UTC")
    except Invalid as error:
        raise ValueError("; ".join(detail.issue for detail in error.details)) from None
    return text


class RegisterJob(Written):
    """`handler` is a Python function of Belfry's, `lambda:` and a function's name, or a registered target."""

    model_config = ConfigDict(json_schema_extra=_examples(REGISTER_EXAMPLE))

    job_name: Annotated[str, AfterValidator(_job_name)]
    cron_expression: Annotated[str, AfterValidator(_expression)]
    handler: Annotated[str, StringConstraints(min_length=1, max_length=300)]
    is_active: Annotated[bool, Field(strict=True)] = True


class TriggerNightly(Written):
    """A dry run evaluates and counts, and writes and sends nothing."""

    model_config = ConfigDict(json_schema_extra=_examples(TRIGGER_EXAMPLE))

    triggered_by: ExternalId | None = None
    dry_run: Annotated[bool, Field(strict=True)] = False


class NightlyQuery(BaseModel):
    model_config = ConfigDict(frozen=True)

    page: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    limit: Annotated[int, Field(ge=1, le=100)] = 20


# -- answers


class Given(BaseModel):
    """What the dialect gives: these fields, and no others. Times are UTC, to the second."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ErrorBody(Given):
    code: str
    message: str


class NightlyError(Given):
    error: ErrorBody


class NightlyJob(Given):
    """`next_run_at` is null unless the job is active; the last run's fields are null before the first."""

    model_config = ConfigDict(json_schema_extra=_examples(JOB_EXAMPLE))

    job_name: str
    cron_expression: str
    is_active: bool
    last_run_at: str | None
    last_run_status: str | None
    next_run_at: str | None


class Pagination(Given):
    """`total` is the number of jobs on all pages."""

    page: int
    limit: int
    total: int


class NightlyJobList(Given):
    """The jobs of this dialect, by name."""

    data: list[NightlyJob]
    pagination: Pagination


class RegisteredJob(Given):
    model_config = ConfigDict(json_schema_extra=_examples(REGISTERED_EXAMPLE))

    job_name: str
    cron_expression: str
    is_active: bool
    created_at: str
    next_run_at: str | None


class TriggeredRun(Given):
    model_config = ConfigDict(json_schema_extra=_examples(TRIGGERED_EXAMPLE))

    job_name: str
    triggered_at: str
    run_id: str
    status: Literal["running"]


class LastResult(Given):
    """`result_summary` is what the handler returned; of a failed run it is null, and `error` says why."""

    model_config = ConfigDict(json_schema_extra=_examples(RESULT_EXAMPLE))

    job_name: str
    run_id: str
    started_at: str
    completed_at: str
    status: Literal["success", "failed", "cancelled"]
    result_summary: Any
    error: str = ""


class DeregisteredJob(Given):
    model_config = ConfigDict(json_schema_extra=_examples(DEREGISTERED_EXAMPLE))

    deleted: Literal[True]
    job_name: str
    cancelled_at: str
