"""auto_backup and `make restore`: sets of all tables, and the way back from one."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import boto3
import pytest

from chalicelib.aws.backups import Backups
from chalicelib.core.backup import TABLES, BackupSet, TableBackup, sets, surplus
from chalicelib.core.errors import ActionError
from chalicelib.tasks import TASKS
from infra import restore as restoring
from infra.restore import Refused, list_backups, restore
from tests.integration.tasks_support import attempt
from tests.support import MINUTE, START, World

DAY = timedelta(days=1)
STAMP = "20261122T140030Z"
Rows = dict[str, list[dict[str, Any]]]


@pytest.fixture
def client(world: World) -> Any:
    return boto3.client("dynamodb")


@pytest.fixture
def environment(world: World) -> dict[str, str]:
    return {**world.environment, "BELFRY_RUNS_QUEUE": "runs", "BELFRY_DEAD_LETTERS_QUEUE": "dead"}


def back_up(world: World, **given: Any) -> Any:
    return TASKS["auto_backup"](world.engine, attempt(**given))


def backups(world: World) -> list[TableBackup]:
    return [*world.engine.backups.list()]


def contents(client: Any, environment: dict[str, str]) -> Rows:
    """All rows of all tables."""
    return {
        table: sorted(client.scan(TableName=environment[f"BELFRY_{table.upper()}_TABLE"])["Items"], key=str)
        for table in TABLES
    }


def alike(one: Rows, other: Rows) -> bool:
    """But for what a restore leaves as it is."""
    return all(
        [row for row in one[table] if not _left(row)] == [row for row in other[table] if not _left(row)]
        for table in TABLES
    )


def _left(row: dict[str, Any]) -> bool:
    return row.get("record_key", {}).get("S") in ("engine.paused", "tick")


# -- backups


def test_a_backup_is_one_of_every_table_under_one_stamp(world: World, client: Any) -> None:
    done = back_up(world)
    assert done == {
        "ok": True,
        "message": "Backup created (1KB)",
        "backup": STAMP,
        "sizes": dict.fromkeys(TABLES, 123),
        "deleted": 0,
    }
    (made,) = sets(backups(world))
    assert (made.stamp, made.missing) == (STAMP, [])
    names = {one["TableName"]: one["BackupName"] for one in client.list_backups()["BackupSummaries"]}
    assert {name: names[name] for name in world.environment.values()} == {
        world.environment[f"BELFRY_{table.upper()}_TABLE"]: f"belfry-{table}-{STAMP}" for table in TABLES
    }


def test_the_message_has_the_size_of_all_tables(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        Backups, "create", lambda self, table, stamp: TableBackup(table, stamp, "arn", 512 * 1024)
    )
    assert back_up(world)["message"] == "Backup created (2048KB)"


def test_the_newest_sets_are_kept_and_the_others_deleted(world: World) -> None:
    world.put_setting("general.backup_retention_count", "2")
    for _ in range(4):
        done = back_up(world)
        world.clock.advance(DAY)
    assert done["deleted"] == 1
    assert [one.stamp[:8] for one in sets(backups(world))] == ["20261125", "20261124"]
    assert len(backups(world)) == 8


def test_other_peoples_backups_are_left_alone(world: World, client: Any) -> None:
    world.put_setting("general.backup_retention_count", "1")
    table = world.environment["BELFRY_JOBS_TABLE"]
    for name in ("before-the-migration", "belfry-jobs-old", "belfry-runs-20200101T000000Z"):
        client.create_backup(TableName=table, BackupName=name)
    back_up(world)
    assert len(backups(world)) == 4
    assert len(client.list_backups(TableName=table)["BackupSummaries"]) == 4


def test_with_a_count_of_zero_all_are_kept(world: World) -> None:
    world.put_setting("general.backup_retention_count", "0")
    for _ in range(3):
        back_up(world)
        world.clock.advance(DAY)
    assert len(sets(backups(world))) == 3


def test_a_set_that_fails_half_way_is_deleted_and_pushes_out_no_other(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.put_setting("general.backup_retention_count", "1")
    back_up(world)
    world.clock.advance(DAY)
    create = Backups.create

    def failing(self: Backups, table: str, stamp: str) -> TableBackup:
        if table == "agenda":
            raise RuntimeError("LimitExceededException")
        return create(self, table, stamp)

    monkeypatch.setattr(Backups, "create", failing)
    with pytest.raises(RuntimeError, match="LimitExceeded"):
        back_up(world)
    assert [(one.stamp, one.missing) for one in sets(backups(world))] == [(STAMP, [])]


def test_a_set_that_its_worker_left_half_made_is_deleted_later_and_counts_for_nothing(world: World) -> None:
    world.put_setting("general.backup_retention_count", "2")
    back_up(world)
    world.clock.advance(DAY)
    world.switch.arm("create_backup", 3)
    with world.process():
        back_up(world)
    assert sets(backups(world))[0].missing == ["agenda", "records"]
    world.clock.advance(MINUTE)
    assert back_up(world)["deleted"] == 0  # somebody may still be at it
    world.clock.advance(DAY)
    assert back_up(world)["deleted"] == 2  # the broken one, and the oldest
    assert [one.missing for one in sets(backups(world))] == [[], []]


def test_a_backup_that_takes_its_time_is_waited_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(
        Backups, "create", lambda self, table, stamp: TableBackup(table, stamp, table, 0, 0, False)
    )

    def get(self: Backups, one: TableBackup) -> TableBackup:
        asked.append(one.table)
        return TableBackup(one.table, one.stamp, one.arn, 1024, 0, asked.count(one.table) == 3)

    monkeypatch.setattr(Backups, "get", get)
    monkeypatch.setattr(Backups, "delete", lambda self, one: asked.append(f"delete {one.table}"))
    assert back_up(world)["message"] == "Backup created (4KB)"
    assert asked == [table for table in TABLES for _ in range(3)]
    with pytest.raises(ActionError, match="the backup of table jobs is not ready"):
        back_up(world, seconds_left=lambda: 10.0)
    assert asked[-4:] == [f"delete {table}" for table in TABLES]


def test_a_dry_run_backs_nothing_up(world: World) -> None:
    assert back_up(world, dry_run=True)["message"] == "Backup not created: this is a dry run"
    assert backups(world) == []


def test_what_is_surplus() -> None:
    def made(day: int, *tables: str) -> BackupSet:
        stamp = f"202611{day:02d}T030000Z"
        return BackupSet(stamp, {table: TableBackup(table, stamp, "arn", 1) for table in tables})

    whole, half, old = made(22, *TABLES), made(21, "jobs"), made(20, *TABLES)
    assert surplus([whole, half, old], 1, START) == [old, half]
    assert surplus([whole, half, old], 2, START) == [half]
    assert surplus([made(22, "jobs")], 1, START.replace(hour=3, minute=59)) == []


# -- restore


@pytest.fixture
def before(world: World, client: Any, environment: dict[str, str]) -> Rows:
    """Jobs that have run, and what all tables hold; backed up, then damaged."""
    jobs = [world.job(tags=[f"t{i}"]) for i in range(3)]
    world.live(3)
    for i in range(130):
        world.engine.records.put("target", f"target-{i}", {"action": {"n": i, "text": "é" * i}})
    back_up(world)
    held = contents(client, environment)
    world.clock.advance(MINUTE)
    world.live(2)
    world.change(jobs[0], name="damaged")
    world.job(name="made after the backup")
    world.engine.runs._table.delete({"job_id": jobs[1].job_id, "run_id": world.runs(jobs[1])[0].run_id})
    for part in ("definition", "state"):
        world.engine.jobs._table.delete({"job_id": jobs[2].job_id, "part": part})
    for i in range(0, 260, 2):
        world.engine.records.put("target", f"target-{i}", {"action": "damaged"})
    for row in client.scan(TableName=environment["BELFRY_AGENDA_TABLE"])["Items"]:
        key = {name: row[name] for name in ("shard", "minute_name")}
        client.delete_item(TableName=environment["BELFRY_AGENDA_TABLE"], Key=key)
    assert not any(contents(client, environment)[table] == held[table] for table in TABLES)
    return held


def test_a_restored_backup_is_item_by_item_what_was_backed_up(
    world: World, client: Any, environment: dict[str, str], before: Rows
) -> None:
    said: list[str] = []
    waited: list[float] = []
    restore(environment, "latest", say=said.append, sleep=waited.append)
    assert alike(contents(client, environment), before)
    assert world.engine.settings().is_paused
    assert waited == [restoring.QUIET_SECONDS]
    assert not [name for name in client.list_tables()["TableNames"] if "-restored-" in name]
    assert said[-2] == "The agenda lacked 0 of 3 active jobs; they are filed."


def test_after_a_restore_the_jobs_go_on(world: World, environment: dict[str, str], before: Rows) -> None:
    restore(environment, STAMP_OF_BEFORE, say=lambda text: None, wait=False)
    ids = [*world.engine.jobs.ids({})]
    assert len(ids) == 3
    known = {job_id: len(world.runs(world.definition(job_id))) for job_id in ids}
    world.put_setting("engine.paused", "false")
    world.live(3)
    for job_id, number in known.items():
        assert len(world.runs(world.definition(job_id))) > number
        assert len(world.verdicts(world.definition(job_id))) == len(
            {*world.verdicts(world.definition(job_id))}
        )


STAMP_OF_BEFORE = "20261122T140330Z"


def test_jobs_that_the_backed_up_agenda_lacks_are_filed(
    world: World, client: Any, environment: dict[str, str]
) -> None:
    world.job()
    for row in client.scan(TableName=environment["BELFRY_AGENDA_TABLE"])["Items"]:
        key = {name: row[name] for name in ("shard", "minute_name")}
        client.delete_item(TableName=environment["BELFRY_AGENDA_TABLE"], Key=key)
    back_up(world)
    said: list[str] = []
    restore(environment, "latest", say=said.append, wait=False)
    assert "The agenda lacked 1 of 1 active jobs; they are filed." in said
    assert len(world.agenda()) == 1


def test_an_incomplete_set_is_refused_and_latest_passes_it_over(
    world: World, client: Any, environment: dict[str, str], before: Rows
) -> None:
    world.clock.advance(DAY)
    back_up(world)
    newest = sets(backups(world))[0]
    world.engine.backups.delete(newest.backups["runs"])
    damaged = contents(client, environment)
    with pytest.raises(Refused, match=f"Backup {newest.stamp} is incomplete: it lacks runs."):
        restore(environment, newest.stamp, say=lambda text: None, wait=False)
    with pytest.raises(Refused, match="There is no backup 20200101T000000Z"):
        restore(environment, "20200101T000000Z", say=lambda text: None, wait=False)
    assert contents(client, environment) == damaged
    restore(environment, "latest", say=lambda text: None, wait=False)
    assert alike(contents(client, environment), before)


@pytest.mark.parametrize("fault", ["definition", "index", "empty"])
def test_where_a_check_fails_the_live_tables_are_left_alone(
    world: World, client: Any, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    job = world.job()
    world.live(2)
    if fault == "definition":
        key = {"job_id": job.job_id, "part": "definition"}
        world.engine.jobs._table.update(key, "SET document = :none", values={":none": "{}"})
    back_up(world)
    if fault != "definition":
        monkeypatch.setattr(restoring, "_await", lambda client, name, sleep: _break(client, name, fault))
    world.clock.advance(MINUTE)
    world.job()
    held = contents(client, environment)
    expected = {
        "definition": "cannot be read",
        "index": "other keys or indexes",
        "empty": "is empty, and had",
    }
    with pytest.raises(Refused, match=expected[fault]) as refusal:
        restore(environment, "latest", say=lambda text: None, wait=False)
    assert "Nothing live was changed" in str(refusal.value)
    assert contents(client, environment) == held
    assert not world.engine.settings().is_paused


def _break(client: Any, name: str, fault: str) -> None:
    if "JobsTable-restored" in name and fault == "index":
        change = {"Delete": {"IndexName": "by_creation"}}
        client.update_table(TableName=name, GlobalSecondaryIndexUpdates=[change])
    if "RunsTable-restored" in name and fault == "empty":
        for row in client.scan(TableName=name)["Items"]:
            client.delete_item(TableName=name, Key={"job_id": row["job_id"], "run_id": row["run_id"]})


def test_a_restore_that_was_interrupted_is_started_again(
    world: World, client: Any, environment: dict[str, str], before: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = restoring.replace_contents

    def interrupted(client: Any, copy: restoring.Restored, say: restoring.Say) -> None:
        if copy.backup.table == "agenda":
            raise KeyboardInterrupt
        whole(client, copy, say)

    monkeypatch.setattr(restoring, "replace_contents", interrupted)
    with pytest.raises(KeyboardInterrupt):
        restore(environment, STAMP_OF_BEFORE, say=lambda text: None, wait=False)
    monkeypatch.undo()
    restore(environment, STAMP_OF_BEFORE, say=lambda text: None, wait=False)
    assert alike(contents(client, environment), before)


def test_a_foreign_table_under_the_new_ones_name_is_refused(
    world: World, client: Any, environment: dict[str, str]
) -> None:
    back_up(world)
    client.create_table(
        TableName=f"{environment['BELFRY_RUNS_TABLE']}-restored-{STAMP}",
        AttributeDefinitions=[{"AttributeName": "a", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "a", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    with pytest.raises(Refused, match="does not come from this backup"):
        restore(environment, STAMP, say=lambda text: None, wait=False)


def test_what_others_write_meanwhile_is_told_and_stays(
    world: World, environment: dict[str, str], before: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    rows = restoring._rows

    def meanwhile(client: Any, name: str) -> Iterator[Any]:
        if name == environment["BELFRY_RECORDS_TABLE"]:
            world.engine.records.put("target", "target-3", {"action": "mine"})
        yield from rows(client, name)

    monkeypatch.setattr(restoring, "_rows", meanwhile)
    restore(environment, STAMP_OF_BEFORE, say=said.append, wait=False)
    assert [line for line in said if "1 rows were written by others" in line]
    assert world.engine.records.get("target", "target-3") == {"action": "mine"}


def test_backups_are_listed_newest_first(world: World, environment: dict[str, str]) -> None:
    said: list[str] = []
    list_backups(environment, said.append)
    back_up(world)
    world.clock.advance(DAY)
    back_up(world)
    world.engine.backups.delete(sets(backups(world))[1].backups["jobs"])
    list_backups(environment, said.append)
    assert [line.split(maxsplit=2)[::2] for line in said[1:]] == [
        ["20261123T140030Z", "complete"],
        [STAMP, "incomplete: lacks jobs"],
    ]
    assert said[0] == "There are no backups."
