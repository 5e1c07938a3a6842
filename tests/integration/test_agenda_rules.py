"""Rules 1 to 6 of the protocol: the agenda. Each test fails where its rule is left out."""

# ruff: noqa: N803  the arguments' names are AWS's own

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import product
from typing import Any

import pytest

from chalicelib.aws import dynamo
from chalicelib.aws.jobs import Changed, _definition
from chalicelib.core.agenda import CatchUps, Retry, Segment, Slots, pack
from chalicelib.core.errors import ActionError
from chalicelib.core.instants import floor_minute, from_millis, millis
from chalicelib.core.job import JobStatus
from chalicelib.core.run import Message, RunStatus
from chalicelib.scheduler.sweep import sweep
from chalicelib.scheduler.tick import tick
from tests.support import MINUTE, SECOND, START, World, at, every, spec

Environment = dict[str, str]
FAR = "0 16 * * *"  # two hours away: past the lookahead
HOUR = timedelta(hours=1)


def slots_sent(world: World) -> list[datetime]:
    return sorted({Message.decode(body).slot for body, _ in world.sqs.sent})


def minutes(*numbers: int) -> list[datetime]:
    return [floor_minute(START) + number * MINUTE for number in numbers]


# -- rule 1


def test_a_job_killed_while_it_is_made_has_its_agenda_entry_or_is_not_there(world: World) -> None:
    for nth, after in product(range(1, 4), (False, True)):
        with world.process():
            world.switch.arm(nth=nth, after=after)
            world.job(FAR)
        made = {*world.engine.jobs.ids({})}
        assert {entry.job_id for _, entry in world.agenda()} == made
    assert len(made) == 5  # the one call that there is goes through but when it is killed before


def test_an_entry_stands_for_all_slots_of_its_minute(world: World) -> None:
    job = world.job(schedule=every(10))
    assert len(world.slot_entries(job)) == 1
    world.live(3)
    assert len(world.slot_entries(job)) == 1
    assert world.statuses(job) == [RunStatus.COMPLETED] * 18


def test_two_changes_in_one_millisecond_have_different_revisions(world: World) -> None:
    job = world.job(FAR)
    paused = world.pause(job)
    resumed = world.resume(job)
    assert job.revision < paused.revision < resumed.revision


@pytest.mark.parametrize(
    "fields",
    [
        {"schedule": every(7200)},
        {"schedule": {"type": "cron", "expression": FAR, "timezone": "Asia/Tokyo"}},
        {"end_at": "2030-01-01T00:00:00Z"},
        {"start_at": "2026-12-01T00:00:00Z"},
    ],
)
def test_a_change_of_schedule_zone_or_limits_moves_the_revision_and_files_an_entry(
    world: World, fields: dict[str, Any]
) -> None:
    job = world.job(FAR)
    world.clock.advance(SECOND)
    changed = world.change(job, **fields)
    assert changed.revision == millis(world.clock.now())
    assert world.slot_entries(job) == [floor_minute(changed.next_slot(world.clock.now()) or START)]


def test_a_change_of_anything_else_leaves_the_revision_and_the_agenda(world: World) -> None:
    job = world.job(FAR)
    before = world.agenda()
    changed = world.change(job, name="another", retry={"max_attempts": 4}, overlap="allow")
    assert (changed.revision, world.agenda()) == (job.revision, before)


def test_the_first_slot_of_a_revision_lies_after_it(tables: Environment) -> None:
    world = World(tables, now=START.replace(second=30))
    job = world.job(schedule=every(3600), start_at="2026-11-22T14:00:00Z")
    world.change(job, schedule={"type": "cron", "expression": "0-1 * * * *"})  # 14:00:00 has passed
    world.live(2)
    assert slots_sent(world) == minutes(1)


def test_of_the_minute_of_a_change_only_the_slots_after_it_run(world: World) -> None:
    world.job(schedule=every(20), start_at="2026-11-22T14:00:00Z")  # it is 14:00:30
    assert slots_sent(world)[0] == START + 10 * SECOND


