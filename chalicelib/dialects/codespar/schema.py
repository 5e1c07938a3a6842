"""What CodeSpar's dialect takes and gives."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, RootModel, StringConstraints

from chalicelib.core.audit import Checkpoint, Head
from chalicelib.core.instants import parse_instant
from chalicelib.core.job import Written

# From the API's document.
TASKS_EXAMPLE: list[Any] = [
    {
        "name": "health-check",
        "intervalMs": 300000,
        "lastRun": "2026-03-21T14:30:00Z",
        "nextRun": "2026-03-21T14:35:00Z",
        "runCount": 48,
        "errors": 0,
        "enabled": True,
    },
    {
        "name": "build-status-report",
        "intervalMs": 86400000,
        "lastRun": "2026-03-21T06:00:00Z",
        "nextRun": "2026-03-22T06:00:00Z",
        "runCount": 7,
        "errors": 0,
        "enabled": True,
    },
    {
        "name": "audit-cleanup",
        "intervalMs": 86400000,
        "lastRun": "2026-03-21T03:00:00Z",
        "nextRun": "2026-03-22T03:00:00Z",
        "runCount": 7,
        "errors": 1,
        "enabled": True,
    },
]
PAUSED_EXAMPLE: dict[str, Any] = {"name": "health-check", "enabled": False, "message": "Task paused"}
CANCELLED_EXAMPLE: dict[str, Any] = {"name": "audit-cleanup", "message": "Task cancelled"}
ERROR_EXAMPLE: dict[str, Any] = {"error": "Task not found", "code": "TASK_NOT_FOUND", "status": 404}


def _instant(text: str) -> str:
    parse_instant(text)
    return text


Instant = Annotated[str, AfterValidator(_instant)]
Word = Annotated[str, StringConstraints(min_length=1, max_length=128)]


class NoBody(Written):
    """A body that may be sent, and holds nothing."""


class AuditQuery(BaseModel):
    """`since` is inclusive, `until` is not; `cursor` is what the page before ended with."""

    actor: Word | None = None
    action: Word | None = None
    since: Instant | None = None
    until: Instant | None = None
    limit: Annotated[int, Field(ge=1, le=200)] = 50
    cursor: Word | None = None


class View(BaseModel):
    model_config = ConfigDict(extra="forbid")


class CodesparError(View):
    model_config = ConfigDict(json_schema_extra={"examples": [ERROR_EXAMPLE]})

    error: str
    code: str
    status: int


class ScheduledTask(View):
    """Times are UTC. `runCount` counts completed runs, `errors` failed ones."""

    name: str
    intervalMs: int | None  # noqa: N815  the document's names
    lastRun: str | None  # noqa: N815
    nextRun: str | None  # noqa: N815
    runCount: int  # noqa: N815
    errors: int
    enabled: bool


class ScheduledTasks(RootModel[list[ScheduledTask]]):
    model_config = ConfigDict(json_schema_extra={"examples": [TASKS_EXAMPLE]})


class SwitchedView(View):
    model_config = ConfigDict(json_schema_extra={"examples": [PAUSED_EXAMPLE]})

    name: str
    enabled: bool
    message: str


class CancelledView(View):
    model_config = ConfigDict(json_schema_extra={"examples": [CANCELLED_EXAMPLE]})

    name: str
    message: str


class AuditEntry(View):
    """As it is stored: `hash` is the SHA-256 of the JSON of all else, keys sorted, without spaces."""

    seq: int
    prev_hash: str
    at: str
    actor: str
    role: str
    action: str
    target: str | None
    details: dict[str, Any]
    hash: str


class AuditPage(View):
    """Newest first. A page may be short though there are more: `next_cursor` is null at the end."""

    entries: list[AuditEntry]
    count: int
    next_cursor: str | None


class BrokenView(View):
    """The first link that is not sound. `seq` is null of the head and the checkpoint."""

    seq: int | None
    issue: str


class AuditVerified(View):
    """`entries` counts those of a sound chain. Who keeps `head` elsewhere can tell later that it was cut."""

    valid: bool
    entries: int
    broken: BrokenView | None
    head: Head | None
    checkpoint: Checkpoint | None
