"""Certificates made for one run: an authority, a server's certificate, and clients' ones good and bad (RFC 5280)."""

import ipaddress
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from receiver.simulator.clock import utc_now

LOOPBACK = ("127.0.0.1", "::1", "localhost")

_AUTHORITY_DAYS = 3650


@dataclass(frozen=True)
class Identity:
    """A certificate with its private key, and the certificate of the authority that issued it."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)
    issuer: x509.Certificate

    def pem(self) -> bytes:
        """Return the certificate, and its key unencrypted, as PEM."""
        key = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return self.certificate.public_bytes(Encoding.PEM) + key

    def pfx(self, passcode: str) -> bytes:
        """Return all of it as PKCS #12 (RFC 7292), encrypted with `passcode`."""
        secret = BestAvailableEncryption(passcode.encode())
        return pkcs12.serialize_key_and_certificates(b"client", self.key, self.certificate, [self.issuer], secret)


class Authority:
    """Issues certificates for one run; its key is kept in memory alone."""

    def __init__(self, name: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name)
        now = utc_now()
        self.certificate = (
            _builder(self._name, self._name, self._key.public_key(), self._key, now, now + _days(_AUTHORITY_DAYS))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .sign(self._key, hashes.SHA256())
        )

    def server(self, hosts: Sequence[str]) -> Identity:
        """Issue a server's certificate for names and addresses."""
        names = x509.SubjectAlternativeName([_host(host) for host in hosts])
        return self._issue(hosts[0], ExtendedKeyUsageOID.SERVER_AUTH, utc_now() + _days(_AUTHORITY_DAYS), names)

    def client(self, name: str, expires: datetime) -> Identity:
        """Issue a client's certificate, good until `expires` (UTC), which may be past."""
        return self._issue(name, ExtendedKeyUsageOID.CLIENT_AUTH, expires)

    def _issue(
        self, name: str, purpose: x509.ObjectIdentifier, expires: datetime, names: x509.ExtensionType | None = None
    ) -> Identity:
        key = ec.generate_private_key(ec.SECP256R1())
        begins = min(utc_now(), expires - _days(1))
        builder = (
            _builder(_name(name), self._name, key.public_key(), self._key, begins, expires)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        )
        if names is not None:
            builder = builder.add_extension(names, critical=False)
        return Identity(builder.sign(self._key, hashes.SHA256()), key, self.certificate)


@dataclass(frozen=True)
class Files:
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


def write(
    folder: Path, passcode: str, client_days: float, host: str, newest: ssl.TLSVersion
) -> tuple[Files, ssl.SSLContext]:
    """Make an authority and certificates, write them to `folder`, and return the server's side of mutual TLS.

    `client_days` is how long the good client's certificate lasts. TLS is spoken from 1.2 up to `newest`; in 1.2 a
    client that shows no good certificate fails in the handshake, in 1.3 at its first read after it.
    """
    authority, stranger = Authority("Bank simulator CA"), Authority("Unknown CA")
    context = server_context(folder, authority, host)
    context.maximum_version = newest
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=authority.certificate.public_bytes(Encoding.PEM).decode())
    expires = utc_now() + _days(client_days)
    client = authority.client("client", expires)
    files = Files(
        folder / "ca.pem",
        _put(folder / "client.pfx", client.pfx(passcode)),
        _put(folder / "client.pem", client.pem()),
        _put(folder / "client-expired.pfx", authority.client("client", utc_now() - _days(1)).pfx(passcode)),
        _put(folder / "client-wrong-ca.pfx", stranger.client("client", expires).pfx(passcode)),
    )
    return files, context


def server_context(folder: Path, authority: Authority, host: str) -> ssl.SSLContext:
    """Return the server's side of TLS 1.2 or later, on `host` or loopback by any of its names.

    `ca.pem` and `server.pem` are written to `folder`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _put(folder / "ca.pem", authority.certificate.public_bytes(Encoding.PEM))
    server = _put(folder / "server.pem", authority.server(list(dict.fromkeys((host, *LOOPBACK)))).pem())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(server)
    return context


def _put(path: Path, content: bytes) -> Path:
    path.touch(mode=0o600)
    path.write_bytes(content)
    return path


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public: ec.EllipticCurvePublicKey,
    issuer_key: ec.EllipticCurvePrivateKey,
    begins: datetime,
    expires: datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        # A clock a little behind is no reason to fail.
        .not_valid_before(begins - _days(1))
        .not_valid_after(expires)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()),
            critical=False,
        )
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _days(count: float) -> timedelta:
    return timedelta(days=count)
