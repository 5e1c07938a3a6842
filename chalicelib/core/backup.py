"""Backups: one of each table make a set, which its stamp holds together."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from chalicelib.core.instants import from_iso

TABLES = ("jobs", "runs", "agenda", "records")

_NAME = re.compile(rf"belfry-({'|'.join(TABLES)})-(\d{{8}}T\d{{6}}Z)", re.ASCII)
_IN_THE_MAKING = timedelta(hours=1)  # far longer than an attempt: nobody completes an older set any more


@dataclass(frozen=True)
class TableBackup:
    """A backup of one table. DynamoDB takes a while to make it `ready`."""

    table: str
    stamp: str
    arn: str
    size: int  # bytes
    items: int = 0  # about as many; known only where the backup is asked itself
    ready: bool = True


@dataclass(frozen=True)
class BackupSet:
    """The backups of one stamp, by table."""

    stamp: str
    backups: Mapping[str, TableBackup]

    @property
    def missing(self) -> list[str]:
        """The tables without a backup that is ready; a set that misses none is complete."""
        return [table for table in TABLES if not (table in self.backups and self.backups[table].ready)]

    @property
    def kilobytes(self) -> int:
        return -(-sum(backup.size for backup in self.backups.values()) // 1024)


def stamp(now: datetime) -> str:
    """`20261122T030000Z`: sorts by time."""
    return f"{now.astimezone(UTC):%Y%m%dT%H%M%SZ}"


def name(table: str, stamp: str) -> str:
    return f"belfry-{table}-{stamp}"


def parse_name(text: str) -> tuple[str, str] | None:
    """Table and stamp; None for a backup that is not Belfry's."""
    match = _NAME.fullmatch(text)
    return (match[1], match[2]) if match else None


def sets(backups: Iterable[TableBackup]) -> list[BackupSet]:
    """Newest first."""
    found: dict[str, dict[str, TableBackup]] = {}
    for backup in backups:
        found.setdefault(backup.stamp, {})[backup.table] = backup
    return [BackupSet(stamp, found[stamp]) for stamp in sorted(found, reverse=True)]


def surplus(found: Sequence[BackupSet], keep: int, now: datetime) -> list[BackupSet]:
    """The complete sets beyond the newest `keep` (0: none), and those that nobody completes any more."""
    complete = [one for one in found if not one.missing]
    broken = [one for one in found if one.missing and from_iso(one.stamp) < now - _IN_THE_MAKING]
    return [*(complete[keep:] if keep else []), *broken]
