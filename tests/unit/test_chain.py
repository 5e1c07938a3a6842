"""The graph of a chain: what is refused and how, and what its edges mean."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter
from typing import Any

import pytest

from chalicelib.core.chain import (
    ChainSpec,
    NodeState,
    diagram,
    predecessors,
    resolve,
    roots,
    topological_order,
)
from chalicelib.core.errors import Detail, Invalid
from chalicelib.dialects.parsing import validated

Arrow = Sequence[str]  # from, to and, unless it is on_success, the type


def body(jobs: Sequence[str], arrows: Sequence[Arrow], join: str = "any") -> dict[str, Any]:
    edges = [{"from": a, "to": b, "type": kind[0] if kind else "on_success"} for a, b, *kind in arrows]
    return {"name": "Data pipeline", "jobs": [*jobs], "edges": edges, "join": join}


def spec(jobs: Sequence[str], arrows: Sequence[Arrow], join: str = "any") -> ChainSpec:
    return validated(ChainSpec, body(jobs, arrows, join))


def line(length: int, kind: str = "on_success") -> ChainSpec:
    return spec([f"n{i}" for i in range(length)], [(f"n{i}", f"n{i + 1}", kind) for i in range(length - 1)])


def fan_in(width: int) -> ChainSpec:
    nodes = [f"p{i}" for i in range(width)]
    return spec([*nodes, "end"], [(node, "end") for node in nodes])


PIPELINE = spec(
    ["job_fetch", "job_transform", "job_store"],
    [
        ("job_fetch", "job_transform"),
        ("job_transform", "job_store"),
        ("job_fetch", "job_store", "on_failure"),
    ],
)
DIAMOND = spec(
    ["top", "left", "right", "bottom"],
    [("top", "left"), ("top", "right"), ("left", "bottom"), ("right", "bottom")],
)


def details(given: Any) -> list[Detail]:
    with pytest.raises(Invalid) as caught:
        validated(ChainSpec, given)
    return [*caught.value.details]


# What is refused


def test_a_chain_is_read_and_written_alike() -> None:
    given = body(["a", "b"], [("a", "b", "on_complete")], "all")
    read = validated(ChainSpec, given)
    assert read.model_dump(mode="json") == given
    assert ChainSpec.model_validate_json(read.model_dump_json()) == read


def test_any_edge_will_do_unless_it_is_said_otherwise() -> None:
    assert validated(ChainSpec, {"name": "x", "jobs": ["a"]}).join == "any"


def test_an_edge_to_or_from_a_job_outside_the_chain_is_named() -> None:
    assert details(body(["a", "b"], [("a", "b"), ("x", "b"), ("a", "y")])) == [
        Detail("edges.1.from", "x is none of the chain's jobs"),
        Detail("edges.2.to", "y is none of the chain's jobs"),
    ]


def test_a_job_cannot_follow_itself() -> None:
    assert details(body(["a"], [("a", "a")])) == [Detail("edges.0.to", "a cannot follow itself")]


def test_the_same_edge_twice_is_refused() -> None:
    given = body(["a", "b"], [("a", "b"), ("a", "b", "on_failure"), ("a", "b")])
    assert details(given) == [Detail("edges.2", "is the same as edges.0")]


def test_edges_of_different_types_between_two_jobs_are_alternatives() -> None:
    chain = spec(["a", "b"], [("a", "b"), ("a", "b", "on_failure")], "all")
    assert predecessors(chain)["b"] == {"a": {NodeState.COMPLETED, NodeState.FAILED}}
    assert resolve(chain, {"a": "failed"})["b"] == "ready"


def test_a_cycle_is_named_by_its_path() -> None:
    arrows = [
        ("job_d", "job_a"),
        ("job_a", "job_b"),
        ("job_b", "job_c"),
        ("job_c", "job_a"),
        ("job_c", "job_e"),
    ]
    given = body(["job_d", "job_e", "job_c", "job_b", "job_a"], arrows)
    assert details(given) == [Detail("edges", "form a cycle: job_c -> job_a -> job_b -> job_c")]


@pytest.mark.parametrize("number", [0, 101])
def test_a_chain_has_one_to_a_hundred_jobs(number: int) -> None:
    given = body([f"j{i}" for i in range(number)], [])
    assert details(given) == [Detail("jobs", f"give 1 to 100 jobs, not {number}")]


def test_a_job_is_named_once() -> None:
    assert details(body(["a", "b", "a", "a"], [])) == [
        Detail("jobs.2", "a is named before"),
        Detail("jobs.3", "a is named before"),
    ]


@pytest.mark.parametrize("job", ["", "a b", "a'b", "x" * 73, "a\n", "ä", 7, None])
def test_what_cannot_be_a_job_id_is_refused_by_its_place(job: Any) -> None:
    assert [detail.field for detail in details(body(["a", job], []))] == ["jobs.1"]


def test_what_is_wrong_within_an_edge_is_named() -> None:
    given = body(["a", "b"], [("a", "b", "on_monday")])
    given["edges"].append({"from": "a", "type": "on_success", "when": "now"})
    assert [detail.field for detail in details(given)] == ["edges.0.type", "edges.1.to", "edges.1.when"]


def test_the_largest_cycle_and_the_densest_graph_are_judged_in_no_time() -> None:
    nodes = [f"job_{i}" for i in range(100)]
    kinds = ("on_success", "on_failure", "on_complete")
    dense = [(a, b, kind) for i, b in enumerate(nodes) for a in nodes[:i] for kind in kinds]
    began = perf_counter()
    assert len(topological_order(spec(nodes, dense))) == 100
    ((_, issue),) = details(body(nodes, [*dense, (nodes[-1], nodes[0])]))
    assert issue.count("->") >= 2
    assert len(details(body(nodes, dense * 3))) == 20
    assert perf_counter() - began < 3


# What the edges mean


@pytest.mark.parametrize(
    ("outcomes", "states"),
    [
        ({}, "ready waiting waiting"),
        ({"job_fetch": "completed"}, "completed ready waiting"),
        ({"job_fetch": "failed"}, "failed skipped ready"),
        ({"job_fetch": "completed", "job_transform": "completed"}, "completed completed ready"),
        ({"job_fetch": "completed", "job_transform": "failed"}, "completed failed skipped"),
        ({"job_fetch": "failed", "job_store": "completed"}, "failed skipped completed"),
    ],
)
def test_the_pipeline_of_the_documentation(outcomes: dict[str, str], states: str) -> None:
    assert [*resolve(PIPELINE, outcomes).values()] == states.split()


def test_a_node_waits_for_all_before_it_though_one_edge_has_fired() -> None:
    assert resolve(fan_in(2), {"p0": "completed"})["end"] == "waiting"


@pytest.mark.parametrize(("join", "state"), [("any", "ready"), ("all", "skipped")])
def test_one_edge_of_two_is_enough_for_any_and_too_few_for_all(join: str, state: str) -> None:
    chain = spec(["a", "b", "end"], [("a", "end"), ("b", "end")], join)
    assert resolve(chain, {"a": "completed", "b": "failed"})["end"] == state


@pytest.mark.parametrize("kind", ["on_success", "on_failure", "on_complete"])
def test_skipping_spreads_by_every_type_of_edge(kind: str) -> None:
    chain = spec(["a", "b", "c", "d"], [("a", "b"), ("b", "c", kind), ("c", "d", kind)])
    assert resolve(chain, {"a": "failed"}) == {"a": "failed", "b": "skipped", "c": "skipped", "d": "skipped"}


def test_a_skipped_node_does_not_keep_another_edge_from_firing() -> None:
    assert resolve(PIPELINE, {"job_fetch": "failed"})["job_store"] == "ready"


def test_roots_are_the_jobs_with_none_before_them() -> None:
    assert roots(PIPELINE) == ["job_fetch"]
    assert roots(spec(["b", "a"], [])) == ["b", "a"]


# The drawing


def test_a_drawing_has_every_job_edge_and_type() -> None:
    names = {"job_fetch": "Fetch"}
    assert diagram(PIPELINE, None, names).splitlines() == [
        "flowchart TD",
        '    n0["Fetch"]',
        '    n1["job_transform"]',
        '    n2["job_store"]',
        "    n0 -->|on success| n1",
        "    n1 -->|on success| n2",
        "    n0 -.->|on failure| n2",
    ]


def test_a_drawing_of_an_execution_has_a_class_for_each_state_that_occurs() -> None:
    lines = diagram(PIPELINE, resolve(PIPELINE, {"job_fetch": "failed"}), {}).splitlines()
    assert lines[1:4] == [
        '    n0["job_fetch"]:::failed',
        '    n1["job_transform"]:::skipped',
        '    n2["job_store"]:::ready',
    ]
    assert [line.split()[1] for line in lines if "classDef" in line] == ["failed", "skipped", "ready"]


def test_a_name_cannot_draw() -> None:
    drawing = diagram(spec(["a"], []), None, {"a": 'x"] --> n1\n`1. <b>Ünï`'})
    label = drawing.splitlines()[1]
    assert label == '    n0["x#34;#93; #45;#45;#62; n1#10;#96;1#46; #60;b#62;Ünï#96;"]'
