"""A chain: a graph over existing jobs, and the meaning of its edges.

A node is a job, and runs at most once an execution. It is resolved when it has completed, failed (after its
last attempt) or been skipped. When all nodes before it are resolved, it runs if any of its edges fired, or,
with `join: all`, if each node before it fired one; else it is skipped. A skipped node fires no edge, not even
`on_complete`, so skipping spreads.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import islice
from typing import Annotated, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from chalicelib.core.errors import Detail, Invalid
from chalicelib.core.ids import is_id, slot_id
from chalicelib.core.job import Name, Written

MAX_JOBS = 100
_MAX_DETAILS = 20  # of a hostile graph's faults, so many are told


class EdgeType(StrEnum):
    """What the node before must have come to, for the edge to fire."""

    ON_SUCCESS = "on_success"  # it completed
    ON_FAILURE = "on_failure"  # it failed
    ON_COMPLETE = "on_complete"  # it ran, with either outcome


class Join(StrEnum):
    """How many of the nodes before a node must fire for it to run."""

    ANY = "any"
    ALL = "all"


class NodeState(StrEnum):
    """Where a node is in an execution. The first three are what resolved nodes come to."""

    COMPLETED = "completed"
    FAILED = "failed"
    SKIPPED = "skipped"
    WAITING = "waiting"  # a node before it is not resolved
    READY = "ready"  # it runs, or is about to


OUTCOMES = frozenset({NodeState.COMPLETED, NodeState.FAILED})
RESOLVED = OUTCOMES | {NodeState.SKIPPED}

FIRES_ON: dict[EdgeType, frozenset[NodeState]] = {
    EdgeType.ON_SUCCESS: frozenset({NodeState.COMPLETED}),
    EdgeType.ON_FAILURE: frozenset({NodeState.FAILED}),
    EdgeType.ON_COMPLETE: OUTCOMES,
}

# With "failed" after it, a node's id is the name of a state, which has 80 characters at most.
NodeId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.:-]{1,72}$")]
Predecessors: TypeAlias = dict[str, dict[str, frozenset[NodeState]]]


class Edge(Written):
    model_config = ConfigDict(serialize_by_alias=True)

    source: NodeId = Field(alias="from")
    target: NodeId = Field(alias="to")
    type: EdgeType


class ChainSpec(Written):
    """What people write. Edges of different types between the same two nodes are alternatives."""

    name: Name
    jobs: list[NodeId]
    edges: list[Edge] = Field(default_factory=list)
    join: Join = Join.ANY

    @field_validator("jobs")
    @classmethod
    def _some_jobs_each_once(cls, jobs: list[str]) -> list[str]:
        if not 1 <= len(jobs) <= MAX_JOBS:
            raise ValueError(f"give 1 to {MAX_JOBS} jobs, not {len(jobs)}")
        first = {job: i for i, job in reversed([*enumerate(jobs)])}
        repeated = [Detail(str(i), f"{job} is named before") for i, job in enumerate(jobs) if first[job] < i]
        if repeated:
            raise Invalid(*repeated)
        return jobs

    @model_validator(mode="after")
    def _edges_make_a_graph_without_cycles(self) -> Self:
        if details := list(islice(_wrong_edges(self), _MAX_DETAILS)):
            raise Invalid(*details)
        if cycle := _cycle(self):
            raise Invalid.one("edges", f"form a cycle: {' -> '.join(cycle)}")
        return self


class Chain(BaseModel):
    """A stored chain. `revision` (ms) moves with every write; an execution keeps the one it began with."""

    model_config = ConfigDict(frozen=True)

    chain_id: str
    revision: int
    spec: ChainSpec
    owner: str
    created_at: datetime
    machine_arn: str = ""  # of its state machine, once there is one
    deleted_at: datetime | None = None  # kept for its executions
    schema_version: int = 1


def predecessors(spec: ChainSpec) -> Predecessors:
    """Of each node the nodes before it, and the states of each in which an edge from it fires."""
    before: Predecessors = {job: {} for job in spec.jobs}
    for edge in spec.edges:
        fires = before[edge.target].get(edge.source, frozenset())
        before[edge.target][edge.source] = fires | FIRES_ON[edge.type]
    return before


def roots(spec: ChainSpec) -> list[str]:
    """The nodes with none before them; a chain starts when the run of one ends."""
    targets = {edge.target for edge in spec.edges}
    return [job for job in spec.jobs if job not in targets]


def topological_order(spec: ChainSpec) -> list[str]:
    """Every node after those before it, else as listed. Leaves out what lies on a cycle or behind one."""
    after: dict[str, list[str]] = {job: [] for job in spec.jobs}
    missing = dict.fromkeys(spec.jobs, 0)
    for edge in spec.edges:
        after[edge.source].append(edge.target)
        missing[edge.target] += 1
    order = roots(spec)
    for node in order:  # it grows
        for target in after[node]:
            missing[target] -= 1
            if not missing[target]:
                order.append(target)
    return order


def resolve(spec: ChainSpec, outcomes: Mapping[str, str]) -> dict[str, NodeState]:
    """Every node's state, given which nodes have completed or failed so far.

    This is the reference for what a chain means. An outcome is taken as it is, also that of a node that
    should not have run.
    """
    before = predecessors(spec)
    states: dict[str, NodeState] = {}
    for node in topological_order(spec):
        given = outcomes.get(node)
        states[node] = NodeState(given) if given else _due_state(before[node], spec.join, states)
    return states


def _due_state(
    before: Mapping[str, frozenset[NodeState]], join: Join, states: Mapping[str, NodeState]
) -> NodeState:
    if not all(states[node] in RESOLVED for node in before):
        return NodeState.WAITING
    fired = [states[node] in fires for node, fires in before.items()]
    runs = not fired or (any(fired) if join is Join.ANY else all(fired))
    return NodeState.READY if runs else NodeState.SKIPPED


def _wrong_edges(spec: ChainSpec) -> Iterator[Detail]:
    jobs, seen = set(spec.jobs), dict[Edge, int]()
    for i, edge in enumerate(spec.edges):
        for end, job in (("from", edge.source), ("to", edge.target)):
            if job not in jobs:
                yield Detail(f"edges.{i}.{end}", f"{job} is none of the chain's jobs")
        if edge.source == edge.target:
            yield Detail(f"edges.{i}.to", f"{edge.target} cannot follow itself")
        if seen.setdefault(edge, i) != i:
            yield Detail(f"edges.{i}", f"is the same as edges.{seen[edge]}")


def _cycle(spec: ChainSpec) -> list[str]:
    """The nodes along a cycle, the first one again at the end; empty where there is none."""
    left = set(spec.jobs).difference(topological_order(spec))
    came_from = {edge.target: edge.source for edge in spec.edges if {edge.source, edge.target} <= left}
    node = next((job for job in spec.jobs if job in left), None)
    if node is None:
        return []
    path: dict[str, None] = {}
    while node not in path:  # every node that is left has one before it
        path[node] = None
        node = came_from[node]
    around = [*path][[*path].index(node) :][::-1]
    start = min(range(len(around)), key=lambda i: spec.jobs.index(around[i]))
    return [*around[start:], *around[:start], around[start]]


# -- a drawing

_ARROWS = {EdgeType.ON_SUCCESS: "-->", EdgeType.ON_FAILURE: "-.->", EdgeType.ON_COMPLETE: "==>"}
_LOOKS = {
    NodeState.COMPLETED: "fill:#d3f9d8,stroke:#2b8a3e,color:#1b4332",
    NodeState.FAILED: "fill:#ffe3e3,stroke:#c92a2a,color:#641220",
    NodeState.SKIPPED: "fill:#f1f3f5,stroke:#868e96,color:#495057,stroke-dasharray:4",
    NodeState.WAITING: "fill:#ffffff,stroke:#868e96,color:#212529",
    NodeState.READY: "fill:#d0ebff,stroke:#1971c2,color:#0b3558",
}
_NOT_PLAIN = re.compile(r"[^\w ]")


def diagram(spec: ChainSpec, states: Mapping[str, NodeState] | None, names: Mapping[str, str]) -> str:
    """The chain as Mermaid text. A node is labelled with its name, or its id where it has none."""
    numbers = {job: f"n{i}" for i, job in enumerate(spec.jobs)}
    lines = ["flowchart TD"]
    for job, number in numbers.items():
        style = f":::{states[job]}" if states else ""
        lines.append(f'    {number}["{_label(names.get(job, job))}"]{style}')
    for edge in spec.edges:
        arrow = f"{_ARROWS[edge.type]}|{edge.type.replace('_', ' ')}|"
        lines.append(f"    {numbers[edge.source]} {arrow} {numbers[edge.target]}")
    shown = [state for state in NodeState if state in states.values()] if states else []
    return "\n".join(lines + [f"    classDef {state} {_LOOKS[state]}" for state in shown]) + "\n"


def _label(text: str) -> str:
    """Only letters, digits, _ and spaces stay: all else may be Mermaid's own, or Markdown's, or HTML's."""
    return _NOT_PLAIN.sub(lambda match: f"#{ord(match[0])};", text)


