"""Does the package work by itself? It is unpacked and run with nothing else in its reach."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from moto.server import ThreadedMotoServer

from infra.local.gateway import Call, Match, event_of
from infra.local.pollers import record
from infra.local.provision import provision
from infra.local.ticker import scheduled_event

if TYPE_CHECKING:
    from mypy_boto3_sqs.type_defs import MessageTypeDef

STATUS = "/api/scheduler/status"
# Its imports are the package's and the standard library's: -I leaves out the environment, -S site-packages.
ISOLATED = (sys.executable, "-I", "-S", "-c")
DRIVER = """
import json, sys, time
folder, events = json.load(sys.stdin)
sys.path.insert(0, folder)
began = time.perf_counter()
import app
milliseconds = (time.perf_counter() - began) * 1000
answers = {name: getattr(app, name)(event, None) for name, event in events.items()}
print(json.dumps({"import_milliseconds": milliseconds, "answers": answers}))
"""
REGION = "us-east-1"
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "check",
    "AWS_SECRET_ACCESS_KEY": "check",
    "AWS_DEFAULT_REGION": REGION,
}


class PackageError(Exception):
    """The package does not work by itself."""


def check(folder: Path) -> dict[str, Any]:
    """Try `deployment.zip` in `folder`; gives the answers and figures. PackageError if an answer is wrong."""
    archive = folder / "deployment.zip"
    with tempfile.TemporaryDirectory() as unpacked, _moto() as environment:
        with zipfile.ZipFile(archive) as files:
            _find_extension(files.namelist())
            files.extractall(unpacked)
        result = _run(Path(unpacked), environment)
    _judge(result["answers"])
    return {"zip_bytes": archive.stat().st_size, **result}


def _find_extension(names: list[str]) -> None:
    """chalice only warns when it finds no wheel of a package that has compiled parts."""
    if not any(name.startswith("pydantic_core/") and name.endswith(".so") for name in names):
        raise PackageError("pydantic_core's compiled module is not in the package")


@contextmanager
def _moto() -> Iterator[dict[str, str]]:
    """Tables and queues on a server of their own; gives the environment for a process that uses them."""
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    session = boto3.Session("check", "check", region_name=REGION)
    made = provision(session.client("dynamodb", endpoint_url=url), session.client("sqs", endpoint_url=url))
    yield ENVIRONMENT | {"AWS_ENDPOINT_URL": url} | made | {"BELFRY_ANONYMOUS_ROLE": "viewer"}
    server.stop()


def _run(unpacked: Path, environment: dict[str, str]) -> dict[str, Any]:
    given = json.dumps([str(unpacked), events()])
    done = subprocess.run(
        [*ISOLATED, DRIVER],
        input=given,
        capture_output=True,
        text=True,
        cwd=unpacked,
        env=environment,
        check=False,
    )
    if done.returncode:
        raise PackageError(f"the package fails by itself:\n{done.stderr}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def events() -> dict[str, Any]:
    """One event for each way in: the API, the tick, and a queue (with a message that nobody of ours sent)."""
    message: MessageTypeDef = {
        "MessageId": "1",
        "ReceiptHandle": "1",
        "Body": "no message of ours",
        "MD5OfBody": "",
    }
    call = Call("GET", STATUS, "", [("Host", "localhost")], b"", "127.0.0.1")
    queue = f"arn:aws:sqs:{REGION}:123456789012:belfry-runs-queue"
    return {
        "app": event_of(call, Match(STATUS, {}), []),
        "tick": scheduled_event(REGION),
        "worker": {"Records": [record(message, queue, REGION)]},
    }


def _judge(answers: dict[str, Any]) -> None:
    if answers["app"]["statusCode"] != 200:
        raise PackageError(f"the API does not answer: {answers['app']}")
    if answers["worker"].get("batchItemFailures") != []:
        raise PackageError(f"the worker does not take messages: {answers['worker']}")
