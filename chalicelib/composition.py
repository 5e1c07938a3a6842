"""Where the parts meet: the engine, composed once from the environment. No client is made on import."""

from __future__ import annotations

import os
from collections import ChainMap
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from ipaddress import IPv4Network, IPv6Network
from typing import Any

import boto3
from botocore.config import Config

from chalicelib.actions import Toolbox, perform
from chalicelib.aws import model
from chalicelib.aws.agenda import Agenda
from chalicelib.aws.backups import Backups
from chalicelib.aws.counters import Counters
from chalicelib.aws.jobs import Jobs
from chalicelib.aws.pipelines import Pipelines
from chalicelib.aws.queue import Queue
from chalicelib.aws.records import Records
from chalicelib.aws.runs import Runs
from chalicelib.aws.secrets import Secrets
from chalicelib.aws.ticks import Ticks
from chalicelib.aws.transcripts import Bucket, Directory
from chalicelib.aws.workflows import Workflows
from chalicelib.core import backup
from chalicelib.core.access import Role
from chalicelib.core.action import Action, Attempt, Json, Outcome
from chalicelib.delivery import Tools, check, deliver, event_posts
from chalicelib.handlers import ENGINE_HANDLERS, HANDLERS
from chalicelib.handlers import JOBS as HANDLER_JOBS
from chalicelib.net import wire
from chalicelib.net.addresses import networks
from chalicelib.scheduler import access, builtins, chain_actions, secrets, usage
from chalicelib.scheduler.engine import Engine
from chalicelib.tasks import JOBS as TASK_JOBS
from chalicelib.tasks import TASKS

# Parameters are checked by the service anyway; leaving botocore's own check out halves a call's CPU time.
_CONFIG = Config(
    parameter_validation=False,
    retries={"mode": "standard", "max_attempts": 4},
    connect_timeout=3,
    read_timeout=10,
    max_pool_connections=25,
)

_CALLED_ONCE = frozenset({"lambda", "bedrock-runtime", "bedrock-agent-runtime"})


@cache
def engine() -> Engine:
    """The engine of this process."""
    return compose(os.environ)


def compose(environment: os._Environ[str] | dict[str, str], **changes: Any) -> Engine:
    """An engine on the tables and queues that `environment` names; `changes` replace its parts."""
    dynamodb, sqs = boto3.client("dynamodb", config=_CONFIG), boto3.client("sqs", config=_CONFIG)
    records_table = environment["BELFRY_RECORDS_TABLE"]
    parts: dict[str, Any] = {
        "jobs": Jobs(dynamodb, environment["BELFRY_JOBS_TABLE"]),
        "runs": Runs(dynamodb, environment["BELFRY_RUNS_TABLE"]),
        "agenda": Agenda(dynamodb, environment["BELFRY_AGENDA_TABLE"]),
        "records": Records(dynamodb, records_table),
        "ticks": Ticks(dynamodb, records_table),
        "counters": Counters(dynamodb, records_table),
        "pipelines": Pipelines(dynamodb, records_table),
        "workflows": Workflows(
            lambda: boto3.client("stepfunctions", config=_CONFIG),
            environment["BELFRY_RUNS_QUEUE"],
            environment.get("BELFRY_WORKFLOW_ROLE", ""),
            environment.get("BELFRY_WORKFLOW_LOGS", ""),
        ),
        "secrets": Secrets(lambda: _action_client("ssm"), environment.get("BELFRY_SECRETS_PATH", "/belfry")),
        "backups": Backups(
            dynamodb, {table: environment[f"BELFRY_{table.upper()}_TABLE"] for table in backup.TABLES}
        ),
        "transcripts": _transcripts(environment),
        "queue": Queue(sqs, environment["BELFRY_RUNS_QUEUE"], environment["BELFRY_DEAD_LETTERS_QUEUE"]),
        "lookahead": timedelta(seconds=float(environment.get("BELFRY_LOOKAHEAD_SECONDS", "180"))),
        "tick_interval": timedelta(seconds=float(environment.get("BELFRY_TICK_SECONDS", "60"))),
        "builtins": (*TASK_JOBS, *HANDLER_JOBS),
    }
    made: Engine
    reachable = networks(environment.get("BELFRY_ALLOW_NETWORKS", ""))
    tools = Toolbox(
        client=_action_client,
        networks=reachable,
        handlers=ChainMap(
            HANDLERS,
            {name: partial(_with_engine, call, lambda: made) for name, call in ENGINE_HANDLERS.items()},
        ),
        tasks={name: partial(_with_engine, call, lambda: made) for name, call in TASKS.items()},
        secret=lambda name: secrets.value_of(made, name),
        record_usage=lambda facts: usage.record(made, facts, made.now()),
        start_chain=lambda chain_id, attempt: chain_actions.start(made, chain_id, attempt),
    )
    parts |= {
        "perform": partial(_perform, tools),
        "deliver": partial(deliver, Tools(client=_action_client, networks=reachable)),
        "check_channel": check,
        "post": partial(event_posts.post, reachable),
        "may_reach": partial(event_posts.may_reach, reachable),
        "ask_model": model.ask,
        "handlers": tools.handlers,
        "fetch": partial(_fetch, reachable),
    }
    made = Engine(**{**parts, **changes})
    return made


