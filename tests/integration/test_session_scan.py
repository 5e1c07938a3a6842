"""claude_session_scan: sessions from a directory and from a bucket, each file read once for each change."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import boto3
import pytest

from chalicelib.aws.transcripts import Bucket, Directory
from chalicelib.composition import compose
from chalicelib.core.instants import iso
from chalicelib.core.transcript import MAX_FILE
from chalicelib.scheduler.sessions import list_sessions
from chalicelib.tasks import TASKS
from tests.integration.tasks_support import attempt
from tests.memory import Memory
from tests.support import MINUTE, START, World

DAY = timedelta(days=1)


class Place:
    """Where the transcripts of a test lie."""

    def __init__(self, world: World, put: Callable[[str, bytes], Any], delete: Callable[[str], Any]) -> None:
        self.world, self.put, self.delete = world, put, delete
        self.reads: Counter[str] = Counter()
        source: Any = world.engine.transcripts
        read = source.read

        def counting(file: Any) -> Any:
            self.reads[file.path] += 1
            return read(file)

        source.read = counting

    def say(self, path: str, *ages: timedelta) -> None:
        """A session whose user speaks at these times ago, and is answered at once."""
        self.put(path, b"".join(exchange(START - age, i) for i, age in enumerate(ages)))

    def scan(self, **given: Any) -> Any:
        return TASKS["claude_session_scan"](self.world.engine, attempt(**given))

    def sessions(self) -> dict[str, Any]:
        return {one["id"]: one for one in list_sessions(self.world.engine, self.world.clock.now())}

    def activity(self) -> int:
        now = self.world.clock.now()
        return sum(tally.activity for tally in self.world.engine.counters.since(now - 30 * DAY, now))


def exchange(at: datetime, number: int = 0) -> bytes:
    user = {"type": "user", "timestamp": iso(at), "gitBranch": "main", "message": {"content": "hi"}}
    message = {
        "id": f"msg_{number}",
        "model": "claude-x",
        "content": [{"type": "tool_use"}],
        "usage": {"input_tokens": 10, "output_tokens": 2},
    }
    reply = {"type": "assistant", "timestamp": iso(at), "message": message}
    return f"{json.dumps(user)}\n{json.dumps(reply)}\n".encode()


def made(**parts: Any) -> World:
    environment, client = Memory.environment()
    return World(environment, parts, client=client)


@pytest.fixture
def directory(tmp_path: Path) -> Place:
    clock = count(1)

    def put(path: str, data: bytes) -> None:
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        os.utime(file, ns=(next(clock) * 10**9,) * 2)

    return Place(made(transcripts=Directory(str(tmp_path))), put, lambda path: (tmp_path / path).unlink())


@pytest.fixture
def bucket(aws: dict[str, str]) -> Place:
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="transcripts")
    return Place(
        made(transcripts=Bucket(lambda: s3, "transcripts")),
        lambda path, data: s3.put_object(Bucket="transcripts", Key=path, Body=data),
        lambda path: s3.delete_object(Bucket="transcripts", Key=path),
    )


@pytest.fixture(params=["directory", "bucket"])
def place(request: pytest.FixtureRequest) -> Place:
    found: Place = request.getfixturevalue(request.param)
    return found


def test_twelve_sessions_three_of_them_active(place: Place) -> None:
    for i in range(12):
        place.say(f"project-{i % 3}/session-{i}.jsonl", DAY, timedelta(minutes=5 if i < 3 else 20))
    done = place.scan()
    assert done == {
        "ok": True,
        "message": "Scanned 12 session(s), 3 active",
        "sessions": 12,
        "active": 3,
        "read": 12,
        "unchanged": 0,
        "bad_lines": 0,
        "too_large": 0,
        "foreign": 0,
        "unreadable": 0,
        "complete": True,
    }
    known = place.sessions()
    assert len(known) == 12
    session = {
        name: known["session-4"][name] for name in known["session-4"] if name not in ("version", "activity")
    }
    assert session == {
        "id": "session-4",
        "project": "project-1",
        "binary": False,
        "model": "claude-x",
        "branch": "main",
        "user_messages": 2,
        "assistant_messages": 2,
        "tool_uses": 2,
        "input_tokens": 20,
        "output_tokens": 4,
        "cache_tokens": 0,
        "first_message": iso(START - DAY),
        "last_message": iso(START - 20 * MINUTE),
        "bad_lines": 0,
        "active": False,
    }


def test_only_what_has_changed_is_read_again(place: Place) -> None:
    for i in range(12):
        place.say(f"p/s{i}.jsonl", DAY)
    place.scan()
    assert (len(place.reads), place.reads.total()) == (12, 12)
    place.reads.clear()
    again = place.scan()
    assert (again["read"], again["unchanged"], place.reads.total()) == (0, 12, 0)
    place.say("p/s3.jsonl", DAY, MINUTE)
    place.say("p/new.jsonl", MINUTE)
    third = place.scan()
    assert (third["message"], third["read"]) == ("Scanned 13 session(s), 2 active", 2)
    assert place.reads == {"p/s3.jsonl": 1, "p/new.jsonl": 1}
    assert place.sessions()["s3"]["user_messages"] == 2


def test_each_user_message_is_counted_once_in_the_activity(place: Place) -> None:
    place.say("p/a.jsonl", 3 * DAY, 2 * DAY)
    place.say("p/b.jsonl", 40 * DAY, 2 * DAY)
    place.scan()
    place.scan()
    assert place.activity() == 3  # the activity is that of thirty days
    place.say("p/a.jsonl", 3 * DAY, 2 * DAY, 2 * DAY, MINUTE)
    place.scan()
    assert place.activity() == 5
    place.say("p/a.jsonl", 2 * DAY)  # written anew, and shorter
    place.scan()
    assert (place.activity(), place.sessions()["a"]["user_messages"]) == (5, 1)


def test_activity_shows_where_people_look_for_it(place: Place) -> None:
    place.say("p/a.jsonl", *[2 * DAY] * 3)
    place.scan()
    now = place.world.clock.now()
    (tally,) = place.world.engine.counters.since(now - 30 * DAY, now)
    assert (iso(tally.at), tally.activity) == ("2026-11-20T14:00:00.000Z", 3)


def test_active_is_told_at_the_time_of_reading(directory: Place) -> None:
    directory.say("p/a.jsonl", 14 * MINUTE)
    directory.scan()
    assert directory.sessions()["a"]["active"]
    directory.world.clock.advance(2 * MINUTE)
    assert not directory.sessions()["a"]["active"]
    assert directory.scan()["message"] == "Scanned 1 session(s), 0 active"


def test_what_is_no_transcript_is_counted_and_left_alone(place: Place) -> None:
    place.say("p/a.jsonl", DAY)
    place.put("p/notes.md", b"# notes\n")
    place.put("top.jsonl", exchange(START))
    place.put("p/a/subagents/agent-1.jsonl", exchange(START))
    place.put("p/binary.jsonl", b"\x7fELF\x00\x00\n" * 100)
    for reads in (2, 0):
        place.reads.clear()
        done = place.scan()
        assert (done["message"], done["foreign"]) == ("Scanned 1 session(s), 0 active", 4)
        assert place.reads.total() == reads  # of the binary file no more than once
    assert set(place.sessions()) == {"a"}


def test_bad_lines_are_counted_and_a_torn_end_is_read_when_it_is_whole(place: Place) -> None:
    first, second = exchange(START - DAY), exchange(START - MINUTE, 1)
    place.put("p/a.jsonl", first + b"nonsense\n\n{}\n[]\n" + second[:50])
    done = place.scan()
    assert (done["bad_lines"], done["read"], place.sessions()["a"]["user_messages"]) == (2, 1, 1)
    place.put("p/a.jsonl", first + b"nonsense\n\n{}\n[]\n" + second)
    assert place.scan()["message"] == "Scanned 1 session(s), 1 active"
    assert (place.sessions()["a"]["user_messages"], place.activity()) == (2, 2)


def test_a_file_over_fifty_megabytes_is_skipped_and_counted(directory: Place, tmp_path: Path) -> None:
    directory.say("p/a.jsonl", DAY)
    directory.say("p/large.jsonl", DAY)
    directory.scan()
    for name in ("large", "larger"):
        with (tmp_path / f"p/{name}.jsonl").open("ab") as file:
            file.truncate(MAX_FILE + 1)
    directory.reads.clear()
    done = directory.scan()
    assert (done["sessions"], done["too_large"], directory.reads.total()) == (2, 2, 0)
    assert directory.sessions()["large"]["user_messages"] == 1  # as it was


def test_a_file_that_cannot_be_read_does_not_stop_the_others(place: Place) -> None:
    for name in ("a", "b", "c"):
        place.say(f"p/{name}.jsonl", DAY)
    source: Any = place.world.engine.transcripts
    read = source.read
    source.read = lambda file: read(file) if file.session_id != "b" else broken()
    done = place.scan()
    assert (done["message"], done["unreadable"]) == ("Scanned 2 session(s), 0 active", 1)
    source.read = read
    assert place.scan()["sessions"] == 3


def broken() -> Any:
    yield b"{}\n"
    raise OSError("the disk is gone")


def test_it_stops_before_its_time_is_over_and_the_next_scan_goes_on(directory: Place) -> None:
    for i in range(6):
        directory.say(f"p/s{i}.jsonl", DAY)
    asked = count(1)
    first = directory.scan(seconds_left=lambda: 300.0 if next(asked) <= 6 else 10.0)
    assert (first["ok"], first["complete"]) == (True, False)
    assert 0 < first["read"] < 6
    message = f"Scanned {first['read']} session(s), 0 active; the time was up, the next run goes on"
    assert first["message"] == message
    second = directory.scan()
    assert (second["read"], second["unchanged"]) == (6 - first["read"], first["read"])
    assert directory.activity() == 6


def test_a_file_is_given_up_in_its_middle_where_the_time_is_up(directory: Place) -> None:
    directory.put("p/long.jsonl", exchange(START - DAY) * 3000)
    asked = count(1)
    done = directory.scan(seconds_left=lambda: 300.0 if next(asked) <= 4 else 10.0)
    assert (done["complete"], done["read"], directory.sessions()) == (False, 0, {})


def test_the_worker_may_die_and_no_message_is_counted_twice(directory: Place) -> None:
    directory.say("p/a.jsonl", DAY)
    directory.world.switch.arm("update_item", after=True)
    with directory.world.process():
        directory.scan()
    directory.scan()
    assert directory.activity() == 1


def test_two_scans_at_once_count_a_message_once(directory: Place) -> None:
    directory.say("p/a.jsonl", DAY)
    source: Any = directory.world.engine.transcripts
    read = source.read

    def meanwhile(file: Any) -> Any:
        source.read = read
        directory.scan()
        return read(file)

    source.read = meanwhile
    directory.scan()
    assert directory.activity() == 1


def test_a_dry_run_keeps_nothing(place: Place) -> None:
    place.say("p/a.jsonl", MINUTE)
    assert place.scan(dry_run=True)["message"] == "Scanned 1 session(s), 1 active"
    assert (place.sessions(), place.activity()) == ({}, 0)


def test_a_session_outlives_its_transcript(place: Place) -> None:
    place.say("p/a.jsonl", DAY)
    place.scan()
    place.delete("p/a.jsonl")
    assert place.scan()["message"] == "Scanned 0 session(s), 0 active"
    assert set(place.sessions()) == {"a"}


def test_links_out_of_the_directory_are_not_followed(directory: Place, tmp_path: Path) -> None:
    directory.say("p/a.jsonl", DAY)
    secret = tmp_path.parent / f"{tmp_path.name}-secret"
    secret.mkdir()
    (secret / "s.jsonl").write_bytes(exchange(START))
    (tmp_path / "p/linked.jsonl").symlink_to(secret / "s.jsonl")
    (tmp_path / "q").symlink_to(secret)
    done = directory.scan()
    assert (done["sessions"], done["foreign"]) == (1, 2)


def test_a_directory_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    world = made(transcripts=Directory(str(tmp_path / "nowhere")))
    with pytest.raises(FileNotFoundError, match="nowhere"):
        TASKS["claude_session_scan"](world.engine, attempt())


def test_nothing_is_read_unless_somebody_has_said_where(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, aws: dict[str, str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    own = tmp_path / ".claude/projects/p"
    own.mkdir(parents=True)
    (own / "s.jsonl").write_bytes(exchange(START))
    scan = TASKS["claude_session_scan"]
    unasked: Any = scan(compose(aws), attempt())
    assert unasked["message"] == "Scanned 0 session(s), 0 active"
    asked: Any = scan(compose({**aws, "BELFRY_SESSIONS_DIRECTORY": "~/.claude/projects"}), attempt())
    assert asked["sessions"] == 1
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="theirs")
    s3.put_object(Bucket="theirs", Key="p/t.jsonl", Body=exchange(START))
    deployed: Any = scan(compose({**aws, "BELFRY_SESSIONS_BUCKET": "theirs"}), attempt())
    assert deployed["sessions"] == 1
