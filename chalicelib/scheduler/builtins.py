"""The built-in jobs: ordinary ones of owner `system`, registered once a deployment."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

from chalicelib.core.errors import Conflict
from chalicelib.core.job import Origin, Spec
from chalicelib.scheduler.engine import Engine
from chalicelib.scheduler.jobs import Creation, create

OWNER = "system"


def register(engine: Engine, jobs: Mapping[str, Mapping[str, Any]], deployment: str, now: datetime) -> None:
    """Creates those of `jobs` (by id) that are not there; once, as the deployment's stamp tells."""
    done = engine.records.get("engine", "builtins")
    if done and done["deployment"] == deployment:
        return
    present = engine.jobs.definitions(jobs, consistent=True)
    for job_id, fields in jobs.items():
        if job_id not in present:
            _create(engine, job_id, Spec.model_validate(fields), now)
    engine.records.put("engine", "builtins", {"deployment": deployment})


def _create(engine: Engine, job_id: str, spec: Spec, now: datetime) -> None:
    with suppress(Conflict):  # another instance was first
        create(engine, spec, Creation(OWNER, Origin.NATIVE, job_id=job_id), now)