def _transcripts(environment: os._Environ[str] | dict[str, str]) -> Bucket | Directory | None:
    """A directory is read only where somebody has named it."""
    if directory := environment.get("BELFRY_SESSIONS_DIRECTORY"):
        return Directory(directory)
    bucket = environment.get("BELFRY_SESSIONS_BUCKET")
    return Bucket(lambda: boto3.client("s3", config=_CONFIG), bucket) if bucket else None


def anonymous_role() -> Role | None:
    """What a request without credentials may do. Raises ValueError where the variable is no role."""
    name = os.environ.get("BELFRY_ANONYMOUS_ROLE", "none")
    return None if name in ("", "none") else Role(name)


@cache
def register_builtins(engine: Engine) -> None:
    """Registers the built-in jobs that are missing, once a process and once a deployment."""
    deployment = os.environ.get("BELFRY_DEPLOYMENT", "")
    builtins.register(engine, engine.builtins, deployment, engine.now())


def bootstrap_key() -> str:
    """An admin key for whoever runs the local stack."""
    return create_key(Role.ADMIN, "local stack")


def create_key(role: str, name: str) -> str:
    """A new API key in plain text, which is not stored."""
    secret, _ = access.create_key(engine(), Role(role), name, datetime.now(UTC))
    return secret


def shutdown() -> None:
    """Ends the attempts in progress: each is recorded as stopped, and tried again where its job allows."""
    engine().stopping.set()


def _perform(tools: Toolbox, action: Action, attempt: Attempt) -> Outcome:
    return perform(action, attempt, tools)


def _fetch(
    allowed: tuple[IPv4Network | IPv6Network, ...], url: str, headers: Mapping[str, str], seconds: float
) -> tuple[int, bytes]:
    return wire.fetch(url, headers, wire.Limits.lasting(seconds, allowed))


def _with_engine(call: Callable[..., Json], engine_of: Callable[[], Engine], *given: Any) -> Json:
    return call(engine_of(), *given)


@cache
def _action_client(service: str) -> Any:
    """An action's client: it checks parameters, which people wrote, and waits for as long as an attempt may.

    Some are called once: a repeated call is a second execution, or is paid for a second time.
    """
    tries = 1 if service in _CALLED_ONCE else 3
    config = Config(
        retries={"mode": "standard", "total_max_attempts": tries}, read_timeout=900, max_pool_connections=25
    )
    make: Callable[..., Any] = boto3.client  # its overloads name each service
    return make(service, config=config)
