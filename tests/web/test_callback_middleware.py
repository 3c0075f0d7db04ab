"""The short way past Flask changes no answer: the same requests, by Flask's own route and by it."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import others
import pytest
from bank import BankSigner, Signed, deposit
from flask import Flask
from others import CONNECTPAY_ADDRESS, TOKEN
from sqlalchemy import make_url
from werkzeug.test import Client, EnvironBuilder

from receiver.runtime import Runtime

pytestmark = pytest.mark.usefixtures("source")


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """One kind: callbacks are tested on each in `test_callbacks.py`."""
    return sqlite_url


Case = Callable[[BankSigner], dict[str, Any]]


def of(signed: Signed, **headers: str) -> dict[str, Any]:
    return {"path": signed.path, "data": signed.body, "headers": {**signed.headers, **headers}}


def told_bytes(length: str) -> dict[str, Any]:
    return {"environ_overrides": {"CONTENT_LENGTH": length}}


def forged(bank: BankSigner) -> dict[str, Any]:
    signed = bank.sign(deposit())
    return {**of(signed), "data": signed.body + b" "}


CASES: dict[str, Case] = {
    "genuine": lambda bank: of(bank.sign(deposit(), nonce="the same")),
    "forged": forged,
    "nothing of a callback": lambda _: {"path": "/webhooks/bcb", "data": b""},
    "no such source": lambda bank: {**of(bank.sign(deposit())), "path": "/webhooks/nobody"},
    "no source": lambda _: {"path": "/webhooks/", "data": b"{}"},
    "slashes": lambda _: {"path": "/webhooks//bcb", "data": b"{}"},
    "a line break": lambda _: {"path": "/webhooks/bcb/x%0Ay", "data": b"{}"},
    "an encoded slash": lambda bank: {**of(bank.sign(deposit())), "path": "/webhooks/bcb%2Fdeposits"},
    "an absolute target": lambda bank: {
        **of(bank.sign(deposit(), nonce="absolute")),
        "environ_overrides": {"RAW_URI": "http://receiver.example/webhooks/bcb"},
    },
    "a path that is not UTF-8": lambda _: {"path": "/webhooks/%FF%00", "data": b"{}"},
    "unknown coding": lambda bank: of(bank.sign(deposit()), **{"Content-Encoding": "br"}),
    "broken coding": lambda bank: of(bank.sign(deposit()), **{"Content-Encoding": "gzip"}),
    "too large": lambda _: {"path": "/webhooks/bcb", "data": b"x", **told_bytes(str(1 << 40))},
    "shorter than it says": lambda bank: {**of(bank.sign(deposit())), **told_bytes("1000")},
    "a length that is no number": lambda _: {"path": "/webhooks/bcb", **told_bytes("many")},
    "another method": lambda _: {"path": "/webhooks/bcb", "method": "PUT"},
    "asking which methods": lambda _: {"path": "/webhooks/bcb", "method": "OPTIONS"},
}


def answers(app: Flask, request: dict[str, Any]) -> list[tuple[int, dict[str, str], bytes]]:
    """What a request gets by Flask's own route and by the short way."""
    given = []
    for application in (Flask.wsgi_app.__get__(app), app):
        answer = Client(application).open(EnvironBuilder(**{"method": "POST", **request}))
        given.append((answer.status_code, dict(answer.headers), answer.data))
    return given


@pytest.mark.parametrize("name", CASES)
def test_an_answer_is_the_same_either_way(app: Flask, bank: BankSigner, name: str) -> None:
    request = CASES[name](bank)
    # What is accepted is accepted once only, by whichever way comes first.
    answers(app, request)
    flask, short = answers(app, request)
    assert short == flask


def test_the_text_that_a_bank_waits_for_is_the_same_either_way(app: Flask, parts: Runtime) -> None:
    others.add(parts, "connectpay", TOKEN)
    request = {
        "path": "/webhooks/connectpay",
        "data": b"{}",
        "headers": {"X-ConnectPay-Token": TOKEN},
        "environ_base": {"REMOTE_ADDR": CONNECTPAY_ADDRESS},
    }
    flask, short = answers(app, request)
    assert short == flask
    assert short[2] == b"OK"


def test_an_unavailable_database_is_the_same_either_way(app: Flask, bank: BankSigner, parts: Runtime) -> None:
    if not parts.database.is_sqlite:
        pytest.skip("a file can be made unreadable at once")
    parts.database.close()
    file = Path(str(make_url(parts.settings.database_url).database))
    sqlite3.connect(file).execute("DROP TABLE deliveries")
    flask, short = answers(app, of(bank.sign(deposit())))
    assert short == flask
    assert short[0] == 503
