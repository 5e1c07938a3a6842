"""Chains on moto's interpreter, with a worker that only answers: what runs, what is skipped, when."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import boto3
import pytest
from hypothesis import Phase, given, settings
from moto import mock_aws

from chalicelib.core.asl import Result, definition, start_input
from chalicelib.core.chain import OUTCOMES, Chain, ChainSpec
from tests.property.test_chain import Case, cases
from tests.unit.test_chain import DIAMOND, PIPELINE, Arrow, fan_in, line, spec

PATIENCE = 20  # seconds until a test gives up
ROLE = "arn:aws:iam::123456789012:role/chains"

Answer = Callable[[str], str]


@dataclass
class Worker:
    """Answers the messages of one queue, and notes when each node began and ended.

    `answer` gives a node's outcome: completed, failed, broken (the task fails) or lost (nothing is said).
    Where `hold` has a node, its answer waits until the other node has begun.
    """

    sqs: Any
    machines: Any
    queue: str
    answer: Answer = lambda node: "completed"
    hold: dict[str, str] = field(default_factory=dict)
    events: list[str] = field(default_factory=list)
    messages: dict[str, Any] = field(default_factory=dict)
    held: list[Any] = field(default_factory=list)

    def step(self) -> None:
        received = self.sqs.receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10)
        for message in [json.loads(each["Body"]) for each in received.get("Messages", [])]:
            assert message["node"] not in self.messages, "a node runs once"
            self.messages[message["node"]] = message
            self.events.append(f"{message['node']} began")
            self.held.append(message)
        for message in [*self.held]:
            if self.hold.get(message["node"], message["node"]) in self.messages:
                self.held.remove(message)
                self.report(message["node"], message["token"])

    def report(self, node: str, token: str) -> None:
        outcome = self.answer(node)
        self.events.append(f"{node} ended")
        if outcome == "broken":
            self.machines.send_task_failure(taskToken=token, error="Broken", cause="by the test")
        elif outcome != "lost":
            output = {"status": outcome, "run_id": f"run of {node}", "more": "is left out"}
            self.machines.send_task_success(taskToken=token, output=json.dumps(output))


@dataclass
class Ended:
    status: str
    output: Any
    worker: Worker
    states: list[str]  # those entered

    @property
    def statuses(self) -> dict[str, str]:
        return {node: result["status"] for node, result in self.output["results"].items()}

    @property
    def ran(self) -> list[str]:
        return [event.removesuffix(" began") for event in self.worker.events if event.endswith(" began")]


class Stage:
    """Queues and state machines on moto."""

    def __init__(self) -> None:
        self.sqs, self.machines = boto3.client("sqs"), boto3.client("stepfunctions")
        self._numbers = count()

    def play(
        self,
        chain: ChainSpec,
        answer: Answer = lambda node: "completed",
        hold: dict[str, str] | None = None,
        resolved: dict[str, Result] | None = None,
        timeout: timedelta = timedelta(seconds=PATIENCE),
    ) -> Ended:
        """An execution from its start to its end."""
        number = next(self._numbers)
        queue = self.sqs.create_queue(QueueName=f"runs-{number}")["QueueUrl"]
        worker = Worker(self.sqs, self.machines, queue, answer, hold or {})
        machine = definition(_chain(chain), queue, timeout)
        arn = self.machines.create_state_machine(
            name=f"chain-{number}", definition=json.dumps(machine), roleArn=ROLE
        )["stateMachineArn"]
        given = json.dumps(start_input(chain, resolved or {}))
        execution = self.machines.start_execution(stateMachineArn=arn, name="the-execution", input=given)
        return self._ended(execution["executionArn"], worker)

    def _ended(self, arn: str, worker: Worker) -> Ended:
        until = time.monotonic() + PATIENCE
        while (state := self.machines.describe_execution(executionArn=arn))["status"] == "RUNNING":
            assert time.monotonic() < until, f"still running after {worker.events}"
            worker.step()
            time.sleep(0.002)
        pages = self.machines.get_paginator("get_execution_history").paginate(executionArn=arn)
        events = [event for page in pages for event in page["events"]]
        names = [
            event["stateEnteredEventDetails"]["name"]
            for event in events
            if "stateEnteredEventDetails" in event
        ]
        return Ended(state["status"], json.loads(state.get("output", "null")), worker, names)


def _chain(given: ChainSpec) -> Chain:
    return Chain(
        chain_id="chain_x", revision=7, spec=given, owner="o", created_at=datetime(2026, 11, 22, tzinfo=UTC)
    )


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        with mock_aws(config={"stepfunctions": {"execute_state_machine": True}}):
            yield Stage()


def _failing(*nodes: str) -> Answer:
    return lambda node: "failed" if node in nodes else "completed"


def test_the_pipeline_fetches_transforms_and_stores(stage: Stage) -> None:
    ended = stage.play(PIPELINE)
    assert ended.ran == ["job_fetch", "job_transform", "job_store"]
    assert ended.output["results"]["job_store"] == {"status": "completed", "run_id": "run of job_store"}
    assert len(ended.states) == 6


def test_the_pipeline_stores_when_fetching_failed_and_skips_the_transformation(stage: Stage) -> None:
    ended = stage.play(PIPELINE, _failing("job_fetch"))
    assert ended.ran == ["job_fetch", "job_store"]
    assert ended.output["results"]["job_transform"] == {"status": "skipped", "run_id": None}
    assert ended.statuses == {"job_fetch": "failed", "job_transform": "skipped", "job_store": "completed"}


def test_a_root_that_has_run_by_itself_is_not_run_again(stage: Stage) -> None:
    own: Result = {"status": "completed", "run_id": "20261122T140000Z"}
    ended = stage.play(PIPELINE, resolved={"job_fetch": own})
    assert ended.ran == ["job_transform", "job_store"]
    message = ended.worker.messages["job_transform"]
    token, started = message.pop("token"), message.pop("started")
    assert token
    assert datetime.fromisoformat(started).tzinfo is not None
    assert message == {
        "chain": "chain_x",
        "revision": 7,
        "execution": "the-execution",
        "node": "job_transform",
        "root": {"job_id": "job_fetch", "run_id": "20261122T140000Z"},
        "after": {"job_fetch": own},
    }


def test_the_other_roots_are_run_by_the_machine(stage: Stage) -> None:
    ended = stage.play(fan_in(3), resolved={"p1": {"status": "failed", "run_id": "its own"}})
    assert sorted(ended.ran) == ["end", "p0", "p2"]
    assert ended.worker.messages["end"]["after"]["p1"] == {"status": "failed", "run_id": "its own"}


def test_a_chain_that_is_triggered_whole_has_no_root(stage: Stage) -> None:
    ended = stage.play(spec(["only"], []))
    assert ended.ran == ["only"]
    assert ended.worker.messages["only"]["root"] is None
    assert ended.worker.messages["only"]["after"] == {}


def test_a_diamond_runs_its_sides_at_the_same_time(stage: Stage) -> None:
    ended = stage.play(DIAMOND, hold={"left": "right", "right": "left"})
    assert ended.ran[0] == "top"
    assert ended.ran[-1] == "bottom"
    assert set(ended.worker.messages["bottom"]["after"]) == {"left", "right"}


def test_of_two_independent_branches_the_long_one_does_not_wait_for_the_short(stage: Stage) -> None:
    branches = spec(["a1", "a2", "a3", "b1"], [("a1", "a2"), ("a2", "a3")])
    ended = stage.play(branches, hold={"b1": "a3", "a1": "b1"})
    assert ended.worker.events.index("b1 began") < ended.worker.events.index("a1 ended")
    assert ended.worker.events.index("a3 began") < ended.worker.events.index("b1 ended")
    assert set(ended.statuses.values()) == {"completed"}


def test_ten_join_in_one(stage: Stage) -> None:
    ended = stage.play(fan_in(10), _failing(*(f"p{i}" for i in range(9))))
    assert ended.ran[-1] == "end"
    assert len(ended.worker.messages["end"]["after"]) == 10
    assert sorted(ended.statuses.values()) == ["completed"] * 2 + ["failed"] * 9


def test_twenty_side_by_side_keep_all_their_results(stage: Stage) -> None:
    nodes = ["job_agenda-sweep", "1.a:b", "x" * 72, *(f"p{i}" for i in range(17))]
    ended = stage.play(spec(["top", *nodes], [("top", node, "on_complete") for node in nodes]))
    assert ended.statuses == dict.fromkeys(["top", *nodes], "completed")


def test_a_graph_that_is_no_series_of_parallels_runs_in_order(stage: Stage) -> None:
    graph = spec(["a", "b", "c", "d"], [("a", "c"), ("a", "d"), ("b", "d", "on_failure")])
    ended = stage.play(graph, _failing("a", "b"))
    assert ended.statuses == {"a": "failed", "b": "failed", "c": "skipped", "d": "completed"}
    assert ended.ran[-1] == "d"


def test_forks_within_forks_find_the_results_from_outside(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    edges: list[Arrow] = [
        ("t", "x"),
        ("t", "y"),
        ("x", "x1"),
        ("x", "x2"),
        ("y", "y1"),
        ("y", "y2"),
        ("y1", "y3"),
    ]
    ends: list[Arrow] = [
        ("x1", "e"),
        ("x2", "e"),
        ("y3", "e"),
        ("y2", "e"),
        ("t", "e", "on_failure"),
        ("t", "y3"),
    ]
    nodes = ["t", "x", "y", "x1", "x2", "y1", "y2", "y3", "e"]
    ended = stage.play(spec(nodes, [*edges, *ends]), _failing("y1", "x1"))
    assert ended.statuses == dict.fromkeys(nodes, "completed") | {"y1": "failed", "x1": "failed"}
    assert ended.worker.messages["y3"]["after"] == {
        "y1": {"status": "failed", "run_id": "run of y1"},
        "t": {"status": "completed", "run_id": "run of t"},
    }
    assert not [
        record for record in caplog.records if record.levelname == "ERROR"
    ]  # such as of a missing path


def test_a_hundred_in_a_line_run_one_after_the_other(stage: Stage) -> None:
    ended = stage.play(line(100))
    assert ended.ran == [f"n{i}" for i in range(100)]
    assert len(ended.states) == 200


def test_a_run_that_never_reports_becomes_a_failed_outcome(stage: Stage) -> None:
    answer = {"job_fetch": "lost"}
    ended = stage.play(PIPELINE, lambda node: answer.get(node, "completed"), timeout=timedelta(seconds=1))
    assert ended.output["results"]["job_fetch"] == {"status": "failed", "run_id": None}
    assert ended.ran == ["job_fetch", "job_store"]


def test_a_task_failure_becomes_a_failed_outcome_and_stops_nothing_beside_it(stage: Stage) -> None:
    ended = stage.play(DIAMOND, lambda node: "broken" if node == "left" else "completed")
    assert ended.status == "SUCCEEDED"
    assert ended.statuses == {
        "top": "completed",
        "left": "failed",
        "right": "completed",
        "bottom": "completed",
    }


@settings(derandomize=True, deadline=None, database=None, max_examples=12, phases=[Phase.generate])
@given(case=cases())
def test_random_chains_run_and_skip_what_the_reference_does(stage: Stage, case: Case) -> None:
    answers = {node: "broken" if came == "timeout" else came for node, came in case.outcomes.items()}
    ended = stage.play(case.spec, answers.__getitem__, resolved=case.resolved)
    expected = case.expected()
    assert ended.statuses == expected
    assert set(ended.ran) == {node for node in expected if expected[node] in OUTCOMES} - {case.root}
