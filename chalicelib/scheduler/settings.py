"""What people do with settings: read all of them, change some at once, reset one.

The setting that controls a built-in job has no value of its own: it shows whether the job is active, and
writing it pauses or resumes the job.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from chalicelib.core.errors import Conflict, Detail, Invalid
from chalicelib.core.instants import from_iso, iso
from chalicelib.core.job import Job, JobStatus
from chalicelib.core.settings import SETTINGS, Setting, parse
from chalicelib.scheduler.builtins import BuiltIn, switch
from chalicelib.scheduler.engine import Engine


@dataclass(frozen=True)
class Entry:
    """A setting with its value as it may be shown. Who changed it when is not known of a default."""

    setting: Setting
    value: str
    is_default: bool
    updated_by: str | None
    updated_at: datetime | None


def list_settings(engine: Engine) -> list[Entry]:
    """Every known key, in the registry's order."""
    stored = dict(engine.records.list("settings"))
    controls = _controls(engine)
    jobs = _jobs(engine, controls)
    return [
        _of_control(setting, jobs.get(controls[key].job_id), stored.get(key))
        if key in controls
        else _entry(setting, stored.get(key))
        for key, setting in SETTINGS.items()
    ]


def write(engine: Engine, values: Mapping[str, str], by: str, now: datetime) -> None:
    """Changes all of these, or none. Raises Invalid naming every unknown key and wrong value."""
    _check(values)
    _apply(engine, values, now)
    for key, text in values.items():
        engine.records.put("settings", key, {"value": text, "updated_by": by, "updated_at": iso(now)})


def reset(engine: Engine, key: str, now: datetime) -> str:
    """Gives the setting its default again, and gives it back. Raises Invalid where the key is unknown."""
    if key not in SETTINGS:
        raise _unknown("key", key)
    default = SETTINGS[key].default
    _apply(engine, {key: default}, now)
    engine.records.delete("settings", key)
    return default


def _entry(setting: Setting, record: Mapping[str, Any] | None) -> Entry:
    if record is None:
        return Entry(setting, setting.shown(setting.default), True, None, None)
    at = record.get("updated_at")
    value = setting.shown(record["value"])
    return Entry(setting, value, False, record.get("updated_by"), from_iso(at) if at else None)


def _of_control(setting: Setting, job: Job | None, record: Mapping[str, Any] | None) -> Entry:
    """The job's status. The record says who wrote it, unless the job was changed by other ways since."""
    value = "true" if job and job.status is JobStatus.ACTIVE else "false"
    if record and record["value"] == value:
        return _entry(setting, record)
    is_default = value == setting.default
    return Entry(setting, value, is_default, None, job.updated_at if job and not is_default else None)


def _check(values: Mapping[str, str]) -> None:
    wrong: list[Detail] = []
    for key, text in values.items():
        try:
            _check_one(key, text)
        except Invalid as error:
            wrong += error.details
    if wrong:
        raise Invalid(*wrong)


def _check_one(key: str, text: str) -> None:
    if key not in SETTINGS:
        raise _unknown(key, key)
    parse(key, text)


def _unknown(field: str, key: str) -> Invalid:
    return Invalid.one(field, f"{key[:80]!r} is no setting; GET /api/settings lists them")


def _apply(engine: Engine, values: Mapping[str, str], now: datetime) -> None:
    """Pauses and resumes the jobs that `values` control. Raises Conflict before it changes any."""
    controls = {key: builtin for key, builtin in _controls(engine).items() if key in values}
    jobs = _jobs(engine, controls)
    for key, builtin in controls.items():
        job = jobs.get(builtin.job_id)
        is_off = job is not None and job.status is not JobStatus.ACTIVE
        if parse(key, values[key]) and job and is_off and job.next_slot(now) is None:
            raise Conflict(f"{key} cannot be enabled: job {job.job_id} has no slot left; give it a schedule")
    for key, builtin in controls.items():
        switch(engine, builtin, on=parse(key, values[key]), now=now)


def _controls(engine: Engine) -> dict[str, BuiltIn]:
    return {builtin.control: builtin for builtin in engine.builtins if builtin.control}


def _jobs(engine: Engine, controls: Mapping[str, BuiltIn]) -> dict[str, Job | None]:
    return engine.jobs.definitions((builtin.job_id for builtin in controls.values()), consistent=True)
