"""auto_cleanup: what is past its retention goes, exactly; all else stays."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest

from chalicelib.core.access import Principal, Role
from chalicelib.core.audit import BrokenLink
from chalicelib.core.chain import PipelineRun
from chalicelib.core.instants import iso
from chalicelib.core.retention import months_until
from chalicelib.scheduler import audit
from chalicelib.scheduler.audit_reading import verify
from chalicelib.scheduler.engine import Engine
from chalicelib.tasks import TASKS
from tests.integration.tasks_support import attempt
from tests.memory import Memory
from tests.support import START, World

DAY = timedelta(days=1)
MILLISECOND = timedelta(milliseconds=1)
MONTHLY = {
    "activities": ("activity", 90),
    "notifications": ("notification", 60),
    "token_usage": ("token_usage", 90),
}


@pytest.fixture
def memory() -> World:
    environment, client = Memory.environment()
    return World(environment, client=client)


def add(world: World, kind: str, at: datetime, number: int = 0) -> None:
    text = iso(at)
    world.engine.records.put(f"{kind}#{text[:7]}", f"{text}#{number:06d}", {"at": text, "number": number})


def add_execution(world: World, chain: str, begun: datetime, ended: datetime | None, name: str = "x") -> None:
    run = PipelineRun(
        chain_id=chain,
        execution=f"{begun:%Y%m%dT%H%M%SZ}-{name}",
        revision=1,
        machine_arn="arn",
        root=None,
        started_at=begun,
    )
    world.engine.pipelines.add(run)
    if ended:
        assert world.engine.pipelines.end(run, "completed", ended)


def cleaned(world: World, **given: Any) -> Any:
    return TASKS["auto_cleanup"](world.engine, attempt(**given))


def rows(world: World) -> set[tuple[str, str]]:
    assert isinstance(world.client, Memory)
    return set(world.client._rows["RecordsTable"])


def _kept(world: World) -> set[tuple[str, int]]:
    """Month and number of the audit entries that a cleanup leaves."""
    entries = {(kind.partition("#")[2], int(key)) for kind, key in rows(world) if kind.startswith("audit#")}
    return {(month, seq) for month, seq in entries if seq in (1, 2_502) or seq > 2_502}


def test_of_ten_thousand_stale_records_among_fresh_ones_exactly_those_go(memory: World) -> None:
    for i in range(2_602):  # the last hundred are kept; of the others so are the first and the last
        at = START - 365 * DAY - MILLISECOND + (i - 2_501) * timedelta(hours=1)
        audit.append(memory.engine, Principal("anna", Role.ADMIN), "job.create", None, {}, at)
    audited = {("audit", "head")} | {(f"audit#{month}", f"{seq:012d}") for month, seq in _kept(memory)}
    for kind, days in MONTHLY.values():  # 2,000 of each, over half a year; then 100 that are kept
        for i in range(2_000):
            add(memory, kind, START - days * DAY - MILLISECOND - i * timedelta(hours=2), i)
    for chain in ("chain_a", "chain_gone"):
        memory.engine.records.put("chain", chain, {"deleted_at": None})
        for i in range(750):
            begun = START - 90 * DAY - timedelta(hours=i + 2)
            add_execution(memory, chain, begun, begun + timedelta(hours=1), f"{i}")
    stale = {row for row in rows(memory) if row[0] != "chain"} - audited
    assert len(stale) == 10_000
    for kind, days in MONTHLY.values():
        for i in range(100):
            add(memory, kind, START - days * DAY + i * timedelta(hours=14), i)
    for i in range(100):
        begun = START - 90 * DAY - timedelta(hours=i)
        add_execution(memory, "chain_a", begun, None, f"running-{i}")
        add_execution(memory, "chain_a", begun, START - 90 * DAY + i * DAY / 2, f"long-{i}")
    memory.engine.records.put("run_log#2026-01-01", "2026-01-01T00:00:00.000Z#x", {})
    memory.engine.records.put("target", "2026-01-01", {})
    everything = rows(memory)

    dry = cleaned(memory, dry_run=True)
    assert rows(memory) == everything
    done = cleaned(memory)
    assert everything - rows(memory) == stale
    assert verify(memory.engine, memory.clock.now()).broken is None
    assert dry == {**done, "dry_run": True}
    assert done == {
        "ok": True,
        "message": "Cleaned 10000 stale records",
        "counts": {
            "activities": 2_000,
            "audit_log": 2_500,
            "notifications": 2_000,
            "pipeline_runs": 1_500,
            "token_usage": 2_000,
        },
        "complete": True,
        "dry_run": False,
    }


@pytest.mark.parametrize("table", MONTHLY)
def test_a_record_is_kept_for_its_days_to_the_millisecond(memory: World, table: str) -> None:
    kind, days = MONTHLY[table]
    for offset in (-MILLISECOND, timedelta(), MILLISECOND):
        add(memory, kind, START - days * DAY + offset)
    assert cleaned(memory)["message"] == "Cleaned 1 stale record"
    assert {key for _, key in rows(memory)} == {
        f"{iso(START - days * DAY + offset)}#000000" for offset in (timedelta(), MILLISECOND)
    }


def test_an_execution_is_kept_by_its_end_to_the_millisecond(memory: World) -> None:
    memory.engine.records.put("chain", "chain_a", {})
    limit = START - 90 * DAY
    add_execution(memory, "chain_a", limit, limit - MILLISECOND, "goes")
    add_execution(memory, "chain_a", limit, limit, "stays")
    assert cleaned(memory)["counts"]["pipeline_runs"] == 1
    assert [run.execution[-5:] for run in memory.engine.pipelines.of_chain("chain_a", 10)] == ["stays"]


@pytest.mark.parametrize("table", [*MONTHLY, "pipeline_runs", "audit_log"])
def test_retention_is_a_setting_and_zero_keeps_for_ever(
    memory: World, monkeypatch: pytest.MonkeyPatch, table: str
) -> None:
    monkeypatch.setattr(audit, "prune", lambda engine, now, dry_run: 1)
    memory.engine.records.put("chain", "chain_a", {})
    old = START - 300 * DAY
    for kind, _ in MONTHLY.values():
        add(memory, kind, old)
    add_execution(memory, "chain_a", old, old)
    memory.put_setting(f"retention.{table}", "0")
    counts = cleaned(memory)["counts"]
    assert {name for name, number in counts.items() if number == 0} == {table}


def test_it_stops_before_its_time_is_over_says_how_far_it_came_and_goes_on_later(memory: World) -> None:
    for i in range(100):
        add(memory, "activity", START - 200 * DAY, i)
        add(memory, "token_usage", START - 200 * DAY, i)
    done = cleaned(memory, seconds_left=_falling(to=3))
    assert (done["ok"], done["complete"]) == (True, False)
    assert 0 < done["counts"]["activities"] < 100
    assert done["counts"]["token_usage"] == 0
    first = done["counts"]["activities"]
    assert done["message"] == f"Cleaned {first} stale records; the time was up, the next run goes on"
    assert len(rows(memory)) == 200 - first
    assert cleaned(memory)["counts"]["activities"] == 100 - first
    assert rows(memory) == set()


def _falling(to: int) -> Callable[[], float]:
    """Seconds left: enough for so many questions."""
    asked = count(1)
    return lambda: 300.0 if next(asked) <= to else 10.0


def test_a_broken_audit_log_fails_the_task_but_keeps_no_other_table_from_its_cleanup(
    memory: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(engine: Engine, now: datetime, dry_run: bool) -> int:
        raise BrokenLink(10, "is not as it was written")

    monkeypatch.setattr(audit, "prune", broken)
    for kind, days in MONTHLY.values():
        add(memory, kind, START - days * DAY - MILLISECOND)
    assert len(rows(memory)) == 3
    with pytest.raises(BrokenLink, match="entry 10"):
        cleaned(memory)
    assert rows(memory) == set()


def test_nothing_to_do_is_said_in_the_plural(memory: World) -> None:
    assert cleaned(memory)["message"] == "Cleaned 0 stale records"


def test_on_dynamodb_too(world: World) -> None:
    world.engine.records.put("chain", "chain_a", {})
    for offset in (-MILLISECOND, MILLISECOND):
        for kind, days in MONTHLY.values():
            add(world, kind, START - days * DAY + offset)
        ended = START - 90 * DAY + offset
        add_execution(world, "chain_a", ended - timedelta(hours=1), ended, f"{offset.microseconds}")
    assert cleaned(world, dry_run=True)["message"] == cleaned(world)["message"] == "Cleaned 4 stale records"
    assert cleaned(world)["message"] == "Cleaned 0 stale records"
    assert len([*world.engine.pipelines.of_chain("chain_a", 10)]) == 1


def test_the_months_up_to_a_limit_are_all_asked_for() -> None:
    assert [*months_until(datetime(2025, 12, 31, tzinfo=UTC))] == []
    assert [*months_until(datetime(2026, 2, 1, tzinfo=UTC))] == ["2026-01", "2026-02"]
    months = [*months_until(datetime(2031, 12, 31, 23, tzinfo=UTC))]
    assert (len(months), len(set(months)), months[12], months[-1]) == (72, 72, "2027-01", "2031-12")
    assert months == sorted(months)
