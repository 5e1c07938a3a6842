"""The built-in jobs: ordinary ones of owner `system`, registered once a deployment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from chalicelib.core.errors import Conflict
from chalicelib.core.job import SYSTEM, JobStatus, Origin, Spec
from chalicelib.scheduler.engine import Engine
from chalicelib.scheduler.jobs import Creation, create

OWNER = SYSTEM


@dataclass(frozen=True)
class BuiltIn:
    """A job as it is registered. `spec` has the fields that people would write."""

    job_id: str
    spec: Mapping[str, Any]
    origin: Origin = Origin.NATIVE
    status: JobStatus = JobStatus.ACTIVE


def register(engine: Engine, jobs: Iterable[BuiltIn], deployment: str, now: datetime) -> None:
    """Creates those of `jobs` that are not there; once, as the deployment's stamp tells."""
    done = engine.records.get("engine", "builtins")
    if done and done["deployment"] == deployment:
        return
    wanted = {job.job_id: job for job in jobs}
    present = engine.jobs.definitions(wanted, consistent=True)
    for job_id, job in wanted.items():
        if job_id not in present:
            create_one(engine, job, now)
    engine.records.put("engine", "builtins", {"deployment": deployment})


def create_one(engine: Engine, job: BuiltIn, now: datetime) -> None:
    creation = Creation(OWNER, job.origin, status=job.status, job_id=job.job_id)
    with suppress(Conflict):  # another instance was first
        create(engine, Spec.model_validate(job.spec), creation, now)
