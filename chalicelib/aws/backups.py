"""On-demand backups of the tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from chalicelib.core.backup import TableBackup, name, parse_name


class Backups:
    def __init__(self, client: Any, tables: Mapping[str, str]) -> None:
        """`tables` gives the name of each table by what Belfry calls it."""
        self._client, self._tables = client, tables

    def create(self, table: str, stamp: str) -> TableBackup:
        answer = self._client.create_backup(TableName=self._tables[table], BackupName=name(table, stamp))
        return _backup(table, stamp, answer["BackupDetails"])

    def get(self, backup: TableBackup) -> TableBackup:
        """The backup as it is now."""
        answer = self._client.describe_backup(BackupArn=backup.arn)["BackupDescription"]
        items = answer.get("SourceTableDetails", {}).get("ItemCount", 0)
        return _backup(backup.table, backup.stamp, answer["BackupDetails"], items)

    def list(self) -> Iterator[TableBackup]:
        """Those of all tables, in no order."""
        for table, table_name in self._tables.items():
            call = {"TableName": table_name, "BackupType": "USER"}
            while True:
                answer = self._client.list_backups(**call)
                for details in answer["BackupSummaries"]:
                    known = parse_name(details["BackupName"])
                    if known and known[0] == table:
                        yield _backup(*known, details)
                if not answer.get("LastEvaluatedBackupArn"):
                    break
                call["ExclusiveStartBackupArn"] = answer["LastEvaluatedBackupArn"]

    def delete(self, backup: TableBackup) -> None:
        self._client.delete_backup(BackupArn=backup.arn)


def _backup(table: str, stamp: str, details: Mapping[str, Any], items: int = 0) -> TableBackup:
    return TableBackup(
        table=table,
        stamp=stamp,
        arn=details["BackupArn"],
        size=int(details.get("BackupSizeBytes", 0)),
        items=items,
        ready=details["BackupStatus"] == "AVAILABLE",
    )
