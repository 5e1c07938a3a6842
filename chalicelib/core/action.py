"""What a run is to do: the settings of each kind of action, and what an action is given.

The settings are what people write, so each wrong one is named together with what is wanted. Strings in them
may hold placeholders (core/template.py), except where a service must be known beforehand: names, ARNs, queue
URLs, and the scheme and host of an http URL. Secrets are for http alone.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, JsonValue
from pydantic_core import PydanticCustomError

from chalicelib.core import template

Json: TypeAlias = JsonValue

MAX_URL, MAX_HEADERS, MAX_HEADER_VALUE = 2048, 50, 4096
MAX_PROSE = 100_000  # characters of a prompt
SESSION = "2 to 100 letters, digits or any of . _ : -"
COMPLETION_TOKEN = "Belfry-Completion-Token"  # noqa: S105 (a header's name)
OWN_HEADERS = frozenset(
    {
        "host",
        "content-length",
        "transfer-encoding",
        "connection",
        "idempotency-key",
        COMPLETION_TOKEN.lower(),
    }
)

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\xa0-\xff]*")
_HOST = re.compile(r"[a-z0-9_]([a-z0-9._-]{0,251}[a-z0-9_.])?", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

_ARN = r"arn:aws[a-z-]*:{}:[a-z0-9-]+:\d{{12}}:"
_NAME = r"[A-Za-z0-9._:-]{1,64}"
_LAMBDA = (
    r"(arn:aws[a-z-]*:lambda:)?([a-z]{2}(-[a-z]+)+-\d:)?(\d{12}:)?(function:)?"
    r"[A-Za-z0-9_-]{1,64}(:(\$LATEST|[A-Za-z0-9_-]{1,128}))?"
)
_QUEUE = r"https?://[A-Za-z0-9.:_\[\]-]+(/[A-Za-z0-9._-]+)*/\d{12}/[A-Za-z0-9_-]{1,80}(\.fifo)?"
_TOPIC = _ARN.format("sns") + r"[A-Za-z0-9_-]{1,256}(\.fifo)?"
_BUS = f"({_ARN.format('events')}event-bus/)?" + r"[/._A-Za-z0-9-]{1,256}"
_SOURCE = r"(?!aws\.)[A-Za-z0-9._/-]{1,256}"
_MACHINE = _ARN.format("states") + r"stateMachine:[A-Za-z0-9_.+-]{1,80}(:[A-Za-z0-9_.-]{1,80})?"
_GROUP = r"[\x21-\x7e]{1,128}"
_MODEL = r"[A-Za-z0-9][A-Za-z0-9.:/_-]{0,2047}"
_AGENT = r"[0-9A-Za-z]{1,10}"
_SESSION = r"[0-9A-Za-z._:-]{2,100}"


def _wrong(issue: str) -> PydanticCustomError:
    return PydanticCustomError("action", "{issue}", {"issue": issue})


def _matching(pattern: str, wanted: str) -> AfterValidator:
    known = re.compile(pattern)

    def check(text: str) -> str:
        if not known.fullmatch(text):
            raise _wrong(f"should be {wanted}")
        return text

    return AfterValidator(check)


def plain(value: object) -> Json:
    """`value` as a way through JSON leaves it: lists for tuples, strings for keys.

    Raises ValueError, with a sentence, for what JSON cannot say, for NaN and for text that is no Unicode.
    """
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False)
        text.encode()
    except RecursionError:
        raise ValueError(template.TOO_DEEP) from None
    except (TypeError, ValueError) as error:
        raise ValueError(f"is not JSON: {error}") from None
    parsed: Json = json.loads(text)
    if template.too_deep(parsed):
        raise ValueError(template.TOO_DEEP)
    return parsed


def _json(problem: Callable[[Json], str | None]) -> BeforeValidator:
    """Asked before pydantic looks, whose own messages for these are not clear."""

    def check(value: object) -> Json:
        try:
            known = plain(value)
        except ValueError as error:
            raise _wrong(str(error)) from None
        issue = problem(known)
        if issue:
            raise _wrong(issue)
        return known

    return BeforeValidator(check)


def _text(limit: int, wanted: str) -> AfterValidator:
    def check(text: str) -> str:
        issue = template.problem(text)
        if issue:
            raise _wrong(issue)
        if not 0 < len(text) <= limit or _CONTROL.search(text):
            raise _wrong(f"should be {wanted}")
        return text

    return AfterValidator(check)


def _prose(text: str) -> str:
    issue = template.problem(text)
    if issue:
        raise _wrong(issue)
    if not text.strip() or len(text) > MAX_PROSE:
        raise _wrong(f"should be 1 to {MAX_PROSE} characters that are not all spaces")
    return text


def _session(text: str) -> str:
    issue = template.problem(text)
    if issue:
        raise _wrong(issue)
    if session_problem(template.without_placeholders(text, "xx")):
        raise _wrong(f"should be {SESSION}")
    return text


def session_problem(text: str) -> str | None:
    """Why a session cannot have this id; None if it can. Asked again after the placeholders are filled."""
    return None if re.fullmatch(_SESSION, text) else f"should be {SESSION}"


def _url(url: str) -> str:
    issue = url_problem(url) or template.problem_beside_secrets(url)
    if issue:
        raise _wrong(issue)
    return url


def url_problem(url: str) -> str | None:
    """Why an action cannot call `url`, which may hold placeholders after its host; None if it can."""
    bare = template.without_placeholders(url, "x")
    if len(url) > MAX_URL:
        return f"should have at most {MAX_URL} characters"
    if _CONTROL.search(bare) or any(character.isspace() for character in bare) or "\\" in bare:
        return "should have no spaces, control characters or backslashes"
    try:
        return _parts_problem(urlsplit(url))
    except ValueError:
        return "should be a URL like https://example.com/path"


def _parts_problem(parts: SplitResult) -> str | None:
    if parts.scheme not in ("http", "https"):
        return "should begin with http:// or https://"
    if "{{" in parts.netloc:
        return "may have placeholders only after the host"
    if "@" in parts.netloc:
        return "should have no user or password; send an Authorization header"
    if not _is_host(parts.hostname or ""):
        return "should have a host, as https://example.com/path"
    if {".", ".."} & set(parts.path.split("/")):
        return "should have no . or .. in its path"
    return "should have a port from 1 to 65535" if parts.port == 0 else None


def _is_host(host: str) -> bool:
    if ":" in host:
        return "%" not in host and bool(ipaddress.IPv6Address(host))
    return bool(_HOST.fullmatch(host.encode("idna").decode()))


def _headers(headers: dict[str, str]) -> dict[str, str]:
    if len(headers) > MAX_HEADERS:
        raise _wrong(f"should be at most {MAX_HEADERS}")
    for name, value in headers.items():
        issue = header_problem(name, value) or template.problem_beside_secrets(value)
        if issue:
            raise _wrong(f"{name[:100]!r} {issue}")
    return headers


def header_problem(name: str, value: str) -> str | None:
    """Why a header cannot be sent; None if it can. Asked again after the placeholders are filled."""
    if not _HEADER_NAME.fullmatch(name):
        return "should be a header name: letters, digits and hyphens"
    if name.lower() in OWN_HEADERS:
        return "is set by Belfry itself"
    if not _HEADER_VALUE.fullmatch(value):
        return "should have a value of Latin-1 characters without newlines or control characters"
    too_long = len(value) > MAX_HEADER_VALUE
    return f"should have a value of at most {MAX_HEADER_VALUE} characters" if too_long else None


def _event_detail(detail: Json) -> Json:
    if detail is None or isinstance(detail, dict) or template.is_placeholder(detail):
        return detail
    raise _wrong("should be an object")


def _seconds(value: float) -> float:
    if not 0.1 <= value <= 60:
        raise _wrong("should be from 0.1 to 60 seconds")
    return value


def _status(status: int) -> int:
    if not 100 <= status <= 599:
        raise _wrong("should be an HTTP status from 100 to 599")
    return status


Payload = Annotated[Json, _json(template.problem)]
Name = Annotated[str, _matching(_NAME, "1 to 64 letters, digits or any of . _ : -")]
CallbackType: TypeAlias = Literal["workflow", "function"]
Prose = Annotated[str, AfterValidator(_prose)]


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Http(_Settings):
    """Calls a URL. A string body is sent as text/plain unless the headers say else, any other as JSON.

    A target that answers 202 goes on by itself and reports the end, unless there are `success_statuses`.
    `{{secret:NAME}}` in the url, a header or the body is filled when it is sent, and hidden in answers.
    """

    type: Literal["http"]
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"] = "POST"
    url: Annotated[str, AfterValidator(_url)]
    headers: Annotated[dict[str, str], AfterValidator(_headers)] = Field(default_factory=dict)
    body: Annotated[Json, _json(template.problem_beside_secrets)] = None
    success_statuses: list[Annotated[int, AfterValidator(_status)]] = Field(
        default_factory=list, max_length=100, description="Statuses that count as success; none: any 2xx."
    )

    @property
    def secrets(self) -> list[str]:
        """The names of the secrets that it is sent with."""
        return sorted(template.secrets([self.url, *self.headers.values(), self.body]))


class Lambda(_Settings):
    """Invokes a function and waits for its result."""

    type: Literal["lambda"]
    function: Annotated[str, _matching(_LAMBDA, "a Lambda function's name or ARN")]
    payload: Payload = None


class Sqs(_Settings):
    """Sends a message. In a FIFO queue the group is the job, unless one is given."""

    type: Literal["sqs"]
    queue_url: Annotated[
        str, _matching(_QUEUE, "a queue's URL, as https://sqs.us-east-1.amazonaws.com/123456789012/name")
    ]
    message: Payload = None
    group_id: Annotated[str, _matching(_GROUP, "1 to 128 printable ASCII characters, no spaces")] | None = (
        None
    )


class Sns(_Settings):
    """Publishes a message."""

    type: Literal["sns"]
    topic_arn: Annotated[str, _matching(_TOPIC, "a topic's ARN, as arn:aws:sns:us-east-1:123456789012:name")]
    message: Payload = None
    subject: Annotated[str, _text(100, "1 to 100 characters on one line")] | None = None


class EventBridge(_Settings):
    """Puts an event on a bus."""

    type: Literal["eventbridge"]
    bus: Annotated[str, _matching(_BUS, "an event bus's name or ARN")] = "default"
    source: Annotated[str, _matching(_SOURCE, "letters, digits or . _ / -, not beginning with aws.")] = (
        "belfry"
    )
    detail_type: Annotated[str, _text(128, "1 to 128 characters on one line")]
    detail: Annotated[Payload, AfterValidator(_event_detail)] = None


class StepFunctions(_Settings):
    """Starts an execution, and waits for its end by asking every `poll_seconds`."""

    type: Literal["step_functions"]
    state_machine_arn: Annotated[
        str,
        _matching(
            _MACHINE, "a state machine's ARN, as arn:aws:states:us-east-1:123456789012:stateMachine:name"
        ),
    ]
    input: Payload = None
    poll_seconds: Annotated[float, AfterValidator(_seconds)] = 2


class BedrockModel(_Settings):
    """Asks a model one thing by Converse; its text is the output. Without a prompt it is the job's goal."""

    type: Literal["bedrock_model"]
    model_id: Annotated[str, _matching(_MODEL, "the id or ARN of a model or an inference profile")]
    prompt: Prose | None = None
    system: Prose | None = None
    max_tokens: Annotated[int, Field(strict=True, ge=1, le=1_000_000)] | None = None
    temperature: Annotated[float, Field(strict=True, ge=0, le=1)] | None = None


