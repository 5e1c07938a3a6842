"""A world of its own for each test of the protocol, on one moto a module: it costs four tables."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import boto3
import pytest
from moto import mock_aws

from infra import template
from infra.local.provision import TABLE_PROPERTIES
from tests.support import World

_NUMBERS = count()


@pytest.fixture(scope="module")
def _moto() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch, mock_aws():
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "test")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        yield


@pytest.fixture(scope="session")
def _wanted() -> dict[str, dict[str, object]]:
    tables = template.of_type(template.load(), "AWS::DynamoDB::Table")
    return {
        name: {key: properties[key] for key in TABLE_PROPERTIES if key in properties}
        for name, properties in tables.items()
    }


@pytest.fixture
def tables(_moto: None, _wanted: dict[str, dict[str, object]]) -> dict[str, str]:
    """The environment of an engine on empty tables; the queue is not in it, since worlds have their own."""
    client, number = boto3.client("dynamodb"), next(_NUMBERS)
    names = {logical: f"t{number}-{logical}" for logical in _wanted}
    for logical, definition in _wanted.items():
        client.create_table(TableName=names[logical], **definition)  # type: ignore[arg-type]
    environment = {
        f"BELFRY_{logical.removesuffix('Table').upper()}_TABLE": name for logical, name in names.items()
    }
    return {**environment, "BELFRY_RUNS_QUEUE": "runs", "BELFRY_DEAD_LETTERS_QUEUE": "dead"}


@pytest.fixture
def world(tables: dict[str, str]) -> World:
    return World(tables)
