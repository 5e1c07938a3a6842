"""Values that are written and never shown again: parameters of type SecureString in SSM."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

_REMEMBERED = 60.0  # seconds: SSM answers 40 requests a second


class Secrets:
    """By name, which may have slashes. Other processes see a new one at once, a change within a minute."""

    def __init__(self, client: Callable[[], Any], path: str) -> None:
        self._client, self._path = client, path
        self._known: dict[str, tuple[float, str | None]] = {}

    def put(self, name: str, value: str) -> None:
        self._client().put_parameter(
            Name=self._parameter(name), Value=value, Type="SecureString", Overwrite=True
        )
        self._known.pop(name, None)

    def get(self, name: str) -> str | None:
        read_at, value = self._known.get(name, (0.0, None))
        if value is None or time.monotonic() - read_at > _REMEMBERED:
            value = self._read(name)
            self._known[name] = time.monotonic(), value
        return value

    def _read(self, name: str) -> str | None:
        client = self._client()
        try:
            answer = client.get_parameter(Name=self._parameter(name), WithDecryption=True)
        except client.exceptions.ParameterNotFound:
            return None
        return str(answer["Parameter"]["Value"])

    def delete(self, name: str) -> None:
        """That it is not there is no error."""
        client = self._client()
        self._known.pop(name, None)
        try:
            client.delete_parameter(Name=self._parameter(name))
        except client.exceptions.ParameterNotFound:
            return

    def _parameter(self, name: str) -> str:
        return f"{self._path}/{name}"
