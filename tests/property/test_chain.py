"""Chains: the state machine against the reference, and the reference against what must always hold."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise, product

from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.core.asl import Result, definition, start_input
from chalicelib.core.chain import (
    OUTCOMES,
    Chain,
    ChainSpec,
    EdgeType,
    Join,
    NodeState,
    predecessors,
    resolve,
    roots,
    topological_order,
)
from chalicelib.core.errors import Invalid
from chalicelib.dialects.parsing import validated
from tests.asl_evaluator import Json, Outcome, evaluate

QUEUE = "https://sqs.us-east-1.amazonaws.com/123456789012/runs"
NODES = [*(f"job_{letter}" for letter in "abcdefghij"), "job_agenda-sweep", "job_k.l"]

bounded = settings(derandomize=True, deadline=None, database=None)


@dataclass(frozen=True)
class Case:
    """A chain, what comes of its runs and how long they take, and the root it is started by, if by one."""

    spec: ChainSpec
    outcomes: Mapping[str, Outcome]
    seconds: Mapping[str, int]
    root: str | None

    @property
    def chain(self) -> Chain:
        return Chain(
            chain_id="chain_x",
            revision=7,
            spec=self.spec,
            owner="o",
            created_at=datetime(2026, 11, 22, tzinfo=UTC),
        )

    @property
    def resolved(self) -> dict[str, Result]:
        return {self.root: {"status": self.final[self.root], "run_id": "its own"}} if self.root else {}

    @property
    def final(self) -> dict[str, str]:
        return {node: "failed" if came == "timeout" else came for node, came in self.outcomes.items()}

    def expected(self) -> dict[str, NodeState]:
        """By the reference: what is ready runs, until nothing is."""
        outcomes: dict[str, str] = {}
        while ready := [node for node, state in self.states(outcomes).items() if state is NodeState.READY]:
            outcomes |= {node: self.final[node] for node in ready}
        return self.states(outcomes)

    def states(self, outcomes: Mapping[str, str]) -> dict[str, NodeState]:
        return resolve(self.spec, outcomes)


@st.composite
def specs(draw: st.DrawFn, most: int = 12) -> ChainSpec:
    """Edges lead from an earlier node to a later one, so there is no cycle; sparse and dense graphs alike."""
    nodes = NODES[: draw(st.integers(1, most))]
    density = draw(st.integers(1, 10))
    pairs = [(a, b) for a, b in product(nodes, nodes) if nodes.index(a) < nodes.index(b)]
    edges = [
        {"from": source, "to": target, "type": kind}
        for source, target in pairs
        if draw(st.integers(0, 10)) < density
        for kind in draw(st.sets(st.sampled_from(EdgeType), min_size=1, max_size=2))
    ]
    listed = draw(st.permutations(nodes))
    join = draw(st.sampled_from(Join))
    return ChainSpec.model_validate({"name": "x", "jobs": listed, "edges": edges, "join": join})


@st.composite
def cases(draw: st.DrawFn, most: int = 12) -> Case:
    spec = draw(specs(most))
    came: st.SearchStrategy[Outcome] = st.sampled_from(["completed", "completed", "failed", "timeout"])
    outcomes = {node: draw(came) for node in spec.jobs}
    seconds = {node: draw(st.integers(1, 60)) for node in spec.jobs}
    root = draw(st.none() | st.sampled_from(roots(spec)))
    return Case(spec, outcomes, seconds, root)


@settings(bounded, max_examples=300)
@given(cases())
def test_the_machine_runs_and_skips_what_the_reference_does(case: Case) -> None:
    machine = definition(case.chain, QUEUE)
    execution = evaluate(machine, start_input(case.spec, case.resolved), lambda message: _work(case, message))

    expected = case.expected()
    assert execution.statuses == expected
    assert execution.runs.keys() == {node for node in expected if expected[node] in OUTCOMES} - {case.root}

    timeouts = sum(case.outcomes[node] == "timeout" for node in execution.runs)
    assert len(execution.entered) - timeouts <= 2 * len(case.spec.jobs) + 3 * _forks(machine)


@bounded
@given(cases())
def test_a_node_starts_after_all_before_it_and_is_told_their_results(case: Case) -> None:
    machine = definition(case.chain, QUEUE)
    execution = evaluate(machine, start_input(case.spec, case.resolved), lambda message: _work(case, message))

    before = predecessors(case.spec)
    for node, run in execution.runs.items():
        assert all(
            execution.runs[source].ended <= run.began for source in before[node] if source in execution.runs
        )
        assert run.message["after"] == {
            source: execution.output["results"][source] for source in before[node]
        }


@bounded
@given(cases(), st.randoms())
def test_no_outcome_that_comes_later_changes_what_is_resolved(case: Case, draw: random.Random) -> None:
    outcomes: dict[str, str] = {}
    states = case.states(outcomes)
    while ready := [node for node, state in states.items() if state is NodeState.READY]:
        node = draw.choice(ready)
        outcomes[node] = case.final[node]
        later = case.states(outcomes)
        assert all(later[other] is state for other, state in states.items() if state not in _OPEN)
        assert all(later[other] is NodeState.READY for other in ready if other != node)
        states = later
    assert NodeState.WAITING not in states.values()


@bounded
@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=14, unique=True))
def test_a_refused_graph_has_the_cycle_that_is_named(pairs: list[tuple[int, int]]) -> None:
    edges = [{"from": f"job_{a}", "to": f"job_{b}", "type": "on_complete"} for a, b in pairs if a != b]
    body = {"name": "x", "jobs": [f"job_{i}" for i in range(8)], "edges": edges}
    try:
        spec = validated(ChainSpec, body)
    except Invalid as error:
        ((field, issue),) = error.details
        path = issue.removeprefix("form a cycle: ").split(" -> ")
        assert field == "edges"
        assert path[0] == path[-1]
        assert len(set(path)) == len(path) - 1
        assert all(any(edge["from"] == a and edge["to"] == b for edge in edges) for a, b in pairwise(path))
    else:
        order = topological_order(spec)
        assert sorted(order) == sorted(spec.jobs)
        assert all(order.index(edge.source) < order.index(edge.target) for edge in spec.edges)


_OPEN = (NodeState.WAITING, NodeState.READY)


def _work(case: Case, message: Json) -> tuple[Outcome, float]:
    node = message["node"]
    return case.outcomes[node], case.seconds[node]


def _forks(machine: Json) -> int:
    branches: list[Json] = [
        branch for state in machine["States"].values() for branch in state.get("Branches", [])
    ]
    here: int = sum(state["Type"] == "Parallel" for state in machine["States"].values())
    return here + sum(_forks(branch) for branch in branches)