def test_a_slot_at_the_instant_of_creation_does_not_run(tables: Environment) -> None:
    world = World(tables, now=floor_minute(START))
    world.job("*/2 * * * *")
    world.live(1)
    assert slots_sent(world) == minutes(2)


def test_of_two_changes_of_one_definition_the_second_is_refused(world: World) -> None:
    job = world.job(FAR)
    change = job.model_copy(update={"version": 2})
    world.engine.jobs.write(change, job)
    with pytest.raises(Changed):
        world.engine.jobs.write(change, job)
    with pytest.raises(Changed):
        world.engine.jobs.replace(change, job)


def test_a_change_that_another_comes_before_is_made_on_top_of_it(world: World) -> None:
    job = world.job(FAR)
    between = iter([lambda: world.engine.jobs.replace(renamed, job)])
    renamed = job.model_copy(
        update={"version": 2, "spec": job.spec.model_copy(update={"name": "renamed meanwhile"})}
    )

    def write(real: Any, **arguments: Any) -> Any:
        for change in between:
            change()
        return real(**arguments)

    world.dynamodb.instead["transact_write_items"] = write
    world.change(job, schedule=every(7200))
    after = world.definition(job)
    assert (after.spec.name, after.spec.schedule.type) == ("renamed meanwhile", "every")


# -- rule 2


def test_a_tick_handles_what_begins_before_the_lookahead_and_nothing_after_it(world: World) -> None:
    job = world.job()  # handled at once: 14:01 to 14:03
    assert slots_sent(world) == minutes(1, 2, 3)
    assert world.slot_entries(job) == minutes(4)
    world.tick()
    assert slots_sent(world) == minutes(1, 2, 3)
    world.clock.advance(MINUTE)
    world.tick()
    assert slots_sent(world) == minutes(1, 2, 3, 4)
    assert world.slot_entries(job) == minutes(5)


def test_two_streams_of_one_job_become_one(world: World) -> None:
    job = world.job()
    entry = Slots(job.job_id, job.revision)
    world.engine.agenda.file([(minute, entry) for minute in minutes(1, 4, 5, 6)])
    world.live(4)
    assert world.slot_entries(job) == minutes(7)
    assert world.statuses(job) == [RunStatus.COMPLETED] * 4


def test_two_streams_that_are_read_together_send_each_run_once(world: World) -> None:
    job = world.job(FAR)
    world.clock.to(START + 2 * HOUR - 2 * MINUTE)
    entry = Slots(job.job_id, job.revision)
    world.engine.agenda.file((floor_minute(world.clock.now()) + n * MINUTE, entry) for n in (-1, 0, 1))
    world.tick()
    assert len(world.sqs.sent) == 1


def test_a_segment_written_twice_is_one_row(world: World) -> None:
    entries = [(minutes(9)[0], Slots(f"job_{i}", 1)) for i in range(150)]
    world.engine.agenda.file(entries)
    world.engine.agenda.file(reversed(entries))
    assert len(world.agenda()) == 150


def test_the_same_tick_twice_leaves_one_entry_and_one_run(world: World) -> None:
    job = world.job(FAR)
    world.clock.to(START + 2 * HOUR - 2 * MINUTE)
    read = [*world.engine.agenda.due(world.clock.now() + HOUR)]
    world.tick()
    for segments in read:
        world.engine.agenda.file((s.minute, e) for s in segments for e in s.entries)
    world.tick()
    assert len(world.slot_entries(job)) == 1
    world.drain()
    assert world.statuses(job) == [RunStatus.COMPLETED]
    assert len(world.attempts) == 1


