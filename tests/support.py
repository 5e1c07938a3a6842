"""A world for the protocol's tests: real tables, a queue and a clock in memory, and a switch that kills.

Each call that the engine makes to AWS passes a `Switch`, which counts it, and on demand dies before or after
it: then every later call of the same process dies too, as if the process had been killed.
"""

# ruff: noqa: N803  the arguments' names are AWS's own

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from unittest.mock import patch

import boto3

from chalicelib.composition import _CONFIG, compose
from chalicelib.core.action import Accepted, Action, Attempt, Json
from chalicelib.core.agenda import Entry, Slots
from chalicelib.core.ids import slot_id
from chalicelib.core.job import Job, Spec, State
from chalicelib.core.run import Claim, Message, Run, RunStatus, Trigger
from chalicelib.scheduler import jobs as job_cases
from chalicelib.scheduler import runs as run_cases
from chalicelib.scheduler.engine import Engine
from chalicelib.scheduler.tick import tick
from chalicelib.scheduler.worker import Received, work

START = datetime(2026, 11, 22, 14, 0, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)
RECEIVES = 10
VISIBILITY = timedelta(seconds=900)


class Killed(BaseException):
    """The process ends here: nothing catches it."""


class Clock:
    """Stands still until it is told to go on. Sleeping is going on."""

    def __init__(self, now: datetime = START) -> None:
        self.time = now

    def now(self) -> datetime:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)

    def advance(self, by: timedelta) -> None:
        self.time += by

    def to(self, instant: datetime) -> None:
        self.time = max(self.time, instant)


class Switch:
    """What every call to AWS passes. `calls` counts them by operation since the last `reset`."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.history: list[str] = []  # never forgotten
        self._fatal: Callable[[str, int], bool] = lambda operation, number: False
        self._after = False
        self._dead = False
        self._lock = threading.Lock()

    def arm(self, operation: str | None = None, nth: int = 1, *, after: bool = False) -> None:
        """Die at the nth call (of that operation, if one is named), before or after it goes through."""
        left = count(1)

        def fatal(called: str, number: int) -> bool:
            return operation in (None, called) and next(left) == nth

        self._fatal, self._after = fatal, after

    @property
    def dead(self) -> bool:
        return self._dead

    def reset(self) -> None:
        """Another process begins."""
        self._fatal, self._dead = lambda operation, number: False, False
        self.calls.clear()

    def die(self) -> None:
        self._dead = True

    def through(self, operation: str, call: Callable[[], Any]) -> Any:
        with self._lock:
            self.calls[operation] += 1
            self.history.append(operation)
            fatal = not self._dead and self._fatal(operation, self.calls.total())
            if self._dead or (fatal and not self._after):
                self._dead = True
                raise Killed(operation)
        answer = call()
        if fatal:
            self._dead = True
            raise Killed(operation)
        return answer


class Tapped:
    """A client all of whose calls pass the switch. `instead` answers for an operation in its place."""

    def __init__(self, client: Any, switch: Switch) -> None:
        self._client, self._switch = client, switch
        self.instead: dict[str, Callable[..., Any]] = {}

    def __getattr__(self, operation: str) -> Any:
        real = getattr(self._client, operation)
        if operation == "exceptions":
            return real

        def call(**arguments: Any) -> Any:
            stand_in = self.instead.get(operation)
            answer = (lambda: stand_in(real, **arguments)) if stand_in else (lambda: real(**arguments))
            return self._switch.through(operation, answer)

        return call


@dataclass
class Letter:
    message_id: str
    body: str
    visible_at: datetime
    receives: int = 0


class Sqs:
    """A client for two queues in memory, with delays and visibility by the fake clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ids = count(1)
        self._lock = threading.Lock()
        self.letters: dict[str, Letter] = {}
        self.dead: list[Letter] = []
        self.sent: list[tuple[str, int]] = []  # body and delay of all that was ever sent
        self.batches: list[int] = []
        self.hidden: list[tuple[str, int]] = []  # message and seconds of each change of visibility
        self.refuses: Callable[[str], bool] = lambda body: False

    def send_message_batch(self, QueueUrl: str, Entries: list[dict[str, Any]]) -> dict[str, Any]:
        assert QueueUrl == "runs"
        assert 1 <= len(Entries) <= 10
        assert all(0 <= entry["DelaySeconds"] <= 900 for entry in Entries)
        self.batches.append(len(Entries))
        failed = []
        for entry in Entries:
            if self.refuses(entry["MessageBody"]):
                failed.append({"Id": entry["Id"], "SenderFault": False, "Code": "InternalError"})
            else:
                self._put(entry["MessageBody"], entry["DelaySeconds"])
        return {"Failed": failed} if failed else {}

    def _put(self, body: str, delay: int) -> None:
        with self._lock:
            name = f"m{next(self._ids)}"
            self.letters[name] = Letter(name, body, self._clock.now() + delay * SECOND)
            self.sent.append((body, delay))

    def change_message_visibility_batch(self, QueueUrl: str, Entries: list[dict[str, Any]]) -> Any:
        assert QueueUrl == "runs"
        assert 1 <= len(Entries) <= 10
        for entry in Entries:
            name, seconds = entry["ReceiptHandle"], entry["VisibilityTimeout"]
            self.hidden.append((name, seconds))
            if name in self.letters:
                self.letters[name].visible_at = self._clock.now() + seconds * SECOND
        return {}

    def send_message(self, QueueUrl: str, MessageBody: str) -> None:
        assert QueueUrl == "dead"
        self.dead.append(Letter(f"d{next(self._ids)}", MessageBody, self._clock.now()))

    def get_queue_attributes(self, QueueUrl: str, AttributeNames: list[str]) -> Any:
        return {"Attributes": {AttributeNames[0]: str(len(self.letters))}}

    # -- what the event source does

    def receive(self, most: int = 10) -> list[Received]:
        now = self._clock.now()
        ready = sorted(
            (letter for letter in self.letters.values() if letter.visible_at <= now),
            key=lambda letter: letter.visible_at,
        )
        got = []
        for letter in ready[:most]:
            if letter.receives >= RECEIVES:
                self.dead.append(self.letters.pop(letter.message_id))
                continue
            letter.receives += 1
            letter.visible_at = now + VISIBILITY
            got.append(Received(letter.message_id, letter.message_id, letter.body))
        return got

    def delete(self, received: Sequence[Received], kept: Sequence[str]) -> None:
        for item in received:
            if item.message_id not in kept:
                self.letters.pop(item.message_id, None)

    def next_arrival(self) -> datetime | None:
        return min((letter.visible_at for letter in self.letters.values()), default=None)


