"""The feeds that people read: activities and notifications, newest first.

A feed's entries are kept by month; a record a month, under the feed's own kind, says which months there are.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from chalicelib.core.errors import Invalid
from chalicelib.core.ids import random_id
from chalicelib.core.instants import iso
from chalicelib.scheduler.engine import Engine

if TYPE_CHECKING:
    from chalicelib.aws.records import Records

_LOOKED_AT = 2000  # entries, for one page: a rare type may need several
_KEY = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]{1,15}Z#[a-z0-9]{1,64}", re.ASCII)


class Feed(StrEnum):
    """Also the kind of its records."""

    ACTIVITIES = "activity"
    NOTIFICATIONS = "notification"


class Entry(NamedTuple):
    """`suffix` tells entries of one instant apart; the same entry twice is one."""

    at: datetime
    record: Mapping[str, Any]
    suffix: str | None = None

    @property
    def key(self) -> str:
        return f"{iso(self.at)}#{self.suffix or random_id(6)}"


def add(engine: Engine, feed: Feed, entries: Sequence[Entry]) -> None:
    months: dict[str, list[Entry]] = {}
    for entry in entries:
        months.setdefault(iso(entry.at)[:7], []).append(entry)
    for month, members in months.items():
        _mark(engine.records, feed, month)
        engine.records.put_many(f"{feed}#{month}", {entry.key: entry.record for entry in members})


@lru_cache(maxsize=64)
def _mark(records: Records, feed: Feed, month: str) -> None:
    """Once a process: a reader must know how far back to look."""
    records.put(feed, month, {})


def page(
    engine: Engine, feed: Feed, limit: int, cursor: str | None, type_: str | None = None
) -> tuple[list[dict[str, Any]], str | None]:
    """The next entries, only those of a type if it is given, and the cursor of the page after, if any."""
    found: list[dict[str, Any]] = []
    last, looked = "", 0
    for key, record in _entries(engine, feed, _key(cursor), limit):
        if len(found) == limit or looked == _LOOKED_AT:
            return found, base64.urlsafe_b64encode(last.encode()).decode()
        last, looked = key, looked + 1
        if type_ in (None, record.get("type")):
            found.append({"id": key, **record})
    return found, None


def _entries(
    engine: Engine, feed: Feed, before: str | None, limit: int
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Newest first. What comes meanwhile is newer than `before`, and so on no later page."""
    for month, _ in engine.records.list(feed, newest_first=True):
        if before is None or month <= before[:7]:
            kind = f"{feed}#{month}"
            yield from engine.records.list(kind, newest_first=True, before=before, page=limit + 1)


def _key(cursor: str | None) -> str | None:
    """Raises Invalid where the text is no cursor."""
    if cursor is None:
        return None
    try:
        key = base64.urlsafe_b64decode(cursor).decode()
    except (ValueError, binascii.Error):
        key = ""
    if not _KEY.fullmatch(key):
        raise Invalid.one("cursor", "give the cursor that the page before ended with")
    return key
