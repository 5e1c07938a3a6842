"""The engine under random ticks, crashes and delays: in the end each slot has one verdict, and none is stuck.

A step is a tick, a tick done twice, a tick that dies at some call to AWS, a worker that does, a worker that
is lost in the middle of its action, an attempt that fails, a refusal by SQS, a change by people, or time
that passes. Then the weather clears, and what must hold is checked. Tables are in memory (tests/memory.py).
"""

from __future__ import annotations

import os
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, example, given, note, settings
from hypothesis import strategies as st

from chalicelib.core.action import Attempt
from chalicelib.core.errors import ActionError
from chalicelib.core.job import Job, JobStatus
from chalicelib.core.run import RunStatus, Trigger
from chalicelib.scheduler.tick import tick
from tests.memory import Memory
from tests.support import MINUTE, SECOND, START, Killed, World, every

Step = tuple[Any, ...]

kills = st.tuples(st.integers(1, 11), st.booleans())
steps = st.one_of(
    st.tuples(st.just("tick")),
    st.tuples(st.just("tick twice")),
    st.tuples(st.just("stale tick"), st.integers(1, 200)),
    st.tuples(st.just("tick dies"), kills),
    st.tuples(st.just("work"), st.integers(1, 10)),
    st.tuples(st.just("worker dies"), kills),
    st.tuples(st.just("worker is lost")),
    st.tuples(st.just("slow target"), st.integers(1, 100)),
    st.tuples(st.just("attempt fails")),
    st.tuples(st.just("sqs refuses"), st.integers(0, 3)),
    st.tuples(st.just("time"), st.sampled_from([1, 7, 20, 45, 60, 61, 130, 400, 1000, 3000])),
    st.tuples(st.just("live"), st.integers(1, 3)),
    st.tuples(st.just("pause and resume"), st.integers(0, 3)),
    st.tuples(st.just("trigger"), st.integers(0, 3)),
    st.tuples(st.just("rename"), st.integers(0, 3)),
)
plans = st.fixed_dictionaries(
    {
        "overlap": st.sampled_from(["skip", "queue", "allow"]),
        "misfire": st.sampled_from(["fire_once", "skip", "catch_up"]),
        "retry": st.fixed_dictionaries(
            {
                "max_attempts": st.integers(1, 3),
                "base_delay": st.sampled_from([0, 5, 1000]),
                "strategy": st.just("fixed"),
            }
        ),
        "schedule": st.sampled_from(
            [every(29), every(60), every(300), {"type": "cron", "expression": "*/2 * * * *"}]
        ),
        "jitter_seconds": st.sampled_from([0, 0, 30]),
        "timeout_seconds": st.sampled_from([5, 120]),
        "catch_up_per_minute": st.sampled_from([10, 60]),
        "catch_up_limit": st.sampled_from([5, 100]),
        "max_consecutive_failures": st.just(0),
    }
)


