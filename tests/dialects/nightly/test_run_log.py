"""The built-in jobs over the run log: its cleanup, and the report of missed and failed runs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine

from chalicelib import composition
from chalicelib.core.action import Attempt, Json
from tests.dialects.conftest import Client
from tests.dialects.nightly.test_certifications import run

JOBS = "/api/v1/scheduler/jobs"
CLEANUP, REPORT = "scheduler-run-log-cleanup", "scheduler-missed-run-report"
START = datetime(2026, 3, 26, 10, tzinfo=UTC)


@pytest.fixture
def clock(api: Client) -> Iterator[Any]:
    """Ten o'clock, with the built-in jobs registered."""
    with time_machine.travel(START, tick=False) as clock:
        api.tick()
        yield clock


def logged(*ages: int) -> list[int]:
    """Writes three records of the log on each of the days so long ago; the ages of those that are there."""
    records = composition.engine().records
    for age in ages:
        for number in range(3):
            records.put(_kind(age), f"{number}", {"runs": []})
    return [age for age in range(450) if age and any(records.list(_kind(age)))]


def _kind(age: int) -> str:
    return f"run_log#{(START - timedelta(days=age)).date()}"


def setting(key: str, value: str) -> None:
    composition.engine().records.put("settings", key, {"value": value})


def test_the_cleanup_removes_the_days_past_retention(api: Client, clock: Any) -> None:
    assert logged(1, 29, 30, 31, 32, 100, 400) == [1, 29, 30, 31, 32, 100, 400]
    assert run(api, CLEANUP) == {"removed": 12}
    assert logged() == [1, 29, 30]
    assert run(api, CLEANUP) == {"removed": 0}


@pytest.mark.parametrize(
    ("days", "kept"), [("0", [14, 15, 16, 90]), ("90", [14, 15, 16, 90]), ("1", [14, 15])]
)
def test_the_cleanup_follows_the_setting_but_keeps_fifteen_days(
    api: Client, clock: Any, days: str, kept: list[int]
) -> None:
    setting("retention.runs", days)
    logged(14, 15, 16, 90)
    run(api, CLEANUP)
    assert logged() == kept


def test_a_dry_cleanup_counts_and_removes_nothing(api: Client, clock: Any) -> None:
    logged(31, 40)
    api("POST", f"{JOBS}/{CLEANUP}/trigger", {"dry_run": True})
    api.work()
    (job,) = [one for one in native_jobs(api) if one["name"] == CLEANUP]
    (dry,) = api("GET", f"/api/scheduler/jobs/{job['id']}/runs").body["runs"]
    assert dry["output"] == {"removed": 6, "dry_run": True}
    assert logged() == [31, 40]


def native_jobs(api: Client) -> Any:
    return api("GET", "/api/scheduler/jobs?origin=nightly").body["jobs"]


def test_a_quiet_day_is_reported_as_such(api: Client, clock: Any) -> None:
    assert run(api, REPORT) == {
        "since": "2026-03-25T10:00:00Z",
        "until": "2026-03-26T10:00:00Z",
        "missed": 0,
        "failed": 0,
        "jobs": [],
        "unlisted": 0,
    }


def test_the_report_counts_what_was_missed_and_what_failed_by_job(
    api: Client, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(attempt: Attempt, settings: Json) -> Json:
        raise ValueError("no")

    monkeypatch.setitem(composition.HANDLERS, "echo", broken)
    for name in ("hourly", "broken", "deleted"):
        api("POST", JOBS, {"job_name": name, "cron_expression": "0 0 1 1 *", "handler": "echo"})
    ids = {job["name"]: job["id"] for job in native_jobs(api)}
    hourly = {"schedule": {"type": "cron", "expression": "0 * * * *"}, "misfire": "skip"}
    assert api("PUT", f"/api/scheduler/jobs/{ids['hourly']}", hourly).status == 200
    clock.shift(timedelta(hours=5, minutes=30))
    api.tick()
    for name, body in (("broken", {}), ("deleted", {}), ("broken", {"dry_run": True})):
        assert api("POST", f"{JOBS}/{name}/trigger", body).status == 202
        api.work()
    api("DELETE", f"{JOBS}/deleted")
    clock.shift(timedelta(seconds=1))  # what ends in the report's own instant is the next one's
    found = run(api, REPORT)
    lines = {job["job_id"]: (job["name"], job["missed"], job["failed"]) for job in found["jobs"]}
    assert lines[ids["hourly"]] == ("hourly", 5, 0)
    assert lines[ids["broken"]] == ("broken", 0, 1)
    assert lines[ids["deleted"]] == (None, 0, 1)
    assert found["failed"] == 2
    assert found["missed"] == sum(missed for _, missed, _ in lines.values())
    assert [job["missed"] + job["failed"] for job in found["jobs"]] == [5, 5, 1, 1]  # agenda-sweep's too
    clock.shift(timedelta(days=1))
    assert (run(api, REPORT)["missed"], run(api, REPORT)["failed"]) == (0, 0)