def test_successors_are_packed_by_the_hundred_and_messages_by_ten(world: World) -> None:
    job = world.job(FAR)
    copies = [job.model_copy(update={"job_id": f"job_{i:012d}"}) for i in range(117)]
    world.engine.jobs._table.write_batch(map(_definition, copies))
    world.engine.agenda.remove(pack(world.agenda()))
    world.engine.agenda.file((START + 2 * HOUR, Slots(copy.job_id, copy.revision)) for copy in copies)
    world.clock.to(START + 2 * HOUR - 2 * MINUTE)
    world.switch.reset()
    tick(world.engine, world.clock.now())
    assert world.sqs.batches == [10] * 11 + [7]
    assert world.switch.calls["batch_write_item"] == 2  # one files two segments, one deletes two
    (segments,) = world.engine.agenda.due(START + 48 * HOUR)
    assert sorted(len(segment.entries) for segment in segments) == [17, 100]


def test_a_tick_killed_anywhere_is_made_good_by_the_next(world: World) -> None:
    kills = [*product(range(1, 9), (False, True))]
    jobs = [world.job(f"0 {hour} 24 11 *") for hour in range(len(kills))]
    for job, (nth, after) in zip(jobs, kills, strict=True):
        slot = job.next_slot(START)
        assert slot
        world.clock.to(slot - 2 * MINUTE)
        world.switch.arm(nth=nth, after=after)
        world.tick()
        assert world.slot_entries(job)  # at any time it is in the agenda: filed first, then deleted
        world.clock.advance(SECOND)
        world.tick()
        world.drain()
        assert world.statuses(job) == [RunStatus.COMPLETED]
        assert len(world.slot_entries(job)) == 1
    assert len(world.attempts) == len(jobs)


def test_what_is_overdue_is_found_without_a_watermark(world: World) -> None:
    job = world.job("0 15 * * *", misfire="skip")
    world.clock.advance(timedelta(days=40))
    world.tick()
    assert len(world.runs(job)) == 40
    assert world.slot_entries(job) == [
        datetime(2027, 1, 1, 15, tzinfo=START.tzinfo)
    ]  # after now, not in the past


def test_segments_are_read_page_after_page(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chalicelib.aws.agenda._STEP", 3)
    world.job(FAR)
    world.engine.agenda.file((START - i * MINUTE, Slots("job_gone", i)) for i in range(10))
    world.tick()
    assert len(world.agenda()) == 1


def test_oldest_segments_are_read_first(world: World) -> None:
    world.engine.agenda.file((START - i * MINUTE, Slots("job_gone", i)) for i in (2, 9, 5))
    (read,) = world.engine.agenda.due(START)
    assert [segment.minute for segment in read] == minutes(-9, -5, -2)


# -- rule 3


def test_an_entry_older_than_its_definition_is_dropped(world: World) -> None:
    job = world.job(FAR)
    old = Slots(job.job_id, job.revision)
    world.clock.advance(SECOND)
    world.change(job, schedule={"type": "cron", "expression": "0 18 * * *"})
    world.engine.agenda.file([(minutes(0)[0], old)])
    world.live(1)
    assert world.sqs.sent == []
    assert [minute for minute, entry in world.agenda() if entry == old] == minutes(120)
    world.clock.to(START + 2 * HOUR)
    world.tick()
    assert [minute for minute, entry in world.agenda() if entry == old] == []
    assert (world.sqs.sent, world.runs(job)) == ([], [])


def _eventually(world: World, stale: list[Any]) -> None:
    """Reads without strong consistency give `stale` rows in place of what there is."""

    def read(real: Any, RequestItems: Any) -> Any:
        answer = real(RequestItems=RequestItems)
        for table, wanted in RequestItems.items():
            if not wanted["ConsistentRead"]:
                answer["Responses"][table] = stale
        return answer

    world.dynamodb.instead["batch_get_item"] = read


def test_an_absent_definition_is_read_again_with_strong_consistency(world: World) -> None:
    job = world.job("5 14 * * *")
    _eventually(world, [])
    world.clock.advance(4 * MINUTE)
    world.tick()
    world.drain()
    assert world.statuses(job) == [RunStatus.COMPLETED]


def test_an_entry_newer_than_its_definition_is_judged_by_a_strong_read(world: World) -> None:
    job = world.job("5 14 * * *")
    old_row = dynamo.pack(_definition_row(world, job.job_id))
    world.clock.advance(SECOND)
    world.change(job, schedule={"type": "cron", "expression": "6 14 * * *"})
    _eventually(world, [old_row])
    world.clock.advance(4 * MINUTE)
    world.tick()
    world.drain()
    assert [run.scheduled_for for run in world.runs(job)] == minutes(6)


def _definition_row(world: World, job_id: str) -> Any:
    return world.engine.jobs._table.get({"job_id": job_id, "part": "definition"})


def test_what_dynamodb_leaves_unprocessed_is_read_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dynamo.time, "sleep", lambda seconds: None)
    world.job("5 14 * * *")
    refusals = iter([1, 2])

    def read(real: Any, RequestItems: Any) -> Any:
        if next(refusals, None):
            return {"Responses": {}, "UnprocessedKeys": RequestItems}
        return real(RequestItems=RequestItems)

    world.dynamodb.instead["batch_get_item"] = read
    world.clock.advance(4 * MINUTE)
    world.tick()
    assert slots_sent(world) == minutes(5)


