"""The settings registry: what each kind of value takes, and what is shown of it."""

from __future__ import annotations

import pytest

from chalicelib.core.errors import Invalid
from chalicelib.core.settings import MASK, SETTINGS, Settings, parse


@pytest.mark.parametrize("key", SETTINGS)
def test_every_default_is_of_its_kind(key: str) -> None:
    parse(key, SETTINGS[key].default)


@pytest.mark.parametrize(
    ("text", "repos"),
    [
        ("", ()),
        ("  ", ()),
        ("acme/web", ("acme/web",)),
        ("acme/web, acme/.github ,a_b/c-d.e,acme/web", ("acme/web", "acme/.github", "a_b/c-d.e")),
    ],
)
def test_repositories_are_listed_by_commas(text: str, repos: tuple[str, ...]) -> None:
    assert parse("github.repos", text) == repos


@pytest.mark.parametrize("text", [
    "web", "acme/", "/web", "acme/web/x", "acme/..", "../web", "./.", "a b/c", "acme/web;x", "a/b,,c/d",
    "a/b?", "a/ü", "a/b," * 600 + "a/b",
])  # fmt: skip
def test_what_is_no_repository_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="owner/name"):
        parse("github.repos", text)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://api.github.com", "https://api.github.com"),
        ("https://git.example.com:8443/api/v3/", "https://git.example.com:8443/api/v3"),
        ("http://[::1]:8000", "http://[::1]:8000"),
    ],
)
def test_a_url_ends_without_a_slash(text: str, url: str) -> None:
    assert parse("github.api_url", text) == url


@pytest.mark.parametrize(
    "text", ["", "api.github.com", "ftp://x", "https://", "https://a:b@x", "https://x/?q", "https://x/#f",
             "https://x\n", "https://x/a b",
             "https://x:", "https://x:a", "https://x:123456", "https://a..b", f"https://{'x' * 64}", "https://[x]"]
)  # fmt: skip
def test_what_is_no_plain_url_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match=r"github\.api_url"):
        parse("github.api_url", text)


def test_a_secret_is_used_but_never_shown() -> None:
    setting = SETTINGS["github.token"]
    assert Settings({"github.token": "ghp_abc"})["github.token"] == "ghp_abc"
    assert setting.shown("ghp_abc") == MASK
    assert setting.shown("") == ""
    assert SETTINGS["github.repos"].shown("acme/web") == "acme/web"


@pytest.mark.parametrize("text", [MASK, "a b", "a\r\nX-Evil: 1", "tökén", "x" * 2001])
def test_neither_the_mask_nor_what_no_header_can_hold_is_taken_for_a_secret(text: str) -> None:
    with pytest.raises(Invalid, match=r"github\.token") as raised:
        parse("github.token", text)
    assert text not in str(raised.value) or text == MASK
