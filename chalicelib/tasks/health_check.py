"""health-check: looks at each component; what is degraded is logged as a warning and listed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from chalicelib.core.action import Attempt, Json
from chalicelib.core.instants import from_iso, iso
from chalicelib.scheduler import targets
from chalicelib.scheduler.engine import Engine
from chalicelib.scheduler.status import engine_status

_LONGEST_WAIT = timedelta(seconds=60)  # of a run in the queue

log = logging.getLogger(__name__)


class Finding(NamedTuple):
    """What is known of a component, and what is wrong with it."""

    facts: Mapping[str, Json]
    problem: str | None = None


def run(engine: Engine, attempt: Attempt) -> Json:
    """A component that cannot be looked at is degraded, and the others are looked at all the same."""
    now = engine.now()
    found = {name: _looked_at(name, look, engine, attempt, now) for name, look in COMPONENTS.items()}
    degraded = [f"{name}: {finding.problem}" for name, finding in found.items() if finding.problem]
    for problem in degraded:
        log.warning("degraded: %s", problem)
    return {
        "status": "degraded" if degraded else "ok",
        "degraded": [*degraded],
        "components": {name: dict(finding.facts) for name, finding in found.items()},
    }


Look = Callable[[Engine, Attempt, datetime], Finding]


def _looked_at(name: str, look: Look, engine: Engine, attempt: Attempt, now: datetime) -> Finding:
    try:
        return look(engine, attempt, now)
    except Exception as error:
        log.exception("the health of %s is not known", name)
        return Finding({}, f"cannot be read ({type(error).__name__})")


def _tables(engine: Engine, attempt: Attempt, now: datetime) -> Finding:
    """A read of one row of each."""
    reads: dict[str, Callable[[], object]] = {
        "jobs": lambda: engine.jobs.get("job_health-check"),
        "runs": lambda: engine.runs.get("job_health-check", "none"),
        "agenda": lambda: next(iter(engine.agenda.entries()), None),
        "records": lambda: engine.records.get("engine", "builtins"),
    }
    unread = [name for name, read in reads.items() if not _works(name, read)]
    facts = {name: "unreadable" if name in unread else "ok" for name in reads}
    return Finding(facts, f"{', '.join(unread)} cannot be read" if unread else None)


def _works(name: str, read: Callable[[], object]) -> bool:
    try:
        read()
    except Exception:
        log.exception("table %s cannot be read", name)
        return False
    return True


def _queue(engine: Engine, attempt: Attempt, now: datetime) -> Finding:
    """SQS does not tell how old its messages are; this run has just come through the queue, and does."""
    age = max(now - from_iso(str(attempt.run["scheduled_for"])), timedelta())
    facts = {"depth": engine.queue.depth(), "age_ms": age // timedelta(milliseconds=1)}
    late = f"this run waited {age.total_seconds():.0f} s" if age > _LONGEST_WAIT else None
    return Finding(facts, late)


def _dead_letters(engine: Engine, attempt: Attempt, now: datetime) -> Finding:
    count = engine.records.count("dead_letter")
    return Finding({"count": count}, f"{count} messages were given up on" if count else None)


def _agents(engine: Engine, attempt: Attempt, now: datetime) -> Finding:
    agents = targets.list_agents(engine)
    offline = sorted(agent["id"] for agent in agents if agent["status"] == targets.OFFLINE)
    facts: dict[str, Json] = {"online": len(agents) - len(offline), "offline": [*offline]}
    return Finding(facts, f"{', '.join(offline)} offline" if offline else None)


def _channels(engine: Engine, attempt: Attempt, now: datetime) -> Finding:
    return Finding({"count": engine.records.count("channel")})


def _tick(engine: Engine, attempt: Attempt, now: datetime) -> Finding:
    status = engine_status(engine, now)
    last = status.last_tick_at
    facts = {"last_tick_at": iso(last) if last else None, "lateness_ms": status.last_tick_lateness_ms}
    if status.running:
        return Finding(facts)
    if status.paused:
        return Finding(facts, "dispatch is paused")
    return Finding(facts, f"the last one was at {iso(last)}" if last else "there was none yet")


COMPONENTS: dict[str, Look] = {
    "tables": _tables,
    "queue": _queue,
    "dead_letters": _dead_letters,
    "agents": _agents,
    "channels": _channels,
    "tick": _tick,
}
