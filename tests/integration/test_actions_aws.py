"""lambda, sqs, sns, eventbridge and step_functions, on moto."""

from __future__ import annotations

import base64
import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, ParamValidationError
from botocore.response import StreamingBody
from moto import mock_aws

from chalicelib.actions import Toolbox, step_functions
from chalicelib.core.action import Json
from chalicelib.core.errors import ActionError
from chalicelib.net import aws
from tests.integration.actions_support import DEFAULT, KEY, act, attempt, failure, toolbox

ROLE = "arn:aws:iam::123456789012:role/x"
NOWHERE = "https://sqs.us-east-1.amazonaws.com/123456789012/nowhere"


@pytest.fixture(autouse=True)
def moto(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in (("ACCESS_KEY_ID", "x"), ("SECRET_ACCESS_KEY", "x"), ("DEFAULT_REGION", "us-east-1")):
        monkeypatch.setenv(f"AWS_{name}", value)
    with mock_aws(config={"stepfunctions": {"execute_state_machine": True}}):
        yield


@pytest.fixture
def tools() -> Toolbox:
    return toolbox(client=lambda name: boto3.client(name))  # type: ignore[call-overload]


class Answering:
    """A client whose every operation answers the same, and keeps what it was asked."""

    def __init__(self, answer: Any) -> None:
        self.answer, self.asked = answer, list[dict[str, Any]]()

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        def call(**parameters: Any) -> Any:
            self.asked.append(parameters)
            if isinstance(self.answer, Exception):
                raise self.answer
            return self.answer

        return call


def answering(answer: Any) -> tuple[Toolbox, list[dict[str, Any]]]:
    client = Answering(answer)
    return toolbox(client=lambda name: client), client.asked


# sqs


def queue(**attributes: str) -> str:
    name = "q.fifo" if attributes else "q"
    return boto3.client("sqs").create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]  # type: ignore[arg-type]


def received(url: str) -> list[Any]:
    answer = boto3.client("sqs").receive_message(
        QueueUrl=url, MaxNumberOfMessages=10, AttributeNames=["All"], MessageAttributeNames=["All"]
    )
    return list(answer.get("Messages", []))


def test_sqs_sends_what_the_run_is_about_unless_a_message_is_given(tools: Toolbox) -> None:
    output = act({"type": "sqs", "queue_url": queue()}, tools=tools)
    [message] = received(queue())
    assert json.loads(message["Body"]) == DEFAULT
    assert message["MessageAttributes"]["Idempotency-Key"]["StringValue"] == KEY
    assert output == {"message_id": message["MessageId"]}


@pytest.mark.parametrize(
    ("message", "body"),
    [("go {{job.name}}", "go Daily digest"), ({"x": "{{input.x}}"}, '{"x":1}'), ("{{input}}", '{"x":1}')],
)
def test_sqs_sends_text_as_it_is_and_all_else_as_json(message: Json, body: str, tools: Toolbox) -> None:
    act({"type": "sqs", "queue_url": queue(), "message": message}, tools=tools)
    assert [sent["Body"] for sent in received(queue())] == [body]


@pytest.mark.parametrize(("group", "expected"), [(None, "job_abc"), ("g1", "g1")])
def test_sqs_sends_a_run_to_a_fifo_queue_once(group: str | None, expected: str, tools: Toolbox) -> None:
    url = queue(FifoQueue="true")
    for number in (1, 2):
        act({"type": "sqs", "queue_url": url, "group_id": group}, attempt(number=number), tools)
    [message] = received(url)
    assert message["Attributes"]["MessageGroupId"] == expected


def test_sqs_says_that_there_is_no_such_queue(tools: Toolbox) -> None:
    error = failure({"type": "sqs", "queue_url": NOWHERE}, tools=tools)
    assert error.permanent
    assert "NonExistentQueue" in error.kind


# sns


@pytest.mark.parametrize("fifo", [False, True])
def test_sns_publishes_to_its_subscribers(fifo: bool, tools: Toolbox) -> None:
    url = queue(FifoQueue="true") if fifo else queue()
    end, attributes = (".fifo", {"FifoTopic": "true"}) if fifo else ("", {})
    topic = boto3.client("sns").create_topic(Name="t" + end, Attributes=attributes)["TopicArn"]
    arn = "arn:aws:sqs:us-east-1:123456789012:q" + end
    boto3.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    output = act({"type": "sns", "topic_arn": topic, "subject": "{{job.name}} ran"}, tools=tools)
    [note] = [json.loads(message["Body"]) for message in received(url)]
    assert json.loads(note["Message"]) == DEFAULT
    assert (note["Subject"], note["MessageAttributes"]["Idempotency-Key"]["Value"]) == (
        "Daily digest ran",
        KEY,
    )
    assert output == {"message_id": note["MessageId"]}


def test_sns_says_that_there_is_no_such_topic(tools: Toolbox) -> None:
    error = failure({"type": "sns", "topic_arn": "arn:aws:sns:us-east-1:123456789012:t"}, tools=tools)
    assert (error.kind, error.permanent) == ("NotFound", True)


# eventbridge


