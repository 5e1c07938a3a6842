"""The tables and queues of infra/template.yaml, made through the API: laptop and cloud cannot drift."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from infra import template

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_sqs import SQSClient

ROLE, LOGS = "AWS::IAM::Role", "AWS::Logs::LogGroup"
TABLE_PROPERTIES = ("AttributeDefinitions", "KeySchema", "BillingMode", "GlobalSecondaryIndexes")


def provision(dynamodb: DynamoDBClient, sqs: SQSClient, prefix: str = "belfry") -> dict[str, str]:
    """Make what is missing, and answer with the environment that the functions read.

    Tables and queues are named `<prefix>-<logical id>`. Doing it again changes nothing, except that a queue's
    attributes follow the template.
    """
    wanted = template.load()
    tables = template.of_type(wanted, "AWS::DynamoDB::Table")
    names = {logical: _name(prefix, logical) for logical in tables}
    for logical, properties in tables.items():
        _table(dynamodb, names[logical], properties)
    queues = _queues(sqs, template.of_type(wanted, "AWS::SQS::Queue"), prefix)
    no_buckets = dict.fromkeys(
        template.of_type(wanted, "AWS::S3::Bucket"), ""
    )  # transcripts lie in a directory
    refs = template.defaults(wanted) | names | queues | no_buckets | {"AWS::StackName": prefix}
    return dict(template.resolve(template.environment(wanted), refs, _others(wanted)))


def _others(wanted: dict[str, Any]) -> dict[str, str]:
    """ARNs in the right form for what is not made here: nothing local looks behind them."""
    account = "us-east-1:123456789012"
    roles = {name: f"arn:aws:iam::123456789012:role/{name}" for name in template.of_type(wanted, ROLE)}
    groups = {name: f"arn:aws:logs:{account}:log-group:{name}:*" for name in template.of_type(wanted, LOGS)}
    return roles | groups


def _name(prefix: str, logical_id: str) -> str:
    """`DeadLettersQueue` is `<prefix>-dead-letters-queue`."""
    return prefix + re.sub(r"(?=[A-Z])", "-", logical_id).lower()


def _table(dynamodb: DynamoDBClient, name: str, properties: dict[str, Any]) -> None:
    definition: dict[str, Any] = {key: properties[key] for key in TABLE_PROPERTIES if key in properties}
    with suppress(dynamodb.exceptions.ResourceInUseException):  # it is there already
        dynamodb.create_table(TableName=name, **definition)
    dynamodb.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1})
    if "TimeToLiveSpecification" in properties:
        _expire(dynamodb, name, properties["TimeToLiveSpecification"])


def _expire(dynamodb: DynamoDBClient, name: str, specification: Any) -> None:
    status = dynamodb.describe_time_to_live(TableName=name)["TimeToLiveDescription"]["TimeToLiveStatus"]
    if status == "DISABLED":
        dynamodb.update_time_to_live(TableName=name, TimeToLiveSpecification=specification)


def _queues(sqs: SQSClient, queues: dict[str, dict[str, Any]], prefix: str) -> dict[str, str]:
    """The URL of each queue, by logical id. Attributes are set last, since one queue names another's ARN."""
    urls = {logical: sqs.create_queue(QueueName=_name(prefix, logical))["QueueUrl"] for logical in queues}
    arns = {logical: _arn(sqs, url) for logical, url in urls.items()}
    for logical, properties in queues.items():
        attributes = template.resolve(properties, urls, arns)
        sqs.set_queue_attributes(
            QueueUrl=urls[logical], Attributes={key: _text(value) for key, value in attributes.items()}
        )
    return urls


def _arn(sqs: SQSClient, url: str) -> str:
    return sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
