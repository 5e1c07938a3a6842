"""handler: calls a Python function of chalicelib/handlers by its name."""

from __future__ import annotations

from collections.abc import Callable

from chalicelib.actions import material
from chalicelib.actions.toolbox import Toolbox
from chalicelib.core.action import Attempt, Handler, Json, plain
from chalicelib.core.errors import ActionError
from chalicelib.net.waiting import within


def perform(settings: Handler, attempt: Attempt, tools: Toolbox) -> Json:
    function = tools.handlers.get(settings.name)
    if function is None:
        raise not_registered("handler", settings.name, "chalicelib/handlers")
    given = material.filled(settings.input, attempt)
    return result_of(f"handler {settings.name}", attempt, lambda: function(attempt, given))


def not_registered(kind: str, name: str, folder: str) -> ActionError:
    message = f"{kind} {name} is not registered; add it to {folder}"
    return ActionError("not_registered", message, permanent=True)


def result_of(what: str, attempt: Attempt, call: Callable[[], Json]) -> Json:
    """What `call` returns, as JSON. Raises ActionError for whatever it raises."""
    try:
        result = within(attempt.seconds_left(), call)
    except ActionError:
        raise
    except (Exception, SystemExit) as error:
        raise ActionError(type(error).__name__, str(error) or f"{what} raised it") from error
    try:
        return plain(result)
    except ValueError as error:
        raise ActionError("not_json", f"what {what} returned {error}", permanent=True) from error
