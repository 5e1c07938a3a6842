"""`.local/<port>.json`: the address of the stack on that port and an admin key for it, while it runs."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypedDict

FOLDER = Path(__file__).resolve().parents[2] / ".local"


class Access(TypedDict):
    url: str
    key: str


@contextmanager
def kept(port: int, url: str, key: str) -> Iterator[None]:
    """Only this user can read it. One that a killed stack left behind is replaced."""
    path = _path(port)
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(Access(url=url, key=key), file)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def read(port: int) -> Access:
    """FileNotFoundError if no stack runs on this port."""
    access: Access = json.loads(_path(port).read_text())
    return access


def _path(port: int) -> Path:
    return FOLDER / f"{port}.json"
