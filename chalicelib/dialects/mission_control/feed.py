"""The routes of activities and notifications, in Mission Control's envelope."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from chalicelib.core.access import Role
from chalicelib.core.event import EVENTS, Sink
from chalicelib.dialects.http import Answer, Api, Call
from chalicelib.dialects.mission_control.errors import MissionControlError, render
from chalicelib.scheduler.feed import Feed, page

ACTIVITIES = "/api/activities"
NOTIFICATIONS = "/api/notifications"

API = Api("feed", (ACTIVITIES, NOTIFICATIONS), render, MissionControlError)


def _type(name: str) -> str:
    known = [event for event in EVENTS if Sink.ACTIVITY in EVENTS[event].sinks]
    if name not in known:
        raise ValueError(f"should be one of {', '.join(known)}")
    return name


class FeedQuery(BaseModel):
    model_config = ConfigDict(frozen=True)

    limit: Annotated[int, Field(ge=1, le=200)] = 50
    cursor: str | None = None


class ActivitiesQuery(FeedQuery):
    type: Annotated[str, AfterValidator(_type)] | None = None


class _Given(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ActivityView(_Given):
    """`type` is the event's name, `data` what its webhooks were sent."""

    id: str
    type: str
    message: str
    data: dict[str, Any]
    at: str


class ActivityList(_Given):
    """`count` is the number of activities in this answer."""

    activities: list[ActivityView]
    count: int
    next_cursor: str | None


class NotificationView(_Given):
    id: str
    title: str
    message: str
    at: str


class NotificationList(_Given):
    """`count` is the number of notifications in this answer."""

    notifications: list[NotificationView]
    count: int
    next_cursor: str | None


@API.route("GET", ACTIVITIES, gives=ActivityList, role=Role.ADMIN)
def list_activities(call: Call, query: ActivitiesQuery) -> Answer:
    """Newest first. With a rare `type` a page may be short, and yet have a next one."""
    found, cursor = page(call.engine, Feed.ACTIVITIES, query.limit, query.cursor, query.type)
    return Answer({"activities": found, "count": len(found), "next_cursor": cursor})


@API.route("GET", NOTIFICATIONS, gives=NotificationList, role=Role.ADMIN)
def list_notifications(call: Call, query: FeedQuery) -> Answer:
    """Newest first."""
    found, cursor = page(call.engine, Feed.NOTIFICATIONS, query.limit, query.cursor)
    return Answer({"notifications": found, "count": len(found), "next_cursor": cursor})
