"""What the agents dialect takes and gives."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict

from chalicelib.core.action import CallbackType
from chalicelib.core.action import Name as CallbackId
from chalicelib.core.job import Delay, Name, Written

ScheduleType: TypeAlias = Literal["once", "delayed", "cron"]
ScheduleStatus: TypeAlias = Literal["active", "paused", "completed"]

# From the API's document.
CREATE_EXAMPLES: list[Any] = [
    {
        "name": "Daily Report",
        "type": "cron",
        "cron_expression": "0 9 * * *",
        "callback_type": "workflow",
        "callback_id": "workflow-456",
        "status": "active",
    },
    {
        "name": "Send Reminder",
        "type": "once",
        "next_run": "2024-12-20T15:00:00Z",
        "callback_type": "workflow",
        "callback_id": "workflow-789",
    },
    {
        "name": "Follow-up",
        "type": "delayed",
        "delay_seconds": 3600,
        "callback_type": "workflow",
        "callback_id": "workflow-123",
    },
]
UPDATE_EXAMPLE: dict[str, Any] = {
    "name": "Updated Schedule",
    "cron_expression": "0 10 * * *",
    "status": "paused",
}
CREATED_EXAMPLE: dict[str, Any] = {
    "id": "schedule-123",
    "name": "Daily Report",
    "type": "cron",
    "cron_expression": "0 9 * * *",
    "next_run": "2024-12-16T09:00:00Z",
    "status": "active",
    "created_at": "2024-12-15T10:00:00Z",
}
LISTED_EXAMPLE: dict[str, Any] = {
    "id": "schedule-123",
    "name": "Daily Report",
    "type": "cron",
    "cron_expression": "0 9 * * *",
    "next_run": "2024-12-16T09:00:00Z",
    "last_run": "2024-12-15T09:00:00Z",
    "callback_type": "workflow",
    "callback_id": "workflow-456",
    "status": "active",
}
EXECUTION_EXAMPLE: dict[str, Any] = {
    "id": "exec-1",
    "executed_at": "2024-12-15T09:00:00Z",
    "status": "success",
}


class UpdateSchedule(Written):
    """A part of a schedule; null stands for a field that is not given. Another type needs its own field."""

    model_config = ConfigDict(json_schema_extra={"examples": [UPDATE_EXAMPLE]})

    name: Name | None = None
    type: ScheduleType | None = None
    cron_expression: str | None = None
    next_run: str | None = None
    delay_seconds: Delay | None = None
    callback_type: CallbackType | None = None
    callback_id: CallbackId | None = None
    status: Literal["active", "paused"] | None = None

    def given(self) -> dict[str, Any]:
        return self.model_dump(exclude_none=True)


class CreateSchedule(UpdateSchedule):
    """A schedule: `cron_expression`, `next_run` or `delay_seconds`, as its type wants."""

    model_config = ConfigDict(json_schema_extra={"examples": CREATE_EXAMPLES})

    name: Name
    type: ScheduleType
    callback_type: CallbackType
    callback_id: CallbackId


class SchedulesQuery(BaseModel):
    model_config = ConfigDict(frozen=True)

    status: ScheduleStatus | None = None
    type: ScheduleType | None = None


class Shown(BaseModel):
    """What the dialect gives: no other fields. Times are UTC with `Z`, to the second."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class AgentsErrorDetail(Shown):
    field: str
    issue: str


class AgentsErrorBody(Shown):
    code: str
    message: str
    details: list[AgentsErrorDetail]


class AgentsError(Shown):
    error: AgentsErrorBody


class ScheduleSummary(Shown):
    """`cron_expression` is there for cron, `delay_seconds` for delayed. `next_run` is null unless active."""

    id: str
    name: str
    type: ScheduleType
    cron_expression: str | None = None
    delay_seconds: int | None = None
    next_run: str | None
    status: ScheduleStatus


class CreatedSchedule(ScheduleSummary):
    model_config = ConfigDict(json_schema_extra={"examples": [CREATED_EXAMPLE]})

    created_at: str


class ScheduleView(ScheduleSummary):
    """The callback is null where the schedule was given another action elsewhere."""

    model_config = ConfigDict(json_schema_extra={"examples": [LISTED_EXAMPLE]})

    last_run: str | None
    callback_type: CallbackType | None
    callback_id: str | None


class ScheduleList(Shown):
    schedules: list[ScheduleView]


class ScheduleExecution(Shown):
    id: str
    executed_at: str
    status: Literal["success", "failed", "running", "skipped", "cancelled"]


class ScheduleDetail(ScheduleView):
    """A schedule with its last 20 executions, newest first."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{**LISTED_EXAMPLE, "executions": [EXECUTION_EXAMPLE]}]}
    )

    executions: list[ScheduleExecution]