class BedrockAgent(_Settings):
    """Asks an agent of Bedrock and waits for the end of its answer. Without a prompt it is the job's goal."""

    type: Literal["bedrock_agent"]
    agent_id: Annotated[str, _matching(_AGENT, "1 to 10 letters and digits")]
    agent_alias_id: Annotated[str, _matching(_AGENT, "1 to 10 letters and digits")]
    session_id: (
        Annotated[
            str,
            AfterValidator(_session),
            Field(description="The same id goes on with the same talk; none: the run has one of its own."),
        ]
        | None
    ) = None
    prompt: Prose | None = None


class StartChain(_Settings):
    """Starts an execution of a chain, all of it, and does not wait for its end. A run starts one only.

    It fails for good where the chain has this job as a node, also by way of other chains that its jobs start,
    since that would never end; and where one of its jobs is a built-in task: those are an admin's to run.
    """

    type: Literal["chain"]
    chain: Name


class Handler(_Settings):
    """Calls a Python function of chalicelib/handlers with `input` as its settings."""

    type: Literal["handler"]
    name: Name
    input: Payload = None


class Task(_Settings):
    """Runs a built-in maintenance task. Who may name one is checked where jobs are written."""

    type: Literal["task"]
    name: Name


class NamedTarget(_Settings):
    """Does what the target of that name does."""

    type: Literal["target"]
    target: Name


