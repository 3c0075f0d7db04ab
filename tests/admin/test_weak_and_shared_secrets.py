"""Secrets that could be guessed, or that two sources share: refused when set, named where they are set already."""

import base64
from collections.abc import Iterator
from typing import Any

import others
import pytest
from bank import BankSigner, deposit
from conftest import add_source
from encrypting_bank import KEY as AES_KEY
from others import TOKEN, WHSEC

from receiver.admin import diagnosis, secrets
from receiver.model import NotPossible
from receiver.runtime import Runtime
from receiver.signing.errors import Refusal
from receiver.store import signing_secrets
from receiver.web import create_app

WHO = "cli:test"
AES_BASE64 = base64.b64encode(AES_KEY.encode()).decode()

SHARED: dict[str, tuple[str, dict[str, Any], str, dict[str, Any], str]] = {
    "standard_webhooks": ("standard_webhooks", {}, WHSEC, {}, WHSEC),
    "with and without its prefix": ("standard_webhooks", {}, WHSEC, {"headers": "svix"}, WHSEC[6:]),
    "banking_circle": ("banking_circle", {}, AES_KEY, {}, AES_KEY),
    "two spellings of one key": ("banking_circle", {}, AES_KEY, {"encoding": "base64"}, AES_BASE64),
    "connectpay": ("connectpay", {}, TOKEN, {"api_key": "basic"}, TOKEN),
    "banqup": ("banqup", {"token_in": "path"}, TOKEN, {"token_in": "header"}, TOKEN),
}


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Nothing here depends on the kind of database."""
    return sqlite_url


@pytest.mark.parametrize(("bank", "one", "secret", "other", "again"), SHARED.values(), ids=SHARED)
def test_one_secret_at_two_sources_is_refused_where_the_path_is_not_signed(
    parts: Runtime, bank: str, one: dict[str, Any], secret: str, other: dict[str, Any], again: str
) -> None:
    others.add(parts, bank, secret, name="one", **one)
    two = others.add(parts, bank, None, name="two", **other)
    with pytest.raises(NotPossible, match="one has the same secret"):
        secrets.put(parts, WHO, "two", again)
    with parts.database.read() as connection:
        assert signing_secrets.versions(connection, two.id) == []
    assert secrets.put(parts, WHO, "one", secret).version == 1
    # Set so by an earlier release, it goes on, and is named at both.
    others.set_secret(parts, two, again)
    named = [finding.what for finding in warnings(parts) if "too: each callback of the one" in finding.text]
    assert named == ["one secrets", "two secrets"]


def warnings(parts: Runtime) -> Iterator[diagnosis.Finding]:
    return (finding for finding in diagnosis.examine(parts) if finding.state == "warn")


def test_a_secret_that_the_other_source_does_not_take_any_more_is_taken(parts: Runtime) -> None:
    others.add(parts, "standard_webhooks", WHSEC, name="one")
    others.add(parts, "standard_webhooks", None, name="two")
    secrets.expire(parts, WHO, "one", 1)
    assert secrets.put(parts, WHO, "two", WHSEC).version == 1


def test_where_the_path_is_signed_two_sources_may_share_one(parts: Runtime, bank: BankSigner) -> None:
    add_source(parts)
    add_source(parts, "uat", secret=None)
    assert secrets.put(parts, WHO, "uat", bank.secret).version == 1
    assert not [finding for finding in warnings(parts) if "secrets" in finding.what]


@pytest.mark.parametrize(
    ("encoding", "secret", "is_taken"),
    [
        ("utf8", "fifteen letters", False),
        ("utf8", "sixteen letters!", True),
        ("base64", base64.b64encode(bytes(15)).decode(), False),
        ("base64", base64.b64encode(bytes(16)).decode(), True),
        ("base64", "eA==", False),
    ],
)
def test_an_hmac_secret_has_sixteen_bytes_at_least(parts: Runtime, encoding: str, secret: str, is_taken: bool) -> None:
    add_source(parts, secret=None, encoding=encoding)
    if is_taken:
        assert secrets.put(parts, WHO, "bcb", secret).version == 1
        return
    with pytest.raises(Refusal, match="16 are the least"):
        secrets.put(parts, WHO, "bcb", secret)


def test_a_short_secret_that_was_set_before_goes_on_taking_callbacks_and_is_named(
    parts: Runtime, bank: BankSigner
) -> None:
    short = base64.b64encode(b"short").decode()
    add_source(parts, secret=short)
    signed = BankSigner(bank.clock, secret=short).sign(deposit())
    answer = create_app(parts).test_client().post(signed.path, data=signed.body, headers=signed.headers)
    assert answer.status_code == 200
    states = {finding.state: finding.text for finding in diagnosis.examine(parts) if finding.what == "bcb secrets"}
    assert states["ok"] == "1 valid, the current one is 1"
    assert states["warn"] == "short enough to be guessed: 1; ask the bank for another one"


def test_what_would_not_be_taken_today_is_named(parts: Runtime) -> None:
    add_source(parts, base_url="http://bank.example")
    others.add(parts, "connectpay", TOKEN, token_header="x_partner_token")
    others.add(parts, "connectpay", TOKEN, name="proxied", token_header="x-forwarded-for")
    others.add(parts, "banking_circle", AES_KEY, authorization_url="http://login.bank.example")
    others.add(parts, "banking_circle", AES_KEY, name="mixed", nonce_header="checksum")
    found = {finding.what: finding.text for finding in warnings(parts) if finding.what.endswith("options")}
    assert "http:// shows everybody on the way what goes to bank.example" in found["bcb options"]
    assert "x-partner-token" in found["connectpay options"]
    assert "token_header=x-forwarded-for" in found["proxied options"]
    assert "login.bank.example" in found["banking_circle options"]
    assert "nonce_header=checksum" in found["mixed options"]
    assert all("receiver source set" in text for text in found.values())
