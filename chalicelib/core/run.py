"""A run: one slot's, one trigger's, or one chain node's passage from the queue to an outcome.

    queued ──► running ──► completed | failed | cancelled
      ▲  │        │
      │  │        └──► retrying ──► running ...
      │  └──► skipped | missed | cancelled
      └── running      (it came while another run held the overlap lock, and waits)

`missed` and `skipped` also begin a row: of a run that never started.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Self

from pydantic import BaseModel, ConfigDict

from chalicelib.core.action import Json
from chalicelib.core.errors import ActionError, Invalid
from chalicelib.core.instants import from_iso, iso

LONGEST_DELAY = timedelta(seconds=900)  # of a message, by SQS; what is further off waits in the agenda
OUTPUT_LIMIT = 32 * 1024  # bytes of JSON text kept of an output


class RunStatus(StrEnum):
    QUEUED = "queued"  # waits: for its worker, or for the run before it
    RUNNING = "running"  # a worker holds it under a lease, or its target goes on by itself and is to report
    RETRYING = "retrying"  # an attempt failed, the next is not before `not_before`
    COMPLETED = "completed"
    FAILED = "failed"  # its last attempt failed
    CANCELLED = "cancelled"  # a person stopped it
    SKIPPED = "skipped"  # the overlap policy or a condition said no
    MISSED = "missed"  # its slot was found too late


FINISHED = frozenset(
    {RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED, RunStatus.SKIPPED, RunStatus.MISSED}
)


class Trigger(StrEnum):
    SCHEDULE = "schedule"
    MANUAL = "manual"
    CHAIN = "chain"


class RunError(BaseModel):
    """Why an attempt failed. `permanent`: another would too, so none was made."""

    model_config = ConfigDict(frozen=True)

    type: str
    message: str
    permanent: bool = False

    @classmethod
    def of(cls, error: ActionError) -> Self:
        return cls(type=error.kind, message=str(error)[:500], permanent=error.permanent)


class AttemptRecord(BaseModel):
    """One attempt. Neither end nor error: it goes on, or its worker was lost and nobody has said so yet."""

    model_config = ConfigDict(frozen=True)

    started_at: datetime
    completed_at: datetime | None = None
    error: RunError | None = None


class Run(BaseModel):
    """A row of the runs table. Times are UTC."""

    model_config = ConfigDict(frozen=True)

    job_id: str
    run_id: str
    status: RunStatus
    trigger: Trigger
    revision: int
    scheduled_for: datetime  # the slot; of a manual run the instant of the trigger
    created_at: datetime
    reason: str | None = None
    fence: int = 0
    dispatch: int = 0
    lease_until: datetime | None = None
    not_before: datetime | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    lateness_ms: int | None = None
    attempts: tuple[AttemptRecord, ...] = ()
    input: Json = None
    output: Json = None
    truncated: bool = False
    error: RunError | None = None
    condition: dict[str, str | bool] | None = None  # the verdict, and its reason
    delivery: dict[str, Json] | None = None
    chain_id: str | None = None
    execution: str | None = None  # of the chain
    after: dict[str, str] = {}  # in a chain: the nodes before it and their runs
    task_token: str | None = None  # by which its outcome is reported
    token_digest: str | None = None  # of the token by which the attempt's target may report
    is_awaited: bool = False  # the target goes on by itself; it is to report before `lease_until`
    progress: dict[str, Json] | None = None  # the target's last report before the end
    rerun_of: str | None = None
    triggered_by: str | None = None
    dry_run: bool = False
    missed_from: datetime | None = None  # with `missed_count`: one row for many missed slots
    missed_count: int | None = None
    expires_at: int | None = None
    schema_version: int = 1

    @property
    def is_finished(self) -> bool:
        return self.status in FINISHED


@dataclass(frozen=True)
class Claim:
    """The answer to a worker that wants a run: it as it stands now (None: no row), and whether it is won."""

    run: Run | None
    won: bool


@dataclass(frozen=True)
class Message:
    """What the runs queue carries: which run to start, and when.

    `due` is the instant at which it is to start: the slot and its jitter, or later where a policy
    said so. `dispatch` counts the messages that were sent for the run, so that an older one can be
    told from the newer.
    """

    job_id: str
    run_id: str
    revision: int
    slot: datetime
    due: datetime
    trigger: Trigger = Trigger.SCHEDULE
    dispatch: int = 1

    @property
    def needs_row(self) -> bool:
        """The row of a run that somebody asked for says who, and with what; it is written by whoever asks."""
        return self.trigger is not Trigger.SCHEDULE

    def encode(self) -> str:
        return json.dumps(
            asdict(self) | {"slot": iso(self.slot), "due": iso(self.due)}, separators=(",", ":")
        )

    @classmethod
    def decode(cls, text: str) -> Self:
        """Raises Invalid where the text is no message."""
        try:
            fields = json.loads(text)
            return cls(
                job_id=_text(fields, "job_id"),
                run_id=_text(fields, "run_id"),
                revision=int(fields["revision"]),
                slot=_instant(fields, "slot"),
                due=_instant(fields, "due"),
                trigger=Trigger(fields["trigger"]),
                dispatch=int(fields["dispatch"]),
            )
        except (KeyError, TypeError, ValueError, ArithmeticError, RecursionError) as error:
            raise Invalid.one("message", f"is no run message ({type(error).__name__}: {error})") from None

    @classmethod
    def of(cls, run: Run) -> Self:
        """The message that a row stands for, due at its slot."""
        return cls(
            job_id=run.job_id,
            run_id=run.run_id,
            revision=run.revision,
            slot=run.scheduled_for,
            due=run.scheduled_for,
            trigger=run.trigger,
            dispatch=max(run.dispatch, 1),
        )

    def again(self, due: datetime) -> Message:
        """The next message for the same run."""
        return replace(self, due=due, dispatch=self.dispatch + 1)


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields[name]
    if not isinstance(value, str) or not 1 <= len(value) <= 128:
        raise ValueError(f"{name} is no id")
    return value


def _instant(fields: Mapping[str, Any], name: str) -> datetime:
    instant = from_iso(fields[name])
    if instant.tzinfo is None:
        raise ValueError(f"{name} has no offset")
    return instant


def cut_output(output: Json) -> tuple[Json, bool]:
    """The output as it is kept, and whether it was cut: at 32 KB of its JSON text."""
    text = json.dumps(output, ensure_ascii=False, separators=(",", ":"))
    if len(text.encode()) <= OUTPUT_LIMIT:
        return output, False
    whole = output if isinstance(output, str) else text
    kept = whole.encode()[:OUTPUT_LIMIT].decode(errors="ignore")
    while (
        len(json.dumps(kept, ensure_ascii=False).encode()) > OUTPUT_LIMIT
    ):  # quotes and controls are escaped
        kept = kept[: len(kept) * 9 // 10]
    return kept, True
