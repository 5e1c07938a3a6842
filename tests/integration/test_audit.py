"""The audit log on its table: its pages, and cleanups that are killed, that come twice, that meet."""

from __future__ import annotations

import json
import random
from datetime import timedelta
from typing import Any

import pytest

from chalicelib.core.access import Principal, Role
from chalicelib.core.audit import PRUNE, BrokenLink, Checkpoint
from chalicelib.scheduler import audit, audit_reading
from chalicelib.scheduler.audit_reading import Wanted
from tests.memory import Memory
from tests.support import World

DAY = timedelta(days=1)
ANNA = Principal("key_anna", Role.ADMIN)


def write(world: World, count: int, every: timedelta = timedelta(hours=1), who: Principal = ANNA) -> None:
    for _ in range(count):
        audit.append(world.engine, who, "job.create", "job_a", {"status": 201}, world.clock.now())
        world.clock.advance(every)


def prune(world: World, **given: Any) -> int:
    return audit.prune(world.engine, world.clock.now(), **given)


def seqs(world: World) -> list[int]:
    found, cursor = audit_reading.entries(world.engine, Wanted(), 10_000, None)
    assert cursor is None
    return [entry["seq"] for entry in reversed(found)]


def broken(world: World) -> str | None:
    found = audit_reading.verify(world.engine, world.clock.now()).broken
    return found.issue if found else None


def checkpoint(world: World) -> dict[str, Any] | None:
    return world.engine.records.get("audit", "checkpoint")


def rows(world: World) -> list[tuple[str, str, str]]:
    """Kind, key and text of all that is kept of the log."""
    engine = world.engine
    head = audit_reading.head_of(engine)
    assert head
    found = [
        (audit_reading.kind(month), place, text)
        for month in audit_reading.months(head.first_at, head.at)
        for place, text in audit_reading.texts(engine, month)
    ]
    single = [("audit", key, engine.records.text("audit", key)) for key in ("head", "checkpoint")]
    return found + [(kind, key, text) for kind, key, text in single if text]


def store(world: World, kind: str, key: str, text: str) -> None:
    world.engine.records._table.put({"kind": kind, "record_key": key, "document": text})


def test_a_thousand_entries_stay_verifiable_without_those_past_their_time() -> None:
    environment, client = Memory.environment()
    world = World(environment, client=client)
    write(world, 1000)
    world.clock.advance(365 * DAY - timedelta(hours=100))
    assert prune(world, dry_run=True) == 898
    assert seqs(world) == [*range(1, 1001)]
    assert prune(world) == 898
    assert seqs(world) == [1, *range(900, 1002)]
    gap = checkpoint(world)
    assert gap is not None
    assert {**gap, "last_hash": None} == {"first_seq": 2, "last_seq": 899, "count": 898, "last_hash": None}
    verified = audit_reading.verify(world.engine, world.clock.now())
    assert (verified.broken, verified.entries) == (None, 103)
    assert verified.checkpoint == Checkpoint(**gap)
    chance = random.Random(3)
    for kind, key, text in chance.sample(rows(world), 30) + rows(world)[-2:]:
        place = chance.randrange(len(text))
        changed = text[:place] + chr(ord(text[place]) ^ 1) + text[place + 1 :]
        store(world, kind, key, changed)
        assert broken(world), (kind, key, changed)
        store(world, kind, key, text)
    assert broken(world) is None


def test_cleanups_follow_one_another(world: World) -> None:
    for _ in range(4):
        write(world, 30, DAY)
        world.clock.advance(300 * DAY)
        prune(world)
        assert broken(world) is None
    assert prune(world) == 0
    assert seqs(world)[0] == 1
    vouching, _ = audit_reading.entries(world.engine, Wanted(action=PRUNE), 10, None)
    assert vouching[0]["details"]["checkpoint"] == checkpoint(world)
    assert vouching[0]["actor"] == "system"


@pytest.mark.parametrize(("operation", "nth", "after"), [
    ("transact_write_items", 1, False),  # the checkpoint
    ("transact_write_items", 1, True),
    ("transact_write_items", 2, False),  # the first batch of deletes
    ("transact_write_items", 2, True),
    ("transact_write_items", 3, True),
])  # fmt: skip
def test_the_next_cleanup_finishes_what_a_killed_one_began(
    world: World, operation: str, nth: int, after: bool
) -> None:
    write(world, 100)
    world.clock.advance(365 * DAY)
    world.switch.arm(operation, nth, after=after)
    with world.process():
        prune(world)
    assert broken(world) is None
    left = len(seqs(world))
    assert left > 25
    assert prune(world) >= left - 3
    assert seqs(world) == [1, 100, 101]
    assert broken(world) is None
    assert prune(world) == 0


