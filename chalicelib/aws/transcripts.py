"""Where transcripts lie: in the sessions bucket, or, on the local stack, in a directory that was named."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from chalicelib.core.sessions import File

_CHUNK = 64 * 1024


class Bucket:
    def __init__(self, make_client: Callable[[], Any], name: str) -> None:
        self._make_client, self._name = make_client, name

    @cached_property
    def _client(self) -> Any:
        return self._make_client()

    def list(self) -> Iterator[File]:
        for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self._name):
            for found in page.get("Contents", []):
                yield File(found["Key"], found["Size"], found["ETag"])

    def read(self, file: File) -> Generator[bytes, None, None]:
        """Its contents in chunks. Raises botocore's errors."""
        body = self._client.get_object(Bucket=self._name, Key=file.path)["Body"]
        try:
            yield from body.iter_chunks(_CHUNK)
        finally:
            body.close()


class Directory:
    """Symbolic links are not followed: what is read lies in the directory."""

    def __init__(self, path: str) -> None:
        self._path = Path(path).expanduser()

    def list(self) -> Iterator[File]:
        """Raises OSError where there is no such directory."""
        for project in _entries(self._path):
            if not project.is_dir(follow_symlinks=False):
                yield File(project.name, 0, "")
                continue
            for entry in _entries(Path(project.path)):
                path = f"{project.name}/{entry.name}"
                if entry.is_file(follow_symlinks=False):
                    status = entry.stat(follow_symlinks=False)
                    yield File(path, status.st_size, str(status.st_mtime_ns))
                else:
                    yield File(f"{path}/", 0, "")

    def read(self, file: File) -> Generator[bytes, None, None]:
        """Its contents in chunks. Raises OSError."""
        with (self._path / file.path).open("rb") as opened:
            while chunk := opened.read(_CHUNK):
                yield chunk


def _entries(path: Path) -> list[os.DirEntry[str]]:
    with os.scandir(path) as entries:
        return sorted(entries, key=lambda entry: entry.name)
