"""Client certificates in PFX files: opened, checked, and how long they last."""

import base64
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12

from receiver.banks import tls
from receiver.banks.errors import CertificateUnusable, PasscodeWrong
from receiver.banks.tls import ClientCertificate
from receiver.simulator.tls import Authority, IssuedCertificate

ENDS = datetime(2036, 3, 4, 12, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def client() -> IssuedCertificate:
    return Authority("Some CA").client("client", ENDS)


def test_a_pfx_opens_with_its_passcode(client: IssuedCertificate) -> None:
    presented = ClientCertificate(client.pfx("Paß-code"), "Paß-code")
    assert presented.leaf() == client.certificate
    assert presented.context() is presented.context()


def test_another_passcode_does_not_open_it(client: IssuedCertificate) -> None:
    with pytest.raises(PasscodeWrong, match="passcode does not open"):
        ClientCertificate(client.pfx("right"), "wrong").leaf()


@pytest.mark.parametrize("content", [b"", b"text", b"\x30\x82\x00\x00"])
def test_what_is_no_pfx_is_said_to_be_none(content: bytes) -> None:
    with pytest.raises(CertificateUnusable, match="no PFX") as caught:
        ClientCertificate(content, "x").leaf()
    assert type(caught.value) is CertificateUnusable


def test_pem_in_place_of_a_pfx_is_named(client: IssuedCertificate) -> None:
    with pytest.raises(CertificateUnusable, match="but PEM"):
        ClientCertificate(client.pem, "x").leaf()


def test_a_pfx_without_a_key_can_not_be_presented(client: IssuedCertificate) -> None:
    bare = pkcs12.serialize_key_and_certificates(b"x", None, client.certificate, None, BestAvailableEncryption(b"x"))
    with pytest.raises(CertificateUnusable, match="holds no"):
        ClientCertificate(bare, "x").leaf()


def test_a_ca_that_is_no_pem_is_refused(client: IssuedCertificate) -> None:
    with pytest.raises(CertificateUnusable, match="CA certificate"):
        ClientCertificate(client.pfx("x"), "x", b"no PEM").context()


def test_nothing_of_it_shows_in_a_repr(client: IssuedCertificate) -> None:
    shown = repr(ClientCertificate(client.pfx("the-passcode"), "the-passcode"))
    assert "the-passcode" not in shown
    assert "pfx" not in shown


def test_stored_credentials_give_the_certificate(client: IssuedCertificate) -> None:
    stored = {"certificate": base64.b64encode(client.pfx("x")).decode(), "passcode": "x"}
    assert tls.certificate_in(stored).leaf() == client.certificate


@pytest.mark.parametrize("stored", [{}, {"certificate": ""}, {"certificate": "not Base64!"}])
def test_credentials_without_one_are_said_to_be_without(stored: dict[str, str]) -> None:
    with pytest.raises(CertificateUnusable):
        tls.certificate_in(stored)


@pytest.mark.parametrize(
    ("now", "state", "text"),
    [
        (ENDS - timedelta(days=31), "ok", "valid until 2036-03-04 12:00 UTC"),
        (ENDS - timedelta(days=30), "warn", "valid until 2036-03-04 12:00 UTC: 30 days are left"),
        (ENDS - timedelta(hours=1), "warn", "0 days are left"),
        (ENDS, "fail", "it expired on 2036-03-04 12:00 UTC"),
        (datetime(2020, 1, 1, tzinfo=UTC), "fail", "it is not valid before"),
    ],
)
def test_its_end_is_told_and_warned_of_30_days_ahead(
    client: IssuedCertificate, now: datetime, state: str, text: str
) -> None:
    found, words = tls.expiry(client.certificate, now)
    assert (found, text in words) == (state, True)