class Callback(_Settings):
    """Does what is registered under the id when it runs: a chain for a workflow, a handler for a function,
    or for either a target."""

    type: Literal["callback"]
    callback_type: CallbackType
    callback_id: Name


KINDS = (
    "http",
    "lambda",
    "sqs",
    "sns",
    "eventbridge",
    "step_functions",
    "bedrock_model",
    "bedrock_agent",
    "chain",
    "handler",
    "task",
    "target",
    "callback",
)


def _known_kind(value: object) -> object:
    kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    if kind not in KINDS:
        raise _wrong(f"should be an object with a type, one of {', '.join(KINDS)}")
    return value


Action = Annotated[
    Http
    | Lambda
    | Sqs
    | Sns
    | EventBridge
    | StepFunctions
    | BedrockModel
    | BedrockAgent
    | StartChain
    | Handler
    | Task
    | NamedTarget
    | Callback,
    Field(discriminator="type"),
    BeforeValidator(_known_kind),
]


@dataclass(frozen=True)
class Accepted:
    """What an action gives whose target goes on by itself, and is to report how it ended."""

    said: Json


Outcome: TypeAlias = Json | Accepted


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """What an action is given: whose attempt it is, and how long it may take."""

    job: Mapping[str, Json]
    run: Mapping[str, Json]
    input: Json
    idempotency_key: str
    """`<job_id>/<run_id>`: the same for every attempt of a run."""
    number: int
    """1 for the first."""
    completion_token: str
    """With which a target that answers 202 reports its progress and its end; another for each attempt."""
    assignment: Json = None
    """What an agent is told, as it is, where its target's settings do not say what to send."""
    seconds_left: Callable[[], float]
    is_cancelled: Callable[[], bool]
