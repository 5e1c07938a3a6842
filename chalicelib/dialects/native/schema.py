"""What the native dialect takes: bodies and query parameters."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from chalicelib.core.access import Role
from chalicelib.core.errors import Invalid
from chalicelib.core.insight import midnight
from chalicelib.core.instants import parse_instant
from chalicelib.core.job import JobStatus, Origin, Spec, Written
from chalicelib.core.run import FINISHED, RunStatus
from chalicelib.core.schedule import zone

CALENDAR_LIMIT = timedelta(days=92)

Reason = Annotated[str, StringConstraints(min_length=1, max_length=500)]


def _instant(text: str | None) -> str | None:
    if text is not None:
        parse_instant(text)
    return text


class CreateJob(Spec):
    """A job: what `Spec` has, and whether it starts paused."""

    status: Literal["active", "paused"] = "active"

    def spec(self) -> Spec:
        return Spec.model_construct(**{name: getattr(self, name) for name in Spec.model_fields})


class PauseJob(Written):
    reason: Reason | None = None


class TriggerJob(Written):
    """`input` is given to the action. A dry run acts on nothing, and counts for nothing."""

    input: dict[str, Any] | None = None
    dry_run: bool = False


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
        today = midnight(now, zone(self.timezone))
        start = _moment("start", self.start, self.timezone) if self.start else today
        end = _moment("end", self.end, self.timezone) if self.end else start + timedelta(days=7)
        if end <= start:
            raise Invalid.one("end", "should lie after start")
        if end - start > CALENDAR_LIMIT:
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
