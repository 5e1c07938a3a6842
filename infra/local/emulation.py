"""AWS in this process, by moto, but for the services that the environment gives an endpoint."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from moto import mock_aws
from moto.core.botocore_stubber import BotocoreStubber

# moto's conditions are not atomic under threads, nor are its queues.
SERIALIZED = ("dynamodb", "sqs")


@contextmanager
def emulation() -> Iterator[None]:
    """A service with AWS_ENDPOINT_URL_<SERVICE> is reached there, all else is played here.

    Only AWS calls are caught: what the process does on sockets of its own is real.
    """
    config = {"core": {"mock_credentials": False}, "stepfunctions": {"execute_state_machine": True}}
    with mock_aws(config=config), _one_at_a_time():  # type: ignore[call-overload]
        yield


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    locks = {service: threading.RLock() for service in SERIALIZED if emulated(service)}
    play = BotocoreStubber.__call__

    def locked(stubber: BotocoreStubber, event_name: str, request: Any, **rest: Any) -> Any:
        lock = locks.get(event_name.split(".")[1])  # before-send.<service>.<operation>
        if lock is None:
            return play(stubber, event_name, request, **rest)
        with lock:
            return play(stubber, event_name, request, **rest)

    with patch.object(BotocoreStubber, "__call__", locked):
        yield


def emulated(service: str) -> bool:
    return not (os.environ.get("AWS_ENDPOINT_URL") or os.environ.get(f"AWS_ENDPOINT_URL_{service.upper()}"))
