"""How the engine itself does."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from chalicelib.core.instants import from_iso
from chalicelib.scheduler.engine import Engine


@dataclass(frozen=True)
class EngineStatus:
    running: bool  # a tick came within the last three intervals, and dispatch is not paused
    paused: bool
    tick_interval_seconds: float
    lookahead_seconds: float
    last_tick_at: datetime | None
    last_tick_lateness_ms: int | None
    next_tick_at: datetime
    jobs_checked_last_tick: int
    queue_depth: int
    dead_letters: int


def engine_status(engine: Engine, now: datetime) -> EngineStatus:
    last = engine.ticks.last()
    last_at = from_iso(last["last_tick_at"]) if "last_tick_at" in last else None
    paused = engine.settings().is_paused
    interval = engine.tick_interval
    return EngineStatus(
        running=not paused and last_at is not None and now - last_at < 3 * interval,
        paused=paused,
        tick_interval_seconds=interval.total_seconds(),
        lookahead_seconds=engine.lookahead.total_seconds(),
        last_tick_at=last_at,
        last_tick_lateness_ms=last.get("last_tick_lateness_ms"),
        next_tick_at=max(now, last_at + interval) if last_at else now + interval,
        jobs_checked_last_tick=last.get("jobs_checked", 0),
        queue_depth=engine.queue.depth(),
        dead_letters=engine.records.count("dead_letter"),
    )
