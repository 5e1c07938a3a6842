"""The settings registry: every known key with its kind, default and description.

Values are stored and shown as text. A setting is changed at run time, without a deployment.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from chalicelib.core.errors import Invalid


class Kind(StrEnum):
    """How a value is written, and what it is in use."""

    BOOLEAN = "boolean"  # true or false
    NATURAL = "natural"  # a whole number from 0 to 99999: as many days stay within what dates can be
    TEXT = "text"  # any text
    URL = "url"  # http or https, without credentials, query or fragment
    REPOSITORIES = "repositories"  # owner/name, separated by commas
    SECRET = "secret"  # noqa: S105  a token; it is never shown


MASK = "********"  # what is shown of a secret


@dataclass(frozen=True)
class Setting:
    key: str
    kind: Kind
    default: str
    description: str

    def shown(self, value: str) -> str:
        """The value as it may be shown."""
        return MASK if value and self.kind is Kind.SECRET else value

    @property
    def category(self) -> str:
        return self.key.partition(".")[0]


def _listed(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


_PART = r"(?!\.{1,2}(?![\w.-]))[\w.-]{1,100}"  # of a repository's name; . and .. are places in a path
_REPOSITORY = rf"\s*{_PART}/{_PART}\s*"

_LABEL = r"[\w-]{1,63}"  # of a host's name

_PARSERS: dict[Kind, tuple[Callable[[str], Any], re.Pattern[str], str]] = {
    Kind.BOOLEAN: (lambda text: text == "true", re.compile("true|false"), "true or false"),
    Kind.NATURAL: (int, re.compile("[0-9]{1,5}", re.ASCII), "a whole number from 0 to 99999"),
    Kind.TEXT: (str, re.compile(r".{0,2000}", re.DOTALL), "text of at most 2,000 characters"),
    Kind.URL: (
        lambda text: text.rstrip("/"),
        re.compile(
            rf"https?://({_LABEL}(\.{_LABEL})*|\[[0-9a-fA-F:.]+\])(:\d{{1,5}})?(/[\w./~-]*)?", re.ASCII
        ),
        "an http or https URL without credentials and query",
    ),
    Kind.REPOSITORIES: (
        _listed,
        re.compile(rf"\s*|(?=.{{0,2000}}$){_REPOSITORY}(,{_REPOSITORY})*", re.ASCII),
        "repositories as owner/name, separated by commas",
    ),
    Kind.SECRET: (
        str,
        re.compile(rf"(?!{re.escape(MASK)}$)[!-~]{{0,2000}}"),
        "the secret itself: at most 2,000 printable characters without spaces",
    ),
}

SETTINGS: dict[str, Setting] = {
    setting.key: setting
    for setting in (
        Setting("engine.paused", Kind.BOOLEAN, "false", "Stops all dispatch: nothing new is started."),
        Setting("general.auto_backup", Kind.BOOLEAN, "false", "Backs up every table daily at 03:00 UTC."),
        Setting("general.backup_retention_count", Kind.NATURAL, "10", "Backups kept of each table; 0: all."),
        Setting("general.auto_cleanup", Kind.BOOLEAN, "false", "Removes stale records daily at 04:00 UTC."),
        Setting("general.agent_heartbeat", Kind.BOOLEAN, "true", "Marks silent agents offline."),
        Setting(
            "general.agent_timeout_minutes", Kind.NATURAL, "10", "Silent minutes to be offline; 0: never."
        ),
        Setting("general.claude_session_scan", Kind.BOOLEAN, "true", "Reads the transcripts of sessions."),
        Setting("webhooks.retry_enabled", Kind.BOOLEAN, "true", "Retries failed webhook deliveries."),
        Setting("certifications.channel", Kind.TEXT, "", "The channel that reminders of expiry go to."),
        Setting("github.api_url", Kind.URL, "https://api.github.com", "GitHub's REST API."),
        Setting("github.repos", Kind.REPOSITORIES, "", "Repositories whose builds are reported."),
        Setting("github.token", Kind.SECRET, "", "The token that GitHub is asked with."),
        Setting("nl.model_id", Kind.TEXT, "", "A Bedrock model that reads schedules the grammar cannot."),
        Setting("retention.activities", Kind.NATURAL, "90", "Days activities are kept; 0: for ever."),
        Setting("retention.audit_log", Kind.NATURAL, "365", "Days audit entries are kept; 0: for ever."),
        Setting("retention.notifications", Kind.NATURAL, "60", "Days notifications are kept; 0: for ever."),
        Setting("retention.pipeline_runs", Kind.NATURAL, "90", "Days executions are kept; 0: for ever."),
        Setting(
            "retention.runs", Kind.NATURAL, "30", "Days a finished run is kept; at least 15; 0: for ever."
        ),
        Setting("retention.token_usage", Kind.NATURAL, "90", "Days token counts are kept; 0: for ever."),
    )
}


def parse(key: str, text: str) -> Any:
    """The value in use of a known key. Raises Invalid naming the key where `text` is of the wrong kind."""
    read, pattern, wanted = _PARSERS[SETTINGS[key].kind]
    if not pattern.fullmatch(text):
        raise Invalid.one(key, f"give {wanted}")
    return read(text)


@dataclass(frozen=True)
class Settings:
    """The values in use: what is stored, else the defaults."""

    stored: Mapping[str, str]

    def __getitem__(self, key: str) -> Any:
        return parse(key, self.stored.get(key, SETTINGS[key].default))

    @property
    def is_paused(self) -> bool:
        return bool(self["engine.paused"])

    def run_expiry(self, now: datetime) -> int | None:
        """When a run that is finished now is forgotten, in seconds since 1970; None: never.

        A run outlives every message that may still name it, so it is kept for fifteen days at least.
        """
        kept = self.runs_kept
        return int((now + kept).timestamp()) if kept else None

    @property
    def runs_kept(self) -> timedelta | None:
        """For how long a finished run is kept; None: for ever."""
        days = int(self["retention.runs"])
        return timedelta(days=max(days, 15)) if days else None
