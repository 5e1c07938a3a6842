"""agent_heartbeat: exactly the silent agents go offline, and whoever is heard again is online again."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from chalicelib.scheduler import events, targets
from chalicelib.tasks import TASKS
from tests.integration.tasks_support import attempt
from tests.memory import Memory
from tests.support import MINUTE, SECOND, START, World

Told = list[tuple[str, dict[str, Any]]]


@pytest.fixture
def world() -> World:
    environment, client = Memory.environment()
    return World(environment, client=client)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    """Events and notifications, as they are given to be told."""
    found: Told = []
    monkeypatch.setattr(events, "emit", lambda engine, event, data, now: found.append((event, dict(data))))
    monkeypatch.setattr(
        events, "notify", lambda engine, title, message, now: found.append(("notify", {title: message}))
    )
    return found


def check(world: World, **given: Any) -> Any:
    return TASKS["agent_heartbeat"](world.engine, attempt(**given))


def statuses(world: World) -> dict[str, str]:
    return {agent["id"]: agent["status"] for agent in targets.list_agents(world.engine)}


def register(world: World, *ages: tuple[str, timedelta]) -> None:
    for name, age in ages:
        targets.put_agent(world.engine, f"id-{name}", name, "target", START - age)


def test_exactly_the_silent_ones_are_marked(world: World, told: Told) -> None:
    register(
        world, ("b", 10 * MINUTE + SECOND), ("on-the-limit", 10 * MINUTE), ("a", timedelta(days=3)),
        ("fresh", MINUTE),
    )  # fmt: skip
    told.clear()
    assert check(world) == {"ok": True, "message": "Marked 2 agent(s) offline: a, b", "marked": 2}
    assert statuses(world) == {
        "id-a": "offline", "id-b": "offline", "id-fresh": "online", "id-on-the-limit": "online",
    }  # fmt: skip
    assert [event for event, _ in told] == ["agent.status_change", "notify"] * 2
    assert told[0][1] == {
        "agent_id": "id-a",
        "name": "a",
        "status": "offline",
        "previous": "online",
        "last_seen": "2026-11-19T14:00:30.000Z",
    }


def test_who_is_offline_is_not_marked_again(world: World, told: Told) -> None:
    register(world, ("a", timedelta(days=3)))
    check(world)
    told.clear()
    assert check(world) == {"ok": True, "message": "All agents healthy", "marked": 0}
    assert told == []


def test_an_agent_that_is_busy_and_silent_is_marked_too(world: World, told: Told) -> None:
    register(world, ("a", timedelta(days=3)))
    targets.heartbeat(world.engine, "id-a", "busy", None, START - 11 * MINUTE)
    check(world)
    assert told[-2][1]["previous"] == "busy"


def test_the_timeout_is_a_setting_and_zero_is_never(world: World) -> None:
    register(world, ("a", 3 * MINUTE))
    for minutes, expected in (("4", "online"), ("0", "online"), ("2", "offline")):
        world.put_setting("general.agent_timeout_minutes", minutes)
        check(world)
        assert statuses(world) == {"id-a": expected}


def test_a_heartbeat_between_read_and_write_wins(world: World, told: Told) -> None:
    register(world, ("a", timedelta(days=3)))
    replace = type(world.engine.records).replace

    def late(records: Any, kind: str, key: str, record: Any, before: Any) -> bool:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(records), "replace", replace)
            targets.heartbeat(world.engine, "id-a", None, None, START)
        return replace(records, kind, key, record, before)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(world.engine.records), "replace", late)
        assert check(world)["message"] == "All agents healthy"
    assert (statuses(world), told) == ({"id-a": "online"}, [])


def test_a_heartbeat_that_meets_the_marking_brings_the_agent_back_and_says_so(
    world: World, told: Told
) -> None:
    register(world, ("a", timedelta(days=3)))
    replace = type(world.engine.records).replace

    def late(records: Any, kind: str, key: str, record: Any, before: Any) -> bool:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(records), "replace", replace)
            check(world)
        return replace(records, kind, key, record, before)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(world.engine.records), "replace", late)
        targets.heartbeat(world.engine, "id-a", None, None, START)
    assert statuses(world) == {"id-a": "online"}
    changes = [(data["previous"], data["status"]) for event, data in told if event != "notify"]
    assert changes == [("online", "offline"), ("offline", "online")]


@pytest.mark.parametrize("how", ["heartbeat", "registration"])
def test_who_is_heard_again_is_online_and_that_is_told_once(world: World, told: Told, how: str) -> None:
    register(world, ("a", timedelta(days=3)))
    check(world)
    told.clear()
    for _ in range(2):
        if how == "heartbeat":
            targets.heartbeat(world.engine, "id-a", None, None, START)
        else:
            targets.put_agent(world.engine, "id-a", "a", "another", START)
    assert statuses(world) == {"id-a": "online"}
    assert [(event, data["previous"], data["status"]) for event, data in told] == [
        ("agent.status_change", "offline", "online")
    ]


def test_a_heartbeat_does_not_bring_back_an_agent_that_was_deleted(world: World) -> None:
    register(world, ("a", MINUTE))
    agent = dict(world.engine.records.get("agent", "id-a") or {})
    targets.delete_agent(world.engine, "id-a")
    assert not world.engine.records.replace("agent", "id-a", agent, agent)
    assert statuses(world) == {}


def test_a_dry_run_names_them_and_marks_none(world: World, told: Told) -> None:
    register(world, ("a", timedelta(days=3)))
    told.clear()
    assert check(world, dry_run=True)["message"] == "Marked 1 agent(s) offline: a"
    assert (statuses(world), told) == ({"id-a": "online"}, [])
