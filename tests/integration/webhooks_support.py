"""A world with webhooks: a receiver, secrets in memory, and the task that retries."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from chalicelib.core.webhook import Delivery, Webhook
from chalicelib.scheduler import webhook_deliveries, webhooks
from chalicelib.tasks import webhook_retry
from tests.integration.actions_support import attempt
from tests.memory import Memory
from tests.receiver import Receiver
from tests.support import World

LOOPBACK = {"BELFRY_ALLOW_NETWORKS": "127.0.0.0/8"}


class SecretsInMemory(dict[str, str]):
    def put(self, name: str, value: str) -> None:
        self[name] = value

    def delete(self, name: str) -> None:
        self.pop(name, None)


@dataclass
class Town:
    """A world, a receiver in it, and what the one has for the other."""

    receiver: Receiver
    environment: dict[str, str] = field(default_factory=dict)  # none: tables in memory
    world: World = field(init=False)

    def __post_init__(self) -> None:
        changes = {"secrets": SecretsInMemory()}
        if self.environment:
            self.world = World(self.environment | LOOPBACK, changes)
        else:
            environment, client = Memory.environment()
            self.world = World(environment | LOOPBACK, changes, client=client)

    def hook(self, *events: str, url: str | None = None) -> tuple[Webhook, str]:
        now = self.world.clock.now()
        return webhooks.create(self.world.engine, "ops", url or self.receiver.url, events or ["*"], None, now)

    def webhook(self, of: Webhook) -> Webhook:
        return webhooks.get(self.world.engine, of.id)

    def deliveries(self, of: Webhook) -> list[Delivery]:
        """Oldest first."""
        return webhook_deliveries.history(self.world.engine, of.id, 200, None)[0][::-1]

    def retry(self, **run: Any) -> str:
        """The task, as its job runs it; its message."""
        given = replace(attempt(seconds=60), run={"dry_run": False, **run})
        result: Any = webhook_retry.run(self.world.engine, given)
        return str(result["message"])

    def pending_retries(self) -> list[str]:
        return [key for key, _ in self.world.engine.records.list(webhooks.RETRIES)]

    def feed(self, name: str) -> list[dict[str, Any]]:
        """All of a feed's entries, oldest first."""
        records = self.world.engine.records
        return [entry for month, _ in records.list(name) for _, entry in records.list(f"{name}#{month}")]

    def activities(self) -> list[str]:
        """Their types in order of the alphabet: the clock stands still."""
        return sorted(entry["type"] for entry in self.feed("activity"))
