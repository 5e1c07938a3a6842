"""The kinds of channels: how each is checked when it is set up, and how a letter goes there.

What is raised names the channel, and never its URL or secret.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import NamedTuple

from chalicelib.core.errors import ActionError, Invalid
from chalicelib.core.letter import Address, Letter
from chalicelib.delivery import queues, services, topics, webhook_channel
from chalicelib.delivery.tools import Tools

log = logging.getLogger(__name__)


class Channel(NamedTuple):
    check: Callable[[Address], None]
    """Raises Invalid where the address cannot be used."""
    send: Callable[[Address, Letter, Tools], None]
    """Raises ActionError."""


def _needs_none(address: Address) -> None:
    """Its name says where it is; whether that can be is seen when it is used."""


CHANNELS = {
    "sns": Channel(_needs_none, topics.send),
    "sqs": Channel(_needs_none, queues.send),
    "webhook": Channel(webhook_channel.check, webhook_channel.send),
}
OTHERS = Channel(services.check, services.send)


def check(address: Address) -> None:
    """Raises Invalid naming what is wrong with a channel that is to be set up."""
    try:
        CHANNELS.get(address.kind, OTHERS).check(address)
    except Invalid:
        raise
    except Exception as error:
        log.error("channel %s cannot be checked: %s", address.name, type(error).__name__)
        raise Invalid.one("url", f"cannot be used ({type(error).__name__})") from None


def deliver(tools: Tools, address: Address, letter: Letter) -> None:
    """Sends the letter, within TIME_LIMIT. Raises ActionError."""
    try:
        CHANNELS.get(address.kind, OTHERS).send(address.filled(), letter, tools)
    except ActionError:
        raise
    except Exception as error:  # of a library, and its words may hold the URL
        log.error("channel %s broke: %s", address.name, type(error).__name__)
        raise ActionError(type(error).__name__, f"{address.name}: the channel broke") from None
