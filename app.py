"""Belfry's entry points: the HTTP API, the tick, the worker and the dead letters. Wiring only."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

from chalice.app import Chalice, CloudWatchEvent, Rate, SQSEvent

from chalicelib import composition
from chalicelib.dialects import docs, http
from chalicelib.dialects.agents.routes import API as AGENTS
from chalicelib.dialects.codespar.routes import API as CODESPAR
from chalicelib.dialects.mission_control.cleanup import API as CLEANUP
from chalicelib.dialects.mission_control.feed import API as FEED
from chalicelib.dialects.mission_control.routes import API as MISSION_CONTROL
from chalicelib.dialects.mission_control.webhooks import API as WEBHOOKS
from chalicelib.dialects.native.records import API as RECORDS
from chalicelib.dialects.native.routes import API as NATIVE
from chalicelib.dialects.nightly.routes import API as NIGHTLY
from chalicelib.scheduler.runs import bury
from chalicelib.scheduler.tick import tick as run_tick
from chalicelib.scheduler.worker import Received, work

app = Chalice(app_name="belfry")
app.log.setLevel(logging.INFO)
logging.getLogger("chalicelib").setLevel(logging.INFO)

DIALECTS = [NATIVE, RECORDS, AGENTS, MISSION_CONTROL, CLEANUP, WEBHOOKS, FEED, CODESPAR, NIGHTLY]
APIS = [*DIALECTS, docs.api(DIALECTS)]
http.mount(app, APIS, http.Host(composition.engine, composition.anonymous_role))


@app.schedule(Rate(1, unit=Rate.MINUTES))
def tick(event: CloudWatchEvent) -> dict[str, int]:
    """Sends what is due to the queue. The first one after a deployment registers the built-in jobs."""
    try:
        composition.register_builtins(composition.engine())
    except Exception:
        app.log.exception("the built-in jobs are not registered; the tick goes on")
    scheduled_for = datetime.fromisoformat(event.time)
    return {"jobs": run_tick(composition.engine(), datetime.now(UTC), scheduled_for)}


@app.on_sqs_message(queue="belfry-runs", batch_size=10)
def worker(event: SQSEvent) -> dict[str, Any]:
    """Runs what the queue brings; answers with the messages that are to stay in it."""
    received = [
        Received(record["messageId"], record["receiptHandle"], record["body"])
        for record in event.to_dict()["Records"]
    ]
    kept = work(composition.engine(), received)
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in kept]}


@app.on_sqs_message(queue="belfry-dead-letters", batch_size=10)
def dead_letter(event: SQSEvent) -> dict[str, Any]:
    """Sees to it that no run stays running for a message that the queue gave up on."""
    failed: list[dict[str, str]] = []
    for record in event.to_dict()["Records"]:
        try:
            bury(composition.engine(), record["messageId"], record["body"], datetime.now(UTC))
        except Exception:
            app.log.exception("dead letter %s stays in its queue", record["messageId"])
            failed.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failed}
