"""A job: its definition, written by people, and its state, written by runs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, tzinfo
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from chalicelib.core import schedule as schedules
from chalicelib.core.action import Action
from chalicelib.core.condition import check
from chalicelib.core.delivery import Delivery
from chalicelib.core.errors import Invalid
from chalicelib.core.instants import exact_iso, from_millis, millis, parse_instant
from chalicelib.core.run import Message
from chalicelib.core.schedule import Dst, Fold, Gap, Schedule

SYSTEM = "system"  # the owner of built-in jobs
NO_RULE = Dst()  # the expression's own
_EARLIER = 16  # revisions that a job remembers: more than are made while a message waits
COMPLETION_LIMIT = 604_800  # seconds: Step Functions waits no longer for a node
LONGEST_AHEAD = 100 * 366 * 86_400  # seconds, of a delay
ATTEMPT_LIMIT = 840  # seconds: a Lambda lives for 15 minutes, and needs some to say how it went


class JobStatus(StrEnum):
    ACTIVE = "active"
    PAUSED = "paused"  # by a person
    COMPLETED = "completed"  # no slot is left
    FAILED = "failed"  # paused by too many failures in a row; or an `at` job whose attempts are used up


class Origin(StrEnum):
    """The dialect through which a job was made."""

    NATIVE = "native"
    AGENTS = "agents"
    MISSION_CONTROL = "mission_control"
    CODESPAR = "codespar"
    NIGHTLY = "nightly"


class Overlap(StrEnum):
    """A slot comes while the job runs."""

    SKIP = "skip"  # the new run is recorded as skipped
    QUEUE = "queue"  # one run waits for the present one; further ones are skipped
    ALLOW = "allow"  # both run


class Misfire(StrEnum):
    """A slot is found later than the grace allows."""

    FIRE_ONCE = "fire_once"  # the newest late slot runs, the older ones are missed
    SKIP = "skip"  # all late slots are missed
    CATCH_UP = "catch_up"  # the newest `catch_up_limit` of them run, oldest first, paced


class Strategy(StrEnum):
    """The delay before attempt n+1, from base_delay b."""

    FIXED = "fixed"  # b
    LINEAR = "linear"  # b, 2b, 3b ...
    EXPONENTIAL = "exponential"  # b, 2b, 4b ...


class RetryJitter(StrEnum):
    NONE = "none"
    FULL = "full"  # anywhere between 0 and the delay


class Written(BaseModel):
    """What people write: unknown fields are refused, numbers are not guessed from text."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


def _whole(value: Any) -> Any:
    """3600.0 is 3600; "3600" and true are not numbers."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        raise ValueError("give a number")
    return int(value) if abs(value) < 1e15 and value == int(value) else value


def _one_line(text: str) -> str:
    if not text.isprintable():
        raise ValueError("give one line of printable characters")
    return text


Whole = Annotated[int, BeforeValidator(_whole)]
Delay = Annotated[Whole, Field(ge=1, le=LONGEST_AHEAD)]  # seconds
Seconds = Annotated[int | float, BeforeValidator(_whole), Field(ge=0, le=86_400)]
Name = Annotated[
    str,
    StringConstraints(min_length=1, max_length=200, strip_whitespace=True),
    AfterValidator(_one_line),
]
Tag = Annotated[str, StringConstraints(min_length=1, max_length=64, strip_whitespace=True)]
ExternalId = Annotated[str, StringConstraints(min_length=1, max_length=128)]


class CronSpec(Written):
    type: Literal["cron"]
    expression: str
    timezone: str = "UTC"


class EverySpec(Written):
    type: Literal["every"]
    interval: Whole
    timezone: str = "UTC"
    start_at: str | None = None


class AtSpec(Written):
    """`delay_seconds` is kept where the instant was asked for as a delay. It decides nothing."""

    type: Literal["at"]
    datetime: str
    timezone: str = "UTC"
    delay_seconds: Delay | None = None


ScheduleSpec = Annotated[CronSpec | EverySpec | AtSpec, Field(discriminator="type")]


class DstSpec(Written):
    gap: Gap | None = None
    overlap: Fold | None = None


class Retry(Written):
    max_attempts: Annotated[Whole, Field(ge=1, le=100)] = 1
    strategy: Strategy = Strategy.EXPONENTIAL
    base_delay: Seconds = 60
    max_delay: Seconds = 3600
    jitter: RetryJitter = RetryJitter.NONE

    def delay(self, attempt: int, chance: float) -> timedelta:
        """The wait after attempt number `attempt` (from 1). `chance` in [0, 1) is the full jitter's."""
        factor = {
            Strategy.FIXED: 1,
            Strategy.LINEAR: attempt,
            Strategy.EXPONENTIAL: 2 ** min(attempt - 1, 32),
        }[self.strategy]
        seconds = min(self.base_delay * factor, self.max_delay)
        return timedelta(seconds=seconds * (chance if self.jitter is RetryJitter.FULL else 1))


