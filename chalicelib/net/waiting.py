"""Waiting no longer than the attempt may take, whatever it is that does not answer."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, wait
from threading import Thread
from typing import TypeVar

from chalicelib.core.errors import ActionError

T = TypeVar("T")


def within(seconds: float, call: Callable[[], T]) -> T:
    """What `call` returns or raises. After `seconds` it is left behind, and ActionError("timeout") raised.

    It runs in a thread of its own, since a name lookup, an AWS call or a handler cannot be interrupted. What
    is left behind goes on until it ends by itself; nobody sees its result.
    """
    answer: Future[T] = Future()
    if seconds > 0:
        Thread(target=_settle, args=(answer, call), daemon=True).start()
        wait([answer], timeout=seconds)
    if not answer.done():
        raise ActionError("timeout", "the attempt's time was up before the action had ended")
    return answer.result()


def _settle(answer: Future[T], call: Callable[[], T]) -> None:
    try:
        answer.set_result(call())
    except BaseException as error:  # SystemExit too: else nobody would hear of it
        answer.set_exception(error)
