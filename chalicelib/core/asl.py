"""A chain as Amazon States Language, with as few state transitions as its graph allows.

Three steps. *Knowledge*: what is certain of the nodes' outcomes, given what has turned out so far. *Plan*:
the graph is taken apart into a sequence of steps, each a node or a fork of lanes that run at the same time.
*States*: a node is one Task on the runs queue. Along each way through the steps goes what is known there, so
that there is a Choice only where the answer is open, and what is skipped anyway is jumped over.

In an execution every node has a result from the start, `{status, run_id}` in a map `results`: "skipped" until
it has run, so that skipping costs no state. Each lane but the first has its own map; the fork merges them.

A node's Task sends to the runs queue, and waits for SendTaskSuccess with a result as its output:

    {"chain", "revision", "execution": its name, "started": ISO time, "node": job id, "token": task token,
     "root": {"job_id", "run_id"} or null, "after": {job id: result} of the nodes before it}
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import reduce
from itertools import count
from operator import or_
from typing import Any, NamedTuple, TypeAlias

from chalicelib.core.chain import (
    Chain,
    ChainSpec,
    Join,
    NodeState,
    predecessors,
    roots,
    topological_order,
)

SEND = "arn:aws:states:::sqs:sendMessage.waitForTaskToken"
# A lost report must not hold an execution for ever; a node that retries for days must not be cut short.
NODE_TIMEOUT = timedelta(days=7)
MAX_DEPTH = 12  # of forks within forks; further down a graph is taken apart layer by layer
MAX_NESTED = 10  # intrinsic functions: AWS's limit
SQS_ERRORS = ["SQS.AmazonSQSException", "SQS.SdkClientException"]

State: TypeAlias = dict[str, Any]
Result: TypeAlias = dict[str, str | None]


def definition(chain: Chain, queue_url: str, timeout: timedelta = NODE_TIMEOUT) -> State:
    """The chain's state machine. `timeout` is for one node, with its retries and its waits."""
    graph = _Graph.of(chain.spec)
    tasks = _Tasks(chain, queue_url, int(timeout.total_seconds()))
    block = _Block(graph, tasks, _Planner(graph).plan(), _Scope(["$"], dict.fromkeys(graph.nodes, "$")))
    comment = f"{chain.spec.name} ({chain.chain_id}, revision {chain.revision})"
    return {"Comment": comment, **block.build(graph.certain)}


def start_input(spec: ChainSpec, resolved: Mapping[str, Result]) -> State:
    """What an execution starts with. `resolved` is the root whose own run has ended, or empty: run all roots.

    A root without a result is "waiting", any other node "skipped" until it runs.
    """
    results = {node: _result(NodeState.SKIPPED) for node in spec.jobs}
    results |= {root: _result(NodeState.WAITING) for root in roots(spec)} | dict(resolved)
    root = next(({"job_id": node, "run_id": result["run_id"]} for node, result in resolved.items()), None)
    return {"root": root, "results": results}


def _result(status: NodeState) -> Result:
    return {"status": str(status), "run_id": None}


# -- knowledge: the statuses to which each node may still come, as bits

_BITS = {NodeState.COMPLETED: 1, NodeState.FAILED: 2, NodeState.SKIPPED: 4}
_STATUSES = {bit: str(state) for state, bit in _BITS.items()}
_RAN, _SKIPPED, _ANY = 3, 4, 7

Known: TypeAlias = dict[str, int]


def _either(one: Known, other: Known) -> Known:
    """What is certain whichever of two ways was taken."""
    return {node: bits | other[node] for node, bits in one.items()}


def _both(one: Known, other: Known) -> Known:
    return {node: bits & other[node] for node, bits in one.items()}


