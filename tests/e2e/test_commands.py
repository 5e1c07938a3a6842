"""`make run`, `make demo` and `make key`, as processes of their own."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from infra import key, template

ROOT = Path(__file__).resolve().parents[2]


def command(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-u", "-m", module, *arguments]


@contextmanager
def running(port: int) -> Iterator[subprocess.Popen[str]]:
    """The local stack, once it says where it is."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(
        command("infra.local", "--port", str(port)), cwd=ROOT, text=True, **pipes
    ) as process:  # type: ignore[call-overload]
        assert f"http://127.0.0.1:{port}" in process.stdout.readline()
        try:
            yield process
        finally:
            process.terminate()


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        free: int = server.getsockname()[1]
        return free


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_the_stack_cleanly(port: int, number: signal.Signals) -> None:
    with running(port) as process:
        assert (ROOT / ".local" / f"{port}.json").exists()
        process.send_signal(number)

        assert process.wait(timeout=15) == 0
    assert not (ROOT / ".local" / f"{port}.json").exists()


def test_a_taken_port_is_explained(port: int) -> None:
    with socket.create_server(("127.0.0.1", port)):
        started = subprocess.run(
            command("infra.local", "--port", str(port)), cwd=ROOT, capture_output=True, text=True, check=False
        )

    assert started.returncode == 1
    assert f"Port {port} is in use" in started.stderr
    assert "Traceback" not in started.stderr


def test_a_key_of_the_local_stack_is_printed_and_opens_it(port: int) -> None:
    with running(port):
        made = subprocess.run(
            command("infra.key", "--role", "viewer", "--name", "a test", "--port", str(port)),
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        secret = made.stdout.removesuffix("\n")
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/api/scheduler/jobs", headers={"Authorization": f"Bearer {secret}"}
        )

        assert re.fullmatch(r"\S{20,}", secret)
        with urllib.request.urlopen(request, timeout=5) as response:
            assert json.load(response)["count"] >= 0


def test_a_key_without_a_stack_is_explained(port: int) -> None:
    asked = subprocess.run(
        command("infra.key", "--role", "viewer", "--port", str(port)),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert asked.returncode == 1
    assert asked.stdout == ""
    assert f"No local stack runs on port {port}" in asked.stderr


def test_the_demo_shows_runs_and_their_history() -> None:
    shown = subprocess.run(
        command("infra.demo"), cwd=ROOT, capture_output=True, text=True, check=True, timeout=20
    ).stdout

    assert len(re.findall(r"ms after its slot", shown)) == 4
    assert len(re.findall(r"completed  \d+ ms late", shown)) >= 4


def test_the_environment_of_a_deployed_stack_is_read_from_its_resources(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    queues = ("RunsQueue", "DeadLettersQueue")
    resources: dict[str, Any] = {name: {"Type": "AWS::SQS::Queue"} for name in queues}
    resources["SessionsBucket"] = {"Type": "AWS::S3::Bucket"}
    tables = template.of_type(template.load(), "AWS::DynamoDB::Table")
    for name, properties in tables.items():
        resources[name] = {"Type": "AWS::DynamoDB::Table", "Properties": properties}
    with mock_aws():
        boto3.client("cloudformation").create_stack(
            StackName="deployed", TemplateBody=json.dumps({"Resources": resources})
        )
        environment = key.deployed_environment("deployed")

    assert environment["BELFRY_JOBS_TABLE"].startswith("deployed-JobsTable")
    assert environment["BELFRY_RUNS_QUEUE"].startswith("https://")
    assert environment["BELFRY_ANONYMOUS_ROLE"] == "none"