def test_eventbridge_puts_an_event_that_rules_match(tools: Toolbox) -> None:
    events = boto3.client("events")
    events.create_event_bus(Name="b")
    events.put_rule(Name="r", EventBusName="b", EventPattern=json.dumps({"source": ["belfry"]}))
    url = queue()
    target = {"Id": "1", "Arn": "arn:aws:sqs:us-east-1:123456789012:q"}
    events.put_targets(Rule="r", EventBusName="b", Targets=[target])
    output = act({"type": "eventbridge", "bus": "b", "detail_type": "{{job.name}}"}, tools=tools)
    [event] = [json.loads(message["Body"]) for message in received(url)]
    assert event["detail"] == DEFAULT
    assert (event["detail-type"], event["resources"]) == ("Daily digest", [KEY])
    assert isinstance(output, dict)
    assert list(output) == ["event_id"]


@pytest.mark.parametrize(("code", "permanent"), [("InvalidArgument", True), ("InternalFailure", False)])
def test_eventbridge_tells_of_an_event_that_was_refused(code: str, permanent: bool) -> None:
    entry = {"ErrorCode": code, "ErrorMessage": "no"}
    tools, _ = answering({"FailedEntryCount": 1, "Entries": [entry]})
    error = failure({"type": "eventbridge", "detail_type": "d"}, tools=tools)
    assert (error.kind, error.permanent) == (code, permanent)
    assert str(error) == f"the bus refused the event: {code}: no"


def test_eventbridge_refuses_a_detail_that_turns_out_no_object(tools: Toolbox) -> None:
    error = failure({"type": "eventbridge", "detail_type": "d", "detail": "{{input.x}}"}, tools=tools)
    assert (error.kind, error.permanent) == ("template", True)


# lambda


def function_answering(body: bytes, error: str | None = None) -> tuple[Toolbox, list[dict[str, Any]]]:
    payload = StreamingBody(io.BytesIO(body), len(body))
    return answering({"Payload": payload} | ({"FunctionError": error} if error else {}))


@pytest.mark.parametrize(
    ("body", "output"),
    [
        (b'{"a": 1}', {"a": 1}),
        (b"null", None),
        (b"", None),
        (b"plain", "plain"),
        (b"NaN", "NaN"),
        (b"\xff", "\ufffd"),
    ],
)
def test_lambda_gives_the_functions_result(body: bytes, output: Json) -> None:
    tools, asked = function_answering(body)
    assert act({"type": "lambda", "function": "resize"}, tools=tools) == output
    [sent] = asked
    assert (sent["FunctionName"], sent["InvocationType"]) == ("resize", "RequestResponse")
    assert json.loads(sent["Payload"]) == DEFAULT
    context = json.loads(base64.b64decode(sent["ClientContext"]))
    assert context == {"custom": {"Idempotency-Key": KEY}}


def test_lambda_sends_the_payload_that_is_given() -> None:
    tools, asked = function_answering(b"1")
    act({"type": "lambda", "function": "resize", "payload": ["{{input.x}}"]}, tools=tools)
    assert json.loads(asked[0]["Payload"]) == [1]


@pytest.mark.parametrize(
    ("body", "kind", "message"),
    [
        (b'{"errorType": "KeyError", "errorMessage": "x"}', "KeyError", "failed with KeyError: x"),
        (b'{"errorMessage": "Task timed out"}', "FunctionError", "failed with FunctionError: Task timed out"),
        (b"oh no", "FunctionError", "failed with FunctionError: oh no"),
        (b"", "FunctionError", "failed with FunctionError: null"),
    ],
)
def test_lambda_tells_of_the_functions_error_which_may_pass(body: bytes, kind: str, message: str) -> None:
    tools, _ = function_answering(body, error="Unhandled")
    error = failure({"type": "lambda", "function": "resize"}, tools=tools)
    assert (error.kind, error.permanent) == (kind, False)
    assert str(error) == f"the function resize {message}"


def test_lambda_says_that_there_is_no_such_function(tools: Toolbox) -> None:
    error = failure({"type": "lambda", "function": "nowhere"}, tools=tools)
    assert (error.kind, error.permanent) == ("ResourceNotFoundException", True)


# errors of AWS