@dataclass(frozen=True)
class _Graph:
    """What can be concluded. `nodes` is in topological order.

    `certain` is known before anything ran; `needs` has, of each node that can run at all, what is known if it
    does.
    """

    join: Join
    nodes: list[str]
    before: dict[str, dict[str, int]]  # the bits in which an edge fires
    certain: Known
    needs: dict[str, Known] = field(default_factory=dict)

    @classmethod
    def of(cls, spec: ChainSpec) -> _Graph:
        nodes = topological_order(spec)
        before = {
            node: {source: sum(_BITS[state] for state in fires) for source, fires in sources.items()}
            for node, sources in predecessors(spec).items()
        }
        graph = cls(spec.join, nodes, before, {node: _ANY if before[node] else _RAN for node in nodes})
        for node in nodes:
            if known := graph.learn(graph.certain, {node: _RAN}):
                graph.needs[node] = known
        never = {node: _SKIPPED for node in nodes if node not in graph.needs}
        graph.certain.update(graph.given(graph.certain, never))
        return graph

    def learn(self, known: Known, facts: Known) -> Known | None:
        """What is known with `facts` besides; None if they cannot be true."""
        after = known | {node: known[node] & bits for node, bits in facts.items()}
        for node in reversed(self.nodes):
            for source, bits in self._implied(after, node):
                after[source] &= bits
        for node in self.nodes:
            match self._verdict(after, node):
                case True:
                    after[node] &= _RAN
                case False:
                    after[node] &= _SKIPPED
        return after if all(after.values()) else None

    def _implied(self, known: Known, node: str) -> list[tuple[str, int]]:
        """What a node's having run, or not, says about those before it."""
        if known[node] & _RAN and known[node] & _SKIPPED:
            return []
        runs = not known[node] & _SKIPPED
        facts = [(source, fires if runs else _ANY & ~fires) for source, fires in self.before[node].items()]
        if runs is (self.join is Join.ALL):
            return facts
        possible = [(source, bits) for source, bits in facts if known[source] & bits]  # one of them is true
        return possible if len(possible) == 1 else []

    def _verdict(self, known: Known, node: str) -> bool | None:
        """Whether the node runs, as far as its edges tell."""
        sources = self.before[node].items()
        decide = any if self.join is Join.ANY else all
        if not sources or decide(not known[source] & ~fires for source, fires in sources):
            return True
        return None if decide(known[source] & fires for source, fires in sources) else False

    def enters(self, known: Known, nodes: Sequence[str]) -> bool | None:
        """Whether a step of these nodes is gone into; None where the answer hangs on an outcome.

        A fork is gone into unless it is clear beforehand that none of its nodes runs.
        """
        if not all(_both(known, self.needs_of(nodes)).values()):
            return False
        if len(nodes) > 1:
            return None if self.gate(known, nodes) else True
        verdict = self._verdict(known, nodes[0])
        return True if verdict is None and not self.learn(known, {nodes[0]: _SKIPPED}) else verdict

    def gate(self, known: Known, nodes: Sequence[str]) -> Known:
        """What must turn out of the nodes before these, or none of these runs."""
        needs, gate = self.needs_of(nodes), Known()
        sources = {source for node in nodes for source in self.before[node]}.difference(nodes)
        for source in sorted(sources, key=self.nodes.index, reverse=True):
            if known[source] & ~needs[source]:
                gate[source] = needs[source]
                known = self.given(known, gate)
        return gate

    def given(self, known: Known, facts: Known) -> Known:
        """As `learn`; what cannot be is not believed, since no execution comes that way."""
        return self.learn(known, facts) or known

    def needs_of(self, nodes: Iterable[str]) -> Known:
        """What is certain if any of the nodes runs."""
        return reduce(_either, (self.needs[node] for node in nodes))

    def open_edges(self, known: Known, node: str) -> Known:
        """The nodes before it that the answer still hangs on, and the bits in which their edges fire."""
        return {
            source: fires
            for source, fires in self.before[node].items()
            if known[source] & (fires if self.join is Join.ANY else ~fires)
        }


# -- the plan


class _Fork(NamedTuple):
    """Lanes that run at the same time, each a sequence of steps."""

    lanes: list[list[_Step]]


_Step: TypeAlias = str | _Fork


def _nodes(step: _Step) -> list[str]:
    nodes: list[str] = []
    todo = [step]
    while todo:
        part = todo.pop()
        if isinstance(part, str):
            nodes.append(part)
        else:
            todo += [inner for lane in part.lanes for inner in lane]
    return nodes


def _set(places: Iterable[int]) -> int:
    """Sets of nodes are integers here, with a bit for each node's place in the graph's order."""
    return reduce(or_, (1 << i for i in places), 0)


