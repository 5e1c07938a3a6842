"""Sessions: the figures of Claude Code's transcripts, read again only where a file has changed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain
from typing import TYPE_CHECKING, Any

from chalicelib.core.insight import DAYS, Tally
from chalicelib.core.instants import from_iso
from chalicelib.core.sessions import File
from chalicelib.core.transcript import MAX_FILE, is_active, lines, read
from chalicelib.scheduler.engine import Engine

if TYPE_CHECKING:
    from chalicelib.aws.transcripts import Bucket, Directory

_KIND = "claude_session"

Record = dict[str, Any]

log = logging.getLogger(__name__)


class _TimeUp(Exception):
    """The attempt is about to end."""


@dataclass
class Scan:
    """What a scan came to: files by what became of them, and the lines that could not be read."""

    sessions: int = 0
    active: int = 0
    read: int = 0
    unchanged: int = 0
    bad_lines: int = 0
    too_large: int = 0
    foreign: int = 0
    unreadable: int = 0
    complete: bool = True

    @property
    def message(self) -> str:
        scanned = f"Scanned {self.sessions} session(s), {self.active} active"
        return scanned if self.complete else f"{scanned}; the time was up, the next run goes on"


def scan(engine: Engine, now: datetime, has_time: Callable[[], bool], *, dry_run: bool) -> Scan:
    """Reads the transcripts that are new or have changed, while there is time. A dry run keeps nothing."""
    result = Scan()
    if engine.transcripts is None:
        return result
    scanner = _Scanner(engine, engine.transcripts, now, has_time, dry_run, result)
    known = dict(engine.records.list(_KIND))
    try:
        for file in engine.transcripts.list():
            scanner.look_at(file, known.get(file.path))
    except _TimeUp:
        result.complete = False
    return result


@dataclass(frozen=True)
class _Scanner:
    """What the files of one scan share."""

    engine: Engine
    transcripts: Bucket | Directory
    now: datetime
    has_time: Callable[[], bool]
    dry_run: bool
    result: Scan

    def look_at(self, file: File, before: Record | None) -> None:
        """Counts the file, and reads it where that is not done yet. Raises _TimeUp."""
        if not self.has_time():
            raise _TimeUp
        record = self._record(file, before) if file.is_transcript else None
        if not file.is_transcript or (record and record["binary"]):
            self.result.foreign += 1
        elif record:
            self.result.sessions += 1
            self.result.active += is_active(record["last_message"], self.now)

    def _record(self, file: File, before: Record | None) -> Record | None:
        """The file's record as it is now, if there is one."""
        if before and before["version"] == file.version:
            self.result.unchanged += not before["binary"]
            return before
        if file.size > MAX_FILE:
            self.result.too_large += 1
            return before
        try:
            record = self._read(file)
        except _TimeUp:
            raise
        except Exception:
            log.exception("transcript %s cannot be read", file.path)
            self.result.unreadable += 1
            return before
        self.result.read += not record["binary"]
        self.result.bad_lines += record["bad_lines"]
        if not self.dry_run:
            _keep(self.engine, file.path, record, before)
        return record

    def _read(self, file: File) -> Record:
        """The record of a file. One with a NUL at its beginning is binary, and nothing is read of it."""
        with closing(self.transcripts.read(file)) as chunks:
            timed = self._while_there_is_time(chunks)
            first = next(timed, b"")
            binary = b"\0" in first
            found = () if binary else lines(chain((first,), timed))
            session = read(found, self.now - timedelta(days=DAYS), self.now)
        facts = {"id": file.session_id, "project": file.project, "version": file.version, "binary": binary}
        return facts | session.as_record()

    def _while_there_is_time(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        size = 0
        for chunk in chunks:
            size += len(chunk)
            if not self.has_time():
                raise _TimeUp
            if size > MAX_FILE:
                return  # it has grown since it was listed
            yield chunk


def _keep(engine: Engine, path: str, record: Record, before: Record | None) -> None:
    """Keeps the record, and counts the user messages that were not in the one before.

    Whoever comes second keeps and counts nothing. The record is first: a message is counted once at most.
    """
    if before is None:
        kept = engine.records.add(_KIND, path, record) is None
    else:
        kept = engine.records.replace(_KIND, path, record, before)
    if kept:
        for at, number in _news(record["activity"], before["activity"] if before else {}):
            engine.counters.add(Tally(from_iso(at), activity=number))


def _news(after: Mapping[str, int], before: Mapping[str, int]) -> Iterator[tuple[str, int]]:
    for at, number in after.items():
        if number > before.get(at, 0):
            yield at, number - before.get(at, 0)


def list_sessions(engine: Engine, now: datetime) -> list[Record]:
    """Those with the latest messages first, each with whether it is active now."""
    found = [record for _, record in engine.records.list(_KIND) if not record["binary"]]
    found.sort(key=lambda record: record["last_message"] or "", reverse=True)
    return [{**record, "active": is_active(record["last_message"], now)} for record in found]