@pytest.mark.parametrize(
    ("code", "status", "permanent"),
    [
        ("AccessDeniedException", 403, True),
        ("ValidationException", 400, True),
        ("ResourceNotFoundException", 404, True),
        ("AWS.SimpleQueueService.NonExistentQueue", 400, True),
        ("InvalidParameterException", 400, True),
        ("ThrottlingException", 400, False),
        ("TooManyRequestsException", 429, False),
        ("ExecutionLimitExceeded", 400, False),
        ("ResourceConflictException", 409, False),
        ("ExpiredTokenException", 403, False),
        ("ServiceException", 500, False),
        ("ServiceUnavailable", 503, False),
    ],
)
def test_an_aws_error_is_permanent_if_it_would_come_again(code: str, status: int, permanent: bool) -> None:
    response: Any = {"Error": {"Code": code, "Message": "m"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    tools, _ = answering(ClientError(response, "SendMessage"))
    error = failure({"type": "sqs", "queue_url": NOWHERE}, tools=tools)
    assert (error.kind, error.permanent) == (code, permanent)
    assert "calling the SendMessage operation: m" in str(error)


@pytest.mark.parametrize(
    ("raised", "permanent"),
    [
        (EndpointConnectionError(endpoint_url="https://sqs"), False),
        (ParamValidationError(report="too long"), True),
    ],
)
def test_other_errors_of_the_client_are_told_too(raised: Exception, permanent: bool) -> None:
    error = failure({"type": "sqs", "queue_url": NOWHERE}, tools=answering(raised)[0])
    assert (error.kind, error.permanent) == (type(raised).__name__, permanent)


def test_an_aws_call_that_does_not_answer_is_given_up() -> None:
    ended = threading.Event()
    try:
        with pytest.raises(ActionError) as caught:
            aws.call(0.1, lambda **_: ended.wait(5))
    finally:
        ended.set()
    assert caught.value.kind == "timeout"


# step_functions


def machine(**state: Any) -> str:
    """A state machine of one state."""
    definition = {"StartAt": "S", "States": {"S": state}}
    client = boto3.client("stepfunctions")
    made = client.create_state_machine(name="m", definition=json.dumps(definition), roleArn=ROLE)
    return str(made["stateMachineArn"])


def settings(arn: str, **more: Any) -> dict[str, Any]:
    return {"type": "step_functions", "state_machine_arn": arn, "poll_seconds": 0.1} | more


def executions(arn: str) -> list[Any]:
    client = boto3.client("stepfunctions")
    listed = client.list_executions(stateMachineArn=arn)["executions"]
    return [client.describe_execution(executionArn=execution["executionArn"]) for execution in listed]


def ended(arn: str) -> list[str]:
    """How the executions ended; moto, as AWS, stops one a moment after it was told to."""
    until = time.monotonic() + 5
    while time.monotonic() < until and any(execution["status"] == "RUNNING" for execution in executions(arn)):
        time.sleep(0.02)
    return [execution["status"] for execution in executions(arn)]


@pytest.mark.parametrize(
    ("given", "output"), [(None, DEFAULT), ({"n": "{{input.x}}"}, {"n": 1}), ("{{job.name}}", "Daily digest")]
)
def test_step_functions_waits_for_the_execution_and_gives_its_output(
    given: Json, output: Json, tools: Toolbox
) -> None:
    arn = machine(Type="Pass", End=True)
    assert act(settings(arn, input=given), tools=tools) == output
    [execution] = executions(arn)
    assert execution["name"] == step_functions.execution_name(attempt())
    assert len(execution["name"]) <= 80


def test_step_functions_starts_an_attempt_once_and_another_attempt_anew(tools: Toolbox) -> None:
    arn = machine(Type="Pass", End=True)
    for number in (1, 1, 2):
        act(settings(arn, input={}), attempt(number=number), tools)
    assert len(executions(arn)) == 2


def test_step_functions_goes_on_waiting_for_an_execution_that_was_started_before(tools: Toolbox) -> None:
    """As when the worker died in between; AWS says so if the input differs or the execution has ended."""
    arn = machine(Type="Pass", End=True)
    name = step_functions.execution_name(attempt())
    boto3.client("stepfunctions").start_execution(stateMachineArn=arn, name=name, input='{"other": 1}')
    assert act(settings(arn), tools=tools) == {"other": 1}


def test_step_functions_tells_why_an_execution_failed(tools: Toolbox) -> None:
    error = failure(settings(machine(Type="Fail", Error="NoStock", Cause="none left")), tools=tools)
    assert (error.kind, error.permanent) == ("NoStock", False)
    assert "ended FAILED: NoStock: none left" in str(error)


def test_step_functions_stops_the_execution_when_the_run_is_cancelled(tools: Toolbox) -> None:
    arn = machine(Type="Wait", Seconds=30, End=True)
    began = time.monotonic()
    given = attempt(is_cancelled=lambda: time.monotonic() - began > 0.3)
    assert failure(settings(arn), given, tools).kind == "cancelled"
    assert time.monotonic() - began < 5
    assert ended(arn) == ["ABORTED"]


def test_step_functions_stops_the_execution_when_the_time_is_up(tools: Toolbox) -> None:
    arn = machine(Type="Wait", Seconds=30, End=True)
    error = failure(settings(arn, poll_seconds=60), attempt(seconds=0.5), tools)
    assert (error.kind, error.permanent) == ("timeout", False)
    assert ended(arn) == ["ABORTED"]


def test_step_functions_says_that_there_is_no_such_machine(tools: Toolbox) -> None:
    error = failure(settings("arn:aws:states:us-east-1:123456789012:stateMachine:nowhere"), tools=tools)
    assert (error.kind, error.permanent) == ("StateMachineDoesNotExist", True)


def test_step_functions_finds_the_execution_of_a_versioned_machine() -> None:
    arn = step_functions._execution_arn("arn:aws:states:r:123456789012:stateMachine:m:live", "n")
    assert arn == "arn:aws:states:r:123456789012:execution:m:n"
