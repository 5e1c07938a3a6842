"""What of a secret is hidden, in whatever way it comes back."""

from __future__ import annotations

import base64
import html
import json
import re
import time
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core.action import Json
from chalicelib.core.errors import ActionError
from chalicelib.core.redaction import HIDDEN, Redaction

PLAIN = "hunter2-hunter2"
HARD = "p/ä \"&<'>\\+%{~}?"
WAYS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "in a URL": lambda secret: quote(secret, ""),
    "in a URL, lower case": lambda secret: re.sub("%..", lambda hit: hit[0].lower(), quote(secret, "")),
    "in a path": quote,
    "in a form": quote_plus,
    "in JSON": lambda secret: json.dumps({"x": f"<{secret}>"}),
    "in JSON, as it is": lambda secret: json.dumps([secret], ensure_ascii=False),
    "in JSON, slashes escaped": lambda secret: json.dumps([secret]).replace("/", "\\/"),
    "in JSON in JSON": lambda secret: json.dumps({"body": json.dumps({"x": secret})}),
    "in HTML": html.escape,
    "in a URL in HTML": lambda secret: html.escape(quote(secret, "!*'()")),
    "in Base64": lambda secret: base64.b64encode(secret.encode()).decode(),
    "in Base64 for URLs": lambda secret: base64.urlsafe_b64encode(secret.encode()).decode().rstrip("="),
    "in Basic authentication": lambda secret: base64.b64encode(f"user:{secret}".encode()).decode(),
    "in Basic authentication of ab": lambda secret: base64.b64encode(f"ab:{secret}".encode()).decode(),
    "as the user of it": lambda secret: base64.b64encode(f"{secret}:ab".encode()).decode(),
    "read as Latin-1": lambda secret: secret.encode().decode("latin-1"),
    "read as UTF-8": lambda secret: secret.encode("latin-1").decode(errors="replace"),
}


def pieces(text: str, size: int = 4) -> set[str]:
    return {text[i : i + size] for i in range(len(text) - size + 1)}


@pytest.mark.parametrize("secret", [PLAIN, HARD])
@pytest.mark.parametrize("way", WAYS)
def test_a_secret_is_hidden_however_it_is_written(way: str, secret: str) -> None:
    written = WAYS[way](secret)
    shown = Redaction([secret]).text(f"before {written} after")
    assert shown.startswith("before ")
    assert shown.endswith(" after")
    assert HIDDEN in shown
    assert not pieces(secret) & pieces(shown)
    assert len(shown) < 45, "next to nothing of it is left"


def test_two_digits_at_the_ends_are_all_that_base64_shows() -> None:
    for user in ("", "a", "ab", "abc"):
        written = base64.b64encode(f"{user}{PLAIN}{user}".encode()).decode()
        before, _, after = Redaction([PLAIN]).text(written).partition(HIDDEN)
        given_before = base64.b64encode(user.encode()).decode().rstrip("=")
        assert len(before) <= len(given_before)
        assert len(after) <= 8


def test_values_are_searched_deeply_with_keys_and_numbers() -> None:
    value: Json = {f"x {PLAIN}": [{"y": PLAIN}, 1, None, True], "z": 12345678, "f": 0.5, "w": 123456789}
    shown = Redaction([PLAIN, "12345678"]).value(value)
    assert shown == {"x ***": [{"y": "***"}, 1, None, True], "z": "***", "f": 0.5, "w": "***9"}


def test_secrets_that_overlap_are_hidden_whole() -> None:
    hidden = Redaction(["abcdefgh", "efghijkl", "aaaaaaaa"])
    assert hidden.text("-abcdefghijkl-") == "-***-"
    assert hidden.text("aaaaaaaaaaaa") == "***"
    assert hidden.text("abcdefghabcdefgh.") == "***."


@pytest.mark.parametrize("size", range(1, len(PLAIN) + 1))
def test_what_was_cut_off_ends_with_no_beginning_of_a_secret(size: int) -> None:
    assert Redaction([PLAIN]).beginning(f"token: {PLAIN[:size]}") == f"token: {HIDDEN}"
    escaped = quote(HARD, "")[: size * 2]
    assert Redaction([HARD]).beginning(f"token={escaped}") == f"token={HIDDEN}"


def test_half_a_character_at_the_cut_hides_no_beginning() -> None:
    cut = "ab-ä-secret".encode()[:4].decode(errors="replace")
    assert Redaction(["ab-ä-secret"]).beginning(f"x {cut}") == f"x {HIDDEN}"


def test_other_texts_stay_as_they_are() -> None:
    assert Redaction([PLAIN]).text("hunter2-hunter1") == "hunter2-hunter1"
    assert Redaction([PLAIN]).beginning("all is well") == "all is well"
    assert Redaction([]).beginning("x\ufffd") == "x\ufffd"
    assert Redaction([]).value({"a": [1]}) == {"a": [1]}
    assert Redaction(["ключ-ключ12"]).text("12 ключ") == "12 ключ"


@given(
    st.text(st.characters(codec="utf-8"), min_size=8, max_size=40), st.text(max_size=5), st.text(max_size=5)
)
def test_no_secret_survives(secret: str, before: str, after: str) -> None:
    hidden = Redaction([secret])
    assert secret not in hidden.text(before + secret + after)
    assert HIDDEN in hidden.text(before + secret + after)
    assert json.dumps(secret)[1:-1] not in hidden.text(json.dumps({"k": before + secret}))


def test_errors_say_nothing_of_a_secret_whatever_they_are() -> None:
    hidden = Redaction([PLAIN])
    for error in (ValueError(f"wrong: {PLAIN}"), ActionError(f"k{PLAIN}", f"wrong: {PLAIN}", permanent=True)):
        with pytest.raises(ActionError) as caught, hidden.in_errors():
            raise error
        assert str(caught.value) == "wrong: ***"
        assert PLAIN not in caught.value.kind
        assert caught.value.permanent is isinstance(error, ActionError)
        assert caught.value.__suppress_context__, "a traceback would show the first one"
    with pytest.raises(ValueError, match="as it was"), Redaction([]).in_errors():
        raise ValueError("as it was")


def test_long_secrets_and_texts_take_little_time() -> None:
    key = "-----BEGIN KEY-----\n" + "\n".join(f"{i:064x}/+" for i in range(60))
    text = (f"{json.dumps(key)} " + 'x/\\"%&' * 2000) * 50
    began = time.monotonic()
    hidden = Redaction([key, HARD, PLAIN])
    assert f"{59:064x}" not in hidden.beginning(text)
    assert hidden.value([1, "x"] * 100_000)  # type: ignore[arg-type]
    assert time.monotonic() - began < 5
