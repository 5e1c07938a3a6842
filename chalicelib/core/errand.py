"""An errand: work that follows from what happened and that no run waits for. It travels in the runs queue."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Self

from chalicelib.core.action import Json
from chalicelib.core.errors import Invalid
from chalicelib.core.instants import from_iso, iso


class ErrandKind(StrEnum):
    DELIVERY = "delivery"  # a run's result, to its channel
    WEBHOOK = "webhook"  # an event, to a subscriber


@dataclass(frozen=True)
class Errand:
    """`facts` say what it is about; it is not done before `due`."""

    kind: ErrandKind
    facts: Mapping[str, Json]
    due: datetime

    def encode(self) -> str:
        fields = {"errand": self.kind, "facts": dict(self.facts), "due": iso(self.due)}
        return json.dumps(fields, separators=(",", ":"))  # ASCII: SQS refuses some characters

    @classmethod
    def decode(cls, text: str) -> Self:
        """Raises Invalid where the text is no errand."""
        try:
            fields = json.loads(text)
            facts = fields["facts"]
            if not isinstance(facts, dict):
                raise ValueError("facts is no object")
            return cls(ErrandKind(fields["errand"]), facts, from_iso(fields["due"]))
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise Invalid.one("message", f"is no errand ({type(error).__name__}: {error})") from None


def is_errand(text: str) -> bool:
    """Whether a message's body is meant as one, well-formed or not."""
    return text.startswith('{"errand":')
