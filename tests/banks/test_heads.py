"""What is refused by address and headers alone, before a body is read: never what would be proven genuine."""

import base64
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import others
import pytest
from bank import SECRET, BankSigner, deposit
from conftest import StandingClock
from encrypting_bank import KEY, EncryptingBank, notification
from others import CONNECTPAY_ADDRESS, TOKEN, WHSEC

from receiver import banks
from receiver.banks.callback import Callback, Profile
from receiver.signing.errors import Refusal

NOW = StandingClock().now
LISTED, ELSEWHERE = "192.0.2.7", "203.0.113.9"


def of(path: str, body: bytes, headers: Mapping[str, str], channel: str | None = None, peer: str = LISTED) -> Callback:
    encoded = {name.lower(): value.encode() for name, value in headers.items()}
    return Callback(b"POST", path.encode(), channel, encoded, body, peer)


def bcb() -> Callback:
    signed = BankSigner(lambda: NOW).sign(deposit())
    return of(signed.path, signed.body, signed.headers)


def banking_circle() -> Callback:
    signed = EncryptingBank().sign([notification()])
    return of(signed.path, signed.body, signed.headers)


def standard_webhooks() -> Callback:
    body, headers = others.webhook({"type": "a.b"}, at=NOW.timestamp())
    return of("/webhooks/standard_webhooks", body, headers)


def connectpay() -> Callback:
    return of("/webhooks/connectpay", b"{}", {"x-connectpay-token": TOKEN}, peer=CONNECTPAY_ADDRESS)


def banqup_header() -> Callback:
    return of("/webhooks/banqup/messages", b"{}", {"x-banqup-token": TOKEN}, "messages")


def banqup_path() -> Callback:
    return of(f"/webhooks/banqup/{TOKEN}/messages", b"{}", {}, f"{TOKEN}/messages")


def banqup_address() -> Callback:
    return of("/webhooks/banqup/messages", b"{}", {}, "messages")


LIST = {"allowed_addresses": [LISTED]}

GENUINE: list[tuple[str, Callable[[], Callback], str | None, dict[str, Any]]] = [
    ("bcb", bcb, SECRET, {}),
    ("bcb", bcb, SECRET, LIST),
    ("banking_circle", banking_circle, KEY, {}),
    ("banking_circle", banking_circle, KEY, LIST),
    ("standard_webhooks", standard_webhooks, WHSEC, {}),
    ("standard_webhooks", standard_webhooks, WHSEC, LIST),
    ("connectpay", connectpay, TOKEN, {}),
    ("banqup", banqup_header, TOKEN, {"token_in": "header"}),
    ("banqup", banqup_path, TOKEN, {"token_in": "path", **LIST}),
    ("banqup", banqup_address, None, LIST),
]


def profile_of(secret: str | None, options: dict[str, Any]) -> Profile:
    return Profile("source", options, [("1", secret)] if secret else [])


@pytest.mark.parametrize(("bank", "make", "secret", "options"), GENUINE)
def test_what_is_genuine_passes_without_its_body(
    bank: str, make: Callable[[], Callback], secret: str | None, options: dict[str, Any]
) -> None:
    found, profile = banks.named(bank), profile_of(secret, options)
    found.prove(make(), profile, NOW)
    found.check_head(replace(make(), body=b""), profile)


def spoilt(callback: Callback) -> list[Callback]:
    """The same with each of its own headers left out, empty, and of another form."""
    names = [name for name in callback.headers if name not in ("content-type", "subscriptionversion")]
    made = []
    for name in names:
        rest = {key: value for key, value in callback.headers.items() if key != name}
        made += [
            replace(callback, headers=headers) for headers in (rest, {**rest, name: b""}, {**rest, name: b"\xff{}"})
        ]
    return made


@pytest.mark.parametrize(("bank", "make", "secret", "options"), GENUINE)
def test_headers_that_prove_nothing_are_refused_without_the_body(
    bank: str, make: Callable[[], Callback], secret: str | None, options: dict[str, Any]
) -> None:
    for callback in spoilt(make()):
        with pytest.raises(Refusal):
            banks.named(bank).check_head(replace(callback, body=b""), profile_of(secret, options))


@pytest.mark.parametrize(
    ("bank", "make", "secret", "options"), [case for case in GENUINE if case[3].get("allowed_addresses")]
)
def test_another_address_is_refused_without_the_body(
    bank: str, make: Callable[[], Callback], secret: str | None, options: dict[str, Any]
) -> None:
    with pytest.raises(Refusal) as raised:
        banks.named(bank).check_head(replace(make(), body=b"", peer=ELSEWHERE), profile_of(secret, options))
    assert raised.value.reason == "address_not_allowed"


def test_a_token_is_compared_without_the_body() -> None:
    for make, options in ((connectpay, {}), (banqup_header, {"token_in": "header"})):
        callback = make()
        (name,) = callback.headers
        wrong = replace(callback, headers={name: base64.b64encode(b"another token")})
        bank = "connectpay" if make is connectpay else "banqup"
        with pytest.raises(Refusal) as raised:
            banks.named(bank).check_head(wrong, profile_of(TOKEN, options))
        assert raised.value.reason == "token_mismatch"


def test_only_bcb_documents_content_codings() -> None:
    assert {name: bank.codings for name, bank in banks.every().items() if bank.codings} == {"bcb": ("gzip", "deflate")}