# -- executions


class NodeRun(BaseModel):
    """What a node has come to: its run, which is running, completed or failed."""

    model_config = ConfigDict(frozen=True)

    status: str
    run_id: str


class PipelineRun(BaseModel):
    """An execution: running, completed, failed or cancelled. `nodes` has those that have begun."""

    model_config = ConfigDict(frozen=True)

    chain_id: str
    execution: str
    revision: int
    machine_arn: str
    root: str | None = None  # the job whose own run began it; None: it was triggered whole
    status: str = "running"
    started_at: datetime
    completed_at: datetime | None = None
    nodes: dict[str, NodeRun] = {}

    def states(self, spec: ChainSpec) -> dict[str, NodeState]:
        """Every node's state. What an ended execution did not come to is skipped."""
        ended = {job: node.status for job, node in self.nodes.items() if node.status in OUTCOMES}
        states = resolve(spec, ended)
        if self.status == "running":
            return states
        return {job: state if state in RESOLVED else NodeState.SKIPPED for job, state in states.items()}

    def outcome(self, spec: ChainSpec) -> str | None:
        """How the execution ends, once every node is resolved: failed if a failure led nowhere."""
        states = self.states(spec)
        if not all(state in RESOLVED for state in states.values()):
            return None
        handled = {edge.source for edge in spec.edges if NodeState.FAILED in FIRES_ON[edge.type]}
        unhandled = [job for job, state in states.items() if state is NodeState.FAILED and job not in handled]
        return "failed" if unhandled else "completed"