def test_what_dynamodb_will_not_read_stays_in_the_agenda(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dynamo.time, "sleep", lambda seconds: None)
    job = world.job("5 14 * * *")
    world.clock.advance(4 * MINUTE)
    world.dynamodb.instead["batch_get_item"] = lambda real, RequestItems: {
        "Responses": {},
        "UnprocessedKeys": RequestItems,
    }
    with pytest.raises(RuntimeError, match="undone"):
        world.tick()
    world.dynamodb.instead.clear()
    world.live(2)
    assert world.statuses(job) == [RunStatus.COMPLETED]


def test_what_dynamodb_will_not_write_is_written_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dynamo.time, "sleep", lambda seconds: None)
    refusals = iter([1])

    def write(real: Any, RequestItems: Any) -> Any:
        if next(refusals, None):
            return {"UnprocessedItems": RequestItems}
        return real(RequestItems=RequestItems)

    world.dynamodb.instead["batch_write_item"] = write
    world.engine.agenda.file([(START, Slots("job_gone", 1))])
    assert len(world.agenda()) == 1


def test_a_lone_job_that_sqs_refuses_is_sent_by_the_next_tick(world: World) -> None:
    job = world.job("5 14 * * *")
    world.clock.advance(3 * MINUTE)
    world.sqs.refuses = lambda body: True
    world.tick()
    world.sqs.refuses = lambda body: False
    assert world.slot_entries(job)[0] == minutes(5)[0]
    world.live(2)
    assert world.statuses(job) == [RunStatus.COMPLETED]
    assert len(world.slot_entries(job)) == 1


def test_of_a_batch_only_what_sqs_refuses_is_filed_anew(world: World) -> None:
    jobs = [world.job("5,35 14 * * *") for _ in range(3)]
    world.clock.advance(3 * MINUTE)
    world.sqs.refuses = lambda body: jobs[1].job_id in body
    world.tick()
    assert [len(world.slot_entries(job)) for job in jobs] == [1, 2, 1]
    world.sqs.refuses = lambda body: False
    world.live(3)
    assert [world.statuses(job) for job in jobs] == [[RunStatus.COMPLETED]] * 3
    assert len(world.attempts) == 3
    world.clock.to(START + 33 * MINUTE)
    world.tick()  # the two streams of the middle one meet at 14:35
    assert [len(world.slot_entries(job)) for job in jobs] == [1, 1, 1]


# -- rule 4


def test_a_retry_entry_sends_its_attempt_and_has_no_successor(world: World) -> None:
    retry = {"max_attempts": 2, "base_delay": 1800}
    job = world.job("5 14 * * *", retry=retry)
    world.outcomes = [ActionError("http_status", "500")]
    world.live(6)
    (run,) = world.runs(job)
    assert (run.status, run.not_before) == (RunStatus.RETRYING, minutes(35)[0])
    assert (minutes(35)[0], Retry) in [(minute, type(entry)) for minute, entry in world.agenda()]
    world.clock.to(START + 33 * MINUTE)
    world.tick()
    assert [type(entry) for _, entry in world.agenda()] == [Slots]
    world.drain()
    (run,) = world.runs(job)
    assert (run.status, run.attempts[1].started_at) == (RunStatus.COMPLETED, minutes(35)[0])


