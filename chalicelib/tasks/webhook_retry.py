"""webhook_retry: attempts the deliveries to webhooks whose time has come again."""

from __future__ import annotations

from chalicelib.core.action import Attempt, Json
from chalicelib.core.webhook import PATIENCE, NoticeStatus
from chalicelib.scheduler.engine import Engine
from chalicelib.scheduler.webhook_deliveries import due, retry_due

_LAST_CALL = PATIENCE.total_seconds() + 5  # seconds: with less left, nothing more is begun


def run(engine: Engine, attempt: Attempt) -> Json:
    if attempt.run["dry_run"]:
        waiting = due(engine, engine.now())
        return {"ok": True, "message": f"{waiting} retries are due", "processed": 0}
    outcomes = retry_due(engine, engine.now(), lambda: attempt.seconds_left() > _LAST_CALL)
    ok = outcomes.count(NoticeStatus.DELIVERED)
    failed = len(outcomes) - ok - outcomes.count(NoticeStatus.CANCELLED)
    return {"ok": True, "message": _message(ok, failed), "processed": ok + failed}


def _message(ok: int, failed: int) -> str:
    if not ok + failed:
        return "No pending retries"
    word = "retry" if ok + failed == 1 else "retries"
    return f"Processed {ok + failed} {word} ({ok} ok, {failed} failed)"
