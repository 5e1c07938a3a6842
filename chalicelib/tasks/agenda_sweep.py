"""agenda-sweep: finds active jobs that the agenda has lost, files them, and counts them for the alarm."""

from __future__ import annotations

import json
import sys

from chalicelib.core.action import Attempt, Json
from chalicelib.core.instants import millis
from chalicelib.scheduler.engine import Engine
from chalicelib.scheduler.sweep import sweep


def run(engine: Engine, attempt: Attempt) -> Json:
    now = engine.now()
    found = sweep(engine, now)
    _publish(found["repaired"], millis(now))
    return {**found}


def _publish(repaired: int, timestamp: int) -> None:
    """The metric AgendaRepairs, in CloudWatch's embedded metric format: a line of the log."""
    metrics = {
        "Namespace": "Belfry",
        "Dimensions": [[]],
        "Metrics": [{"Name": "AgendaRepairs", "Unit": "Count"}],
    }
    line = {"_aws": {"Timestamp": timestamp, "CloudWatchMetrics": [metrics]}, "AgendaRepairs": repaired}
    sys.stdout.write(json.dumps(line) + "\n")
