"""Executions of chains: how each began, what its nodes came to, and how it ended."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from chalicelib.aws.dynamo import ConditionFailed, Item, Table
from chalicelib.core.chain import NodeRun, PipelineRun
from chalicelib.core.ids import slot_id
from chalicelib.core.instants import iso

_NODE = "node:"  # before a job's id, in the name of the attribute that holds what it came to


class Pipelines:
    def __init__(self, client: Any, table: str) -> None:
        self._table = Table(client, table)

    def add(self, run: PipelineRun) -> None:
        """Writes an execution that begins, if it is not there yet."""
        item: Item = {
            "chain_revision": run.revision,
            "machine_arn": run.machine_arn,
            "root": run.root,
            "status": run.status,
            "started_at": iso(run.started_at),
        }
        try:
            self._table.put(_key(run.chain_id, run.execution) | item, "attribute_not_exists(kind)")
        except ConditionFailed:
            return

    def note(self, chain_id: str, execution: str, job_id: str, node: NodeRun) -> PipelineRun | None:
        """Notes what a node has come to; the execution as it is then, or None if there is none."""
        try:
            row = self._table.update(
                _key(chain_id, execution),
                "SET #node = :node",
                "attribute_exists(kind)",
                {":node": {"status": node.status, "run_id": node.run_id}},
                names={"#node": f"{_NODE}{job_id}"},
            )
        except ConditionFailed:
            return None
        return _run(row)

    def end(self, run: PipelineRun, status: str, now: datetime) -> bool:
        """Ends an execution that is running; false if it was ended before."""
        try:
            self._table.update(
                _key(run.chain_id, run.execution),
                "SET #status = :status, completed_at = :now",
                "#status = :running",
                {":status": status, ":now": iso(now), ":running": "running"},
            )
        except ConditionFailed:
            return False
        return True

    def get(self, chain_id: str, execution: str) -> PipelineRun | None:
        row = self._table.get(_key(chain_id, execution))
        return _run(row) if row else None

    def of_chain(self, chain_id: str, page: int) -> Iterator[PipelineRun]:
        """Newest first."""
        terms = Table.query_terms("kind = :kind", {":kind": f"pipeline_run#{chain_id}"})
        for rows, _ in self._table.pages(**terms, ScanIndexForward=False, Limit=page):
            yield from map(_run, rows)

    def ended(self, chain_id: str, before: datetime) -> Iterator[Sequence[str]]:
        """Executions that ended before an instant, page by page. None that runs is among them."""
        begun = slot_id(before.replace(microsecond=0) + timedelta(seconds=1))  # a name begins with its time
        terms = Table.query_terms(
            "kind = :kind AND record_key < :begun",
            {
                ":kind": f"pipeline_run#{chain_id}",
                ":begun": begun,
                ":before": iso(before),
                ":running": "running",
            },
            "#status <> :running AND completed_at < :before",
        )
        for rows, _ in self._table.pages(**terms):
            yield [row["record_key"] for row in rows]

    def delete_many(self, chain_id: str, executions: Iterable[str]) -> None:
        self._table.write_batch(deletes=[_key(chain_id, execution) for execution in executions])


def _key(chain_id: str, execution: str) -> Item:
    return {"kind": f"pipeline_run#{chain_id}", "record_key": execution}


def _run(row: Item) -> PipelineRun:
    nodes = {name.removeprefix(_NODE): value for name, value in row.items() if name.startswith(_NODE)}
    return PipelineRun(
        chain_id=row["kind"].partition("#")[2],
        execution=row["record_key"],
        revision=row["chain_revision"],
        machine_arn=row["machine_arn"],
        root=row.get("root"),
        status=row["status"],
        started_at=row["started_at"],
        completed_at=row.get("completed_at"),
        nodes={job_id: NodeRun(**node) for job_id, node in nodes.items()},
    )
