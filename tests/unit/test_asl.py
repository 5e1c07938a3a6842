"""The state machine of a chain: its states, how few they are, what runs together, and AWS's limits."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from time import perf_counter
from typing import Any

import pytest
from cfnlint.api import lint_all  # type: ignore[import-untyped]

from chalicelib.core.asl import MAX_DEPTH, Result, definition, start_input
from chalicelib.core.chain import Chain, ChainSpec
from tests.asl_evaluator import Execution, Json, evaluate
from tests.unit.test_chain import DIAMOND, PIPELINE, Arrow, fan_in, line, spec

QUEUE = "https://sqs.us-east-1.amazonaws.com/123456789012/belfry-prod-runs"


def machine(chain: ChainSpec, **options: Any) -> Json:
    created = datetime(2026, 11, 22, tzinfo=UTC)
    return definition(
        Chain(chain_id="chain_x", revision=7, spec=chain, owner="o", created_at=created), QUEUE, **options
    )


def play(chain: ChainSpec, *failing: str, seconds: dict[str, float] | None = None) -> Execution:
    """An execution of the whole chain; each node takes a second unless it is said otherwise."""

    def work(message: Json) -> tuple[Any, float]:
        node = message["node"]
        return "failed" if node in failing else "completed", (seconds or {}).get(node, 1)

    return evaluate(machine(chain), start_input(chain, {}), work)


def states(machine: Json) -> Iterator[tuple[str, Json]]:
    for name, state in machine["States"].items():
        yield name, state
        for branch in state.get("Branches", []):
            yield from states(branch)


def depth(machine: Json) -> int:
    forks = (state["Branches"] for state in machine["States"].values() if "Branches" in state)
    return max((1 + max(map(depth, branches)) for branches in forks), default=0)


def size(machine: Json) -> int:
    return len(json.dumps(machine))


def numbered(arrows: Sequence[tuple[int, int]], kind: str = "on_success", join: str = "any") -> ChainSpec:
    """A hundred jobs with ids as they are made."""
    nodes = [f"job_{i:012}" for i in range(100)]
    return spec(nodes, [(nodes[a], nodes[b], kind) for a, b in arrows], join)


PAIRS = [(a, b) for b in range(100) for a in range(b)]
LADDER = [(2 * i + a, 2 * i + 2 + b) for i in range(49) for a, b in ((0, 0), (1, 1), (0, 1))]
HUNDREDS = {
    "no edges": [],
    "all edges": PAIRS,
    "layers of two": [(a, b) for a, b in PAIRS if b // 2 > a // 2],
    "layers of ten": [(a, b) for a, b in PAIRS if b // 10 > a // 10],
    "ladder": LADDER,
    "line with leaves": [(2 * i, 2 * i + 1) for i in range(50)] + [(2 * i, 2 * i + 2) for i in range(49)],
    "tree": [((b - 1) // 2, b) for b in range(1, 100)],
    "line": [*pairwise(range(100))],
}
N_GRAPH = spec(["a", "b", "c", "d"], [("a", "c"), ("a", "d"), ("b", "d")])


# Its states


def test_a_job_is_one_task_on_the_runs_queue_that_waits_for_its_token() -> None:
    task = machine(PIPELINE, timeout=timedelta(hours=2))["States"]["job_store"]
    assert task == {
        "Type": "Task",
        "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
        "Parameters": {
            "QueueUrl": QUEUE,
            "MessageBody": {
                "chain": "chain_x",
                "revision": 7,
                "execution.$": "$$.Execution.Name",
                "started.$": "$$.Execution.StartTime",
                "node": "job_store",
                "token.$": "$$.Task.Token",
                "root.$": "$$.Execution.Input.root",
                "after": {"job_transform.$": "$.results.job_transform", "job_fetch.$": "$.results.job_fetch"},
            },
        },
        "TimeoutSeconds": 7200,
        "ResultSelector": {"status.$": "$.status", "run_id.$": "$.run_id"},
        "ResultPath": "$.results.job_store",
        "Retry": [
            {
                "ErrorEquals": ["SQS.AmazonSQSException", "SQS.SdkClientException"],
                "IntervalSeconds": 2,
                "MaxAttempts": 3,
                "BackoffRate": 2,
            }
        ],
        "Catch": [{"ErrorEquals": ["States.ALL"], "ResultPath": None, "Next": "job_store failed"}],
        "End": True,
    }


def test_the_pipeline_asks_only_what_is_open() -> None:
    assert play(PIPELINE).entered == [
        "job_fetch?",
        "job_fetch",
        "job_transform?",
        "job_transform",
        "job_store?",
        "job_store",
    ]
    assert play(PIPELINE, "job_fetch").entered == ["job_fetch?", "job_fetch", "job_transform?", "job_store"]


def test_an_execution_begins_with_a_result_for_every_node() -> None:
    nothing: Result = {"status": "skipped", "run_id": None}
    own: Result = {"status": "failed", "run_id": "20261122T140000Z"}
    assert start_input(PIPELINE, {"job_fetch": own}) == {
        "root": {"job_id": "job_fetch", "run_id": "20261122T140000Z"},
        "results": {"job_fetch": own, "job_transform": nothing, "job_store": nothing},
    }
    whole = start_input(PIPELINE, {})
    assert whole["root"] is None
    assert whole["results"]["job_fetch"] == {"status": "waiting", "run_id": None}


# How few


def test_what_runs_in_any_case_is_not_asked_for() -> None:
    chain = line(20, "on_complete")
    assert [name for name, state in states(machine(chain)) if state["Type"] == "Choice"] == ["n0?"]
    both = spec(["a", "b"], [("a", "b"), ("a", "b", "on_failure")])
    assert play(both).entered == ["a?", "a", "b"]


def test_what_follows_from_two_answers_together_is_not_asked_for() -> None:
    arrows: list[Arrow] = [("a", "b", "on_failure"), ("a", "c"), ("b", "c", "on_complete")]
    assert "c?" not in dict(states(machine(spec(["a", "b", "c"], arrows))))
    beside: list[Arrow] = [("a", "x", "on_complete"), ("x", "c", "on_failure")]
    assert "c?" not in dict(states(machine(spec(["a", "b", "c", "x"], [*arrows, *beside]))))


def test_a_choice_leaves_out_what_follows_from_its_other_conditions() -> None:
    arrows: list[Arrow] = [("w", "x"), ("w", "y", "on_complete")]
    joined = [(source, target) for target in ("c", "d") for source in ("w", "x")]
    waits: list[Arrow] = [("y", "c", "on_complete"), ("y", "d", "on_complete")]
    made = dict(states(machine(spec(["w", "x", "y", "c", "d"], [*arrows, *joined, *waits], "all"))))
    conditions = [rule for state in made.values() for rule in state.get("Choices", [])]
    assert {"Variable": "$.results.x.status", "StringEquals": "completed"}.items() <= conditions[-1].items()
    assert len(conditions) == 3


def test_the_rest_of_a_line_is_jumped_over_when_its_beginning_failed() -> None:
    assert play(line(100), "n0").entered == ["n0?", "n0", "n1?", "end 1"]


def test_a_fork_that_is_skipped_anyway_is_jumped_over() -> None:
    chain = spec(["a", "b", "c", "d"], [("a", "b"), ("b", "c"), ("b", "d")])
    assert play(chain, "a").entered[:-1] == ["a?", "a", "b?"]
    assert len(play(chain, "a").entered) == 4


def test_of_a_success_and_a_failure_branch_only_one_is_entered_and_no_fork_is_made() -> None:
    arrows: list[Arrow] = [("a", "good"), ("good", "better"), ("a", "bad", "on_failure"), ("bad", "worse")]
    chain = spec(["a", "good", "better", "bad", "worse"], arrows)
    assert "Parallel" not in {state["Type"] for _, state in states(machine(chain))}
    assert play(chain, "a").statuses["worse"] == "completed"
    assert len(play(chain).entered) == 6
    assert len(play(chain, "a").entered) == 6


def test_a_fork_whose_nodes_all_need_the_same_is_asked_for_once() -> None:
    nodes = [f"n{i}" for i in range(8)]
    chain = spec(["top", *nodes], [("top", node) for node in nodes])
    assert len(play(chain).entered) == len(["top?", "top", "fork?", "fork", *nodes])
    assert len(play(chain, "top").entered) == len(["top?", "top", "fork?", "end"])


def test_what_can_never_run_has_no_state() -> None:
    never = spec(PIPELINE.jobs, [("job_fetch", "job_transform"), ("job_transform", "job_store")])
    assert "job_store" in machine(never)["States"]
    both = spec(PIPELINE.jobs, [*pairwise(PIPELINE.jobs), ("job_fetch", "job_store", "on_failure")], "all")
    assert "job_store" not in machine(both)["States"]
    assert play(both).statuses["job_store"] == "skipped"


def test_a_task_that_fails_as_a_task_costs_one_state_more_and_is_a_failed_outcome() -> None:
    execution = evaluate(machine(line(1)), start_input(line(1), {}), lambda message: ("timeout", 0))
    assert execution.entered == ["n0?", "n0", "n0 failed"]
    assert execution.output["results"] == {"n0": {"status": "failed", "run_id": None}}
    assert execution.took == timedelta(days=7).total_seconds()


# What runs at the same time


def test_two_independent_branches_take_as_long_as_the_longer() -> None:
    branches = spec(["a1", "a2", "a3", "b1"], [("a1", "a2"), ("a2", "a3")])
    assert play(branches).took == 3
    assert play(branches, seconds={"b1": 10}).took == 10


def test_branches_that_meet_take_as_long_as_the_longest() -> None:
    arrows: list[Arrow] = [("a1", "a2"), ("a2", "a3"), ("a3", "end"), ("b1", "end")]
    chain = spec(["a1", "a2", "a3", "b1", "end"], arrows)
    assert play(chain, seconds={"b1": 3}).took == 4


def test_branches_that_meet_at_the_end_do_not_wait_for_one_another_before() -> None:
    arrows = [("p", "m"), ("q", "m"), ("m", "z"), ("r", "s"), ("s", "z")]
    chain = spec(["p", "q", "m", "r", "s", "z"], arrows)
    assert play(chain, seconds={"p": 5, "s": 5}).took == 7


def test_what_leads_to_a_meeting_does_not_wait_for_what_else_leads_there() -> None:
    chain = spec(["a1", "a2", "b", "c", "d"], [("a1", "a2"), ("a2", "c"), ("a2", "d"), ("b", "c")])
    execution = play(chain, seconds={"b": 2})
    assert execution.took == 3
    assert execution.runs["a2"].began == 1


@pytest.mark.parametrize(("chain", "took"), [(DIAMOND, 3), (fan_in(10), 2), (N_GRAPH, 2)])
def test_what_does_not_depend_on_one_another_runs_together(chain: ChainSpec, took: float) -> None:
    assert play(chain).took == took


@pytest.mark.parametrize(
    ("name", "took"), [("no edges", 1), ("layers of ten", 10), ("ladder", 50), ("tree", 7)]
)
def test_a_hundred_nodes_take_as_long_as_their_longest_way(name: str, took: float) -> None:
    assert play(numbered(HUNDREDS[name])).took == took


def test_a_fork_between_two_joins_cuts_the_graph_in_two() -> None:
    arrows = [("a1", "a2"), *((a, b) for a in ("a2", "b1") for b in ("c", "d")), ("c", "c2")]
    chain = spec(["a1", "a2", "b1", "c", "c2", "d"], arrows)
    execution = play(chain, seconds={"b1": 2, "d": 2})
    assert execution.took == 4


# AWS's limits


@pytest.mark.parametrize("join", ["any", "all"])
@pytest.mark.parametrize("name", HUNDREDS)
def test_a_hundred_nodes_keep_to_the_limits(name: str, join: str) -> None:
    chain = numbered(HUNDREDS[name], "on_success", join)
    began = perf_counter()
    made = machine(chain)
    assert perf_counter() - began < 5
    assert size(made) < 1_000_000
    assert depth(made) <= MAX_DEPTH + 1
    names = [name for name, _ in states(made)]
    assert len(names) == len(set(names))
    forks = sum(state["Type"] == "Parallel" for _, state in states(made))
    execution = play(chain)
    assert len(execution.entered) <= 2 * 100 + 3 * forks
    assert 7 * len(execution.entered) < 25_000  # events: at most seven a state


def test_a_line_is_flat() -> None:
    assert depth(machine(numbered(HUNDREDS["line"]))) == 0


def test_every_task_has_a_timeout_and_no_heartbeat() -> None:
    tasks = [state for _, state in states(machine(numbered(HUNDREDS["tree"]))) if state["Type"] == "Task"]
    assert len(tasks) == 100
    assert all("TimeoutSeconds" in task and "HeartbeatSeconds" not in task for task in tasks)


def test_the_longest_ids_and_odd_ones_make_good_names_and_paths() -> None:
    odd = ["x" * 72, "job_agenda-sweep", "1.a:b"]
    chain = spec(["top", *odd], [("top", node, "on_complete") for node in odd])
    assert all(len(name) <= 80 for name, _ in states(machine(chain)))
    assert play(chain).statuses == dict.fromkeys(chain.jobs, "completed")


def test_every_definition_passes_cfn_lint() -> None:
    forks = numbered(HUNDREDS["layers of ten"][::7])
    chains = {"Pipeline": PIPELINE, "Diamond": DIAMOND, "FanIn": fan_in(12), "N": N_GRAPH, "Forks": forks}
    broken = machine(PIPELINE)
    del broken["States"]["job_store?"]["Choices"]
    assert _complaints({name: machine(chain) for name, chain in chains.items()}) == []
    assert len(_complaints({"Broken": broken})) == 1


def _complaints(machines: dict[str, Json]) -> list[str]:
    for _, state in (each for machine in machines.values() for each in states(machine)):
        if state["Type"] == "Parallel":
            del state["Parameters"]  # cfn-lint knows it of no Parallel, unlike AWS and asl-validator
    role = "arn:aws:iam::123456789012:role/chains"
    resources = {
        name: {
            "Type": "AWS::StepFunctions::StateMachine",
            "Properties": {"RoleArn": role, "Definition": machine},
        }
        for name, machine in machines.items()
    }
    found = lint_all(json.dumps({"Resources": resources}))
    return [f"{match}" for match in found if match.rule.id == "E3601"]
