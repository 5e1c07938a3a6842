"""How many tokens models have taken: what agents say, and what runs have seen."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from chalicelib.core.ids import random_id
from chalicelib.core.instants import iso
from chalicelib.scheduler.engine import Engine


def record(engine: Engine, facts: Mapping[str, Any], now: datetime) -> None:
    """Keeps an entry: `input_tokens`, `output_tokens`, the `model`, and whose they were."""
    at = iso(now)
    engine.records.put(f"token_usage#{at[:7]}", f"{at}#{random_id(6)}", {"at": at, **facts})
