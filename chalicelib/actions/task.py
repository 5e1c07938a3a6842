"""task: runs a built-in maintenance task."""

from __future__ import annotations

from chalicelib.actions.handler import not_registered, result_of
from chalicelib.actions.toolbox import Toolbox
from chalicelib.core.action import Attempt, Json, Task


def perform(settings: Task, attempt: Attempt, tools: Toolbox) -> Json:
    function = tools.tasks.get(settings.name)
    if function is None:
        raise not_registered("task", settings.name, "chalicelib/tasks")
    return result_of(f"task {settings.name}", attempt, lambda: function(attempt))
