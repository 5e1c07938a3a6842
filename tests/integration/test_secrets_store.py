"""The store for secrets, as two processes see it."""

from __future__ import annotations

import boto3
import pytest

from chalicelib.aws import secrets
from chalicelib.aws.secrets import Secrets


def test_a_new_secret_is_seen_at_once_and_a_changed_one_within_a_minute(
    aws: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1000.0]
    monkeypatch.setattr(secrets.time, "monotonic", lambda: clock[0])
    writer, reader = (Secrets(lambda: boto3.client("ssm"), "/belfry/test") for _ in range(2))
    assert reader.get("secret/A") is None
    writer.put("secret/A", "first-value")
    assert reader.get("secret/A") == "first-value"
    writer.put("secret/A", "second-value")
    assert writer.get("secret/A") == "second-value"
    assert reader.get("secret/A") == "first-value", "SSM is not asked each time"
    clock[0] += 61
    assert reader.get("secret/A") == "second-value"
    writer.delete("secret/A")
    writer.delete("secret/A")
    assert writer.get("secret/A") is None
