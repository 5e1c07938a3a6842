"""The whole of Belfry in one process."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from unittest.mock import patch

import boto3
from chalice.app import Chalice

from infra.local import keyfile
from infra.local.emulation import emulation
from infra.local.gateway import Gateway
from infra.local.pollers import Function, Poller
from infra.local.provision import provision
from infra.local.server import Server
from infra.local.ticker import Ticker

log = logging.getLogger(__name__)

RUNS_AT_ONCE = 8
DEAD_LETTERS_AT_ONCE = 2
GRACE_SECONDS = 5
HAND_BACK_SECONDS = 2

# What the environment does not say.
AWS_DEFAULTS = {
    "AWS_ACCESS_KEY_ID": "local",
    "AWS_SECRET_ACCESS_KEY": "local",
    "AWS_DEFAULT_REGION": "us-east-1",
}
DEFAULTS = {
    "BELFRY_ANONYMOUS_ROLE": "admin",
    "BELFRY_ALLOW_NETWORKS": "127.0.0.0/8,::1/128",
    "BELFRY_TICK_SECONDS": "5",
    "BELFRY_LOOKAHEAD_SECONDS": "20",
}


@dataclass(frozen=True)
class Application:
    """What is deployed, and the two calls that the local stack makes besides."""

    app: Chalice
    tick: Function
    worker: Function
    dead_letter: Function
    bootstrap_key: Callable[[], str]
    """Makes an admin key and gives it in plain text."""
    hand_back: Callable[[], None]
    """Called at the end: runs still in progress are given back to the queue."""


def belfry() -> Application:
    """Belfry itself. Imported here, since its modules may read an environment that is made at start."""
    import app
    from chalicelib import composition

    composition.engine.cache_clear()  # that of an earlier stack in the same process
    return Application(
        app.app, app.tick, app.worker, app.dead_letter, composition.bootstrap_key, composition.shutdown
    )


class LocalStack:
    """Starts once, stops once. While it runs, `os.environ` is that of its functions."""

    def __init__(self, load: Callable[[], Application] = belfry) -> None:
        self._load = load
        self._undo = ExitStack()

    def start(self, port: int = 0) -> str:
        """The base URL. Port 0 is a free one; OSError if the port is taken."""
        with ExitStack() as undo:
            server = undo.enter_context(closing(Server(port)))
            undo.enter_context(_environment())
            self._compose(undo, self._load(), server)
            self._undo = undo.pop_all()
        return server.url

    def stop(self) -> None:
        """No more ticks and messages; what runs finishes or is handed back; then the API closes."""
        self._undo.close()

    def _compose(self, undo: ExitStack, application: Application, server: Server) -> None:
        undo.enter_context(keyfile.kept(server.port, server.url, application.bootstrap_key()))
        server.serve(Gateway(application.app).answer)
        pollers = _pollers(application)
        ticker = Ticker(application.tick, float(os.environ["BELFRY_TICK_SECONDS"]))
        undo.callback(_wind_down, ticker, pollers, application.hand_back)
        for poller in pollers:
            poller.start()
        ticker.start()


@contextmanager
def _environment() -> Iterator[None]:
    """Tables and queues are there, and `os.environ` names them. What it said before beats the defaults."""
    with patch.dict(os.environ, AWS_DEFAULTS | os.environ), emulation():
        made = provision(boto3.client("dynamodb"), boto3.client("sqs"))
        given = {name: os.environ[name] for name in DEFAULTS if name in os.environ}
        os.environ.update(made | DEFAULTS | given | {"BELFRY_DEPLOYMENT": f"local-{time.time_ns()}"})
        yield


def _pollers(application: Application) -> list[Poller]:
    sqs = boto3.client("sqs")
    return [
        Poller(sqs, os.environ["BELFRY_RUNS_QUEUE"], application.worker, RUNS_AT_ONCE),
        Poller(sqs, os.environ["BELFRY_DEAD_LETTERS_QUEUE"], application.dead_letter, DEAD_LETTERS_AT_ONCE),
    ]


def _wind_down(ticker: Ticker, pollers: list[Poller], hand_back: Callable[[], None]) -> None:
    ticker.stop(GRACE_SECONDS)
    for poller in pollers:
        poller.stop()
    if not _drained(pollers, GRACE_SECONDS):
        log.info("handing back what still runs")
        hand_back()
        _drained(pollers, HAND_BACK_SECONDS)


def _drained(pollers: list[Poller], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    return all(poller.drain(deadline) for poller in pollers)
