"""Deliveries to webhooks: once, signed, retried, given up; and receivers that are slow, huge or gone."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from chalicelib.core.instants import from_iso
from chalicelib.core.webhook import DELAYS, NoticeStatus
from chalicelib.delivery import event_posts
from chalicelib.scheduler import webhook_deliveries, webhooks
from chalicelib.scheduler.events import emit
from tests.integration.webhooks_support import Town
from tests.receiver import Receiver, receiving
from tests.support import MINUTE, SECOND, START

FAR = "0 16 * * *"
HOUR = timedelta(hours=1)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as server:
        yield server


@pytest.fixture
def town(receiver: Receiver) -> Town:
    return Town(receiver)


def happen(town: Town, event: str = "job.created", name: str = "j") -> None:
    emit(town.world.engine, event, {"job_name": name}, town.world.clock.now())


def send_and_fail(town: Town, times: int = 1) -> None:
    """Events whose first attempts fail."""
    for _ in range(times):
        happen(town)
    town.world.drain()


# -- end to end


def test_a_runs_end_reaches_the_receiver_once_through_queue_and_worker(
    tables: dict[str, str], receiver: Receiver
) -> None:
    town = Town(receiver, tables)
    hook, secret = town.hook("run.completed")
    job = town.world.job("* * * * *")
    town.world.live(3)
    runs = town.world.runs(job)
    assert receiver.events == ["run.completed"] * len(runs)
    assert len(runs) >= 2
    for request in receiver.received:
        request.verify(secret)
    assert {request.json["data"]["run_id"] for request in receiver.received} == {run.run_id for run in runs}
    assert {each.status for each in town.deliveries(hook)} == {NoticeStatus.DELIVERED}


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("nth", range(1, 13))
def test_a_worker_killed_at_any_call_of_a_run_leaves_one_delivery(town: Town, nth: int, after: bool) -> None:
    hook, _ = town.hook("run.completed", "run.failed")
    job = town.world.job(FAR, retry={"max_attempts": 3})
    message = town.world.send(job)
    town.world.switch.arm(nth=nth, after=after)
    town.world.deliver()
    town.world.drain()
    assert town.world.run(message).status == "completed"
    assert receiver_ids(town) == [each.id for each in town.deliveries(hook)]
    assert [each.status for each in town.deliveries(hook)] == [NoticeStatus.DELIVERED]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("nth", range(1, 7))
def test_a_worker_killed_at_any_call_of_a_delivery_delivers_it_at_least_once(
    town: Town, nth: int, after: bool
) -> None:
    hook, _ = town.hook("run.completed")
    town.world.send(town.world.job(FAR))
    town.world.deliver()
    assert town.receiver.received == []
    town.world.switch.arm(nth=nth, after=after)
    town.world.deliver()
    town.world.drain()
    (delivery,) = town.deliveries(hook)
    assert delivery.status is NoticeStatus.DELIVERED
    assert set(receiver_ids(town)) == {delivery.id}
    assert len(town.receiver.received) <= 2
    assert delivery.claimed_until is None


def receiver_ids(town: Town) -> list[str]:
    return [request.headers["webhook-id"] for request in town.receiver.received]


def test_a_run_whose_message_comes_twice_is_told_once(town: Town) -> None:
    town.hook("run.completed")
    message = town.world.send(town.world.job(FAR))
    town.world.drain()
    for _ in range(3):
        town.world.engine.queue.send([message], town.world.clock.now())
        town.world.drain()
    assert town.receiver.events == ["run.completed"]


def test_an_errand_that_comes_twice_is_done_once(town: Town) -> None:
    town.hook()
    happen(town)
    (body, _) = town.world.sqs.sent[-1]
    town.world.sqs._put(body, 0)
    town.world.deliver(10)
    town.world.drain()
    assert len(town.receiver.received) == 1


def test_with_no_webhook_a_completed_run_writes_nothing_more(town: Town) -> None:
    job = town.world.job(FAR)
    message = town.world.send(job)
    begun = len(town.world.switch.history)
    town.world.deliver()
    calls = town.world.switch.history[begun:]
    assert town.world.run(message).status == "completed"
    writes = [call for call in calls if call in ("put_item", "batch_write_item", "send_message_batch")]
    assert writes == ["put_item"]  # the run log
    assert town.activities() == ["job.created"]


def test_a_batch_of_runs_reads_the_webhooks_once(town: Town) -> None:
    jobs = [town.world.job(FAR) for _ in range(8)]
    for job in jobs:
        town.world.send(job)
    reads: list[Any] = []

    def query(real: Any, **arguments: Any) -> Any:
        if arguments["ExpressionAttributeValues"].get(":kind") == {"S": "webhook"}:
            reads.append(arguments["ConsistentRead"])
        return real(**arguments)

    town.world.dynamodb.instead["query"] = query
    town.world.deliver(10)
    assert reads == [False]


# -- retries


def test_a_receiver_that_fails_three_times_gets_the_fourth(town: Town) -> None:
    hook, secret = town.hook()
    town.receiver.answers = [500, 503, 429]
    send_and_fail(town)
    assert town.retry() == "No pending retries"
    for delay, message in zip(DELAYS, ["0 ok, 1 failed", "0 ok, 1 failed", "1 ok, 0 failed"], strict=False):
        town.world.clock.advance(delay - SECOND)
        assert town.retry() == "No pending retries"
        town.world.clock.advance(SECOND)
        assert town.retry() == f"Processed 1 retry ({message})"
    assert len(town.receiver.received) == 4
    assert len({(r.body, r.headers["webhook-id"]) for r in town.receiver.received}) == 1
    assert len({request.sent_at for request in town.receiver.received}) == 4
    for request in town.receiver.received:
        request.verify(secret)
    (delivery,) = town.deliveries(hook)
    assert delivery.status is NoticeStatus.DELIVERED
    assert [each.status_code for each in delivery.attempts] == [500, 503, 429, 200]
    assert town.pending_retries() == []


@pytest.mark.parametrize(("chance", "share"), [(0.0, 0.8), (0.5, 1.0), (1.0, 1.2)])
def test_each_delay_is_spread_by_a_fifth(receiver: Receiver, chance: float, share: float) -> None:
    town = Town(receiver)
    object.__setattr__(town.world.engine, "chance", lambda: chance)
    hook, _ = town.hook()
    receiver.otherwise = 500
    send_and_fail(town)
    for delay in DELAYS:
        (delivery,) = town.deliveries(hook)
        assert delivery.next_retry_at
        assert from_iso(delivery.next_retry_at) - town.world.clock.now() == delay * share
        town.world.clock.to(from_iso(delivery.next_retry_at))
        town.retry()
    assert town.deliveries(hook)[0].status is NoticeStatus.DEAD


def die(town: Town) -> None:
    """All that waits is retried until it is dead."""
    while waiting := town.pending_retries():
        town.world.clock.to(from_iso(waiting[-1].partition("#")[0]))
        town.retry()


def test_after_six_attempts_a_delivery_is_dead_and_somebody_is_notified(town: Town) -> None:
    hook, _ = town.hook("job.created")
    town.receiver.otherwise = 500
    send_and_fail(town)
    die(town)
    (delivery,) = town.deliveries(hook)
    assert (delivery.status, len(delivery.attempts)) == (NoticeStatus.DEAD, 6)
    assert delivery.reason == "6 attempts failed; the last: answered 500"
    assert town.webhook(hook).consecutive_failures == 1
    assert town.activities() == ["job.created", "webhook.delivery_failed"]
    (notification,) = town.feed("notification")
    assert notification["title"] == "A webhook's delivery failed"
    assert notification["message"] == (
        "job.created could not be delivered to webhook ops: 6 attempts failed; the last: answered 500"
    )


def test_five_dead_in_a_row_disable_the_webhook_and_the_rest_is_cancelled(town: Town) -> None:
    hook, _ = town.hook("job.created")
    watch, _ = town.hook("webhook.disabled")
    town.receiver.otherwise = 500
    send_and_fail(town, 5)
    for delay in DELAYS[:-1]:
        town.world.clock.advance(delay)
        assert town.retry() == "Processed 5 retries (0 ok, 5 failed)"
    send_and_fail(town)  # a sixth, which is not dead yet
    town.world.clock.advance(DELAYS[-1])
    town.retry()
    after = town.webhook(hook)
    assert (after.enabled, after.consecutive_failures) == (False, 5)
    assert after.disabled_reason == "5 deliveries in a row failed for good; the last: answered 500"
    assert town.activities().count("webhook.disabled") == 1
    assert [one["title"] for one in town.feed("notification")].count("A webhook is disabled") == 1
    happen(town)
    town.world.drain()
    die(town)
    statuses = [(each.status, each.reason) for each in town.deliveries(hook)]
    assert statuses[-1] == (NoticeStatus.CANCELLED, "its webhook is disabled")
    assert len(statuses) == 6
    assert [each.event for each in town.deliveries(watch)] == ["webhook.disabled"]


def test_any_success_closes_the_gap(town: Town) -> None:
    hook, _ = town.hook("job.created")
    town.receiver.otherwise = 500
    send_and_fail(town, 4)
    die(town)
    assert town.webhook(hook).consecutive_failures == 4
    town.receiver.otherwise = 200
    happen(town)
    town.world.drain()
    assert (town.webhook(hook).consecutive_failures, town.webhook(hook).last_status) == (0, 200)
    town.receiver.otherwise = 500
    send_and_fail(town)
    die(town)
    assert (town.webhook(hook).enabled, town.webhook(hook).consecutive_failures) == (True, 1)


def test_enabling_a_webhook_closes_its_breaker(town: Town) -> None:
    hook, _ = town.hook("job.created")
    town.receiver.otherwise = 500
    send_and_fail(town, 5)
    die(town)
    assert not town.webhook(hook).enabled
    after = webhooks.update(town.world.engine, hook.id, {"enabled": True}, None, town.world.clock.now())
    assert (after.enabled, after.consecutive_failures, after.disabled_reason) == (True, 0, None)


def test_what_is_on_its_way_to_a_deleted_webhook_is_cancelled(town: Town) -> None:
    hook, _ = town.hook()
    town.receiver.otherwise = 500
    send_and_fail(town)
    happen(town)
    webhooks.delete(town.world.engine, hook.id)
    town.world.drain()
    town.world.clock.advance(MINUTE)
    assert town.retry() == "No pending retries"
    assert len(town.receiver.received) == 1
    assert {(each.status, each.reason) for each in town.deliveries(hook)} == {
        (NoticeStatus.CANCELLED, "its webhook was deleted")
    }
    assert town.world.engine.secrets.get(webhooks.secret_name(hook.id)) is None


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("nth", range(1, 9))
def test_a_task_killed_anywhere_loses_no_retry(town: Town, nth: int, after: bool) -> None:
    hook, _ = town.hook()
    town.receiver.answers = [500]
    send_and_fail(town)
    town.world.clock.advance(MINUTE)
    with town.world.process():
        town.world.switch.arm(nth=nth, after=after)
        town.retry()
    town.world.clock.advance(2 * MINUTE)
    town.retry()
    (delivery,) = town.deliveries(hook)
    assert delivery.status is NoticeStatus.DELIVERED
    town.retry()
    assert town.pending_retries() == []
    assert set(receiver_ids(town)) == {delivery.id}


def test_two_tasks_at_once_retry_each_delivery_once(town: Town) -> None:
    town.hook()
    town.receiver.answers = [500]
    send_and_fail(town)
    town.world.clock.advance(MINUTE)

    def meanwhile(handler: BaseHTTPRequestHandler) -> None:
        assert town.retry() == "No pending retries"
        handler.send_response(200)
        handler.end_headers()

    town.receiver.answers = [meanwhile]
    assert town.retry() == "Processed 1 retry (1 ok, 0 failed)"
    assert len(town.receiver.received) == 2


def test_a_dry_run_of_the_task_counts_and_sends_nothing(town: Town) -> None:
    town.hook()
    town.receiver.answers = [500]
    send_and_fail(town)
    town.world.clock.advance(MINUTE)
    assert town.retry(dry_run=True) == "1 retries are due"
    assert len(town.receiver.received) == 1


def test_without_time_the_task_begins_nothing(town: Town) -> None:
    town.hook()
    town.receiver.answers = [500]
    send_and_fail(town)
    town.world.clock.advance(MINUTE)
    assert webhook_deliveries.retry_due(town.world.engine, town.world.clock.now(), lambda: False) == []
    assert len(town.pending_retries()) == 1


def test_a_row_of_the_index_without_a_delivery_is_left_for_a_minute_and_then_removed(town: Town) -> None:
    now = town.world.clock.now()
    webhooks.index_retry(town.world.engine, "wh_x-1-2", now, now)
    town.retry()
    assert len(town.pending_retries()) == 1  # its delivery may be about to be written
    town.world.clock.advance(2 * MINUTE)
    town.retry()
    assert town.pending_retries() == []


# -- what the queue does


def test_an_event_travels_whatever_characters_it_has(town: Town) -> None:
    name = "\uffff ü \U0001f514 \x01"
    _, secret = town.hook()
    happen(town, name=name)
    assert town.world.sqs.sent[-1][0].isascii()  # SQS refuses some others
    town.world.drain()
    town.receiver.received[0].verify(secret)
    assert town.receiver.received[0].json["data"] == {"job_name": name}


def test_an_errand_that_sqs_refuses_waits_for_the_task(town: Town) -> None:
    hook, _ = town.hook()
    town.world.sqs.refuses = lambda body: "webhook" in body
    happen(town)
    assert town.world.sqs.letters == {}
    assert town.retry() == "Processed 1 retry (1 ok, 0 failed)"
    assert [each.status for each in town.deliveries(hook)] == [NoticeStatus.DELIVERED]


def test_an_errand_that_the_queue_gave_up_on_waits_for_the_task(town: Town) -> None:
    hook, _ = town.hook()
    happen(town)
    town.world.sqs.dead += town.world.sqs.letters.values()
    town.world.sqs.letters.clear()
    town.world.bury()
    assert town.receiver.received == []
    assert town.retry() == "Processed 1 retry (1 ok, 0 failed)"
    assert [each.status for each in town.deliveries(hook)] == [NoticeStatus.DELIVERED]


def test_a_paused_engine_sends_nothing_and_loses_nothing(town: Town) -> None:
    town.hook()
    town.world.put_setting("engine.paused", "true")
    happen(town)
    town.world.deliver_until(START + 5 * MINUTE)
    assert town.receiver.received == []
    town.world.put_setting("engine.paused", "false")
    town.world.drain()
    assert town.receiver.events == ["job.created"]


# -- receivers


def test_an_answer_of_a_hundred_megabytes_is_cut(town: Town) -> None:
    hook, _ = town.hook()

    def flood(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(100_000_000))
        handler.end_headers()
        for _ in range(1000):
            handler.wfile.write(b"x" * 100_000)

    town.receiver.answers = [flood]
    happen(town)
    town.world.drain()
    (delivery,) = town.deliveries(hook)
    assert (delivery.status, delivery.response) == (NoticeStatus.DELIVERED, "x" * 1024)


@pytest.mark.parametrize("size", [b"-1", b"-5", b"many"])
def test_a_chunk_of_an_impossible_size_is_an_attempt_that_failed_and_is_not_read_to_its_end(
    town: Town, size: bytes
) -> None:
    hook, _ = town.hook()
    sent: list[int] = []

    def flood(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + size + b"\r\n")
        for _ in range(1000):
            handler.wfile.write(b"x" * 100_000)
            sent.append(100_000)

    town.receiver.answers = [flood]
    happen(town)
    town.world.deliver()
    (delivery,) = town.deliveries(hook)
    assert "ended early" in (delivery.attempts[0].error or "")
    assert sum(sent) < 50_000_000  # what the sockets hold


def test_an_attempt_that_breaks_counts_as_one_that_failed(town: Town) -> None:
    hook, _ = town.hook()
    town.world.engine.secrets.put(webhooks.secret_name(hook.id), "whsec_\u00e4")
    happen(town)
    town.world.drain()
    (delivery,) = town.deliveries(hook)
    assert delivery.status is NoticeStatus.RETRYING
    assert delivery.attempts[0].error == "the attempt broke (ValueError)"


def test_an_answer_of_a_byte_a_second_ends_with_its_time(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_posts, "PATIENCE", timedelta(seconds=0.5))
    hook, _ = town.hook()

    def trickle(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        for _ in range(1000):
            handler.wfile.write(b"x")
            handler.wfile.flush()
            time.sleep(0.05)

    town.receiver.answers = [trickle]
    happen(town)
    began = time.monotonic()
    town.world.drain()
    assert time.monotonic() - began < 5
    (delivery,) = town.deliveries(hook)
    assert delivery.status is NoticeStatus.RETRYING
    assert delivery.attempts[0].error == "did not answer within 0.5 s"
    town.world.clock.advance(MINUTE)
    assert town.retry() == "Processed 1 retry (1 ok, 0 failed)"


def test_a_receiver_that_is_gone_is_an_attempt_that_failed(town: Town) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    hook, _ = town.hook(url=f"http://127.0.0.1:{port}/secret-path?token=1")
    happen(town)
    town.world.drain()
    (delivery,) = town.deliveries(hook)
    (made,) = delivery.attempts
    assert (made.status_code, delivery.status) == (None, NoticeStatus.RETRYING)
    assert str(made.error).startswith(f"POST http://127.0.0.1:{port}: it refused the connection")


def test_a_webhook_whose_secret_is_gone_says_so(town: Town) -> None:
    hook, _ = town.hook()
    town.world.engine.secrets.delete(webhooks.secret_name(hook.id))
    happen(town)
    town.world.drain()
    assert town.deliveries(hook)[0].attempts[0].error == "its secret is missing; give it a new one"
    assert town.receiver.received == []
