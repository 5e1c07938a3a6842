"""Activities and notifications, page by page."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chalicelib.core.errors import Invalid
from chalicelib.scheduler import feed
from chalicelib.scheduler.feed import Entry, Feed
from tests.memory import Memory
from tests.support import World

BEGIN = datetime(2026, 3, 28, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def world() -> World:
    environment, client = Memory.environment()
    return World(environment, client=client)


def write(world: World, days: int, **fields: Any) -> None:
    record = {"type": "job.created", "n": days, **fields}
    feed.add(world.engine, Feed.ACTIVITIES, [Entry(BEGIN + days * DAY, record)])


def pages(world: World, limit: int, type_: str | None = None, meanwhile: Any = None) -> list[list[int]]:
    found, cursor = [], None
    while True:
        page, cursor = feed.page(world.engine, Feed.ACTIVITIES, limit, cursor, type_)
        found.append([entry["n"] for entry in page])
        if cursor is None:
            return found
        if meanwhile:
            meanwhile()


@pytest.mark.parametrize("limit", [1, 3, 7, 24, 25, 200])
def test_pages_cross_months_and_empty_ones_and_end_with_the_oldest(world: World, limit: int) -> None:
    days = [*range(0, 20, 2), *range(90, 120, 2)]  # nothing in May
    for day in days:
        write(world, day)
    found = pages(world, limit)
    assert [n for page in found for n in page] == days[::-1]
    assert all(len(page) == limit for page in found[:-1])
    assert found[-1]


def test_what_comes_while_somebody_reads_is_neither_lost_nor_shown_twice(world: World) -> None:
    for day in range(40):
        write(world, day)
    more = iter(range(40, 1000))
    found = [n for page in pages(world, 5, meanwhile=lambda: write(world, next(more))) for n in page]
    assert found == [*range(39, -1, -1)]
    assert pages(world, 200)[0][0] > 40


def test_entries_of_one_instant_are_all_there(world: World) -> None:
    for n in range(30):
        write(world, 0, n=n)
    assert sorted(n for page in pages(world, 4) for n in page) == [*range(30)]


def test_a_type_is_found_among_others_however_rare(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "_LOOKED_AT", 10)
    for day in range(60):
        write(world, day, type="job.deleted" if day % 25 == 0 else "job.created")
    found = pages(world, 5, "job.deleted")
    assert [n for page in found for n in page] == [50, 25, 0]
    assert len(found) == 6  # ten looked at for each


def test_an_empty_feed_is_an_empty_page(world: World) -> None:
    assert feed.page(world.engine, Feed.NOTIFICATIONS, 10, None) == ([], None)


@pytest.mark.parametrize("cursor", ["x", "", "ü", "MjAyNi0xMQ==", "////", "2026-11-22T14:00:00.000Z#a"])
def test_what_is_no_cursor_is_refused(world: World, cursor: str) -> None:
    with pytest.raises(Invalid, match="cursor"):
        feed.page(world.engine, Feed.ACTIVITIES, 10, cursor)
