"""echo: an example of a handler, and a way to try schedules, conditions and deliveries without a target."""

from __future__ import annotations

from chalicelib.core.action import Attempt, Json


def echo(attempt: Attempt, settings: Json) -> Json:
    """The action's input, with its placeholders filled; where it has none, the run's."""
    return attempt.input if settings is None else settings