def test_a_catch_up_entry_makes_no_successor_of_the_schedule(world: World) -> None:
    job = world.job(misfire="catch_up", catch_up_per_minute=5, catch_up_limit=12)
    world.drain()
    world.clock.to(START + 15 * MINUTE)
    world.tick()
    assert sorted(type(entry).__name__ for _, entry in world.agenda()) == ["CatchUps", "Slots"]
    world.live(3)
    assert [type(entry) for _, entry in world.agenda()] == [Slots]
    assert [run.scheduled_for for run in world.runs(job)] == minutes(*range(1, 19))
    assert set(world.statuses(job)) == {RunStatus.COMPLETED}


def test_the_three_kinds_of_entry_survive_the_table(world: World) -> None:
    message = Message("job_a", "r", 1, START, START, dispatch=3)
    entries = {Slots("job_a", 1), Retry(message), CatchUps("job_a", 1, START, START + HOUR)}
    world.engine.agenda.file((START, entry) for entry in entries)
    assert {entry for _, entry in world.agenda()} == entries


# -- rule 5


def test_a_job_due_within_the_lookahead_runs_without_another_tick(world: World) -> None:
    job = world.job(schedule=at(START + 20 * SECOND))
    world.drain()
    assert [run.started_at for run in world.runs(job)] == [START + 20 * SECOND]


def test_a_job_resumed_or_edited_to_be_due_soon_runs_without_another_tick(world: World) -> None:
    resumed, edited = world.pause(world.job("1 14 * * *")), world.job(FAR)
    world.resume(resumed)
    world.change(edited, schedule=at(START + 40 * SECOND))
    world.sqs.letters = {k: v for k, v in world.sqs.letters.items() if "1795" in v.body}
    world.drain()
    assert world.statuses(resumed) == world.statuses(edited) == [RunStatus.COMPLETED]


def test_a_job_without_a_further_slot_is_completed(world: World) -> None:
    job = world.job(end_at="2026-11-22T14:02:00Z")
    world.drain()
    after = world.definition(job)
    assert (after.status, after.status_reason) == (JobStatus.COMPLETED, "no slot is left")
    assert world.statuses(job) == [RunStatus.COMPLETED] * 2


def test_a_job_given_another_schedule_meanwhile_is_not_completed(world: World) -> None:
    job = world.job(FAR, end_at="2026-11-22T17:00:00Z")
    world.clock.to(START + 2 * HOUR - 2 * MINUTE)
    meanwhile = iter([1])

    def send(real: Any, **arguments: Any) -> Any:
        if next(meanwhile, None):
            world.change(job, end_at=None)
        return real(**arguments)

    world.queue_client.instead["send_message_batch"] = send
    world.tick()
    assert world.definition(job).status is JobStatus.ACTIVE


def test_a_job_that_was_only_renamed_meanwhile_is_completed(world: World) -> None:
    job = world.job(FAR, end_at="2026-11-22T17:00:00Z")
    world.clock.to(START + 2 * HOUR - 2 * MINUTE)
    world.queue_client.instead["send_message_batch"] = lambda real, **arguments: (
        world.change(job, name="renamed"),
        real(**arguments),
    )[1]
    world.tick()
    after = world.definition(job)
    assert (after.status, after.spec.name) == (JobStatus.COMPLETED, "renamed")


def test_an_at_job_is_completed_by_its_run_and_not_by_the_tick(world: World) -> None:
    job = world.job(schedule=at(START + MINUTE))
    world.tick()
    assert world.definition(job).status is JobStatus.ACTIVE
    world.drain()
    after = world.definition(job)
    assert (after.status, after.status_reason) == (
        JobStatus.COMPLETED,
        "its run 20261122T140130Z is completed",
    )