@dataclass
class Play:
    """The world, and what was done to it that the checks must know."""

    world: World
    jobs: list[Job]
    changed: set[str] = field(default_factory=set)  # jobs of which slots were dropped by a pause
    killed: int = 0  # workers, perhaps between a finish and its settlement

    def step(self, step: Step) -> None:
        getattr(self, "_" + step[0].replace(" ", "_"))(*step[1:])

    def _tick(self) -> None:
        self.world.tick()

    def _tick_twice(self) -> None:
        """Two that read the same: the second's reads come before the first's deletes."""
        agenda = self.world.agenda()
        self.world.tick()
        self.world.engine.agenda.file(agenda)
        self.world.tick()

    def _stale_tick(self, seconds: int) -> None:
        """One that was slow: what it takes for now has passed."""
        with self.world.process():
            tick(self.world.engine, self.world.clock.now() - seconds * SECOND)

    def _tick_dies(self, kill: tuple[int, bool]) -> None:
        self.world.clock.advance(61 * SECOND)  # so that it has something to do
        self.world.switch.arm(nth=kill[0], after=kill[1])
        self.world.tick()

    def _work(self, messages: int) -> None:
        for _ in range(messages):
            self.world.deliver()

    def _await_message(self) -> None:
        self.world.clock.to(self.world.sqs.next_arrival() or self.world.clock.now())

    def _worker_dies(self, kill: tuple[int, bool]) -> None:
        self.killed += 1
        self._await_message()
        self.world.switch.arm(nth=kill[0], after=kill[1])
        if not self.world.deliver():
            self.world.switch.reset()

    def _worker_is_lost(self) -> None:
        self._await_message()
        self.world.outcomes = [lambda attempt: self.world.switch.die()]
        self.world.deliver()
        self.world.outcomes.clear()

    def _slow_target(self, seconds: int) -> None:
        """Other workers go on while it takes its time."""

        def act(attempt: Attempt) -> str:
            within = min(seconds, attempt.seconds_left() - 1)
            self.world.deliver_until(self.world.clock.now() + timedelta(seconds=within))
            return "slow"

        self._await_message()
        self.world.outcomes = [act]
        self.world.deliver()
        self.world.outcomes.clear()

    def _attempt_fails(self) -> None:
        self._await_message()
        self.world.outcomes = [ActionError("http_status", "500")]
        self.world.deliver()
        self.world.outcomes.clear()

    def _sqs_refuses(self, which: int) -> None:
        job_id = self.jobs[which % len(self.jobs)].job_id
        self.world.clock.advance(61 * SECOND)
        self.world.sqs.refuses = lambda body: job_id in body
        self.world.tick()
        self.world.deliver()
        self.world.sqs.refuses = lambda body: False

    def _time(self, seconds: int) -> None:
        self.world.clock.advance(seconds * SECOND)

    def _live(self, minutes: int) -> None:
        self.world.live(minutes)

    def _pause_and_resume(self, which: int) -> None:
        job = self.jobs[which % len(self.jobs)]
        self.world.pause(job)
        self.world.clock.advance(SECOND)
        self.world.resume(job)
        self.changed.add(job.job_id)

    def _trigger(self, which: int) -> None:
        self.world.trigger(self.jobs[which % len(self.jobs)])

    def _rename(self, which: int) -> None:
        self.world.change(self.jobs[which % len(self.jobs)], name=f"renamed at {self.world.clock.now()}")

    # -- the end

    def clear_up(self) -> datetime:
        """Ticks and workers go on until nothing is left but what is to come; gives the last tick."""
        end = self.world.clock.now() + timedelta(minutes=20)
        while self.world.clock.now() < end or not self._is_calm():
            assert self.world.clock.now() < end + timedelta(hours=30), "it never comes to rest"
            last = self.world.clock.now()
            self.world.live(1)
        return last

    def _is_calm(self) -> bool:
        """Whether no run goes on and nobody catches up."""
        runs = (run for job in self.jobs for run in self.world.runs(job))
        return all(run.is_finished for run in runs) and all(
            type(entry).__name__ == "Slots" for _, entry in self.world.agenda()
        )

    def check(self, last_tick: datetime) -> None:
        self._check_agenda()
        for job in self.jobs:
            self._check_verdicts(job, last_tick)
            self._check_runs(job)
        made = Counter((attempt.idempotency_key, attempt.number) for attempt in self.world.attempts)
        assert max(made.values(), default=1) == 1, "an attempt was made twice"
        assert self.world.sqs.dead == []

    def _check_agenda(self) -> None:
        for job in self.jobs:
            assert self.world.definition(job).status is JobStatus.ACTIVE
            assert len(self.world.slot_entries(job)) == 1
        assert len(self.world.agenda()) == len(self.jobs)

    def _check_verdicts(self, job: Job, last_tick: datetime) -> None:
        verdicts = self.world.verdicts(job)
        assert len(verdicts) == len(set(verdicts)), "a slot has two verdicts"
        expected = [*job.schedule.occurrences(START, last_tick)]
        if job.job_id in self.changed:
            assert set(verdicts) <= {*job.schedule.occurrences(START, last_tick + 10 * MINUTE)}
        else:
            assert [slot for slot in verdicts if slot <= last_tick] == expected

    def _check_runs(self, job: Job) -> None:
        runs = self.world.runs(job)
        assert all(run.is_finished for run in runs)
        most = job.spec.retry.max_attempts
        made = Counter(attempt.idempotency_key for attempt in self.world.attempts)
        for run in runs:
            key = f"{job.job_id}/{run.run_id}"
            assert made[key] <= most
            assert made[key] <= 1 or run.attempts[0].error, "performed again without a cause"
            lost = sum(1 for each in run.attempts if each.error and each.error.type == "worker_lost")
            assert len(run.attempts) - lost <= made[key] <= len(run.attempts)
            assert made[key] >= (run.status is RunStatus.COMPLETED)
            if run.status is RunStatus.MISSED:
                assert made[key] == 0
            if (
                run.status is RunStatus.SKIPPED
            ):  # perhaps after attempts: it came so late that its lock was lost
                assert all(each.error for each in run.attempts)
            if run.started_at and run.trigger is Trigger.SCHEDULE:
                assert run.started_at >= job.due(run.scheduled_for), "it ran early"
        self._check_state(job, runs)

    def _check_state(self, job: Job, runs: list[Any]) -> None:
        state = self.world.state(job)
        assert (
            (state.lock_run, state.waiter) == (None, None) or job.spec.overlap == "allow" or state.lock_until
        )
        counted = Counter(run.status.value for run in runs if run.missed_count is None)
        for status in ("completed", "failed", "skipped"):
            # A state remembers sixteen runs: one that is settled by its message only, after as many
            # others, is taken for counted.
            least = counted[status] - self.killed
            assert least <= state.counts.get(status, 0) <= counted[status], (status, "is counted wrongly")


@settings(  # the same examples each time, unless more are asked for
    max_examples=int(os.environ.get("BELFRY_EXAMPLES", "25")),
    derandomize="BELFRY_EXAMPLES" not in os.environ,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(st.lists(plans, min_size=1, max_size=3), st.lists(steps, min_size=8, max_size=25))
@example([{"schedule": every(60)}], [("sqs refuses", 0), ("time", 60)])
def test_in_the_end_each_slot_has_one_verdict_and_no_run_is_stuck(
    fields: list[dict[str, Any]], script: list[Step]
) -> None:
    environment, memory = Memory.environment()
    world = World(environment, client=memory, takes=timedelta(milliseconds=1))
    play = Play(world, [world.job(job_id=f"job_{n}", **each) for n, each in enumerate(fields)])
    for step in script:
        note(f"{world.clock.now():%H:%M:%S} {step}")
        play.step(step)
    play.check(play.clear_up())


def test_a_killed_process_makes_no_further_call() -> None:
    """The tests' own tool: what it kills stays dead until another process begins."""
    environment, memory = Memory.environment()
    world = World(environment, client=memory)
    with world.process():
        world.switch.arm()
        with suppress(Killed):
            world.job()
        world.job()
    assert [*world.engine.jobs.ids({})] == []
