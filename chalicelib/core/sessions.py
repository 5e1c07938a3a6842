"""Which files are transcripts: `<project>/<session>.jsonl`."""

from __future__ import annotations

from dataclasses import dataclass

_SUFFIX = ".jsonl"
_MAX_KEY = 1000  # bytes of a path


@dataclass(frozen=True)
class File:
    """A file as it is listed. `stamp` changes with its contents, or at least with its time."""

    path: str
    size: int
    stamp: str

    @property
    def version(self) -> str:
        return f"{self.size} {self.stamp}"

    @property
    def is_transcript(self) -> bool:
        project, _, name = self.path.partition("/")
        return (
            bool(project)
            and "/" not in name
            and len(name) > len(_SUFFIX)
            and name.endswith(_SUFFIX)
            and _fits(self.path)
        )

    @property
    def project(self) -> str:
        return self.path.partition("/")[0]

    @property
    def session_id(self) -> str:
        return self.path.partition("/")[2].removesuffix(_SUFFIX)


def _fits(path: str) -> bool:
    """Whether it can be a record's key."""
    try:
        return len(path.encode()) <= _MAX_KEY
    except UnicodeEncodeError:
        return False
