"""The local stack around an application of the test's own."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from chalice.app import Chalice

from infra.local import keyfile
from infra.local.stack import Application, LocalStack

Event = dict[str, Any]


class Stage:
    """An application that records what it is called with, and a stack that runs it."""

    def __init__(self) -> None:
        self.ticks: list[Event] = []
        self.batches: list[Event] = []
        self.dead: list[Event] = []
        self.handed_back = threading.Event()
        self.work: Callable[[Event], Any] = lambda event: None
        self.url = ""

    def application(self) -> Application:
        return Application(
            Chalice(app_name="stage", configure_logs=False),
            self._tick,
            self._worker,
            self._dead_letter,
            lambda: "an-admin-key",
            self.handed_back.set,
        )

    def _tick(self, event: Event, context: Any) -> None:
        self.ticks.append(event)
        raise RuntimeError("a tick that fails")

    def _worker(self, event: Event, context: Any) -> Any:
        self.batches.append(event)
        return self.work(event)

    def _dead_letter(self, event: Event, context: Any) -> None:
        self.dead.append(event)

    def send(self, *bodies: str, queue: str = "BELFRY_RUNS_QUEUE") -> None:
        for body in bodies:
            boto3.client("sqs").send_message(QueueUrl=os.environ[queue], MessageBody=body)

    def has_batches(self, count: int) -> bool:
        return len(self.batches) == count

    def bodies(self) -> list[str]:
        return [record["body"] for event in self.batches for record in event["Records"]]

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or 0


def until(condition: Callable[[], Any], seconds: float = 5) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.01)


@pytest.fixture
def stage() -> Iterator[Stage]:
    yield from staged()


def staged() -> Iterator[Stage]:
    stage = Stage()
    stack = LocalStack(stage.application)
    stage.url = stack.start()
    yield stage
    stack.stop()


def test_the_functions_read_their_environment_and_it_ends_with_the_stack() -> None:
    stage = Stage()
    stack = LocalStack(stage.application)
    stage.url = stack.start()
    assert os.environ["BELFRY_ANONYMOUS_ROLE"] == "admin"
    assert os.environ["BELFRY_TICK_SECONDS"] == "5"
    assert os.environ["BELFRY_RUNS_TABLE"] == "belfry-runs-table"

    stack.stop()

    assert "BELFRY_RUNS_TABLE" not in os.environ
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", stage.port))


def test_what_the_environment_says_beats_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BELFRY_ANONYMOUS_ROLE", "none")
    stack = LocalStack(Stage().application)
    stack.start()

    assert os.environ["BELFRY_ANONYMOUS_ROLE"] == "none"
    stack.stop()


def test_a_key_is_kept_for_this_user_alone_while_the_stack_runs() -> None:
    stage = Stage()
    stack = LocalStack(stage.application)
    stage.url = stack.start()
    path = keyfile.FOLDER / f"{stage.port}.json"

    assert keyfile.read(stage.port) == {"url": stage.url, "key": "an-admin-key"}
    assert path.stat().st_mode & 0o777 == 0o600

    stack.stop()
    assert not path.exists()


def test_a_taken_port_is_an_error_at_once(stage: Stage) -> None:
    with pytest.raises(OSError, match="in use"):
        LocalStack(Stage().application).start(stage.port)


def test_it_ticks_on_the_clock_and_goes_on_after_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BELFRY_TICK_SECONDS", "0.2")
    stage = Stage()
    stack = LocalStack(stage.application)
    stack.start()
    until(lambda: len(stage.ticks) >= 3)
    stack.stop()
    ticks = len(stage.ticks)

    assert stage.ticks[0]["detail-type"] == "Scheduled Event"
    time.sleep(0.3)
    assert len(stage.ticks) == ticks


def test_messages_reach_the_worker_in_batches_of_ten_and_are_deleted(stage: Stage) -> None:
    stage.send(*(str(n) for n in range(12)))
    until(lambda: len(stage.bodies()) == 12)

    assert max(len(event["Records"]) for event in stage.batches) <= 10
    first = stage.batches[0]["Records"][0]
    assert first["eventSource"] == "aws:sqs"
    assert first["attributes"]["ApproximateReceiveCount"] == "1"
    assert int(first["attributes"]["SentTimestamp"]) > 0
    until(lambda: left("BELFRY_RUNS_QUEUE") == 0)


def test_a_message_that_failed_stays_and_the_rest_go(stage: Stage) -> None:
    def one_fails(event: Event) -> Any:
        bad = [record["messageId"] for record in event["Records"] if record["body"] == "bad"]
        return {"batchItemFailures": [{"itemIdentifier": message} for message in bad]}

    stage.work = one_fails
    stage.send("good", "bad", "good")
    until(lambda: len(stage.bodies()) == 3)

    until(lambda: left("BELFRY_RUNS_QUEUE") == 1)


def test_after_a_failure_of_the_worker_the_batch_stays_and_the_next_is_taken(stage: Stage) -> None:
    def fails(event: Event) -> Any:
        raise RuntimeError("a worker that fails")

    stage.work = fails
    stage.send("first")
    until(lambda: stage.bodies() == ["first"])
    stage.work = lambda event: None
    stage.send("second")
    until(lambda: stage.bodies() == ["first", "second"])

    until(lambda: left("BELFRY_RUNS_QUEUE") == 1)


def test_dead_letters_reach_their_own_function(stage: Stage) -> None:
    stage.send("dead", queue="BELFRY_DEAD_LETTERS_QUEUE")

    until(lambda: stage.dead)
    assert stage.dead[0]["Records"][0]["body"] == "dead"


def left(queue: str) -> int:
    """How many messages a queue holds, in sight or not."""
    client = boto3.client("sqs")
    counts = client.get_queue_attributes(
        QueueUrl=os.environ[queue],
        AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
    )
    return sum(int(count) for count in counts["Attributes"].values())


def test_at_least_eight_batches_run_at_once(stage: Stage) -> None:
    together = threading.Barrier(8, timeout=5)
    stage.work = lambda event: {"batchItemFailures": []} if together.wait() >= 0 else None
    for sent in range(8):
        stage.send("one of eight")
        until(partial(stage.has_batches, sent + 1))

    until(lambda: left("BELFRY_RUNS_QUEUE") == 0)


def test_work_in_progress_finishes_before_the_stack_stops() -> None:
    stage = Stage()
    finished = threading.Event()
    stage.work = lambda event: threading.Timer(0.3, finished.set).run()
    stack = LocalStack(stage.application)
    stack.start()
    stage.send("slow")
    until(lambda: stage.batches)

    stack.stop()
    assert finished.is_set()
    assert not stage.handed_back.is_set()


def test_work_that_does_not_finish_is_handed_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.local.stack.GRACE_SECONDS", 0.2)
    stage = Stage()
    stage.work = lambda event: stage.handed_back.wait(10)
    stack = LocalStack(stage.application)
    stack.start()
    stage.send("endless")
    until(lambda: stage.batches)

    before = time.monotonic()
    stack.stop()
    assert stage.handed_back.is_set()
    assert time.monotonic() - before < 2


def test_conditional_writes_of_many_threads_have_one_winner(stage: Stage) -> None:
    dynamodb = boto3.client("dynamodb")

    def claim(n: int) -> bool:
        try:
            dynamodb.put_item(
                TableName=os.environ["BELFRY_RUNS_TABLE"],
                Item={"job_id": {"S": "job"}, "run_id": {"S": str(n // 8)}},
                ConditionExpression="attribute_not_exists(job_id)",
            )
        except dynamodb.exceptions.ConditionalCheckFailedException:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        won = list(threads.map(claim, range(240)))

    assert won.count(True) == 30


def test_a_service_with_an_endpoint_is_not_emulated(
    monkeypatch: pytest.MonkeyPatch, dynamodb_local_url: str
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", dynamodb_local_url)
    stack = LocalStack(Stage().application)
    stack.start()
    stack.stop()

    for name, value in {
        "ACCESS_KEY_ID": "x",
        "SECRET_ACCESS_KEY": "x",
        "DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    assert "belfry-runs-table" in boto3.client("dynamodb").list_tables()["TableNames"]