def _places(nodes: int) -> list[int]:
    return [i for i in range(nodes.bit_length()) if nodes >> i & 1]


class _Planner:
    """Takes a graph apart: in sequence what depends on one another, in forks what does not."""

    def __init__(self, graph: _Graph) -> None:
        self._graph = graph
        self._near = [0] * len(graph.nodes)  # neighbours, in either direction
        self._behind = [0] * len(graph.nodes)  # all nodes on the ways that lead to it
        places = {node: i for i, node in enumerate(graph.nodes)}
        self._whole = _set(places[node] for node in graph.needs)
        for node in graph.needs:
            for source in graph.before[node].keys() & graph.needs.keys():
                self._connect(places[source], places[node])

    def _connect(self, source: int, target: int) -> None:
        self._near[source] |= 1 << target
        self._near[target] |= 1 << source
        self._behind[target] |= self._behind[source] | 1 << source

    def plan(self) -> list[_Step]:
        return self._steps(self._whole, 0)

    def _steps(self, nodes: int, depth: int) -> list[_Step]:
        steps: list[_Step] = []
        todo = [nodes]
        while todo:
            part = todo.pop()
            if part.bit_count() == 1:
                steps += self._names(part)
            elif len(pieces := self._in_series(part)) > 1:
                todo += reversed(pieces)
            else:
                head = self._head(part, depth)
                lanes = self._lanes(self._components(head))
                todo += [part & ~head] if part != head else []
                if len(lanes) > 1:
                    steps.append(_Fork([self._steps(sum(lane), depth + 1) for lane in lanes]))
                else:
                    todo += reversed(lanes[0])
        return steps

    def _names(self, part: int) -> list[str]:
        return [self._graph.nodes[i] for i in _places(part)]

    def _in_series(self, part: int) -> list[int]:
        """Cut wherever all that comes after depends on all that comes before."""
        behind = {i: self._behind[i] & part for i in _places(part)}
        cuts = {cut for cut in behind.values() if cut}
        clean = [cut for cut in cuts if all(cut & ~behind[i] == 0 for i in behind if not cut >> i & 1)]
        ends = [*sorted(clean, key=int.bit_count), part]
        return [end & ~start for start, end in zip([0, *ends], ends, strict=False)]

    def _components(self, part: int) -> list[int]:
        found = []
        while part:
            component, new = 0, part & -part
            while new:
                component |= new
                new = reduce(or_, (self._near[i] for i in _places(new))) & part & ~component
            found.append(component)
            part &= ~component
        return found

    def _head(self, part: int, depth: int) -> int:
        """What is done first of a part that has several sources.

        All of it, if it falls into components; else the sources, and what leads from them to where ways first
        meet.
        """
        sources = _set(i for i in _places(part) if not self._behind[i] & part)
        if depth == MAX_DEPTH:
            return sources
        if len(self._components(part)) > 1:
            return part
        meeting = _set(i for i in _places(part) if (self._behind[i] & sources).bit_count() > 1)
        first = (i for i in _places(meeting) if not self._behind[i] & meeting)
        return reduce(or_, (self._behind[i] & part for i in first), sources)

    def _lanes(self, parts: list[int]) -> list[list[int]]:
        """The parts, those together of which only one can run: they need not run at the same time."""
        lanes: list[list[int]] = []
        for part in parts:
            fitting = (lane for lane in lanes if all(self._exclusive(part, other) for other in lane))
            if lane := next(fitting, None):
                lane.append(part)
            else:
                lanes.append([part])
        return lanes

    def _exclusive(self, one: int, other: int) -> bool:
        needs = _both(self._graph.needs_of(self._names(one)), self._graph.needs_of(self._names(other)))
        return not all(needs.values())


