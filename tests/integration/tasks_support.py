"""An attempt as the worker would hand it to a task."""

from __future__ import annotations

from collections.abc import Callable

from chalicelib.core.action import Attempt


def attempt(*, dry_run: bool = False, seconds_left: Callable[[], float] = lambda: 300.0) -> Attempt:
    return Attempt(
        job={},
        run={"dry_run": dry_run},
        input=None,
        idempotency_key="job/run",
        number=1,
        completion_token="",
        seconds_left=seconds_left,
        is_cancelled=lambda: False,
    )
