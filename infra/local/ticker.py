"""The EventBridge rule that wakes the tick, which moto does not play."""

from __future__ import annotations

import logging
import os
import threading
import time
import uuid
from datetime import UTC, datetime
from typing import Any

from chalice.local import LambdaContext

from infra.local.pollers import Function

log = logging.getLogger(__name__)


class Ticker:
    """Calls the tick at once, then whenever the clock reaches a multiple of `seconds`. One call at a time."""

    def __init__(self, tick: Function, seconds: float) -> None:
        self._tick = tick
        self._seconds = seconds
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ticker", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """Tick no more; a tick in progress has so long to finish."""
        self._stopping.set()
        self._thread.join(seconds)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._call()
            self._stopping.wait(self._seconds - time.time() % self._seconds)

    def _call(self) -> None:
        try:
            self._tick(
                scheduled_event(os.environ["AWS_DEFAULT_REGION"]), LambdaContext("tick", 512, 300 * 1000)
            )
        except Exception:
            log.exception("the tick failed; the next one comes all the same")


def scheduled_event(region: str) -> dict[str, Any]:
    """An EventBridge rule's event, of now."""
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": "123456789012",
        "time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": region,
        "resources": [f"arn:aws:events:{region}:123456789012:rule/belfry-tick"],
        "detail": {},
    }