@dataclass(frozen=True)
class NodeTask:
    """What an execution sends to the runs queue for one of its nodes."""

    chain_id: str
    execution: str
    started: datetime
    job_id: str
    token: str
    after: dict[str, str]  # the nodes before it that ran, and their runs

    @property
    def run_id(self) -> str:
        """The execution's start, and a hash of execution and node: the same however often it is sent."""
        digest = hashlib.sha256(f"{self.execution}\n{self.job_id}".encode()).hexdigest()
        return f"{slot_id(self.started.replace(microsecond=0))}-{digest[:10]}"

    @classmethod
    def decode(cls, text: str) -> Self:
        """Raises Invalid where the text is no such message."""
        try:
            fields = json.loads(text)
            names = ("chain", "execution", "node", "token")
            chain_id, execution, job_id, token = (str(fields[name]) for name in names)
            started = datetime.fromisoformat(fields["started"])
            if started.tzinfo is None or not all(map(is_id, (chain_id, execution, job_id))):
                raise ValueError("an id or the start is none")
            after = {
                job: str(result["run_id"]) for job, result in fields["after"].items() if result["run_id"]
            }
            return cls(chain_id, execution, started, job_id, token, after)
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
            raise Invalid.one("message", f"is no node's message ({type(error).__name__}: {error})") from None
