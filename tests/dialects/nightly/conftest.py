"""The built-in tasks of the other dialects are left out: what runs is what a test is about."""

from __future__ import annotations

import pytest

from chalicelib import composition


@pytest.fixture(autouse=True)
def only_its_own_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = tuple(job for job in composition.TASK_JOBS if job.job_id == "job_agenda-sweep")
    monkeypatch.setattr(composition, "TASK_JOBS", kept)
