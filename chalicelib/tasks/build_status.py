"""build-status-report: how the latest build of each linked repository went, as GitHub's REST API tells."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Mapping
from typing import Any

from chalicelib.core.action import Attempt, Json
from chalicelib.core.errors import ActionError
from chalicelib.core.settings import Settings
from chalicelib.scheduler.engine import Engine

_PATIENCE = 10.0  # seconds, for each repository

log = logging.getLogger(__name__)


def run(engine: Engine, attempt: Attempt) -> Json:
    """One repository that cannot be asked is listed with its error, and does not keep back the others."""
    settings = engine.settings()
    found = [_report(engine, attempt, settings, repo) for repo in settings["github.repos"]]
    return {"repos": [*found], "counts": dict(Counter(map(_outcome, found)))}


def _outcome(report: Mapping[str, Any]) -> str:
    """`success`, `failure` and the like; before the end `queued`, `in_progress`; `none` of no run at all."""
    if "error" in report:
        return "error"
    return str(report["conclusion"] or report["status"] or "none")


def _report(engine: Engine, attempt: Attempt, settings: Settings, repo: str) -> dict[str, Any]:
    try:
        return {"repo": repo, **_latest(engine, attempt, settings, repo)}
    except ActionError as error:
        log.warning("the builds of %s are not known: %s", repo, error)
        return {"repo": repo, "status": None, "conclusion": None, "url": None, "error": str(error)}


def _latest(engine: Engine, attempt: Attempt, settings: Settings, repo: str) -> dict[str, str | None]:
    """Of the latest workflow run; nulls where there is none. Raises ActionError."""
    url = f"{settings['github.api_url']}/repos/{repo}/actions/runs?per_page=1"
    seconds = min(_PATIENCE, attempt.seconds_left())
    status, body = engine.fetch(url, _headers(settings["github.token"]), seconds)
    if status != 200:
        raise ActionError("http_status", f"GitHub answered {status}: {_message(body)}")
    try:
        runs = json.loads(body)["workflow_runs"]
        latest = runs[0] if runs else {}
        return {
            "status": latest.get("status"),
            "conclusion": latest.get("conclusion"),
            "url": latest.get("html_url"),
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ActionError("not_understood", "GitHub's answer is no list of workflow runs") from None


def _headers(token: str) -> dict[str, str]:
    headers = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
    return headers | ({"Authorization": f"Bearer {token}"} if token else {})


def _message(body: bytes) -> str:
    """What GitHub says is wrong."""
    try:
        return str(json.loads(body)["message"])[:200]
    except (ValueError, KeyError, TypeError, RecursionError):
        return "no message"
