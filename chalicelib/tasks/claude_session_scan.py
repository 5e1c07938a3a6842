"""claude_session_scan: reads the transcripts of Claude Code's sessions."""

from __future__ import annotations

from dataclasses import asdict

from chalicelib.core.action import Attempt, Json
from chalicelib.scheduler.engine import Engine
from chalicelib.scheduler.sessions import scan

_MARGIN = 15  # seconds kept for the end of the attempt


def run(engine: Engine, attempt: Attempt) -> Json:
    dry_run = bool(attempt.run["dry_run"])
    found = scan(engine, engine.now(), lambda: attempt.seconds_left() > _MARGIN, dry_run=dry_run)
    return {"ok": True, "message": found.message, **asdict(found)}
