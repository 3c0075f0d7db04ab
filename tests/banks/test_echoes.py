"""A bank's error that repeats what it was sent in confidence, in any way of writing: nobody here reads it."""

import base64
import html
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_bank import TinyBank, answer, gives, serving

from receiver import banks
from receiver.banks.errors import LOOKED_AT_MAX, WITHHELD, BankError, masked
from receiver.banks.http import HttpClient

SECRET = 'pa"ss<w>ör/d+&=%x'
TOKEN = "rcv.To~ken/with+all=its&signs-0123456789"


def base64_of(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


WAYS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "JSON": lambda text: json.dumps(text),
    "JSON without escapes": lambda text: json.dumps(text, ensure_ascii=False),
    "JSON with slashes escaped": lambda text: json.dumps(text).replace("/", "\\/"),
    "JSON in JSON": lambda text: json.dumps(json.dumps(text)),
    "every character escaped": lambda text: "".join(f"\\u{ord(letter):04X}" for letter in text),
    "URL": lambda text: quote(text, safe=""),
    "URL with slashes": quote,
    "URL in small letters": lambda text: quote(text, safe="").lower() if text.islower() else quote(text, safe=""),
    "form": quote_plus,
    "URL twice": lambda text: quote(quote(text, safe=""), safe=""),
    "HTML": html.escape,
    "HTML, all as numbers": lambda text: "".join(f"&#{ord(letter)};" for letter in text),
    "HTML in a URL": lambda text: quote(html.escape(text)),
    "Base64": base64_of,
    "Base64 for URLs, without padding": lambda text: base64.urlsafe_b64encode(text.encode()).decode().rstrip("="),
    "Base64 with something before it": lambda text: base64_of(f"the-user:{text}"),
    "Base64 glued to a word": lambda text: f"Basic{base64_of(text)}",
    "Base64 of JSON": lambda text: base64_of(json.dumps({"secret": text})),
    "hexadecimal": lambda text: text.encode().hex(),
    "hexadecimal with colons": lambda text: text.encode().hex(":").upper(),
}


@pytest.fixture
def bank() -> Iterator[TinyBank]:
    with serving() as server:
        yield server


def said(bank: TinyBank, question: Callable[[HttpClient], Any]) -> str:
    client = HttpClient(bank.url, clock=lambda: datetime(2026, 1, 1, tzinfo=UTC), token=TOKEN)
    with pytest.raises(BankError) as caught:
        question(client)
    client.close()
    return str(caught.value)


QUESTIONS: dict[str, tuple[Callable[[HttpClient], Any], str]] = {
    "a token": (lambda client: client.get("/x"), TOKEN),
    "a secret in JSON": (lambda client: client.post("/x", {"clientSecret": SECRET}), SECRET),
    "a secret in a form": (lambda client: client.post_form("/x", {"client_secret": SECRET}), SECRET),
    "a password": (lambda client: client.get("/x", basic=("the-user", SECRET)), SECRET),
    "an API key": (
        lambda client: client.get("/x", {"x-api-key": base64_of(f"the-client:{SECRET}")}),
        SECRET,
    ),
    "a token in a path": (
        lambda client: client.post("/x", {"basePath": f"https://receiver.example/webhooks/b/{'k' * 20}"}),
        "k" * 20,
    ),
}


@pytest.mark.parametrize(("question", "secret"), QUESTIONS.values(), ids=QUESTIONS)
def test_no_way_of_writing_brings_a_secret_back(
    bank: TinyBank, question: Callable[[HttpClient], Any], secret: str
) -> None:
    for way, write in WAYS.items():
        echo = write(secret)
        for body in ({"error": "no", "message": f"it was {echo} !"}, {"errors": {echo: ["wrong"]}}, [echo]):
            gives(bank, 400, body)
            text = said(bank, question)
            assert secret not in text, way
            assert echo not in text, way


def test_words_without_an_echo_are_shown_as_they_are(bank: TinyBank) -> None:
    words = "Client 1046406142 is unknown: https://bank.example/errors?code=E7&lang=en (QWxhZGRpbg==, 0a1b2c3d4e5f)"
    gives(bank, 400, {"error": words})
    assert said(bank, lambda client: client.post("/x", {"clientSecret": SECRET})) == f"POST /x: 400 {words}"


def test_a_registration_that_repeats_the_secret_shows_it_to_nobody(bank: TinyBank) -> None:
    token = "0f8fad5b-d9cb-469f-a165-70867728950e"
    point, echo = b'{"id":"point"}', json.dumps({"detail": f"path /webhooks/b/{token} is taken"}).encode()
    bank.answer = lambda handler: answer(handler, *((200, point) if handler.command == "GET" else (400, echo)))
    text = said(bank, lambda client: banks.named("banqup").register(client, f"https://r.example/webhooks/b/{token}"))
    assert (token in text, "is taken" in text) == (False, True)


@given(st.text("ab%\\&;u0043=/+ '\"<", max_size=60), st.text(min_size=6, max_size=20))
def test_masking_never_fails_and_never_shows_the_secret(text: str, secret: str) -> None:
    assert secret not in masked(f"{text}{secret}{text}", [secret]) or secret in WITHHELD + "…"


def test_a_secret_that_is_cut_in_its_middle_is_not_shown() -> None:
    text = SECRET * (LOOKED_AT_MAX // len(SECRET) + 2)
    assert masked(text, [SECRET]) == WITHHELD
