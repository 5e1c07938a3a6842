"""What a chain costs in Step Functions: state transitions a node, `python -m bench.chain_states`.

Every graph's state machine is run by the evaluator of the tests, started whole, once with all jobs completing
and once with all failing. A state that is entered is a transition.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise, product

from chalicelib.core.asl import definition, start_input
from chalicelib.core.chain import Chain, ChainSpec
from tests.asl_evaluator import Execution, Json, Outcome, evaluate

Edges = list[tuple[str, str, str]]
TRANSITION_USD = 25 / 1_000_000


def success(*pairs: tuple[str, str]) -> Edges:
    return [(source, target, "on_success") for source, target in pairs]


def complete(*pairs: tuple[str, str]) -> Edges:
    return [(source, target, "on_complete") for source, target in pairs]


LINE = [f"n{i}" for i in range(100)]
GRAPHS: dict[str, Edges] = {
    "the document's pipeline": [
        *success(("fetch", "transform"), ("transform", "store")),
        ("fetch", "store", "on_failure"),
    ],
    "diamond": success(("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")),
    "two branches, 3 and 1": success(("a", "a1"), ("a1", "a2"), ("a2", "a3"), ("a", "b1")),
    "success and failure branch": [*success(("a", "b"), ("b", "c")), ("a", "alert", "on_failure")],
    "fan-out to ten": success(*product(["a"], LINE[:10])),
    "fan-in of ten": success(*product(LINE[:10], ["z"])),
    "N graph": success(("a", "c"), ("a", "d"), ("b", "d")),
    "line of 100, on_success": success(*pairwise(LINE)),
    "line of 100, on_complete": complete(*pairwise(LINE)),
    "50 layers of two": success(
        *((LINE[2 * i + a], LINE[2 * i + 2 + b]) for i, a, b in product(range(49), (0, 1), (0, 1)))
    ),
}


def chain(edges: Edges) -> Chain:
    jobs = list(dict.fromkeys(job for source, target, _ in edges for job in (source, target)))
    written = [{"from": source, "to": target, "type": kind} for source, target, kind in edges]
    spec = ChainSpec.model_validate({"name": "bench", "jobs": jobs, "edges": written})
    return Chain(chain_id="chain_x", revision=1, spec=spec, owner="o", created_at=datetime.now(UTC))


def play(machine: Json, spec: ChainSpec, outcome: Outcome) -> Execution:
    return evaluate(machine, start_input(spec, {}), lambda message: (outcome, 1))


def forks(machine: Json) -> int:
    return sum(
        1 + sum(map(forks, state["Branches"])) for state in machine["States"].values() if "Branches" in state
    )


def rows() -> Iterator[tuple[str, ...]]:
    for name, edges in GRAPHS.items():
        made = chain(edges)
        machine = definition(made, "https://sqs.us-east-1.amazonaws.com/123456789012/runs")
        nodes, forked = len(made.spec.jobs), forks(machine)
        good, bad = (len(play(machine, made.spec, outcome).entered) for outcome in ("completed", "failed"))
        limit = 2 * nodes + 3 * forked
        dollars = f"{1000 * good * TRANSITION_USD:.2f}"
        yield name, str(nodes), str(forked), str(good), f"{good / nodes:.2f}", str(bad), str(limit), dollars


def main() -> None:
    row = "{:<28} {:>6} {:>6} {:>12} {:>7} {:>11} {:>7} {:>12}".format
    print(row("graph", "nodes", "forks", "transitions", "a node", "all failing", "limit", "$ a thousand"))
    for shown in rows():
        print(row(*shown))
    print("\nlimit: two a node and three a fork")


if __name__ == "__main__":
    main()