Outcome = Json | Accepted | BaseException | Callable[[Attempt], Json | Accepted]


@dataclass
class World:
    """An engine on the tables of `environment`, and what moves it."""

    environment: dict[str, str]
    changes: dict[str, Any] = field(default_factory=dict)
    client: Any = None  # of DynamoDB
    now: datetime = START
    takes: timedelta = timedelta()  # each invocation of the worker

    def __post_init__(self) -> None:
        self.clock, self.switch = Clock(self.now), Switch()
        self.sqs = Sqs(self.clock)
        self.outcomes: list[Outcome] = []
        self.attempts: list[Attempt] = []  # that were really made
        real = self.client or boto3.client("dynamodb", config=_CONFIG)
        self.dynamodb = Tapped(real, self.switch)
        self.queue_client = Tapped(self.sqs, self.switch)
        clients = {"dynamodb": self.dynamodb, "sqs": self.queue_client}
        parts = {
            "now": self.clock.now,
            "sleep": self.clock.sleep,
            "perform": self.perform,
            "chance": lambda: 0.5,
            "lookahead": timedelta(seconds=180),
            "tick_interval": MINUTE,
        }
        queues = {"BELFRY_RUNS_QUEUE": "runs", "BELFRY_DEAD_LETTERS_QUEUE": "dead"}
        with patch("chalicelib.composition.boto3.client", lambda name, **_: clients[name]):
            self.engine: Engine = compose({**self.environment, **queues}, **{**parts, **self.changes})

    def perform(self, action: Action, attempt: Attempt) -> Json | Accepted:
        """The next of `outcomes`, given, raised or called; "ok" when there is none."""
        self.attempts.append(attempt)
        outcome = self.outcomes.pop(0) if self.outcomes else "ok"
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome(attempt) if callable(outcome) else outcome

    # -- jobs and runs

    def job(self, expression: str = "* * * * *", *, job_id: str | None = None, **fields: Any) -> Job:
        creation = job_cases.Creation("test", job_id=job_id)
        return job_cases.create(self.engine, spec(expression, **fields), creation, self.clock.now())

    def definition(self, job: Job | str) -> Job:
        return job_cases.get(self.engine, job if isinstance(job, str) else job.job_id)[0]

    def state(self, job: Job) -> State:
        return job_cases.get(self.engine, job.job_id)[1]

    def pause(self, job: Job) -> Job:
        return job_cases.pause(self.engine, job.job_id, None, self.clock.now())[0]

    def resume(self, job: Job) -> Job:
        return job_cases.resume(self.engine, job.job_id, self.clock.now())[0]

    def change(self, job: Job, **fields: Any) -> Job:
        def changed(before: Job) -> tuple[Spec, Any]:
            return Spec.model_validate({**before.spec.model_dump(mode="json"), **fields}), before.status

        return job_cases.update(self.engine, job.job_id, changed, self.clock.now())[0]

    def trigger(self, job: Job, **asked: Any) -> Run:
        return run_cases.trigger(
            self.engine, job.job_id, run_cases.Asked(by="test", **asked), self.clock.now()
        )

    def send(self, job: Job, slot: datetime | None = None, **fields: Any) -> Message:
        """A message of a scheduled run of now, as the tick would send it."""
        slot = slot or self.clock.now()
        message = Message(job.job_id, slot_id(slot), job.revision, slot, fields.pop("due", slot))
        message = replace(message, **fields)
        self.engine.queue.send([message], self.clock.now())
        return message

    def claim(self, message: Message, lease: timedelta = timedelta(seconds=315)) -> Claim:
        """As a worker that then does nothing more."""
        now = self.clock.now()
        return self.engine.runs.claim(message, message.slot, now, now + lease)

    def run(self, message: Message) -> Run:
        run = self.engine.runs.get(message.job_id, message.run_id)
        assert run is not None
        return run

    def cancel(self, run: Run) -> tuple[Run, bool]:
        return run_cases.cancel(self.engine, run.job_id, run.run_id, "test", self.clock.now())

    def runs(self, job: Job) -> list[Run]:
        """Oldest first."""
        return [*self.engine.runs.of_job(job.job_id)][::-1]

    def verdicts(self, job: Job) -> list[datetime]:
        """The slots that have a verdict, ascending: each as often as it has one."""
        slots: list[datetime] = []
        for run in self.runs(job):
            if run.trigger is not Trigger.SCHEDULE:
                continue
            if run.missed_from is None:
                slots.append(run.scheduled_for)
            else:
                many = [*job.schedule.occurrences(run.missed_from - SECOND, run.scheduled_for)]
                assert len(many) == run.missed_count
                slots += many
        return sorted(slots)

    def statuses(self, job: Job) -> list[RunStatus]:
        return [run.status for run in self.runs(job)]

    def agenda(self) -> list[tuple[datetime, Entry]]:
        return [*self.engine.agenda.entries()]

    def slot_entries(self, job: Job) -> list[datetime]:
        """The minutes under which the job's present schedule stands in the agenda."""
        mine = Slots(job.job_id, self.definition(job).revision)
        return [minute for minute, entry in self.agenda() if entry == mine]

    def put_setting(self, key: str, value: str) -> None:
        self.engine.records.put("settings", key, {"value": value})

    # -- processes

    @contextmanager
    def process(self) -> Iterator[None]:
        """What runs in it may be killed by the switch, and with it its threads."""
        hook = threading.excepthook
        threading.excepthook = _let_die(hook)
        try:
            yield
        except Killed:
            pass
        finally:
            threading.excepthook = hook
            self.switch.reset()

    def tick(self, scheduled_for: datetime | None = None) -> None:
        with self.process():
            tick(self.engine, self.clock.now(), scheduled_for)

    def deliver(self, most: int = 1) -> bool:
        """One invocation of the worker with what is in the queue now; false if nothing is."""
        received = self.sqs.receive(most)
        if not received:
            return False
        with self.process():
            kept = work(self.engine, received)
            if not self.switch.dead:
                self.sqs.delete(received, kept)
        self.clock.advance(self.takes)
        return True

    def bury(self) -> None:
        """The dead letters' function, for all there are."""
        while self.sqs.dead:
            letter = self.sqs.dead[0]
            with self.process():
                run_cases.bury(self.engine, letter.message_id, letter.body, self.clock.now())
                self.sqs.dead.pop(0)

    def deliver_until(self, until: datetime) -> None:
        """All messages that arrive up to `until`, each at its time."""
        for _ in range(5000):
            arrival = self.sqs.next_arrival()
            if arrival is None or arrival > until:
                break
            self.clock.to(arrival)
            self.deliver()
            self.bury()
        else:
            raise AssertionError("the queue never comes to rest")
        self.clock.to(until)

    def live(self, minutes: int) -> None:
        """A tick each minute, and the workers between them."""
        for _ in range(minutes):
            self.tick()
            self.deliver_until(self.clock.now() + MINUTE)

    def drain(self) -> None:
        """All that is in the queue, however long it takes, without another tick."""
        for _ in range(5000):
            arrival = self.sqs.next_arrival()
            if arrival is None:
                return
            self.deliver_until(max(arrival, self.clock.now()))
        raise AssertionError("the queue never comes to rest")


def spec(expression: str = "* * * * *", **fields: Any) -> Spec:
    return Spec.model_validate(
        {
            "name": "a job",
            "schedule": {"type": "cron", "expression": expression},
            "action": {"type": "handler", "name": "echo"},
            **fields,
        }
    )


def every(seconds: int) -> dict[str, Any]:
    return {"type": "every", "interval": seconds}


def at(instant: datetime) -> dict[str, Any]:
    return {"type": "at", "datetime": instant.isoformat()}


def _let_die(hook: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def quiet(arguments: Any) -> None:
        if not isinstance(arguments.exc_value, Killed):
            hook(arguments)

    return quiet
