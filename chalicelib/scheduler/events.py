"""Events: what happened to jobs, runs, chains and agents, for those who want to know."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from chalicelib.scheduler.engine import Engine

log = logging.getLogger(__name__)


def emit(engine: Engine, event: str, data: Mapping[str, Any], now: datetime) -> None:
    log.info("%s: %s", event, dict(data))


def notify(engine: Engine, title: str, message: str, now: datetime) -> None:
    log.info("%s: %s", title, message)
