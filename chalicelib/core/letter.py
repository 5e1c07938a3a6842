"""What a channel is told, and where it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from urllib.parse import quote

from chalicelib.core.action import Json
from chalicelib.core.delivery import Format
from chalicelib.core.errors import ActionError
from chalicelib.core.instants import exact_iso
from chalicelib.core.run import Run

DIRECT = frozenset({"sns", "sqs"})  # kinds whose names say where they are: nothing is set up for them


@dataclass(frozen=True)
class Address:
    """A channel: `slack:#alerts`, and what was set up for it. The URL and the secret are never shown."""

    name: str
    url: str = field(default="", repr=False)
    secret: str | None = field(default=None, repr=False)  # that webhooks are signed with

    @property
    def kind(self) -> str:
        return self.name.partition(":")[0]

    @property
    def target(self) -> str:
        return self.name.partition(":")[2]

    def filled(self) -> Address:
        """With the target in place of `{target}`, quoted so that it stays what it is: one value."""
        return replace(self, url=self.url.replace("{target}", quote(self.target, safe="")))


class NoChannel(ActionError):
    def __init__(self, name: str) -> None:
        super().__init__("no_channel", f"no channel {name} is set up", permanent=True)


@dataclass(frozen=True)
class Letter:
    """`facts` are all that is told, as the JSON form has them; `key` is the same each time it is sent."""

    key: str
    subject: str
    facts: Mapping[str, Json]
    sent_at: datetime
    format: Format = Format.TEXT


def of_run(run: Run, job_name: str, form: Format, now: datetime) -> Letter:
    facts: dict[str, Json] = {
        "job_id": run.job_id,
        "job_name": job_name,
        "run_id": run.run_id,
        "status": run.status.value,
        "scheduled_for": exact_iso(run.scheduled_for),
        "completed_at": exact_iso(run.completed_at) if run.completed_at else None,
        "output": run.output,
        "truncated": run.truncated,
        "error": run.error.message if run.error else run.reason,
    }
    return Letter(f"{run.job_id}/{run.run_id}", f"{job_name}: {run.status}", facts, now, form)


def of_text(key: str, subject: str, text: str, now: datetime) -> Letter:
    return Letter(key, subject, {"subject": subject, "text": text}, now)
