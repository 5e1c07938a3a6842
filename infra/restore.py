"""`python -m infra.restore (--list | --backup STAMP|latest) [--stack STACK]`: puts a backup back.

Each table of the set is restored into a new one and checked. Then dispatch is paused, and the contents of the
live tables are replaced by those of the new ones. Names, streams, alarms and settings of the live tables stay
as they are. Dispatch stays paused at the end. Whatever ends it half way, it can be started again.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import boto3
from pydantic import ValidationError

from chalicelib.aws.dynamo import Item, Table, unpack
from chalicelib.core.backup import TABLES, BackupSet, TableBackup, sets
from chalicelib.core.job import Job
from infra.key import deployed_environment

if TYPE_CHECKING:
    from chalicelib.scheduler.engine import Engine

QUIET_SECONDS = 900  # the worker's timeout: what had begun before the pause has ended by then
POLL_SECONDS = 10
PAGE = 100  # rows compared at once
PAUSED = ("settings", "engine.paused")
KEPT = {PAUSED, ("engine", "tick")}  # records that keep their live value: ticks go on, and send nothing

Say = Callable[[str], None]
Sleep = Callable[[float], None]


class Refused(Exception):
    """The backup is not put back; the live tables are as they were."""


@dataclass(frozen=True)
class Restored:
    """A new table, the live one that it stands for, and the backup it came from."""

    backup: TableBackup
    live: str
    name: str
    keys: list[str]  # names of the key's attributes


def choose(found: Iterable[TableBackup], wanted: str) -> BackupSet:
    """The set of that stamp, or the latest complete one. Raises Refused."""
    known = sets(found)
    if wanted == "latest":
        known = [one for one in known if not one.missing]
    else:
        known = [one for one in known if one.stamp == wanted]
    if not known:
        raise Refused(f"There is no backup {wanted}. `make backups` lists them.")
    if known[0].missing:
        raise Refused(f"Backup {wanted} is incomplete: it lacks {', '.join(known[0].missing)}.")
    return known[0]


def restore(
    environment: Mapping[str, str],
    wanted: str,
    *,
    wait: bool = True,
    say: Say = print,
    sleep: Sleep = time.sleep,
) -> None:
    """Raises Refused before anything live is touched."""
    from chalicelib import composition
    from chalicelib.scheduler.sweep import sweep

    client = boto3.client("dynamodb")
    engine = composition.compose(dict(environment))
    chosen = choose(engine.backups.list(), wanted)
    say(f"Backup {chosen.stamp}: restoring it into new tables. This may take an hour.")
    backups = [engine.backups.get(chosen.backups[table]) for table in TABLES]
    copies = [_restored(client, one, environment[f"BELFRY_{one.table.upper()}_TABLE"]) for one in backups]
    for copy in copies:
        _await(client, copy.name, sleep)
    problems = [problem for copy in copies for problem in check(client, copy, say)]
    if problems:
        names = ", ".join(copy.name for copy in copies)
        raise Refused("\n".join([*problems, f"Nothing live was changed. To look at: tables {names}."]))
    _pause(engine, say, sleep if wait else None)
    for copy in copies:
        replace_contents(client, copy, say)
    swept = sweep(engine, datetime.now(UTC))
    say(f"The agenda lacked {swept['repaired']} of {swept['checked']} active jobs; they are filed.")
    for copy in copies:
        client.delete_table(TableName=copy.name)
    say("Done. Dispatch is still paused: look around, then set engine.paused to false.")


def _restored(client: Any, backup: TableBackup, live: str) -> Restored:
    """The new table, begun unless an earlier call has."""
    name = f"{live}-restored-{backup.stamp}"
    keys = [part["AttributeName"] for part in _describe(client, live)["KeySchema"]]
    try:
        summary = _describe(client, name).get("RestoreSummary", {})
        if summary.get("SourceBackupArn") != backup.arn:
            raise Refused(f"Table {name} is there and does not come from this backup; delete it first.")
    except client.exceptions.ResourceNotFoundException:
        client.restore_table_from_backup(TargetTableName=name, BackupArn=backup.arn)
    return Restored(backup, live, name, keys)


def _describe(client: Any, name: str) -> dict[str, Any]:
    description: dict[str, Any] = client.describe_table(TableName=name)["Table"]
    return description


def _await(client: Any, name: str, sleep: Sleep) -> None:
    while True:
        table = _describe(client, name)
        in_progress = table.get("RestoreSummary", {}).get("RestoreInProgress", False)
        if table["TableStatus"] == "ACTIVE" and not in_progress:
            return
        sleep(POLL_SECONDS)


# -- checks


def check(client: Any, copy: Restored, say: Say) -> list[str]:
    """What is wrong with a restored table, in sentences."""
    problems = []
    if _shape(_describe(client, copy.name)) != _shape(_describe(client, copy.live)):
        problems.append(f"{copy.name} has other keys or indexes than {copy.live}.")
    count = 0
    for row in _rows(client, copy.name):
        count += 1
        if copy.backup.table == "jobs" and (problem := _unreadable(row)):
            problems.append(problem)
    say(f"{copy.name}: {count} rows; about {copy.backup.items} when it was backed up")
    if not count and copy.backup.items:  # that figure is hours old, so no more can be asked of it
        problems.append(f"{copy.name} is empty, and had {copy.backup.items} rows.")
    return problems


def _shape(table: Mapping[str, Any]) -> list[Any]:
    """Keys and indexes, comparable."""
    indexes = [
        (index["IndexName"], index["KeySchema"], index["Projection"]["ProjectionType"],
         sorted(index["Projection"].get("NonKeyAttributes", [])))
        for index in table.get("GlobalSecondaryIndexes", [])
    ]  # fmt: skip
    types = {one["AttributeName"]: one["AttributeType"] for one in table["AttributeDefinitions"]}
    return [table["KeySchema"], types, sorted(indexes, key=lambda index: str(index[0]))]


def _unreadable(row: Item) -> str | None:
    if row["part"] != "definition":
        return None
    try:
        Job.model_validate_json(row["document"])
    except (KeyError, ValidationError) as error:
        return f"The definition of {row['job_id']} cannot be read: {str(error).splitlines()[0]}"
    return None


def _rows(client: Any, name: str) -> Iterator[Item]:
    for page in client.get_paginator("scan").paginate(TableName=name, ConsistentRead=True):
        yield from map(unpack, page["Items"])


# -- putting it back


def _pause(engine: Engine, say: Say, sleep: Sleep | None) -> None:
    engine.records.put(*PAUSED, {"value": "true"})
    if sleep:
        say(f"Dispatch is paused. In {QUIET_SECONDS // 60} minutes all that runs has ended.")
        sleep(QUIET_SECONDS)


def replace_contents(client: Any, copy: Restored, say: Say) -> None:
    """Writes all rows of the new table into the live one, and deletes those that only the live one has.

    It can be repeated. A row that somebody writes meanwhile, as agents' heartbeats do, stays as he wrote it.
    """
    live, new = Table(client, copy.live), Table(client, copy.name)
    written = 0
    for rows in _pages(_rows(client, copy.name)):
        live.write_batch(puts=(row for row in rows if not _kept(row)))
        written += len(rows)
    deleted = changed = 0
    for rows in _pages(_rows(client, copy.live)):
        wanted = {_key(copy, row): row for row in new.get_batch(_keys(copy, rows), consistent=True)}
        foreign = [row for row in rows if not _kept(row) and _key(copy, row) not in wanted]
        live.write_batch(deletes=_keys(copy, foreign))
        deleted += len(foreign)
        changed += sum(not _kept(row) and wanted.get(_key(copy, row), row) != row for row in rows)
    say(f"{copy.live}: {written} rows put back, {deleted} newer ones deleted")
    if changed:
        say(f"{copy.live}: {changed} rows were written by others meanwhile, and stay as they wrote them")


def _kept(row: Item) -> bool:
    return (row.get("kind"), row.get("record_key")) in KEPT


def _key(copy: Restored, row: Item) -> tuple[Any, ...]:
    return tuple(row[name] for name in copy.keys)


def _keys(copy: Restored, rows: Iterable[Item]) -> list[Item]:
    return [{name: row[name] for name in copy.keys} for row in rows]


def _pages(rows: Iterator[Item]) -> Iterator[list[Item]]:
    page: list[Item] = []
    for row in rows:
        page.append(row)
        if len(page) == PAGE:
            yield page
            page = []
    if page:
        yield page


# -- the command


def list_backups(environment: Mapping[str, str], say: Say = print) -> None:
    from chalicelib import composition

    found = sets(composition.compose(dict(environment)).backups.list())
    for one in found:
        state = f"incomplete: lacks {', '.join(one.missing)}" if one.missing else "complete"
        say(f"{one.stamp}  {one.kilobytes:>10}KB  {state}")
    if not found:
        say("There are no backups.")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m infra.restore", description="Put a backup back.")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--list", action="store_true", help="list the backups")
    what.add_argument("--backup", help="a backup's stamp, or latest")
    parser.add_argument("--stack", help="the CloudFormation stack's name; else the BELFRY_ variables say")
    parser.add_argument("--no-wait", action="store_true", help="nothing runs: do not wait for its end")
    given = parser.parse_args()
    if given.stack:
        os.environ.update(deployed_environment(given.stack))
    if "BELFRY_JOBS_TABLE" not in os.environ:
        sys.exit("Give STACK=<the deployed stack's name>.")
    if given.list:
        list_backups(os.environ)
        return
    try:
        restore(os.environ, given.backup, wait=not given.no_wait)
    except Refused as refusal:
        sys.exit(str(refusal))


if __name__ == "__main__":
    main()
