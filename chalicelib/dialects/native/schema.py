"""What the native dialect takes: bodies and query parameters."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from chalicelib.core.access import Role
from chalicelib.core.instants import parse_instant
from chalicelib.core.job import JobStatus, Origin, Spec, Written
from chalicelib.core.run import FINISHED, RunStatus

Reason = Annotated[str, StringConstraints(min_length=1, max_length=500)]


def _instant(text: str) -> str:
    parse_instant(text)
    return text


class CreateJob(Spec):
    """A job: what `Spec` has, and whether it starts paused."""

    status: Literal["active", "paused"] = "active"

    def spec(self) -> Spec:
        return Spec.model_construct(**{name: getattr(self, name) for name in Spec.model_fields})


class PauseJob(Written):
    reason: Reason | None = None


class TriggerJob(Written):
    """`input` is given to the action. A dry run acts on nothing, and counts for nothing."""

    input: dict[str, Any] | None = None
    dry_run: bool = False


class NoFields(Written):
    """A body that may be sent, and holds nothing."""


class OpenSession(Written):
    key: Annotated[str, StringConstraints(min_length=1, max_length=500)]


class CreateKey(Written):
    role: Role
    name: Annotated[str, StringConstraints(max_length=200)] = ""


class Query(BaseModel):
    model_config = ConfigDict(frozen=True)


class Page(Query):
    limit: Annotated[int, Field(ge=1, le=200)] = 50
    offset: Annotated[int, Field(ge=0, le=1_000_000)] = 0


class JobsQuery(Page):
    status: JobStatus | None = None
    origin: Origin | None = None
    owner: Annotated[str, StringConstraints(min_length=1, max_length=128)] | None = None
    agent_id: Annotated[str, StringConstraints(min_length=1, max_length=128)] | None = None
    tag: Annotated[str, StringConstraints(min_length=1, max_length=64)] | None = None

    def filters(self) -> dict[str, str]:
        return {
            name: str(value)
            for name, value in self.model_dump(exclude={"limit", "offset"}, exclude_none=True).items()
        }


class RunsQuery(Page):
    status: RunStatus | None = None


def _finished(status: RunStatus | None) -> RunStatus | None:
    if status is not None and status not in FINISHED:
        raise ValueError(f"lists finished runs: {', '.join(sorted(FINISHED))}; others are listed by job")
    return status


class RecentRunsQuery(Query):
    limit: Annotated[int, Field(ge=1, le=100)] = 50
    status: Annotated[RunStatus | None, AfterValidator(_finished)] = None
    since: Annotated[str, AfterValidator(_instant)] | None = None
    cursor: str | None = None
