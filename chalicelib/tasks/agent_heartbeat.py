"""agent_heartbeat: marks the agents offline that have been silent for too long."""

from __future__ import annotations

from chalicelib.core.action import Attempt, Json
from chalicelib.scheduler.engine import Engine
from chalicelib.scheduler.targets import mark_silent_agents


def run(engine: Engine, attempt: Attempt) -> Json:
    names = mark_silent_agents(engine, engine.now(), dry_run=bool(attempt.run["dry_run"]))
    message = f"Marked {len(names)} agent(s) offline: {', '.join(names)}" if names else "All agents healthy"
    return {"ok": True, "message": message, "marked": len(names)}
