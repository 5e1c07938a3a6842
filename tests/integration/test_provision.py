"""Tables and queues as infra/template.yaml has them."""

from __future__ import annotations

import json
from typing import Any

import boto3

from infra import template
from infra.local.provision import provision


def test_every_table_of_the_template_is_made(aws: dict[str, str]) -> None:
    names = boto3.client("dynamodb").list_tables()["TableNames"]

    assert sorted(names) == [
        "belfry-agenda-table",
        "belfry-jobs-table",
        "belfry-records-table",
        "belfry-runs-table",
    ]
    assert set(names) == {aws[name] for name in aws if name.endswith("_TABLE")}


def test_the_jobs_table_has_its_index(aws: dict[str, str]) -> None:
    table = boto3.client("dynamodb").describe_table(TableName=aws["BELFRY_JOBS_TABLE"])["Table"]

    (index,) = table["GlobalSecondaryIndexes"]
    assert index["IndexName"] == "by_creation"
    assert [key["AttributeName"] for key in index["KeySchema"]] == ["listing", "created"]
    assert index["Projection"]["NonKeyAttributes"] == [
        "name",
        "status",
        "origin",
        "owner",
        "agent_id",
        "tags",
    ]


def test_runs_and_records_expire_and_the_agenda_does_not(aws: dict[str, str]) -> None:
    assert _expiry(aws["BELFRY_RUNS_TABLE"]) == "expires_at"
    assert _expiry(aws["BELFRY_RECORDS_TABLE"]) == "expires_at"
    assert _expiry(aws["BELFRY_AGENDA_TABLE"]) is None


def test_the_runs_queue_gives_up_a_message_to_the_dead_letters_after_ten_receives(
    aws: dict[str, str],
) -> None:
    attributes = _attributes(aws["BELFRY_RUNS_QUEUE"])
    redrive = json.loads(attributes["RedrivePolicy"])

    assert attributes["VisibilityTimeout"] == "900"
    assert int(redrive["maxReceiveCount"]) == 10
    assert redrive["deadLetterTargetArn"] == _attributes(aws["BELFRY_DEAD_LETTERS_QUEUE"])["QueueArn"]


def test_provisioning_again_changes_nothing(aws: dict[str, str]) -> None:
    boto3.client("dynamodb").put_item(
        TableName=aws["BELFRY_RECORDS_TABLE"], Item={"kind": {"S": "setting"}, "record_key": {"S": "kept"}}
    )

    assert provision(boto3.client("dynamodb"), boto3.client("sqs")) == aws
    assert boto3.client("dynamodb").scan(TableName=aws["BELFRY_RECORDS_TABLE"])["Count"] == 1


def test_the_environment_is_the_one_that_the_functions_get(aws: dict[str, str]) -> None:
    assert set(aws) == set(template.environment(template.load()))
    assert aws["BELFRY_ANONYMOUS_ROLE"] == "none"
    assert aws["BELFRY_RUNS_QUEUE"].startswith("http")


def test_it_provisions_dynamodb_local_as_well(dynamodb_local: dict[str, str]) -> None:
    assert _expiry(dynamodb_local["BELFRY_RUNS_TABLE"]) == "expires_at"
    assert provision(boto3.client("dynamodb"), boto3.client("sqs"), _prefix(dynamodb_local)) == dynamodb_local


def _prefix(environment: dict[str, str]) -> str:
    return environment["BELFRY_RUNS_TABLE"].removesuffix("-runs-table")


def _expiry(table: str) -> str | None:
    description = boto3.client("dynamodb").describe_time_to_live(TableName=table)["TimeToLiveDescription"]
    return description.get("AttributeName")


def _attributes(url: str) -> dict[Any, str]:
    return dict(boto3.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"])
