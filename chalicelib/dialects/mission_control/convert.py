"""Tasks and settings as Mission Control shows them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from chalicelib.core.action import Json
from chalicelib.core.instants import millis
from chalicelib.core.job import LastRun
from chalicelib.core.run import Run, RunStatus
from chalicelib.dialects.mission_control.schema import TASK_IDS
from chalicelib.scheduler.builtins import Standing
from chalicelib.scheduler.settings import Entry

NAMES = {
    "auto_backup": "Auto Backup",
    "auto_cleanup": "Auto Cleanup",
    "agent_heartbeat": "Agent Heartbeat Check",
    "webhook_retry": "Webhook Retry",
    "claude_session_scan": "Claude Session Scan",
}
MESSAGE_LIMIT = 500  # characters of an output that is not a task's


def task_list(standings: Iterable[Standing]) -> dict[str, Any]:
    by_id = {standing.builtin.name: standing for standing in standings}
    return {"tasks": [_task(task_id, by_id[task_id]) for task_id in TASK_IDS]}


def _task(task_id: str, standing: Standing) -> dict[str, Any]:
    last = standing.state.last_run
    view = {
        "id": task_id,
        "name": NAMES[task_id],
        "enabled": standing.is_enabled,
        "lastRun": millis(last.started_at or last.completed_at) if last else None,
        "nextRun": millis(standing.next_slot),
        "running": standing.is_running,
    }
    return view | {"lastResult": _result(last, standing.last)} if last else view


def _result(last: LastRun, row: Run | None) -> dict[str, Any]:
    """Of a run whose row has expired the status is left."""
    ok = last.status == RunStatus.COMPLETED
    message = _message(row) if row else last.status
    return {"ok": ok, "message": message, "timestamp": millis(last.completed_at)}


def outcome(run: Run) -> dict[str, Any]:
    """What a task that was run by hand gave, or that it still runs."""
    if not run.is_finished:
        return {"ok": True, "message": f"Still running: run {run.run_id}"}
    return {"ok": run.status is RunStatus.COMPLETED, "message": _message(run)}


def _message(run: Run) -> str:
    if run.status is RunStatus.COMPLETED:
        return _said(run.output)
    return run.error.message if run.error else run.reason or run.status


def _said(output: Json) -> str:
    """A task's output has a message; any other is shown as it is."""
    if isinstance(output, dict) and isinstance(output.get("message"), str):
        return str(output["message"])
    text = output if isinstance(output, str) else json.dumps(output, ensure_ascii=False)
    return text[:MESSAGE_LIMIT]


def setting_view(entry: Entry) -> dict[str, Any]:
    return {
        "key": entry.setting.key,
        "value": entry.value,
        "description": entry.setting.description,
        "category": entry.setting.category,
        "updated_by": entry.updated_by,
        "updated_at": millis(entry.updated_at) if entry.updated_at else None,
        "is_default": entry.is_default,
    }
