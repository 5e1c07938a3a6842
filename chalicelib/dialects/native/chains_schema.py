"""What the native dialect takes and gives of chains and their executions."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
)

from chalicelib.core.chain import ChainSpec
from chalicelib.dialects.native.schema import Query, Shown

CHAIN_EXAMPLE: dict[str, Any] = {
    "name": "Data pipeline",
    "jobs": ["job_fetch", "job_transform", "job_store"],
    "edges": [
        {"from": "job_fetch", "to": "job_transform", "type": "on_success"},
        {"from": "job_transform", "to": "job_store", "type": "on_success"},
        {"from": "job_fetch", "to": "job_store", "type": "on_failure"},
    ],
}


class CreateChain(ChainSpec):
    """A graph over jobs that exist."""

    model_config = ConfigDict(json_schema_extra={"examples": [CHAIN_EXAMPLE]})


class ChainView(ChainSpec):
    id: str
    owner: str
    created_at: str
    schema_version: int


class ChainList(Shown):
    chains: list[ChainView]
    count: int


class ExecutionsQuery(Query):
    limit: Annotated[int, Field(ge=1, le=100)] = 50


class ExecutionView(Shown):
    """`root` is the job whose own run began it; null: it was triggered whole."""

    id: str
    chain_id: str
    status: Literal["running", "completed", "failed", "cancelled"]
    root: str | None
    started_at: str
    completed_at: str | None


class ExecutionList(Shown):
    executions: list[ExecutionView]
    count: int


class NodeView(Shown):
    status: Literal["waiting", "ready", "running", "completed", "failed", "skipped"]
    run_id: str | None


class ExecutionDetailView(ExecutionView):
    nodes: dict[str, NodeView]


class Started(Shown):
    execution_id: str
    chain_id: str
    status: Literal["running"]


class Definition(BaseModel):
    """The state machine, in Amazon States Language."""

    model_config = ConfigDict(extra="allow")

    StartAt: str
    States: dict[str, Any]


class DiagramQuery(Query):
    execution: Annotated[str, StringConstraints(min_length=1, max_length=80)] | None = None
