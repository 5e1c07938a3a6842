"""The worker: takes messages from the runs queue, has each handled, and says which are to stay in it."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from threading import Thread

from chalicelib.core.errand import Errand, is_errand
from chalicelib.core.errors import Invalid
from chalicelib.core.job import Job
from chalicelib.core.run import Message
from chalicelib.scheduler import errands, events
from chalicelib.scheduler.chains import message_of
from chalicelib.scheduler.engine import Engine
from chalicelib.scheduler.handling import TELL_AGAIN, Batch, Done, Keep, handle
from chalicelib.scheduler.history import count_runs, log_runs
from chalicelib.scheduler.settle import VISIBILITY_MARGIN

_PAUSED_DELAY = timedelta(seconds=60)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Received:
    """A message as the queue hands it over."""

    message_id: str
    receipt: str
    body: str


def work(engine: Engine, received: Sequence[Received]) -> list[str]:
    """Handles a batch, each message in a thread; gives the ids of the messages that are to stay."""
    unread: list[Received] = []
    messages = {item: message for item in received if (message := _read(engine, item, unread))}
    settings = engine.settings()
    if settings.is_paused:
        return _put_off(engine, messages) + [item.message_id for item in unread]
    jobs = _jobs(engine, messages.values())
    visible = {item: _visibility(jobs, message) for item, message in messages.items()}
    engine.queue.hide(
        {item.receipt: math.ceil(time.total_seconds()) for item, time in visible.items() if time}
    )
    batch = Batch(engine, jobs, settings)
    verdicts = _told_of(batch, _in_threads(batch, messages))
    count_runs(engine, [verdict.run for verdict in verdicts.values() if verdict.run and verdict.counted])
    ended = [verdict.run for verdict in verdicts.values() if verdict.run]
    if ended:
        log_runs(
            engine, sorted(ended, key=lambda run: run.completed_at or run.created_at), engine.now(), settings
        )
    kept = {item: verdict.delay for item, verdict in verdicts.items() if isinstance(verdict, Keep)}
    engine.queue.hide({item.receipt: math.ceil(delay.total_seconds()) for item, delay in kept.items()})
    failed = [item for item in messages if item not in verdicts]
    return [item.message_id for item in [*kept, *failed, *unread]]


def _jobs(engine: Engine, messages: Iterable[Message | Errand]) -> dict[str, Job | None]:
    wanted = {message.job_id for message in messages if isinstance(message, Message)}
    return engine.jobs.definitions(wanted, consistent=True)


def _visibility(jobs: Mapping[str, Job | None], message: Message | Errand) -> timedelta | None:
    """How long a message is invisible while it is handled; None: as the queue has it."""
    if isinstance(message, Errand):
        return errands.VISIBILITY
    job = jobs.get(message.job_id)
    return job.timeout + VISIBILITY_MARGIN if job else None


def _read(engine: Engine, item: Received, unread: list[Received]) -> Message | Errand | None:
    """The message; one that cannot be parsed goes to the dead letters, and the batch goes on."""
    try:
        if is_errand(item.body):
            return Errand.decode(item.body)
        return message_of(engine, item.body, engine.now())
    except Invalid as error:
        log.error("to the dead letters: message %s: %s", item.message_id, error)
        engine.queue.bury(item.body)
    except Exception:
        log.exception("message %s stays in the queue", item.message_id)
        unread.append(item)
    return None


def _put_off(engine: Engine, messages: Mapping[Received, Message | Errand]) -> list[str]:
    """While the engine is paused every message is sent again, so that none runs out of receives."""
    now = engine.now()
    failed = engine.queue.send(messages.values(), now, at_least=_PAUSED_DELAY)
    return [item.message_id for item, message in messages.items() if message in failed]


def _in_threads(batch: Batch, messages: Mapping[Received, Message | Errand]) -> dict[Received, Keep | Done]:
    """The verdicts. A message whose handling broke has none: it comes again when its visibility ends."""
    verdicts: dict[Received, Keep | Done] = {}

    def one(item: Received, message: Message | Errand) -> None:
        try:
            verdicts[item] = handle(batch, message)
        except Exception:
            log.exception("the message stays in the queue: %s", message)

    threads = [Thread(target=one, args=pair, daemon=True) for pair in messages.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return verdicts


def _told_of(batch: Batch, verdicts: Mapping[Received, Keep | Done]) -> dict[Received, Keep | Done]:
    """Tells the world of the runs that ended. Where that fails, their messages come again to do it."""
    ended = [
        (batch.jobs.get(verdict.run.job_id), verdict.run) for verdict in verdicts.values() if verdict.run
    ]
    try:
        events.tell_of_runs(batch.engine, ended, batch.engine.now())
    except Exception:
        log.exception("%d runs are settled, but nobody is told of them yet", len(ended))
        return {
            item: Keep(TELL_AGAIN, verdict.run, verdict.counted) if verdict.run else verdict
            for item, verdict in verdicts.items()
        }
    return dict(verdicts)
