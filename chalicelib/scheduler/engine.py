"""What the use cases work with: the stores, the queue, the actions, the clock. Composed in one place."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import TYPE_CHECKING, Any

from chalicelib.core.action import Action, Attempt, Json
from chalicelib.core.settings import Settings

if TYPE_CHECKING:  # handed in; the use cases depend on the core only
    from chalicelib.aws.agenda import Agenda
    from chalicelib.aws.counters import Counters
    from chalicelib.aws.jobs import Jobs
    from chalicelib.aws.pipelines import Pipelines
    from chalicelib.aws.queue import Queue
    from chalicelib.aws.records import Records
    from chalicelib.aws.runs import Runs
    from chalicelib.aws.ticks import Ticks
    from chalicelib.aws.workflows import Workflows


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, kw_only=True, eq=False)  # hashed as itself: its parts need not be
class Engine:
    jobs: Jobs
    runs: Runs
    agenda: Agenda
    records: Records
    queue: Queue
    ticks: Ticks
    counters: Counters
    pipelines: Pipelines
    workflows: Workflows
    perform: Callable[[Action, Attempt], Json]
    ask_model: Callable[[str, str, str, datetime], dict[str, Any]]
    handlers: Collection[str]  # names of the Python functions that an action may call
    lookahead: timedelta
    tick_interval: timedelta
    now: Callable[[], datetime] = _now
    sleep: Callable[[float], None] = time.sleep
    chance: Callable[[], float] = random.random
    stopping: Event = field(default_factory=Event)

    def settings(self) -> Settings:
        return Settings({key: record["value"] for key, record in self.records.list("settings")})
