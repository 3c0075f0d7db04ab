"""TLS: certificates made for one run by `trustme`, and handshakes in each connection's own thread.

A client that stalls in its handshake then holds up nobody else.
"""

import contextlib
import os
import socket
import ssl
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from wsgiref.types import WSGIApplication

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    NoEncryption,
    load_pem_private_key,
    pkcs12,
)
from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler

from receiver.simulator import require_installed
from receiver.simulator.scripts import utc_now

if TYPE_CHECKING:
    pass

LOOPBACK = ("127.0.0.1", "::1", "localhost")

HANDSHAKE_SECONDS = 10.0
_DRAIN_SECONDS = 0.5

_DAY = timedelta(days=1)


class Authority:
    """Issues certificates for one run (RFC 5280); its key is kept in memory alone.

    Raises:
        receiver.simulator.SimulatorNotInstalled: where `trustme` is missing.
    """

    def __init__(self, name: str) -> None:
        """Make a key and a certificate of its own."""
        require_installed()
        from trustme import CA

        self._ca: CA = CA(organization_name=name)

    @property
    def certificate(self) -> bytes:
        """Its own certificate, as PEM."""
        return self._ca.cert_pem.bytes()

    def client(self, name: str, expires: datetime) -> "IssuedCertificate":
        """Issue a client's certificate, good until `expires` (UTC), which may be past."""
        begins = min(utc_now(), expires) - _DAY
        made = self._ca.issue_cert(name, common_name=name, not_before=begins, not_after=expires)
        return IssuedCertificate(made.private_key_and_cert_chain_pem.bytes(), self.certificate)

    def server_context(self, host: str) -> ssl.SSLContext:
        """Return the server's side of TLS 1.2 or later, on `host` or loopback by any of its names."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._ca.issue_cert(*dict.fromkeys((host, *LOOPBACK)), common_name=host).configure_cert(context)
        return context


@dataclass(frozen=True)
class IssuedCertificate:
    """A client's key and certificate, and the certificate of the authority that issued it; all as PEM, unencrypted."""

    pem: bytes
    issuer: bytes

    @property
    def certificate(self) -> x509.Certificate:
        """The certificate itself."""
        return x509.load_pem_x509_certificate(self.pem)

    def pfx(self, passcode: str) -> bytes:
        """Return all of it as PKCS #12 (RFC 7292), encrypted with `passcode`, or not at all where that is empty."""
        key, issuer = load_pem_private_key(self.pem, None), x509.load_pem_x509_certificate(self.issuer)
        assert isinstance(key, EllipticCurvePrivateKey)  # noqa: S101 - what `trustme` makes
        secret = BestAvailableEncryption(passcode.encode()) if passcode else NoEncryption()
        return pkcs12.serialize_key_and_certificates(b"client", key, self.certificate, [issuer], secret)


@dataclass(frozen=True)
class CertificateFiles:
    """Where the certificates of a run lie.

    `ca` is what a caller checks the bank with, `client_pfx` what it shows; `client_pem` is the same, unencrypted, for
    curl. `expired_pfx` expired yesterday, `wrong_ca_pfx` is of an authority that the bank does not know. All PFX files
    have the same passcode.
    """

    ca: Path
    client_pfx: Path
    client_pem: Path
    expired_pfx: Path
    wrong_ca_pfx: Path


def server_tls(folder: Path, host: str) -> tuple[Path, ssl.SSLContext]:
    """Make an authority, and return the file with its certificate (`ca.pem`) and the server's side of TLS."""
    authority = Authority("Bank simulator")
    folder.mkdir(0o700, parents=True, exist_ok=True)
    return _put(folder / "ca.pem", authority.certificate), authority.server_context(host)


def mutual_tls(
    folder: Path, host: str, *, passcode: str, client_days: float, newest: ssl.TLSVersion
) -> tuple[CertificateFiles, ssl.SSLContext]:
    """Make an authority and clients' certificates good and bad, and return the files and the server's side of TLS.

    `client_days` is how long the good client's certificate lasts. TLS is spoken from 1.2 up to `newest`; in 1.2 a
    client that shows no good certificate fails in the handshake, in 1.3 at its first read after it.
    """
    authority, stranger = Authority("Bank simulator"), Authority("Unknown")
    folder.mkdir(0o700, parents=True, exist_ok=True)
    context = authority.server_context(host)
    context.maximum_version = newest
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=authority.certificate.decode())
    expires = utc_now() + timedelta(days=client_days)
    client = authority.client("client", expires)
    files = CertificateFiles(
        _put(folder / "ca.pem", authority.certificate),
        _put(folder / "client.pfx", client.pfx(passcode)),
        _put(folder / "client.pem", client.pem),
        _put(folder / "client-expired.pfx", authority.client("client", utc_now() - _DAY).pfx(passcode)),
        _put(folder / "client-wrong-ca.pfx", stranger.client("client", expires).pfx(passcode)),
    )
    return files, context


class TlsServer(ThreadedWSGIServer):
    """A server whose every connection is TLS.

    A handshake that fails is reported to the client in an alert (RFC 8446, 6.2), and to nobody else.
    """

    def __init__(
        self,
        host: str,
        port: int,
        app: WSGIApplication,
        handler: type[WSGIRequestHandler],
        context: ssl.SSLContext,
    ) -> None:
        """Listen; `context` is the server's side."""
        super().__init__(host, port, app, handler)
        # Set afterwards: given to the constructor, it would wrap the listening socket and shake hands while accepting.
        self.ssl_context = context
        self._context = context

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Shake hands, then serve the connection."""
        request.settimeout(HANDSHAKE_SECONDS)
        with self._context.wrap_socket(request, server_side=True, do_handshake_on_connect=False) as secured:
            try:
                secured.do_handshake()
            except OSError:
                _drain(secured)
                return
            secured.settimeout(None)
            super().finish_request(secured, client_address)
            with contextlib.suppress(OSError):
                secured.shutdown(socket.SHUT_RDWR)


def _drain(connection: socket.socket) -> None:
    """Read what the client still sends: closing a socket with unread bytes resets it, and the alert would be lost."""
    connection.settimeout(_DRAIN_SECONDS)
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_WR)
        # The TLS layer is given up after a failed handshake; these are the raw bytes below it.
        while socket.socket.recv(connection, 65536):
            pass


def _put(path: Path, content: bytes) -> Path:
    """Write a file for this user alone, whatever the umask, and never through a link."""
    opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(opened, "wb") as file:
        os.fchmod(opened, 0o600)
        file.write(content)
    return path
