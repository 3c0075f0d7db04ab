"""Why a bank was not reached, in words; proxies without their passwords; a CA of the bank's own."""

import base64
import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from certificates import new_certificate
from tiny_bank import TinyBank, serving

from receiver.banks import tls
from receiver.banks.errors import CertificateUnusable, NotTrusted, Unreachable
from receiver.banks.http import HttpClient
from receiver.banks.unreached import proxy_for

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)


def why(url: str, read_seconds: float = 60) -> str:
    client = HttpClient(url, clock=lambda: NOW, read_seconds=read_seconds)
    with pytest.raises(Unreachable) as caught:
        client.get("/v1/x")
    client.close()
    return str(caught.value)


def test_a_connection_that_is_refused() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        said = why(f"http://127.0.0.1:{taken.getsockname()[1]}")
    assert said == "GET /v1/x: the connection was refused: nothing listens there, or a firewall says no"


def test_a_host_that_has_no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert why("https://bank.example").endswith("no address is known for this host (DNS)")


def test_an_answer_that_does_not_come() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        said = why(f"http://127.0.0.1:{silent.getsockname()[1]}", read_seconds=0.05)
    assert said.endswith("connected, and no answer came in time")


def test_a_connection_that_is_closed() -> None:
    with serving() as bank:
        bank.answer = lambda handler: handler.connection.shutdown(socket.SHUT_RDWR)
        assert why(bank.url).endswith("the connection was closed before the answer was whole")


def test_a_proxy_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        proxy = f"127.0.0.1:{taken.getsockname()[1]}"
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:hidden@{proxy}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        said = why("https://bank.example")
    assert f"at the proxy http://…@{proxy}: the connection was refused" in said
    assert "hidden" not in said


def test_no_proxy_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", "bank.example")
    assert proxy_for("https://bank.example") is None
    assert proxy_for("https://other.example/path") == "http://proxy.example:3128"


@pytest.fixture
def private_bank(tmp_path: Path) -> Iterator[tuple[TinyBank, bytes]]:
    """A bank with a certificate that no public CA has issued, and the one that vouches for it."""
    certificate, key = new_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with serving() as bank:
        bank.socket = context.wrap_socket(bank.socket, server_side=True)
        yield bank, certificate.read_bytes()


def test_a_bank_of_a_private_ca_is_trusted_by_that_ca_alone(private_bank: tuple[TinyBank, bytes]) -> None:
    bank, pem = private_bank
    url = bank.url.replace("http://", "https://")
    trusting = tls.authority_in({"ca_certificate": base64.b64encode(pem).decode()})
    client = HttpClient(url, clock=lambda: NOW, trusting=trusting)
    assert client.get("/v1/x") == {}
    client.close()
    with pytest.raises(NotTrusted, match="not trusted"):
        HttpClient(url, clock=lambda: NOW).get("/v1/x")


@pytest.mark.parametrize("stored", ["no Base64!", base64.b64encode(b"no PEM").decode()])
def test_a_ca_that_can_not_be_read_is_refused(stored: str) -> None:
    with pytest.raises(CertificateUnusable, match="CA certificate"):
        tls.authority_in({"ca_certificate": stored})
