"""The package as `make package` makes it: lints clean, works by itself, and says what production needs."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import Any

import pytest

from infra import template
from infra.check_package import check
from infra.package import package


@pytest.fixture(scope="module")
def packaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One of the test processes makes it, the others wait for that."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    folder, done = shared / "package", shared / "packaged"
    with (shared / "package.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            package("prod", folder)
            done.touch()
    return folder


@pytest.fixture(scope="module")
def sam(packaged: Path) -> dict[str, Any]:
    template: dict[str, Any] = json.loads((packaged / "sam.json").read_text())
    return template


def test_the_package_alone_answers_an_api_a_tick_and_a_queue_event(packaged: Path) -> None:
    assert check(packaged)["answers"]["app"]["statusCode"] == 200


def test_the_workers_take_their_own_queues_and_answer_with_the_failed_messages(sam: dict[str, Any]) -> None:
    for function, queue in {"Worker": "RunsQueue", "DeadLetter": "DeadLettersQueue"}.items():
        (event,) = sam["Resources"][function]["Properties"]["Events"].values()
        assert event["Properties"]["Queue"] == {"Fn::Sub": f"${{{queue}.Arn}}"}
        assert event["Properties"]["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
        assert "ReservedConcurrentExecutions" not in sam["Resources"][function]["Properties"]


def test_no_message_comes_again_while_its_function_may_still_run(sam: dict[str, Any]) -> None:
    resources = sam["Resources"]
    for function, queue in {"Worker": "RunsQueue", "DeadLetter": "DeadLettersQueue"}.items():
        timeout = resources[function]["Properties"]["Timeout"]
        assert resources[queue]["Properties"]["VisibilityTimeout"] >= timeout


def test_tables_survive_the_stack(sam: dict[str, Any]) -> None:
    for resource in sam["Resources"].values():
        if resource["Type"] == "AWS::DynamoDB::Table":
            assert resource["DeletionPolicy"] == resource["UpdateReplacePolicy"] == "Retain"
            assert resource["Properties"]["DeletionProtectionEnabled"]
            assert resource["Properties"]["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"]


def test_transcripts_are_encrypted_and_nobody_elses(sam: dict[str, Any]) -> None:
    (bucket,) = template.of_type(sam, "AWS::S3::Bucket").values()

    assert bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert len(bucket["PublicAccessBlockConfiguration"]) == 4
    assert all(bucket["PublicAccessBlockConfiguration"].values())


KNOW_NO_RESOURCES = {"Trace", "LogAndTrace", "Report", "ListBackups"}  # X-Ray, log delivery, task tokens


def test_a_function_may_only_do_what_its_statements_name(sam: dict[str, Any]) -> None:
    roles = template.of_type(sam, "AWS::IAM::Role")

    assert len(roles) == 5  # one a function, and one for the state machines
    for role in roles.values():
        for statement in role["Policies"][0]["PolicyDocument"]["Statement"]:
            allowed = statement["Fn::If"][1] if "Fn::If" in statement else statement
            assert not [action for action in allowed["Action"] if "*" in action]
            assert allowed["Resource"] != "*" or allowed["Sid"] in KNOW_NO_RESOURCES


def test_the_stamp_is_that_of_the_packages_contents(sam: dict[str, Any], packaged: Path) -> None:
    variables = template.environment(sam)

    assert len(variables["BELFRY_DEPLOYMENT"]) == 16
    assert variables["BELFRY_DEPLOYMENT"] != template.environment(template.load())["BELFRY_DEPLOYMENT"]


def test_an_unknown_path_is_told_in_the_native_envelope(sam: dict[str, Any]) -> None:
    answers = sam["Resources"]["RestAPI"]["Properties"]["GatewayResponses"]
    bodies = {
        kind: json.loads(
            answer["ResponseTemplates"]["application/json"].replace("$context.error.messageString", '""')
        )
        for kind, answer in answers.items()
    }

    assert bodies["MISSING_AUTHENTICATION_TOKEN"]["error"] == "not_found"
    assert all(body["status"] == answers[kind]["StatusCode"] for kind, body in bodies.items())
