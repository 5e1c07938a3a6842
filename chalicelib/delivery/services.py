"""Chats, e-mail and the like, by apprise: slack, mailtos, discord, tgram and many more URLs.

Apprise is told what it may not do: reach internal addresses, follow redirects, read or write files, log.
Its own words may hold tokens, so of a failure only the status is passed on.
"""

from __future__ import annotations

import logging
import re
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from chalicelib.core.delivery import Format
from chalicelib.core.errors import ActionError, Invalid
from chalicelib.core.letter import Address, Letter
from chalicelib.delivery import formats
from chalicelib.delivery.tools import TIME_LIMIT, Tools
from chalicelib.net import guard, wire
from chalicelib.net.waiting import within

if TYPE_CHECKING:  # it takes a tenth of a second to import
    from apprise import AppriseAsset, NotifyBase

CHAT_LIMIT = 3500  # bytes; a service's own limit may be lower
GENERIC = frozenset({"json", "jsons", "xml", "xmls", "form", "forms"})
LOCAL = frozenset(
    {"syslog", "rsyslog", "dbus", "kde", "qt", "glib", "gio", "gnome", "macosx", "windows", "growl", "blink1"}
)
FILE_OPTIONS = frozenset({"template", "keyfile", "subfile", "pgp", "pgppub", "pgpprv", "attach"})
_STATUS = re.compile(r"error=(\d{3})\b")


def check(address: Address) -> None:
    _service(address.filled())


def send(address: Address, letter: Letter, tools: Tools) -> None:
    try:
        service = _service(address)
    except Invalid as error:
        raise ActionError("channel", f"{address.name}: {error}", permanent=True) from None
    within(TIME_LIMIT, lambda: _notify(service, address.name, letter, tools))


def _service(address: Address) -> NotifyBase:
    """The service that the URL is of. Raises Invalid, without the URL."""
    from apprise import Apprise

    asset = _asset()
    if address.secret is not None:
        raise Invalid.one("secret", "is for webhooks only")
    options = {name.lower().lstrip("+-:") for name, _ in _options(address.url)}
    if files := options & FILE_OPTIONS:
        raise Invalid.one("url", f"has {min(files)}, which would read or write files")
    service: Any = Apprise.instantiate(address.url, asset=asset, suppress_exceptions=True)
    if service is None:
        raise Invalid.one("url", "is no URL of a service that apprise knows, or not a whole one")
    schemes = _schemes(service)
    if schemes & (GENERIC | LOCAL):
        use = "set up webhook:NAME instead" if schemes & GENERIC else "it is not for servers"
        raise Invalid.one("url", f"{min(schemes)}:// cannot be used here: {use}")
    found: NotifyBase = service
    return found


def _options(url: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(urlsplit(url).query, keep_blank_values=True)
    except ValueError:
        raise Invalid.one("url", "cannot be read") from None


def _schemes(service: Any) -> set[str]:
    named = (service.protocol, service.secure_protocol)
    return {scheme for one in named if one for scheme in ([one] if isinstance(one, str) else one)}


@cache
def _asset() -> AppriseAsset:
    from apprise import AppriseAsset, PersistentStoreMode

    for name in ("apprise", "urllib3"):  # at other levels they tell of URLs, which hold tokens
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("apprise").propagate = False
    logging.getLogger("apprise").addHandler(logging.NullHandler())
    return AppriseAsset(
        app_id="Belfry",
        app_desc="Belfry",
        app_url="",
        storage_mode=PersistentStoreMode.MEMORY,
        http_redirects=False,
        async_mode=False,
        pgp_autogen=False,
        pem_autogen=False,
        service_timeout=TIME_LIMIT - 2,
    )


def _notify(service: NotifyBase, name: str, letter: Letter, tools: Tools) -> None:
    from apprise import Apprise, NotifyFormat, OverflowMode

    service.overflow_mode = OverflowMode.TRUNCATE
    limit = min(CHAT_LIMIT, int(service.body_maxlen))
    title = formats.title(letter)
    kind = NotifyFormat.TEXT if letter.format is Format.JSON else NotifyFormat(letter.format.value)
    apprise = Apprise(asset=service.asset)
    apprise.add(service)
    with guard.guarded(tools.networks) as refused:
        result: Any = apprise.notify(
            title=title, body=formats.body(letter, limit - len(title.encode())), body_format=kind
        )
    if result:
        return
    if refused:
        raise ActionError("address_refused", f"{name}: {wire.REFUSED}", permanent=True)
    raise _failed(name, [str(entry) for one in result for attempt in one for entry in attempt])


def _failed(name: str, lines: list[str]) -> ActionError:
    """Of what apprise logged the status only."""
    status = next((int(match[1]) for line in lines if (match := _STATUS.search(line))), None)
    if status:
        return ActionError(
            "http_status", f"{name}: it answered {status}", permanent=wire.is_permanent(status)
        )
    if any("onnection error" in line for line in lines):
        return ActionError("connection", f"{name}: it cannot be reached")
    return ActionError("not_accepted", f"{name}: it did not take the message")
