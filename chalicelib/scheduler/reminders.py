"""The one place from which reminders leave."""

from __future__ import annotations

from chalicelib.core.errors import ActionError
from chalicelib.scheduler.engine import Engine


def send(engine: Engine, channel: str, subject: str, text: str) -> None:
    """Raises ActionError where the reminder is not delivered."""
    raise ActionError("no_channel", f"no channel {channel} is set up")
