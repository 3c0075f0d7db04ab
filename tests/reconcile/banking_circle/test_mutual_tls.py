"""What is wrong with the way into the bank, told apart in words."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
from banking_circle import add_source, credentials

from receiver.bank_client.session import BankSession
from receiver.banks import tls
from receiver.banks.errors import (
    CertificateRefused,
    CertificateUnusable,
    NotTrusted,
    PasscodeWrong,
    TokenRefused,
    Unreachable,
)
from receiver.runtime import Runtime
from receiver.simulator.banking_circle import Simulator
from receiver.store import bank_tokens


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Nothing here differs between the databases."""
    return sqlite_url


def failing(live: Runtime, simulator: Simulator, **given: Any) -> Exception:
    """Return why a bank does not authorize these credentials."""
    source = add_source(live, simulator, credentials(simulator, **given))
    session = BankSession(live, source)
    with pytest.raises(Exception, match=r".") as caught:
        session.authorize()
    return caught.value


def test_without_a_certificate_it_is_said_that_there_is_none(live: Runtime, bank: Simulator) -> None:
    error = failing(live, bank, certificate="")
    assert type(error) is CertificateUnusable
    assert str(error) == "there is no client certificate among the credentials"


def test_a_connection_that_presents_none_is_refused_in_the_handshake(bank: Simulator, monkeypatch: Any) -> None:
    from receiver import runtime
    from receiver.banks.http import HttpClient

    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bank.certificates.ca))
    with pytest.raises(CertificateRefused, match=r"no client certificate is presented|none was presented"):
        HttpClient(bank.url, clock=runtime.utc_now).get("/")


def test_a_certificate_of_another_authority_is_the_wrong_one(live: Runtime, bank: Simulator) -> None:
    error = failing(live, bank, pfx=bank.certificates.wrong_ca_pfx)
    assert type(error) is CertificateRefused
    assert "does not know who issued the client certificate" in str(error)


def test_an_expired_certificate_is_said_to_have_expired(live: Runtime, bank: Simulator) -> None:
    error = failing(live, bank, pfx=bank.certificates.expired_pfx)
    assert type(error) is CertificateRefused
    assert "the client certificate has expired" in str(error)


def test_a_wrong_passcode_is_said_to_be_wrong(live: Runtime, bank: Simulator) -> None:
    error = failing(live, bank, passcode="wrong")
    assert type(error) is PasscodeWrong
    assert "passcode does not open the PFX" in str(error)
    assert "wrong" not in str(error)


def test_a_wrong_password_is_a_refused_user(live: Runtime, bank: Simulator) -> None:
    error = failing(live, bank, password="wrong-password")
    assert type(error) is TokenRefused
    assert "wrong-password" not in str(error)


def test_a_bank_with_a_certificate_of_an_unknown_authority_is_not_trusted(live: Runtime, bank: Simulator) -> None:
    error = failing(live, bank, ca_certificate=None)
    assert type(error) is NotTrusted
    assert "the bank's own certificate is not trusted" in str(error)


@pytest.mark.parametrize("is_directory", [False, True], ids=["a file", "a directory"])
def test_the_public_authorities_are_those_of_the_environment(
    live: Runtime, bank: Simulator, is_directory: bool, tmp_path: Path, monkeypatch: Any
) -> None:
    ca = bank.certificates.ca
    # The name that OpenSSL looks for in a directory.
    command = ["openssl", "x509", "-noout", "-subject_hash", "-in", str(ca)]
    named = tmp_path / f"{subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()}.0"
    named.write_bytes(ca.read_bytes())
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path if is_directory else ca))
    tls._context_for.cache_clear()
    source = add_source(live, bank, credentials(bank, ca_certificate=None))
    try:
        BankSession(live, source).authorize()
    finally:
        tls._context_for.cache_clear()
    with live.database.read() as connection:
        assert bank_tokens.token(connection, live.encryption, source) is not None


def test_a_bank_that_is_not_there_is_unreachable(live: Runtime, bank: Simulator) -> None:
    source = add_source(live, bank)
    bank.stop()
    session = BankSession(live, source)
    with pytest.raises(Unreachable) as caught:
        session.authorize()
    assert type(caught.value) is Unreachable