# -- the states

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class _Tasks:
    """What the tasks of a machine share, and the numbers of its forks and ends."""

    chain: Chain
    queue_url: str
    timeout: int  # seconds
    numbers: count[int] = field(default_factory=lambda: count(1))

    def state(self, node: str, after: State) -> State:
        body = {
            "chain": self.chain.chain_id,
            "revision": self.chain.revision,
            "execution.$": "$$.Execution.Name",
            "started.$": "$$.Execution.StartTime",
            "node": node,
            "token.$": "$$.Task.Token",
            "root.$": "$$.Execution.Input.root",
            "after": after,
        }
        return {
            "Type": "Task",
            "Resource": SEND,
            "Parameters": {"QueueUrl": self.queue_url, "MessageBody": body},
            "TimeoutSeconds": self.timeout,
            "ResultSelector": {"status.$": "$.status", "run_id.$": "$.run_id"},
            "Retry": [{"ErrorEquals": SQS_ERRORS, "IntervalSeconds": 2, "MaxAttempts": 3, "BackoffRate": 2}],
            "Catch": [{"ErrorEquals": ["States.ALL"], "ResultPath": None, "Next": f"{node} failed"}],
        }


def _key(node: str) -> str:
    return f".{node}" if _PLAIN.fullmatch(node) else f"['{node}']"


class _Scope(NamedTuple):
    """Where a block finds results: in several maps, of which the last is its own and the only one it writes.

    A map lies at `results` in the place that is named here. `output` is the part of its data that a block
    puts out.
    """

    maps: list[str]
    home: dict[str, str]  # node -> the map with its result
    output: str = "$"

    def path(self, node: str) -> str:
        return f"{self.home[node]}.results{_key(node)}"

    @property
    def own(self) -> str:
        return self.maps[-1]

    @property
    def inside(self) -> list[str]:
        """The nodes whose results are in the block's own map."""
        return [node for node, place in self.home.items() if place == self.own]

    def lane(self, own: str, nodes: list[str], output: str) -> _Scope:
        return _Scope([*self.maps, own], self.home | dict.fromkeys(nodes, own), output)

    def handed_down(self, lanes: Mapping[str, list[str]]) -> State:
        """All maps that can be read here, and new ones with the nodes of the lanes."""
        maps: State = {f"{place[2:]}.$": place for place in self.maps if place != "$"}
        for place, nodes in lanes.items():
            maps[place[2:]] = {"results": {f"{node}.$": self.path(node) for node in nodes}}
        return {"results.$": "$.results", **maps}


