"""What the native dialect takes and gives of schedules as text, of statistics and of the calendar."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    StringConstraints,
)

from chalicelib.core.errors import Invalid
from chalicelib.core.insight import midnight
from chalicelib.core.instants import parse_instant
from chalicelib.core.job import (
    JobStatus,
    ScheduleSpec,
    Written,
)
from chalicelib.core.run import RunStatus
from chalicelib.core.schedule import zone
from chalicelib.dialects.native.schema import Query, RunView, Shown, _instant

CALENDAR_LIMIT = timedelta(days=92)


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