class Gate(StrEnum):
    """What a condition decides."""

    DELIVERY = "delivery"  # over the run's own output: false, and it is not delivered
    RUN = "run"  # over the last completed output: false, and the run is skipped


class Condition(Written):
    type: Literal["expression"] = "expression"
    expression: Annotated[str, StringConstraints(min_length=1), AfterValidator(check)]
    gate: Gate = Gate.DELIVERY


class Spec(Written):
    """The part of a job that people write, as all dialects hand it to the core."""

    name: Name
    schedule: ScheduleSpec
    goal: Annotated[str, Field(max_length=20_000)] | None = None
    agent_id: ExternalId | None = None
    action: Action | None = None
    delivery: Delivery | None = None
    condition: Condition | None = None
    tags: Annotated[list[Tag], Field(max_length=20)] = []
    retry: Retry = Retry()
    timeout_seconds: Annotated[Whole, Field(ge=1, le=ATTEMPT_LIMIT)] = 300
    completion_timeout_seconds: Annotated[Whole, Field(ge=1, le=COMPLETION_LIMIT)] = 3600
    overlap: Overlap = Overlap.SKIP
    misfire: Misfire = Misfire.FIRE_ONCE
    misfire_grace_seconds: Annotated[Whole, Field(ge=0, le=86_400)] = 60
    catch_up_limit: Annotated[Whole, Field(ge=1, le=1000)] = 100
    catch_up_per_minute: Annotated[Whole, Field(ge=1, le=600)] = 60
    max_consecutive_failures: Annotated[Whole, Field(ge=0, le=1000)] = 10
    dst: DstSpec = DstSpec()
    jitter_seconds: Annotated[Whole, Field(ge=0, le=600)] = 0
    start_at: str | None = None
    end_at: str | None = None

    @field_validator("start_at", "end_at")
    @classmethod
    def _limits_are_instants(cls, value: str | None, info: ValidationInfo) -> str | None:
        """Stored in UTC; without an offset they are in the schedule's zone."""
        spec = info.data.get("schedule")
        if value is None or spec is None:  # what is wrong with the schedule is said there
            return value
        return exact_iso(parse_instant(value, schedules.zone(spec.timezone)))

    @field_validator("schedule")
    @classmethod
    def _schedule_is_one(cls, spec: CronSpec | EverySpec | AtSpec) -> CronSpec | EverySpec | AtSpec:
        zone = schedules.zone(spec.timezone)
        if isinstance(spec, CronSpec):
            schedules.cron(spec.expression, spec.timezone)
        elif isinstance(spec, EverySpec):
            schedules.every(timedelta(seconds=min(spec.interval, 10**11)), from_millis(0), spec.timezone)
            if spec.start_at is not None:
                return spec.model_copy(update={"start_at": _instant("start_at", spec.start_at, zone)})
        else:
            return spec.model_copy(update={"datetime": _instant("datetime", spec.datetime, zone)})
        return spec

    @model_validator(mode="after")
    def _the_end_lies_after_the_start(self) -> Self:
        if self.start and self.end and self.end < self.start:
            raise Invalid.one("end_at", f"lies before start_at ({self.start_at})")
        if isinstance(self.schedule, AtSpec):
            only = parse_instant(self.schedule.datetime)
            if self.start and only < self.start:
                raise Invalid.one("start_at", f"lies after the job's only time ({self.schedule.datetime})")
            if self.end and only > self.end:
                raise Invalid.one("end_at", f"lies before the job's only time ({self.schedule.datetime})")
        return self

    @property
    def start(self) -> datetime | None:
        return parse_instant(self.start_at) if self.start_at else None

    @property
    def end(self) -> datetime | None:
        return parse_instant(self.end_at) if self.end_at else None


