"""TLS client certificates in PFX files (PKCS #12, RFC 7292): opened in memory, checked, presented."""

import binascii
import os
import secrets
import ssl
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from tempfile import NamedTemporaryFile

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from cryptography.hazmat.primitives.serialization.pkcs12 import PKCS12KeyAndCertificates, load_pkcs12
from requests.utils import DEFAULT_CA_BUNDLE_PATH

from receiver.banks.errors import CertificateUnusable, PasscodeWrong

WARNED_AHEAD = timedelta(days=30)
"""How long before its end a certificate is warned of: a bank takes days to sign a new one."""

_PKCS7_DATA = bytes.fromhex("06092a864886f70d010701")
"""The object identifier that stands at the beginning of every PFX file, whatever encrypts the rest."""


@dataclass(frozen=True)
class ClientCertificate:
    """A PFX file's bytes with its passcode, and the CA by which the bank's own certificate is checked."""

    pfx: bytes = field(repr=False)
    passcode: str = field(repr=False)
    ca: bytes | None = field(default=None, repr=False)
    """PEM; none for the public CAs."""

    def leaf(self) -> x509.Certificate:
        """Return the certificate itself.

        Raises:
            CertificateUnusable: it is no PFX, holds no key or certificate; `PasscodeWrong` where it does not open.
        """
        return _opened(self.pfx, self.passcode)[0]

    def context(self) -> ssl.SSLContext:
        """Return a TLS context (1.2 or later) that presents it; the same one each time.

        Raises:
            CertificateUnusable
        """
        return _context(self.pfx, self.passcode, self.ca)


def of(credentials: Mapping[str, str]) -> ClientCertificate:
    """Return the certificate in stored credentials: `certificate`, `passcode`, perhaps `ca_certificate`.

    Raises:
        CertificateUnusable: there is none.
    """
    if not credentials.get("certificate"):
        raise CertificateUnusable("there is no client certificate among the credentials")
    ca = credentials.get("ca_certificate")
    try:
        pfx, ca_pem = b64decode(credentials["certificate"], validate=True), b64decode(ca) if ca else None
    except (binascii.Error, ValueError) as error:
        raise CertificateUnusable("the stored client certificate is not Base64") from error
    return ClientCertificate(pfx, credentials.get("passcode", ""), ca_pem)


def expiry(certificate: x509.Certificate, now: datetime) -> tuple[str, str]:
    """Return `ok`, `warn` or `fail`, and a line on how long the certificate is valid at `now`."""
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    until = f"valid until {ends:%Y-%m-%d %H:%M} UTC"
    if ends <= now:
        return "fail", f"it expired on {ends:%Y-%m-%d %H:%M} UTC; get a new one from the bank"
    if begins > now:
        return "fail", f"it is not valid before {begins:%Y-%m-%d %H:%M} UTC"
    if ends - now <= WARNED_AHEAD:
        return "warn", f"{until}: {(ends - now).days} days are left; get a new one from the bank"
    return "ok", until


@lru_cache(maxsize=16)
def _opened(pfx: bytes, passcode: str) -> tuple[x509.Certificate, PKCS12KeyAndCertificates]:
    if _PKCS7_DATA not in pfx[:64]:
        kind = "PEM" if pfx.lstrip().startswith(b"-----BEGIN") else "something else"
        raise CertificateUnusable(f"the client certificate is no PFX (P12) file but {kind}")
    try:
        found = load_pkcs12(pfx, passcode.encode())
    except UnsupportedAlgorithm as error:
        raise CertificateUnusable("the PFX is encrypted by an algorithm not known here; export it with AES") from error
    except (ValueError, TypeError) as error:
        # The library tells a wrong passcode and a damaged file apart no better than the format does.
        raise PasscodeWrong("the passcode does not open the PFX (or the file is damaged)") from error
    if found.cert is None or found.key is None:
        raise CertificateUnusable(f"the PFX holds no {'certificate' if found.cert is None else 'key'}")
    return found.cert.certificate, found


@lru_cache(maxsize=16)
def _context(pfx: bytes, passcode: str, ca: bytes | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _, found = _opened(pfx, passcode)
    _load(context, found)
    try:
        if ca is not None:
            context.load_verify_locations(cadata=ca.decode("ascii"))
        else:
            public = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
            context.load_verify_locations(public or DEFAULT_CA_BUNDLE_PATH)
    except (OSError, ValueError) as error:
        raise CertificateUnusable("the CA certificate can't be read; it takes PEM") from error
    return context


def _load(context: ssl.SSLContext, found: PKCS12KeyAndCertificates) -> None:
    """Hand the key over by way of a file, which OpenSSL asks for: encrypted, and gone as soon as it was read."""
    assert found.cert is not None  # noqa: S101 - checked when it was opened
    assert found.key is not None  # noqa: S101
    password = secrets.token_hex(16)
    key = found.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password.encode()))
    chain = [found.cert.certificate, *(extra.certificate for extra in found.additional_certs)]
    pem = key + b"".join(certificate.public_bytes(Encoding.PEM) for certificate in chain)
    with NamedTemporaryFile() as file:
        file.write(pem)
        file.flush()
        try:
            context.load_cert_chain(file.name, password=password)
        except ssl.SSLError as error:
            raise CertificateUnusable(f"the client certificate can't be used: {error.reason}") from error
