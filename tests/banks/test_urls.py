"""Addresses of an API, and ids in paths: a request goes where it is meant to go, to the byte."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from tiny_bank import TinyBank, gives, serving

from receiver import banks
from receiver.banks import urls
from receiver.banks.bcb import credentials
from receiver.banks.errors import BankError
from receiver.banks.http import HttpClient
from receiver.banks.protocol import OptionsWrong
from receiver.banks.urls import IdUnusable

TAKEN = [
    "https://api.bank.example",
    "https://api.bank.example:8443/open/v1",
    "https://192.0.2.1",
    "http://127.0.0.1:9900",
    "http://127.8.9.1",
    "http://localhost:9900/x",
    "http://LOCALHOST",
    "http://[::1]:9900",
    "http://[::ffff:127.0.0.1]",
]

REFUSED = [
    "",
    "api.bank.example",
    "ftp://api.bank.example",
    "file:///etc/passwd",
    "http://api.bank.example",
    "http://192.0.2.1",
    "http://10.0.0.1",
    "http://0.0.0.0",
    "http://[2001:db8::1]",
    "http://127.0.0.1.bank.example",
    "http://localhost.bank.example",
    "http://localhost.",
    "http://127.1",
    "http://2130706433",
    "http://0x7f000001",
    "http://localhost@bank.example",
    "http://127.0.0.1:80@bank.example",
    "http://bank.example#@127.0.0.1",
    "http://bank.example?@127.0.0.1",
    "http://bank.example\\@127.0.0.1",
    "http://127.0.0.1\\.bank.example",
    "https://user:password@api.bank.example",
    "https://api.bank.example?x=1",
    "https://api.bank.example#x",
    "https://api.bank.example/%zz",
    "https://api.bank.example:99999",
    "https://api.bank.example:x",
    "https://[::1",
    "https://api.bank.example\n",
    "https://api.bank.example /",
    "HTTPS://",
    "https://",
]


@pytest.mark.parametrize("url", TAKEN)
def test_an_address_by_https_or_on_loopback_is_taken(url: str) -> None:
    assert urls.check(f"{url}/") == url


@pytest.mark.parametrize("url", REFUSED)
def test_any_other_address_is_refused_at_every_bank_and_as_every_option(url: str) -> None:
    with pytest.raises(ValueError, match=r"address|http"):
        urls.check(url)
    for bank in banks.every().values():
        with pytest.raises(OptionsWrong):
            bank.check_base_url(url)
    with pytest.raises(OptionsWrong, match="authorization_url"):
        banks.named("banking_circle").check_options({"authorization_url": url})


@pytest.mark.parametrize("path", ["/..", "/a/../b", "/a/%2e%2e/b", "/a/.", "/a/%2E./b", "/a%2f../b"])
def test_a_path_among_the_options_leads_nowhere_else(path: str) -> None:
    with pytest.raises(OptionsWrong):
        banks.named("banqup").check_options({"token_in": "path", "token_path": path})
    with pytest.raises(OptionsWrong):
        banks.named("connectpay").check_options({"status_path": f"{path}/{{paymentOrderNo}}"})


UNUSABLE = [
    "",
    ".",
    "..",
    "%2e%2e",
    "%2E.",
    "a/..",
    "../a",
    "a/../../b",
    "..\\a",
    "a\0",
    "a\nb",
    "a\rb",
    "\x7f",
    "\ud800",
]

ENCODED = {
    "FT1": "FT1",
    "a/b": "a%2Fb",
    "a?b#c": "a%3Fb%23c",
    "a b": "a%20b",
    "...": "...",
    ".a": ".a",
    "a;b=c": "a%3Bb%3Dc",
    "%41": "%2541",
    "é": "%C3%A9",
    "a\\b": "a%5Cb",
    "a@b:c": "a%40b%3Ac",
}

Asks = Callable[[HttpClient, str], Any]


def asking(bank: str, kind: str = "payment", **facts: str) -> Asks:
    return lambda client, known: banks.named(bank).ask(client, kind, known, facts)


CALLS: dict[str, tuple[Asks, str]] = {
    "bcb payment": (asking("bcb"), "/v1/payments/{}/status"),
    "bcb job": (asking("bcb", "job"), "/v1/jobs/{}"),
    "bcb rotation": (lambda client, known: credentials.rotate(client, "key", known), "/v1/credentials/{}"),
    "bcb disabling": (lambda client, known: credentials.disable(client, "key", known), "/v1/credentials/{}"),
    "bcb permissions": (credentials.permissions, "/v1/credentials/{}/permissions"),
    "banking_circle payment": (asking("banking_circle"), "/api/v1/payments/singles/{}/status"),
    "banking_circle reference": (
        asking("banking_circle", "reference"),
        "/api/v1/payments/singles/transactionreference/{}",
    ),
    "banqup payment": (asking("banqup", space_id="s"), "/payments/v1/spaces/s/payments/{}"),
    "banqup space": (
        lambda client, known: banks.named("banqup").ask(client, "payment", "p", {"space_id": known or "."}),
        "/payments/v1/spaces/{}/payments/p",
    ),
    "connectpay payment": (asking("connectpay"), "/ob/payments/{}/status"),
}


@pytest.fixture
def bank() -> Iterator[TinyBank]:
    with serving() as server:
        yield server


@pytest.mark.parametrize(("ask", "path"), CALLS.values(), ids=CALLS)
def test_an_id_never_leads_a_request_elsewhere(bank: TinyBank, ask: Asks, path: str) -> None:
    client = HttpClient(bank.url, clock=lambda: datetime(2026, 1, 1, tzinfo=UTC), token="token")
    gives(bank, 404, b"")
    for known in UNUSABLE:
        with pytest.raises(IdUnusable, match="was not asked") as caught:
            ask(client, known)
        assert caught.value.outcome == "id_unusable"
    assert bank.lines == []
    for known in ENCODED:
        with pytest.raises(BankError):
            ask(client, known)
    sent = [line.split(" ")[1] for line in bank.lines]
    assert sent == [path.format(encoded) for encoded in ENCODED.values()]
    client.close()


def test_the_extension_point_that_a_bank_names_leads_nowhere_else(bank: TinyBank) -> None:
    client = HttpClient(bank.url, clock=lambda: datetime(2026, 1, 1, tzinfo=UTC), token="token")
    gives(bank, 200, {"id": "../../../payments"})
    with pytest.raises(IdUnusable):
        banks.named("banqup").register(client, "https://receiver.example/webhooks/banqup")
    assert len(bank.lines) == 1
    client.close()