class Job(BaseModel):
    """A definition: the `definition` part of a job's two rows.

    `revision` is the instant (ms) from which the present schedule holds, `earlier` those of the
    ones before it; `version` counts every write, and each is conditional on the one before.
    `anchor` is where an interval's grid begins.
    """

    model_config = ConfigDict(frozen=True)

    job_id: str
    revision: int
    earlier: tuple[int, ...] = ()
    chains: tuple[str, ...] = ()  # that use it
    version: int
    spec: Spec
    status: JobStatus
    status_reason: str | None = None
    anchor: datetime
    origin: Origin
    owner: str
    created_at: datetime
    updated_at: datetime
    schema_version: int = 1

    @property
    def schedule(self) -> Schedule:
        spec = self.spec
        dst = Dst(spec.dst.gap, spec.dst.overlap)
        return parsed(spec.schedule, self.anchor, dst, spec.start, spec.end, seed=self.job_id)

    def rescheduled(self, now: datetime) -> dict[str, Any]:
        """The fields of a change after which another schedule, or none, holds from `now` on."""
        revision = max(millis(now), self.revision + 1)
        return {"revision": revision, "earlier": (*self.earlier, self.revision)[-_EARLIER:]}

    def held_until(self, revision: int) -> int | None:
        """When (ms) the schedule of `revision` ceased to hold; None if it still does."""
        return min((later for later in (*self.earlier, self.revision) if later > revision), default=None)

    def next_slot(self, after: datetime) -> datetime | None:
        """The first slot after `after` that the present revision holds for."""
        return self.schedule.next(max(after, from_millis(self.revision)))

    def due(self, slot: datetime) -> datetime:
        """When the slot's run is to start: the slot and its jitter."""
        return slot + schedules.jitter(self.job_id, slot, timedelta(seconds=self.spec.jitter_seconds))

    @property
    def grace(self) -> timedelta:
        return timedelta(seconds=self.spec.misfire_grace_seconds)

    @property
    def completion_timeout(self) -> timedelta:
        """How long a target that goes on by itself may be silent."""
        return timedelta(seconds=self.spec.completion_timeout_seconds)

    @property
    def timeout(self) -> timedelta:
        return timedelta(seconds=self.spec.timeout_seconds)


class LastRun(BaseModel):
    model_config = ConfigDict(frozen=True)

    run_id: str
    status: str
    started_at: datetime | None = None
    completed_at: datetime


class State(BaseModel):
    """The `state` part: what runs have left. `counts` has the finished runs by status."""

    model_config = ConfigDict(frozen=True)

    job_id: str
    run_count: int = 0
    counts: dict[str, int] = {}
    consecutive_failures: int = 0
    last_run: LastRun | None = None
    last_completed: str | None = None  # run id: the skipped and failed ones after it may be many
    lock_run: str | None = None
    lock_until: datetime | None = None
    waiter: Message | None = None  # of the run that is to have the lock next


def parsed(
    spec: ScheduleSpec,
    anchor: datetime,
    dst: Dst = NO_RULE,
    start: datetime | None = None,
    end: datetime | None = None,
    *,
    seed: str = "",
) -> Schedule:
    """The schedule that was written. An interval's first slot is `start`, else one interval after `anchor`.

    Parsing cron is cached; `seed` is what `H` is hashed from.
    """
    if isinstance(spec, CronSpec):
        return schedules.cron(spec.expression, spec.timezone, dst=dst, start=start, end=end, seed=seed)
    if isinstance(spec, EverySpec):
        interval = timedelta(seconds=spec.interval)
        first = start or (parse_instant(spec.start_at) if spec.start_at else anchor + interval)
        return schedules.every(interval, first, spec.timezone, end=end)
    return schedules.at(parse_instant(spec.datetime), spec.timezone)


def checked_schedule(fields: Mapping[str, Any]) -> ScheduleSpec:
    """A schedule as a job could have it. Raises Invalid with the first thing that is wrong."""
    try:
        return Spec.model_validate({"name": "schedule", "schedule": fields}).schedule
    except ValidationError as error:
        problem = error.errors()[0]
        cause = problem.get("ctx", {}).get("error")
        if isinstance(cause, Invalid):
            raise cause from None
        message = str(problem["msg"]).removeprefix("Value error, ")
        raise Invalid.one(str(problem["loc"][-1]), message) from None


def _instant(field: str, text: str, zone: tzinfo) -> str:
    """As it is stored: in UTC."""
    try:
        return exact_iso(parse_instant(text, zone))
    except ValueError as error:
        raise Invalid.one(field, str(error)) from None