class _Block:
    """A sequence of steps as the states of a machine, or of a fork's branch.

    What is known is kept for each way: at a step, and at the Choice before it. Ways lead forward only, so
    all that arrive at a step have been found when its states are made.
    """

    def __init__(self, graph: _Graph, tasks: _Tasks, steps: list[_Step], scope: _Scope) -> None:
        self._graph, self._tasks, self._steps, self._scope = graph, tasks, steps, scope
        self._output = {} if scope.output == "$" else {"OutputPath": scope.output}
        self._names = [step if isinstance(step, str) else f"fork {next(tasks.numbers)}" for step in steps]
        self._nodes = [_nodes(step) for step in steps]
        self._end = f"end {next(tasks.numbers)}"
        self._arrived: dict[str, Known] = {}  # by the state
        self._states: State = {}

    def build(self, known: Known) -> State:
        """The block's StartAt and States, of what is known before it."""
        start = self._enter(0, known)
        for place, name in enumerate(self._names):
            if f"{name}?" in self._arrived:
                self._ask(place, self._arrived[f"{name}?"])
            if name in self._arrived:
                self._do(place, self._arrived[name])
        return {"StartAt": start or self._stop(), "States": self._states}

    def _enter(self, place: int, known: Known) -> str | None:
        """The state with which the steps from `place` go on; None at the end of the block."""
        for name, nodes in zip(self._names[place:], self._nodes[place:], strict=True):
            enters = self._graph.enters(known, nodes)
            if self._is_root(nodes) or enters is None:
                return self._arrive(f"{name}?", known)
            if enters:
                return self._arrive(name, known)
        return None

    def _arrive(self, name: str, known: Known) -> str:
        before = self._arrived.get(name)
        self._arrived[name] = _either(before, known) if before else known
        return name

    def _is_root(self, nodes: Sequence[str]) -> bool:
        return len(nodes) == 1 and not self._graph.before[nodes[0]]

    def _ask(self, place: int, known: Known) -> None:
        name, nodes = self._names[place], self._nodes[place]
        facts = self._graph.gate(known, nodes) if len(nodes) > 1 else {nodes[0]: _RAN}
        self._arrive(name, self._graph.given(known, facts))
        skipped = self._graph.given(known, dict.fromkeys(nodes, _SKIPPED))  # of a root that is not believed
        self._states[f"{name}?"] = {
            "Type": "Choice",
            "Choices": [{**self._rule(nodes, known), "Next": name}],
            "Default": self._enter(place + 1, skipped) or self._stop(),
        }

    def _rule(self, nodes: Sequence[str], known: Known) -> State:
        if self._is_root(nodes):
            return self._is(nodes[0], NodeState.WAITING)
        one_will_do = len(nodes) == 1 and self._graph.join is Join.ANY
        facts = self._graph.open_edges(known, nodes[0]) if len(nodes) == 1 else self._graph.gate(known, nodes)
        tests = [self._test(source, known[source], bits) for source, bits in facts.items()]
        return tests[0] if len(tests) == 1 else {"Or" if one_will_do else "And": tests}

    def _test(self, node: str, known: int, bits: int) -> State:
        """Whether the node's status is one of `bits`: of three at most, so one or all but one."""
        if known & bits in _STATUSES:
            return self._is(node, _STATUSES[known & bits])
        return {"Not": self._is(node, _STATUSES[known & ~bits])}

    def _is(self, node: str, status: str) -> State:
        return {"Variable": f"{self._scope.path(node)}.status", "StringEquals": str(status)}

    def _do(self, place: int, known: Known) -> None:
        step, name = self._steps[place], self._names[place]
        if isinstance(step, str):
            onward = self._onward(place, self._graph.given(known, {step: _RAN}))
            self._states |= self._task(step, {"ResultPath": self._scope.path(step), **onward})
        else:  # the ways out of its lanes, taken together, tell no more than was known before
            self._states[name] = {**self._fork(step, known), **self._onward(place, known)}

    def _onward(self, place: int, known: Known) -> State:
        following = self._enter(place + 1, known)
        return {"Next": following} if following else {"End": True, **self._output}

    def _stop(self) -> str:
        """The state to end in, for a Choice, which cannot be the last itself."""
        self._states[self._end] = {"Type": "Pass", "End": True, **self._output}
        return self._end

    def _task(self, node: str, ways: State) -> State:
        after = {f"{source}.$": self._scope.path(source) for source in self._graph.before[node]}
        failed = {"Type": "Pass", "Result": _result(NodeState.FAILED), **ways}
        return {node: {**self._tasks.state(node, after), **ways}, f"{node} failed": failed}

    def _fork(self, fork: _Fork, known: Known) -> State:
        """A Parallel state. Its first lane goes on with the block's own map."""
        nodes = [[node for step in lane for node in _nodes(step)] for lane in fork.lanes]
        maps = [self._scope.own, *(f"$.m{next(self._tasks.numbers)}" for _ in fork.lanes[1:])]
        merges = len(fork.lanes) - 1 <= MAX_NESTED
        branches = []
        for lane, own, mine in zip(fork.lanes, maps, nodes, strict=True):
            scope = self._scope.lane(own, mine, f"{own}.results" if merges else own)
            branches.append(_Block(self._graph, self._tasks, lane, scope).build(known))
        return {
            "Type": "Parallel",
            "Parameters": self._scope.handed_down(dict(zip(maps[1:], nodes[1:], strict=True))),
            "Branches": branches,
            "ResultSelector": _merged(len(nodes)) if merges else _picked(nodes, self._scope.inside),
            "ResultPath": self._scope.own,
        }


def _merged(lanes: int) -> State:
    """One map of those that the lanes put out. What the first has of the others' nodes is out of date."""
    merged = "$[0]"
    for i in range(1, lanes):
        merged = f"States.JsonMerge({merged}, $[{i}], false)"
    return {"results.$": merged}


def _picked(lanes: list[list[str]], nodes: list[str]) -> State:
    """The same, result by result: for so many lanes that merges would be nested too deep."""
    lane_of = {node: i for i, lane in enumerate(lanes) for node in lane}
    return {"results": {f"{node}.$": f"$[{lane_of.get(node, 0)}].results{_key(node)}" for node in nodes}}
