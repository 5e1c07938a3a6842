"""Python functions that a job may name as its handler.

A handler takes the attempt and the action's `input` (its placeholders filled), and returns JSON: the run's
output. What it raises fails the attempt, and the job's retry policy decides; ActionError(..., permanent=True)
says that another attempt would fail too. It runs at least once: one that must not act twice on a run
remembers `attempt.idempotency_key`. A long one looks at `attempt.is_cancelled()` and
`attempt.seconds_left()`; past that time nobody waits for it. To add one, write it in a module here and name
it in HANDLERS; one that works on the engine's own records is named in ENGINE_HANDLERS, and given the engine
first.
"""

from __future__ import annotations

from collections.abc import Callable

from chalicelib.core.action import Attempt, Json
from chalicelib.handlers.echo import echo
from chalicelib.scheduler.builtins import BuiltIn
from chalicelib.scheduler.engine import Engine

HANDLERS: dict[str, Callable[[Attempt, Json], Json]] = {"echo": echo}

ENGINE_HANDLERS: dict[str, Callable[[Engine, Attempt, Json], Json]] = {}

JOBS: tuple[BuiltIn, ...] = ()
"""The jobs of these handlers that are there from the start."""
