"""Events: what happens to jobs, runs, chains and agents, and who is told of it."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Sink(StrEnum):
    """Where an event goes."""

    ACTIVITY = "activity"  # the feed of what happened
    NOTIFICATION = "notification"  # the list of what somebody should look at
    WEBHOOKS = "webhooks"  # the subscribers


class Event(NamedTuple):
    """`says` is its activity, with the data's fields; `title` that of its notification."""

    says: str
    sinks: frozenset[Sink]
    title: str = ""


_TOLD = frozenset({Sink.ACTIVITY, Sink.WEBHOOKS})
_ALARMING = frozenset(Sink)
_FREQUENT = frozenset({Sink.WEBHOOKS})  # an activity would cost a write a run; the run's row has it all

EVENTS: dict[str, Event] = {
    "job.created": Event("Job {job_name} was created", _TOLD),
    "job.updated": Event("Job {job_name} was changed", _TOLD),
    "job.paused": Event("Job {job_name} was paused", _TOLD),
    "job.resumed": Event("Job {job_name} was resumed", _TOLD),
    "job.deleted": Event("Job {job_name} was deleted", _TOLD),
    "job.completed": Event("Job {job_name} is completed: {status_reason}", _TOLD),
    "job.failed": Event("Job {job_name} has failed: {status_reason}", _TOLD),  # its only run did
    "job.auto_paused": Event("Job {job_name} was stopped: {status_reason}", _ALARMING, "A job was stopped"),
    "run.completed": Event("Run {run_id} of {job_name} is completed", _FREQUENT),
    "run.failed": Event("Run {run_id} of {job_name} failed: {reason}", _ALARMING, "A system task failed"),
    "run.skipped": Event("Run {run_id} of {job_name} was skipped: {reason}", _FREQUENT),
    "run.missed": Event("Run {run_id} of {job_name} was missed: {reason}", _TOLD),
    "run.cancelled": Event("Run {run_id} of {job_name} was cancelled: {reason}", _TOLD),
    "chain.completed": Event("Execution {execution} of {chain_name} is {status}", _TOLD),
    "agent.status_change": Event("Agent {name} is {status}", _TOLD),
    "delivery.failed": Event(
        "A result of {job_name} could not be delivered: {reason}", _ALARMING, "A delivery failed"
    ),
    "webhook.disabled": Event(
        "Webhook {webhook_name} is disabled: {reason}", _ALARMING, "A webhook is disabled"
    ),
    # not sent to webhooks: one that is dead would be sent the news of its own dead deliveries
    "webhook.delivery_failed": Event(
        "{event} could not be delivered to webhook {webhook_name}: {reason}",
        _ALARMING - {Sink.WEBHOOKS},
        "A webhook's delivery failed",
    ),
}
"""By name. chain.completed is sent however an execution ends; its `status` says how.

run.failed makes a notification for runs of the system's own jobs only.
"""


def sent_to_webhooks() -> list[str]:
    return [name for name, event in EVENTS.items() if Sink.WEBHOOKS in event.sinks]
