"""What Mission Control takes and gives. Times are milliseconds since 1970."""

from __future__ import annotations

from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from chalicelib.core.job import Written

TaskId = Literal["auto_backup", "auto_cleanup", "agent_heartbeat", "webhook_retry", "claude_session_scan"]
TASK_IDS: tuple[str, ...] = get_args(TaskId)  # in the order in which they are listed

# From the API's document.
TASKS_EXAMPLE: dict[str, Any] = {
    "tasks": [
        {
            "id": "auto_backup",
            "name": "Auto Backup",
            "enabled": True,
            "lastRun": 1709524800000,
            "nextRun": 1709611200000,
            "running": False,
            "lastResult": {"ok": True, "message": "Backup created (2048KB)", "timestamp": 1709524800000},
        },
        {
            "id": "agent_heartbeat",
            "name": "Agent Heartbeat Check",
            "enabled": True,
            "lastRun": 1709524500000,
            "nextRun": 1709524800000,
            "running": False,
            "lastResult": {"ok": True, "message": "All agents healthy", "timestamp": 1709524500000},
        },
    ]
}


class Shown(BaseModel):
    """What the dialect gives: all of these fields, and no others."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DialectQuery(BaseModel):
    """`dialect` says whose list is wanted, whatever the cookies are."""

    model_config = ConfigDict(frozen=True)

    dialect: Literal["mission_control", "codespar"] | None = None


class ResultView(Shown):
    ok: bool
    message: str
    timestamp: int


class TaskView(Shown):
    """`lastRun` is null and `lastResult` absent before the first run."""

    model_config = ConfigDict(alias_generator=to_camel)

    id: TaskId
    name: str
    enabled: bool
    last_run: int | None
    next_run: int
    running: bool
    last_result: ResultView | None = None


class TaskList(Shown):
    model_config = ConfigDict(json_schema_extra={"examples": [TASKS_EXAMPLE]})

    tasks: list[TaskView]


class RunTask(Written):
    model_config = ConfigDict(json_schema_extra={"examples": [{"task_id": "auto_backup"}]})

    task_id: TaskId


class Outcome(Shown):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"ok": True, "message": "Backup created (2048KB)"},
                {"ok": True, "message": "Cleaned 342 stale records"},
                {"ok": True, "message": "Marked 2 agent(s) offline: agent-alpha, agent-beta"},
            ]
        }
    )

    ok: bool
    message: str


# -- settings


class WriteSettings(Written):
    """Values are text: "true", "90"."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"settings": {"general.auto_backup": "true"}},
                {"settings": {"general.auto_cleanup": "false"}},
            ]
        }
    )

    settings: dict[str, str]


class ResetSetting(Written):
    key: str


class SettingView(Shown):
    """`updated_by` and `updated_at` are null where nobody has changed it."""

    key: str
    value: str
    description: str
    category: str
    updated_by: str | None
    updated_at: int | None
    is_default: bool


class SettingList(Shown):
    settings: list[SettingView]


class WrittenSettings(Shown):
    updated: list[str]
    count: int


class ResetView(Shown):
    reset: str
    default_value: str
