"""Delivery: whether a run's result goes to its channel, when, and in which form."""

from __future__ import annotations

from datetime import datetime, time, tzinfo
from enum import StrEnum
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints, model_validator

from chalicelib.core import schedule as schedules
from chalicelib.core.condition import Verdict
from chalicelib.core.errors import Invalid
from chalicelib.core.instants import MINUTE, floor_minute
from chalicelib.core.run import RunStatus


class Format(StrEnum):
    MARKDOWN = "markdown"
    TEXT = "text"
    JSON = "json"
    HTML = "html"


class DeliverOn(StrEnum):
    """Which ends are delivered. Runs that were cancelled, skipped or missed have no result, and never are."""

    SUCCESS = "success"  # the run completed
    FAILURE = "failure"  # its last attempt failed
    ALWAYS = "always"  # either


class DeliveryStatus(StrEnum):
    PENDING = "pending"  # it is to be sent, for the first time or again
    SUPPRESSED = "suppressed"  # the job's condition was false
    NOT_DUE = "not_due"  # the run did not end as `on` asks, or was a dry run
    DELIVERED = "delivered"
    FAILED = "failed"  # the channel did not take it
    UNDELIVERED = "undelivered"  # there is no such channel


def _zone_name(name: str) -> str:
    try:
        return schedules.zone(name).key
    except Invalid as error:
        raise ValueError(error.details[0].issue) from None


ClockTime = Annotated[str, StringConstraints(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]


class QuietHours(BaseModel):
    """From `start` until before `end` on the clock, over midnight if `end` is the earlier."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    start: ClockTime
    end: ClockTime
    timezone: Annotated[str, AfterValidator(_zone_name)] | None = None  # None: the job's

    @model_validator(mode="after")
    def _they_end(self) -> Self:
        if self.start == self.end:
            raise Invalid.one("end", "should differ from start")
        return self

    def cover(self, clock: time) -> bool:
        start, end = time.fromisoformat(self.start), time.fromisoformat(self.end)
        return start <= clock < end if start < end else clock >= start or clock < end

    def until(self, now: datetime, zone: tzinfo) -> datetime | None:
        """When they end, to the minute; None if `now` is in none. `zone` is used where they have none.

        The minutes are walked through one by one, so that a clock change within them needs no rule.
        """
        own = schedules.zone(self.timezone) if self.timezone else zone
        minute = floor_minute(now)
        while self.cover(minute.astimezone(own).time()):
            minute += MINUTE
        return minute if minute > now else None


class Delivery(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    channel: Annotated[str, StringConstraints(min_length=1, max_length=500)]
    format: Format = Format.MARKDOWN
    on: DeliverOn = DeliverOn.ALWAYS
    quiet_hours: QuietHours | None = None


_WANTED_ON = {
    RunStatus.COMPLETED: (DeliverOn.SUCCESS, DeliverOn.ALWAYS),
    RunStatus.FAILED: (DeliverOn.FAILURE, DeliverOn.ALWAYS),
}


def planned(
    delivery: Delivery | None, status: RunStatus, *, verdict: Verdict | None = None, dry_run: bool = False
) -> dict[str, str] | None:
    """What the row of a run that ends as `status` says of its delivery; None: there is nothing to say."""
    if delivery is None or status not in _WANTED_ON:
        return None
    row = {"channel": delivery.channel, "format": delivery.format.value}
    if dry_run:
        return row | {"status": DeliveryStatus.NOT_DUE, "reason": "a dry run is not delivered"}
    if delivery.on not in _WANTED_ON[status]:
        return row | {"status": DeliveryStatus.NOT_DUE, "reason": f"it is delivered on {delivery.on} only"}
    if verdict is None:
        return row | {"status": DeliveryStatus.PENDING}
    decided = DeliveryStatus.PENDING if verdict.holds else DeliveryStatus.SUPPRESSED
    return row | {"status": decided, "reason": verdict.reason}
