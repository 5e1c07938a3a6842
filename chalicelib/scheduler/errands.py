"""Errands from the queue, by kind: how each is done, and what becomes of one that the queue gave up on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from chalicelib.core.action import Json
from chalicelib.core.errand import Errand, ErrandKind
from chalicelib.scheduler import run_delivery, webhook_deliveries
from chalicelib.scheduler.engine import Engine

VISIBILITY = timedelta(seconds=120)  # of its message, while it is done: longer than any takes


class Way(NamedTuple):
    """How a kind of errand is done. Both are given the errand's facts and may be called again."""

    run: Callable[[Engine, Mapping[str, Json], datetime], timedelta | None]
    """Gives how long to wait before it is to be done again; None: it is over."""
    give_up: Callable[[Engine, Mapping[str, Json], str, datetime], None]
    """Records that it is over without having been done, and why."""


WAYS: dict[ErrandKind, Way] = {
    ErrandKind.DELIVERY: Way(run_delivery.carry_out, run_delivery.give_up),
    ErrandKind.WEBHOOK: Way(webhook_deliveries.run, webhook_deliveries.give_up),
}


def run(engine: Engine, errand: Errand, now: datetime) -> timedelta | None:
    return WAYS[errand.kind].run(engine, errand.facts, now)


def give_up(engine: Engine, errand: Errand, reason: str, now: datetime) -> None:
    WAYS[errand.kind].give_up(engine, errand.facts, reason, now)
