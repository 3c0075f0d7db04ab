"""Client certificates in PFX files: opened, checked, and how long they last."""

import base64
import contextlib
import socket
import ssl
import subprocess
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12

from receiver.banks import tls
from receiver.banks.errors import CertificateUnusable, PasscodeWrong
from receiver.banks.http import HttpClient
from receiver.banks.tls import ClientCertificate
from receiver.simulator.tls import Authority, IssuedCertificate

ENDS = datetime(2036, 3, 4, 12, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority("Some CA")


@pytest.fixture(scope="module")
def client(authority: Authority) -> IssuedCertificate:
    return authority.client("client", ENDS)


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


@pytest.mark.parametrize("before", [b"", b"Bag Attributes\n", b"\xef\xbb\xbf"])
def test_pem_in_place_of_a_pfx_is_named_with_the_command_that_makes_one_of_it(
    client: IssuedCertificate, tmp_path: Path, before: bytes
) -> None:
    with pytest.raises(CertificateUnusable, match="but PEM") as caught:
        ClientCertificate(before + client.pem, "x").leaf()
    command = str(caught.value).split("`")[1]
    for name in ("cert.pem", "key.pem"):
        (tmp_path / name).write_bytes(client.pem)
    subprocess.run([*command.split(), "-passout", "pass:x"], cwd=tmp_path, check=True, timeout=60)
    assert ClientCertificate((tmp_path / "client.pfx").read_bytes(), "x").leaf() == client.certificate


def test_a_pfx_without_a_key_can_not_be_presented(client: IssuedCertificate) -> None:
    bare = pkcs12.serialize_key_and_certificates(b"x", None, client.certificate, None, BestAvailableEncryption(b"x"))
    with pytest.raises(CertificateUnusable, match="holds no"):
        ClientCertificate(bare, "x").leaf()


def test_a_ca_that_is_no_pem_is_refused(client: IssuedCertificate) -> None:
    with pytest.raises(CertificateUnusable, match="CA certificate"):
        ClientCertificate(client.pfx("x"), "x", b"no PEM").context()


MARKS = {
    "comment": "# Zürich, für die Bank\n".encode(),
    "UTF-8 mark": b"\xef\xbb\xbf",
    "mark and comment": "\ufeffSubject: CN=Bäcker\r\n".encode(),
    "Latin-1 comment": b"# Z\xfcrich\n",
}


@pytest.mark.parametrize("before", MARKS.values(), ids=MARKS.keys())
def test_a_ca_is_taken_with_whatever_stands_before_it(client: IssuedCertificate, before: bytes) -> None:
    content = before + client.issuer
    assert ClientCertificate(client.pfx("x"), "x", content).context().cert_store_stats()["x509_ca"] == 1


def test_a_ca_is_taken_as_an_editor_on_windows_writes_it(client: IssuedCertificate) -> None:
    content = client.issuer.decode().replace("\n", "\r\n").encode("utf-16")
    assert ClientCertificate(client.pfx("x"), "x", content).context().cert_store_stats()["x509_ca"] == 1


def test_an_empty_ca_is_not_taken_for_none_which_would_trust_all_public_ones(client: IssuedCertificate) -> None:
    stored = {"certificate": base64.b64encode(client.pfx("x")).decode(), "passcode": "x", "ca_certificate": ""}
    with pytest.raises(CertificateUnusable, match="CA certificate"):
        tls.certificate_in(stored).context()


@pytest.mark.parametrize("options", [[], ["-legacy"], ["-keypbe", "NONE", "-certpbe", "NONE", "-nomac"]], ids=str)
def test_a_pfx_with_an_empty_passcode_is_opened(client: IssuedCertificate, tmp_path: Path, options: list[str]) -> None:
    (tmp_path / "client.pem").write_bytes(client.pem)
    command = ["openssl", "pkcs12", "-export", "-in", "client.pem", "-passout", "pass:", "-out", "client.pfx", *options]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=60)
    presented = ClientCertificate((tmp_path / "client.pfx").read_bytes(), "")
    assert presented.leaf() == client.certificate
    presented.context()


def test_an_empty_passcode_does_not_open_what_has_one(client: IssuedCertificate) -> None:
    with pytest.raises(PasscodeWrong):
        ClientCertificate(client.pfx("right"), "").leaf()


def answer_once_shown(listener: socket.socket, context: ssl.SSLContext, seen: list[Any]) -> None:
    """Read a request, ask for the caller's certificate only then, and answer once it was shown."""
    with listener, listener.accept()[0] as accepted, context.wrap_socket(accepted, server_side=True) as secured:
        secured.recv(65536)
        seen.append(secured.getpeercert())
        secured.verify_client_post_handshake()
        # The question goes out with what is written next, and its answer is found by reading.
        secured.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n")
        secured.settimeout(0.05)
        ends = time.monotonic() + 60
        while not secured.getpeercert() and time.monotonic() < ends:
            with contextlib.suppress(TimeoutError):
                secured.recv(1)
        seen.append(secured.getpeercert())
        secured.settimeout(60)
        secured.sendall(b"Connection: close\r\nContent-Length: 2\r\n\r\n{}")


def test_a_bank_that_asks_for_the_certificate_after_the_handshake_is_shown_it(
    authority: Authority, client: IssuedCertificate
) -> None:
    context = authority.server_context("127.0.0.1")
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=authority.certificate.decode())
    context.post_handshake_auth = True
    listener = socket.create_server(("127.0.0.1", 0))
    seen: list[Any] = []
    bank = threading.Thread(target=answer_once_shown, args=(listener, context, seen))
    bank.start()
    presented = ClientCertificate(client.pfx("x"), "x", client.issuer)
    caller = HttpClient(
        f"https://127.0.0.1:{listener.getsockname()[1]}", clock=lambda: ENDS, certificate=presented, read_seconds=60
    )
    try:
        assert caller.get("/") == {}
    finally:
        caller.close()
        bank.join(60)
    before, after = seen
    assert not before
    assert after


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
