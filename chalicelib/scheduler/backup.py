"""Backups: a set of all tables is made, and the oldest sets are deleted."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime

from chalicelib.core import backup
from chalicelib.core.backup import TABLES, BackupSet, TableBackup
from chalicelib.core.errors import ActionError
from chalicelib.scheduler.engine import Engine

_POLL_SECONDS = 2

log = logging.getLogger(__name__)


def back_up(engine: Engine, now: datetime, has_time: Callable[[], bool]) -> BackupSet:
    """A complete set. Where a part of it fails, what was made of it is deleted."""
    made: list[TableBackup] = []
    try:
        for table in TABLES:
            made.append(engine.backups.create(table, backup.stamp(now)))  # noqa: PERF401 (known if the next fails)
        ready = {one.table: _ready(engine, one, has_time) for one in made}
    except Exception:
        _delete(engine, made)
        raise
    return BackupSet(backup.stamp(now), ready)


def _ready(engine: Engine, one: TableBackup, has_time: Callable[[], bool]) -> TableBackup:
    while not one.ready:
        if not has_time():
            raise ActionError("timeout", f"the backup of table {one.table} is not ready")
        engine.sleep(_POLL_SECONDS)
        one = engine.backups.get(one)
    return one


def prune(engine: Engine, now: datetime) -> int:
    """Keeps as many sets as the setting says (0: all); how many were deleted.

    A set that was left half made is deleted too. What cannot be deleted now is tried again next time.
    """
    keep = engine.settings()["general.backup_retention_count"]
    surplus = backup.surplus(backup.sets(engine.backups.list()), keep, now)
    return sum(_delete(engine, list(one.backups.values())) for one in surplus)


def _delete(engine: Engine, backups: list[TableBackup]) -> bool:
    """Whether all are deleted; one that is still being made cannot be."""
    for one in backups:
        try:
            engine.backups.delete(one)
        except Exception:
            log.exception("backup %s is not deleted", one.arn)
            return False
    return True