def test_two_cleanups_at_once_leave_one_checkpoint(world: World) -> None:
    """The second comes between the first one's reading and its writing."""
    write(world, 60)
    world.clock.advance(365 * DAY)
    real = world.engine.records.replacing

    def meanwhile(*given: Any) -> Any:
        world.engine.records.replacing = real  # type: ignore[method-assign]
        write(world, 3)
        assert prune(world) == 58
        return real(*given)

    world.engine.records.replacing = meanwhile  # type: ignore[method-assign]
    assert prune(world) == 0
    assert broken(world) is None
    assert len(audit_reading.entries(world.engine, Wanted(action=PRUNE), 10, None)[0]) == 1


def test_retention_0_keeps_for_ever(world: World) -> None:
    world.put_setting("retention.audit_log", "0")
    write(world, 5)
    world.clock.advance(5000 * DAY)
    assert prune(world) == 0
    assert seqs(world) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("count", [0, 1, 2])
def test_with_two_entries_or_fewer_there_is_nothing_to_delete(world: World, count: int) -> None:
    write(world, count)
    world.clock.advance(400 * DAY)
    assert prune(world) == 0
    assert (seqs(world), checkpoint(world), broken(world)) == ([*range(1, count + 1)], None, None)


def test_a_broken_log_is_not_cleaned_up(world: World) -> None:
    """Else the cleanup would remove what shows that somebody was at it."""
    write(world, 30)
    kind, key, text = rows(world)[9]
    store(world, kind, key, text.replace("job_a", "job_b"))
    world.clock.advance(400 * DAY)
    with pytest.raises(BrokenLink, match="entry 10 is not as it was written"):
        prune(world)
    assert seqs(world) == [*range(1, 31)]


def test_a_head_that_is_gone_is_found(world: World) -> None:
    assert broken(world) is None
    write(world, 3)
    world.engine.records.delete("audit", "head")
    assert broken(world) == "the head is missing"


def test_a_head_that_is_gone_lets_nobody_write_over_the_first_entry(world: World) -> None:
    write(world, 1)
    world.engine.records.delete("audit", "head")
    with pytest.raises(RuntimeError):
        write(world, 1)


def test_an_entry_behind_the_head_is_found(world: World) -> None:
    write(world, 3)
    kind, _, text = rows(world)[2]
    store(world, kind, "000000000004", text)
    assert broken(world) == "entry 4 stands behind the head"


def test_entries_that_come_while_the_log_is_verified_break_nothing(world: World) -> None:
    write(world, 3)
    real = world.engine.records.texts

    def meanwhile(*given: Any, **options: Any) -> Any:
        world.engine.records.texts = real  # type: ignore[method-assign]
        write(world, 2)
        return real(*given, **options)

    world.engine.records.texts = meanwhile  # type: ignore[method-assign]
    verified = audit_reading.verify(world.engine, world.clock.now())
    assert (verified.broken, verified.entries) == (None, 3)


def test_the_instant_of_an_entry_never_goes_back_with_a_machines_clock(world: World) -> None:
    write(world, 1)
    later = world.clock.now()
    audit.append(world.engine, ANNA, "job.create", None, {}, later)
    audit.append(world.engine, ANNA, "job.create", None, {}, later - 40 * DAY)
    assert seqs(world) == [1, 2, 3]
    assert broken(world) is None


def test_entries_are_listed_newest_first_page_after_page_across_months(world: World) -> None:
    write(world, 25, 3 * DAY)
    found: list[int] = []
    sizes, cursor = [], None
    while cursor or not sizes:
        page, cursor = audit_reading.entries(world.engine, Wanted(), 10, cursor)
        found += [entry["seq"] for entry in page]
        sizes.append(len(page))
    assert found == [*range(25, 0, -1)]
    assert sizes == [10, 10, 5]


def test_entries_are_found_by_actor_action_and_time(world: World) -> None:
    start = world.clock.now()
    write(world, 3, DAY)
    write(world, 2, DAY, Principal("key_bob", Role.OPERATOR))

    def found(**wanted: Any) -> list[int]:
        return [entry["seq"] for entry in audit_reading.entries(world.engine, Wanted(**wanted), 10, None)[0]]

    assert found(actor="key_bob") == [5, 4]
    assert found(action="job.create", actor="key_anna") == [3, 2, 1]
    assert found(action="job.delete") == []
    assert found(since=start + DAY) == [5, 4, 3, 2]
    assert found(until=start + DAY) == [1]
    assert found(since=start + DAY, until=start + 2 * DAY) == [2]


def test_a_page_ends_after_some_thousands_looked_at(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_reading, "_READ", 4)
    write(world, 10)
    page, cursor = audit_reading.entries(world.engine, Wanted(actor="nobody"), 3, None)
    assert (page, cursor is None) == ([], False)
    rest, _ = audit_reading.entries(world.engine, Wanted(), 10, cursor)
    assert rest[0]["seq"] == 6


def test_what_is_kept_is_the_canonical_json_that_anyone_can_hash(world: World) -> None:
    write(world, 1)
    entry = json.loads(rows(world)[0][2])
    assert [*entry] == ["seq", "prev_hash", "at", "actor", "role", "action", "target", "details", "hash"]
