"""What a tick costs does not hang on how many jobs are registered."""

from __future__ import annotations

from bench.tick_requests import DUE, entries_after, requests_of_a_tick
from tests.memory import Memory
from tests.support import World


def in_memory() -> World:
    environment, client = Memory.environment()
    return World(environment, client=client)


def test_a_tick_makes_the_same_requests_among_ten_jobs_and_among_a_thousand() -> None:
    few = requests_of_a_tick(in_memory(), DUE)
    assert few == requests_of_a_tick(in_memory(), 1000)
    assert few.total() <= 10


def test_after_many_ticks_some_doubled_late_or_killed_the_agenda_has_one_entry_for_each_job() -> None:
    assert entries_after(in_memory(), 10, 100) == 10
