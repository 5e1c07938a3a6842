"""Fixtures: AWS on moto in this process, DynamoDB Local for atomic conditions, a moto server apart."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from functools import cache
from typing import Any

import boto3
import pytest
from moto import mock_aws
from moto.server import ThreadedMotoServer

from infra import dynamodb_local as emulator
from infra import template
from infra.local.provision import provision

Environment = dict[str, str]


@pytest.fixture(scope="session", autouse=True)
def _made_once() -> Iterator[None]:
    """Clients, and the parsed template: making them anew for each test would take half of its time."""
    with pytest.MonkeyPatch.context() as patch:
        clients: dict[tuple[object, ...], Any] = {}
        make = boto3.client

        def client(service_name: str, **given: Any) -> Any:
            where = sorted(pair for pair in os.environ.items() if pair[0].startswith("AWS_"))
            key = (service_name, *where, *((name, id(value)) for name, value in given.items()))
            if key not in clients:
                clients[key] = (
                    make(service_name, **given),
                    given,
                )  # kept, so that ids stay theirs
            return clients[key][0]

        patch.setattr(boto3, "client", client)
        patch.setattr(template, "load", cache(template.load))
        yield


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Environment]:
    """Empty tables and queues on moto, in this process. Sets and gives the environment of the functions."""
    _credentials(monkeypatch)
    with mock_aws(config={"stepfunctions": {"execute_state_machine": True}}):
        yield _provisioned(monkeypatch)


@pytest.fixture
def dynamodb_local(monkeypatch: pytest.MonkeyPatch, dynamodb_local_url: str) -> Iterator[Environment]:
    """As `aws`, but with the tables on DynamoDB Local, new ones for each test: its conditions are atomic."""
    _credentials(monkeypatch)
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", dynamodb_local_url)
    with mock_aws(config={"stepfunctions": {"execute_state_machine": True}}):
        yield _provisioned(monkeypatch, prefix=f"test-{uuid.uuid4().hex[:8]}")


@pytest.fixture(scope="session")
def dynamodb_local_url() -> Iterator[str]:
    if reason := emulator.missing():
        pytest.skip(reason)
    with emulator.running() as url:
        yield url


@pytest.fixture(scope="session")
def moto_server() -> Iterator[str]:
    """The URL of a moto server with a socket of its own, for what runs in another process."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


def _provisioned(monkeypatch: pytest.MonkeyPatch, prefix: str = "belfry") -> Environment:
    environment = provision(boto3.client("dynamodb"), boto3.client("sqs"), prefix)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return environment
