"""The routes of Mission Control: its tasks, and the settings."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from chalice.app import Request

from chalicelib.core.access import Role
from chalicelib.core.errors import BadRequest
from chalicelib.core.job import Origin
from chalicelib.dialects.http import Answer, Api, Call, credentials
from chalicelib.dialects.mission_control.convert import outcome, setting_view, task_list
from chalicelib.dialects.mission_control.errors import MissionControlError, render
from chalicelib.dialects.mission_control.schema import (
    TASK_IDS,
    DialectQuery,
    Outcome,
    ResetSetting,
    ResetView,
    RunTask,
    SettingList,
    TaskList,
    WriteSettings,
    WrittenSettings,
)
from chalicelib.scheduler import builtins, settings

SCHEDULER = "/api/scheduler"
SETTINGS = "/api/settings"
PATIENCE = timedelta(seconds=25)  # API Gateway gives up after 29

API = Api("mission_control", (SETTINGS,), render, MissionControlError)


def is_mission_controls(request: Request) -> bool:
    """`?dialect=mission_control`, or the cookie `mc-session` without `?dialect=codespar`."""
    given: Any = request.query_params or {}
    dialect = given.get("dialect")
    has_session = credentials(request).session is not None
    return dialect == "mission_control" or (has_session and dialect != "codespar")


@API.route("GET", SCHEDULER, gives=TaskList, role=Role.ADMIN, when=is_mission_controls)
def list_tasks(call: Call, query: DialectQuery) -> Answer:
    return Answer(task_list(builtins.standings(call.engine, Origin.MISSION_CONTROL, call.now)))


@API.route("POST", SCHEDULER, gives=Outcome, takes=RunTask, role=Role.ADMIN, writes="task.run")
def run_task(call: Call) -> Answer:
    """Runs the task now and waits for it. One that still runs after 25 seconds goes on by itself."""
    task_id = _task_id(call)
    builtin = builtins.named(call.engine, Origin.MISSION_CONTROL, task_id)
    body = outcome(builtins.run_now(call.engine, builtin, call.who.id, PATIENCE, call.now))
    return Answer(body, 200 if body["ok"] else 500, target=task_id)


def _task_id(call: Call) -> str:
    """Raises BadRequest in the document's words."""
    task_id = call.json().get("task_id")
    if task_id not in TASK_IDS:
        raise BadRequest(f"Invalid task_id provided. Must be one of: {', '.join(TASK_IDS)}")
    return call.body(RunTask).task_id


@API.route("GET", SETTINGS, gives=SettingList, role=Role.ADMIN)
def list_settings(call: Call) -> Answer:
    return Answer({"settings": [setting_view(entry) for entry in settings.list_settings(call.engine)]})


@API.route("PUT", SETTINGS, gives=WrittenSettings, role=Role.ADMIN, writes="settings.update")
def write_settings(call: Call, body: WriteSettings) -> Answer:
    settings.write(call.engine, body.settings, call.who.id, call.now)
    updated = [*body.settings]
    return Answer({"updated": updated, "count": len(updated)}, target=", ".join(updated))


@API.route("DELETE", SETTINGS, gives=ResetView, takes=ResetSetting, role=Role.ADMIN, writes="settings.reset")
def reset_setting(call: Call, body: ResetSetting) -> Answer:
    default = settings.reset(call.engine, body.key, call.now)
    return Answer({"reset": body.key, "default_value": default}, target=body.key)
