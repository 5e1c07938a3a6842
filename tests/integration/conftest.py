"""A world of its own for each test of the protocol, on one moto a module: it costs four tables."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator

import boto3
import pytest
from moto import mock_aws

from infra import template
from infra.local.provision import TABLE_PROPERTIES
from tests.support import World


@pytest.fixture(scope="module")
def _moto(request: pytest.FixtureRequest) -> Iterator[None]:
    """With BELFRY_TESTS_ON=dynamodb-local the tables are on DynamoDB Local, which is stricter, and slower."""
    with pytest.MonkeyPatch.context() as patch, mock_aws():
        if os.environ.get("BELFRY_TESTS_ON") == "dynamodb-local":
            patch.setenv("AWS_ENDPOINT_URL_DYNAMODB", request.getfixturevalue("dynamodb_local_url"))
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
    client, prefix = boto3.client("dynamodb"), uuid.uuid4().hex[:8]
    names = {logical: f"{prefix}-{logical}" for logical in _wanted}
    for logical, definition in _wanted.items():
        client.create_table(TableName=names[logical], **definition)  # type: ignore[arg-type]
    return {f"BELFRY_{logical.removesuffix('Table').upper()}_TABLE": name for logical, name in names.items()}


@pytest.fixture
def world(tables: dict[str, str]) -> World:
    return World(tables)
