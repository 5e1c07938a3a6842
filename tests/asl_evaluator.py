"""A small evaluator of the Amazon States Language that core/asl.py writes, in virtual time.

It knows Task, Choice, Pass and Parallel with JSONPath, and is strict: a path that leads nowhere, a
field that it does not know, and data over the limit of 256 KB are errors.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

Json = Any
Outcome = Literal["completed", "failed", "timeout"]

SIZE_LIMIT = 256 * 1024
FIELDS = {
    "Task": {
        "Resource", "Parameters", "TimeoutSeconds", "ResultSelector", "ResultPath", "Retry", "Catch", "Next",
        "End", "OutputPath",
    },
    "Choice": {"Choices", "Default"},
    "Pass": {"Result", "ResultPath", "Next", "End", "OutputPath"},
    "Parallel": {"Parameters", "Branches", "ResultSelector", "ResultPath", "Next", "End", "OutputPath"},
}  # fmt: skip

_STEP = re.compile(r"\.([A-Za-z_]\w*)|\['([^']+)'\]|\[(\d+)\]", re.ASCII)


@dataclass
class Run:
    """One node's passage, in virtual time."""

    began: float
    ended: float
    message: Json


@dataclass
class Execution:
    """What came out. `entered` has each state as often as it was entered."""

    name: str = "execution"
    output: Json = None
    took: float = 0
    runs: dict[str, Run] = field(default_factory=dict)
    entered: list[str] = field(default_factory=list)

    @property
    def statuses(self) -> dict[str, str]:
        return {node: result["status"] for node, result in self.output["results"].items()}


Work = Callable[[Json], tuple[Outcome, float]]


def evaluate(definition: Json, given: Json, work: Work) -> Execution:
    """Runs the machine; `work` says of a message what comes of its run, and how long that takes."""
    execution = Execution()
    context = {"Execution": {"Name": execution.name, "StartTime": "2026-11-22T14:00:00.000Z", "Input": given}}
    machine = _Machine(execution, context, work)
    execution.output, execution.took = machine.run(definition, given, 0)
    return execution


@dataclass
class _Machine:
    execution: Execution
    context: Json
    work: Work

    def run(self, machine: Json, data: Json, now: float) -> tuple[Json, float]:
        name: str | None = machine["StartAt"]
        while name:
            state = machine["States"][name]
            unknown = state.keys() - FIELDS[state["Type"]] - {"Type"}
            assert not unknown, f"{name} has {unknown}"
            self.execution.entered.append(name)
            data, name, now = getattr(self, f"_{state['Type'].lower()}")(state, data, now)
            assert len(json.dumps(data)) <= SIZE_LIMIT
        return data, now

    def _task(self, state: Json, data: Json, now: float) -> tuple[Json, str | None, float]:
        assert state["Resource"].endswith("sqs:sendMessage.waitForTaskToken")
        context = self.context | {"Task": {"Token": f"token {len(self.execution.runs)}"}}
        message = self._filled(state["Parameters"], data, context)["MessageBody"]
        outcome, seconds = self.work(message)
        node = message["node"]
        assert node not in self.execution.runs, f"{node} runs twice"
        if outcome == "timeout":
            seconds = state["TimeoutSeconds"]
        self.execution.runs[node] = Run(now, now + seconds, message)
        if outcome == "timeout":
            (catch,) = state["Catch"]
            assert catch == {"ErrorEquals": ["States.ALL"], "ResultPath": None, "Next": catch["Next"]}
            return data, catch["Next"], now + seconds
        result = {"status": outcome, "run_id": f"run of {node}", "output": "not for the results"}
        return *self._out(state, data, self._filled(state["ResultSelector"], result, {})), now + seconds

    def _choice(self, state: Json, data: Json, now: float) -> tuple[Json, str, float]:
        chosen = (rule["Next"] for rule in state["Choices"] if self._holds(rule, data))
        return data, next(chosen, state["Default"]), now

    def _pass(self, state: Json, data: Json, now: float) -> tuple[Json, str | None, float]:
        return *self._out(state, data, state.get("Result", data)), now

    def _parallel(self, state: Json, data: Json, now: float) -> tuple[Json, str | None, float]:
        given = self._filled(state["Parameters"], data, self.context)
        ends = [self.run(branch, copy.deepcopy(given), now) for branch in state["Branches"]]
        outputs = [output for output, _ in ends]
        assert len(json.dumps(outputs)) <= SIZE_LIMIT
        result = self._filled(state["ResultSelector"], outputs, {})
        return *self._out(state, data, result), max(end for _, end in ends)

    def _out(self, state: Json, data: Json, result: Json) -> tuple[Json, str | None]:
        """The state's output, with the result in its place, and the next state; None at the end."""
        assert ("Next" in state) != ("End" in state)
        whole = {"$": copy.deepcopy(data)}
        parent: Json = whole
        key: str | int = "$"
        for step in _steps(state.get("ResultPath", "$")):
            parent, key = parent[key], step
        parent[key] = result
        return self._path(state.get("OutputPath", "$"), whole["$"], {}), state.get("Next")

    def _holds(self, rule: Json, data: Json) -> bool:
        if "And" in rule:
            return all(self._holds(inner, data) for inner in rule["And"])
        if "Or" in rule:
            return any(self._holds(inner, data) for inner in rule["Or"])
        if "Not" in rule:
            return not self._holds(rule["Not"], data)
        assert rule.keys() <= {"Variable", "StringEquals", "Next"}
        return bool(self._path(rule["Variable"], data, self.context) == rule["StringEquals"])

    def _filled(self, template: Json, data: Json, context: Json) -> Json:
        if not isinstance(template, dict):
            return template
        return {
            key.removesuffix(".$"): self._value(value, data, context)
            if key.endswith(".$")
            else self._filled(value, data, context)
            for key, value in template.items()
        }

    def _value(self, text: str, data: Json, context: Json) -> Json:
        if not text.startswith("States."):
            return self._path(text, data, context)
        assert text.count("States.") <= 10, "at most ten intrinsic functions may be nested"
        call = re.fullmatch(r"States\.JsonMerge\((.+), (\S+), false\)", text)
        assert call, text
        return self._value(call[1], data, context) | self._path(call[2], data, context)

    def _path(self, path: str, data: Json, context: Json) -> Json:
        value, path = (context, path[1:]) if path.startswith("$$") else (data, path)
        for step in _steps(path):
            value = value[step]
        return value


def _steps(path: str) -> list[str | int]:
    assert re.fullmatch(rf"\$({_STEP.pattern})*", path, re.ASCII), path
    return [int(index) if index else name or quoted for name, quoted, index in _STEP.findall(path)]