@pytest.mark.parametrize("misfire", ["fire_once", "catch_up"])
def test_an_at_job_found_late_is_failed_by_its_run(world: World, misfire: str) -> None:
    job = world.job(schedule=at(START + HOUR), misfire=misfire)
    world.clock.to(START + 3 * HOUR)
    world.outcomes = [ActionError("http_status", "500")]
    world.live(1)
    after = world.definition(job)
    assert (after.status, after.status_reason) == (JobStatus.FAILED, "its run failed: 500")


def test_an_at_job_whose_slot_is_missed_is_completed_with_the_reason(world: World) -> None:
    job = world.job(schedule=at(START + HOUR), misfire="skip")
    world.clock.to(START + 3 * HOUR)
    world.tick()
    after = world.definition(job)
    assert (after.status, after.status_reason) == (JobStatus.COMPLETED, "its only slot was missed")
    assert world.statuses(job) == [RunStatus.MISSED]


# -- rule 6


def test_the_sweep_files_what_the_agenda_has_lost_and_says_how_many(world: World) -> None:
    lost, kept, paused = world.job(FAR), world.job(FAR), world.pause(world.job(FAR))
    mine = [(minute, entry) for minute, entry in world.agenda() if entry.job_id == lost.job_id]
    world.engine.agenda.remove(Segment(minute, (entry,)) for minute, entry in mine)
    assert world.slot_entries(lost) == []
    assert sweep(world.engine, world.clock.now()) == {"checked": 2, "repaired": 1}
    assert world.slot_entries(lost) == world.slot_entries(kept)
    assert world.slot_entries(paused) == []
    assert sweep(world.engine, world.clock.now()) == {"checked": 2, "repaired": 0}


def test_the_sweep_files_a_rescheduled_job_whose_new_entry_is_gone(world: World) -> None:
    job = world.job(FAR)
    world.clock.advance(SECOND)
    changed = world.change(job, schedule={"type": "cron", "expression": "0 18 * * *"})
    entry = Slots(job.job_id, changed.revision)
    world.engine.agenda.remove([Segment(world.slot_entries(job)[0], (entry,))])
    assert sweep(world.engine, world.clock.now())["repaired"] == 1
    assert len(world.slot_entries(job)) == 1


def test_the_sweep_begins_after_the_last_slot_that_was_handled(world: World) -> None:
    job = world.job(misfire="skip")
    world.live(3)
    world.engine.agenda.remove(pack(world.agenda()))
    world.clock.advance(10 * MINUTE)
    assert sweep(world.engine, world.clock.now())["repaired"] == 1
    world.live(1)
    slots = [run.scheduled_for for run in world.runs(job)]
    assert slots == minutes(*range(1, len(slots) + 1))  # none twice, none left out
    assert len(world.slot_entries(job)) == 1


def test_a_needless_repair_does_no_harm(world: World) -> None:
    job = world.job()
    world.live(2)
    world.engine.agenda.file([(minutes(1)[0], Slots(job.job_id, job.revision))])
    world.live(2)
    assert world.statuses(job) == [RunStatus.COMPLETED] * 4
    assert len(world.attempts) == 4
    assert len(world.slot_entries(job)) == 1


def test_the_built_in_job_counts_its_repairs_for_the_alarm(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    from chalicelib.tasks import TASKS

    world.job(FAR)
    world.engine.agenda.remove(pack(world.agenda()))
    assert TASKS["agenda-sweep"](world.engine, None) == {"checked": 1, "repaired": 1}  # type: ignore[arg-type]
    assert '"AgendaRepairs": 1' in capsys.readouterr().out


def test_a_revision_is_the_instant_from_which_the_schedule_holds(world: World) -> None:
    assert from_millis(world.job(FAR).revision) == START
    assert spec(FAR).schedule.type == "cron"
