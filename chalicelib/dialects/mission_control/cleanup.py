"""POST /api/cleanup: removes what is past its retention, now."""

from __future__ import annotations

import time

from pydantic import BaseModel, ConfigDict

from chalicelib.core.access import Role
from chalicelib.core.job import Written
from chalicelib.dialects.http import Answer, Api, Call
from chalicelib.dialects.mission_control.errors import MissionControlError, render
from chalicelib.scheduler.cleanup import clean

_SECONDS = 20  # of the 29 that a request may take

API = Api("cleanup", ("/api/cleanup",), render, MissionControlError)


class CleanupBody(Written):
    """A dry run counts and removes nothing."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"dry_run": True}]})

    dry_run: bool = False


class Counts(BaseModel):
    """Records by table."""

    model_config = ConfigDict(extra="forbid")

    activities: int
    audit_log: int
    notifications: int
    pipeline_runs: int
    token_usage: int


class CleanupView(BaseModel):
    """`complete` is false where the time was not enough; the next request goes on."""

    model_config = ConfigDict(extra="forbid")

    ok: bool
    message: str
    dry_run: bool
    counts: Counts
    total: int
    complete: bool


@API.route("POST", "/api/cleanup", gives=CleanupView, role=Role.ADMIN, writes="cleanup.run")
def clean_up(call: Call, body: CleanupBody) -> Answer:
    end = time.monotonic() + _SECONDS
    cleaned = clean(call.engine, call.now, lambda: time.monotonic() < end, dry_run=body.dry_run)
    return Answer(
        {
            "ok": True,
            "message": cleaned.message,
            "dry_run": body.dry_run,
            "counts": cleaned.counts,
            "total": cleaned.total,
            "complete": cleaned.complete,
        }
    )
