"""TLS towards a bank: client certificates in PFX files (PKCS #12, RFC 7292), and why a handshake failed."""

import binascii
import os
import secrets
import ssl
from base64 import b64decode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from cryptography.hazmat.primitives.serialization.pkcs12 import PKCS12KeyAndCertificates, load_pkcs12
from requests.adapters import HTTPAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH

from receiver.banks.errors import BankError, CertificateRefused, CertificateUnusable, NotTrusted, PasscodeWrong
from receiver.signing.pem import pem_blocks

_REFUSED = {
    "HANDSHAKE_FAILURE": "the bank ended the TLS handshake, as it does where no client certificate is presented",
    "CERTIFICATE_REQUIRED": "the bank wants a client certificate, and none was presented",
    "UNKNOWN_CA": "the bank does not know who issued the client certificate: it is the wrong one",
    "CERTIFICATE_EXPIRED": "the client certificate has expired",
    "CERTIFICATE_REVOKED": "the client certificate has been revoked",
    "BAD_CERTIFICATE": "the bank does not take the client certificate: it is the wrong one",
    "UNSUPPORTED_CERTIFICATE": "the bank does not take a client certificate of this kind",
    "CERTIFICATE_UNKNOWN": "the bank does not take the client certificate",
    "ACCESS_DENIED": "the bank does not take the client certificate",
    "DECRYPT_ERROR": "the client certificate and its key do not fit together",
}
"""TLS alerts (RFC 8446 section 6.2) in words, by the end of OpenSSL's name for them."""

_DEPTH_MAX = 10
"""Exceptions that stand for one another: a library may wrap one in itself."""

WARNED_AHEAD = timedelta(days=30)
"""How long before its end a certificate is warned of: a bank takes days to sign a new one."""

_PKCS7_DATA = bytes.fromhex("06092a864886f70d010701")
"""The object identifier that stands at the beginning of every PFX file, whatever encrypts the rest."""


_TO_PFX = "`openssl pkcs12 -export -in cert.pem -inkey key.pem -out client.pfx`"
"""A bank hands its certificates out in PEM too."""


class Presenting(HTTPAdapter):
    """A transport adapter of `requests` over one TLS context, which holds client certificate and CAs already."""

    def __init__(self, context: ssl.SSLContext) -> None:
        """Take the context by which every connection is made."""
        self._context = context
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Open connections over the TLS context of this adapter."""
        super().init_poolmanager(*args, **kwargs, ssl_context=self._context)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """Open connections through a proxy over the TLS context of this adapter."""
        return super().proxy_manager_for(proxy, **kwargs, ssl_context=self._context)

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Leave the CAs to the context: requests would put all public ones beside a private one."""
        conn.cert_reqs = "CERT_REQUIRED"


def fault(error: BaseException) -> BankError | None:
    """Return what an exception of an HTTP call says of the TLS handshake; none where it was not about that."""
    found = next(_handshakes(error), None)
    if found is None:
        return None
    if isinstance(found, ssl.SSLCertVerificationError):
        return NotTrusted(f"the bank's own certificate is not trusted: {found.verify_message}")
    reason = found.reason or ""
    words = next((words for end, words in _REFUSED.items() if reason.endswith(end)), None)
    return CertificateRefused(words) if "ALERT" in reason and words else None


def _handshakes(error: BaseException | None, depth: int = 0) -> Iterator[ssl.SSLError]:
    """Libraries wrap the error of the handshake in several others, each in its own way."""
    if error is None or depth > _DEPTH_MAX:
        return
    if isinstance(error, ssl.SSLError):
        yield error
    inner = [*error.args, getattr(error, "reason", None), error.__cause__, error.__context__]
    for one in inner:
        if isinstance(one, BaseException):
            yield from _handshakes(one, depth + 1)


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
        return _open_pfx(self.pfx, self.passcode)[0]

    def context(self) -> ssl.SSLContext:
        """Return a TLS context (1.2 or later) that presents it; the same one each time.

        Raises:
            CertificateUnusable
        """
        return _context_for(self.pfx, self.passcode, self.ca)


def certificate_in(credentials: Mapping[str, str]) -> ClientCertificate:
    """Return the certificate in stored credentials: `certificate`, `passcode`, perhaps `ca_certificate`.

    Raises:
        CertificateUnusable: there is none.
    """
    if not credentials.get("certificate"):
        raise CertificateUnusable("there is no client certificate among the credentials")
    ca = credentials.get("ca_certificate")
    try:
        pfx, ca_pem = b64decode(credentials["certificate"], validate=True), b64decode(ca) if ca is not None else None
    except (binascii.Error, ValueError) as error:
        raise CertificateUnusable("the stored client certificate is not Base64") from error
    return ClientCertificate(pfx, credentials.get("passcode", ""), ca_pem)


def authority_in(credentials: Mapping[str, str]) -> ssl.SSLContext | None:
    """Return a TLS context (1.2 or later) that trusts the stored `ca_certificate` alone; none where there is none.

    Raises:
        CertificateUnusable
    """
    if "ca_certificate" not in credentials:
        return None
    try:
        return _context_trusting(b64decode(credentials["ca_certificate"], validate=True))
    except (binascii.Error, ValueError) as error:
        raise CertificateUnusable("the stored CA certificate is not Base64") from error


@lru_cache(maxsize=16)
def _context_trusting(ca: bytes) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _trust(context, ca)
    return context


def _trust(context: ssl.SSLContext, ca: bytes | None) -> None:
    """Check the bank's own certificate by a CA in PEM, or by the public ones (a file or a directory of them)."""
    try:
        if ca is not None:
            context.load_verify_locations(cadata=pem_blocks(ca).decode())
        else:
            given = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
            public = Path(given or DEFAULT_CA_BUNDLE_PATH)
            if public.is_dir():
                context.load_verify_locations(capath=public)
            else:
                context.load_verify_locations(cafile=public)
    except (OSError, ValueError) as error:
        raise CertificateUnusable("the CA certificate can't be read; it takes PEM") from error


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
def _open_pfx(pfx: bytes, passcode: str) -> tuple[x509.Certificate, PKCS12KeyAndCertificates]:
    if _PKCS7_DATA not in pfx[:64]:
        kind = f"PEM: {_TO_PFX} makes one of the certificate and its key" if pem_blocks(pfx) else "something else"
        raise CertificateUnusable(f"the client certificate is no PFX (P12) file but {kind}")
    try:
        found = _decrypt(pfx, passcode)
    except UnsupportedAlgorithm as error:
        raise CertificateUnusable("the PFX is encrypted by an algorithm not known here; export it with AES") from error
    except (ValueError, TypeError) as error:
        # The library tells a wrong passcode and a damaged file apart no better than the format does.
        raise PasscodeWrong("the passcode does not open the PFX (or the file is damaged)") from error
    if found.cert is None or found.key is None:
        raise CertificateUnusable(f"the PFX holds no {'certificate' if found.cert is None else 'key'}")
    return found.cert.certificate, found


def _decrypt(pfx: bytes, passcode: str) -> PKCS12KeyAndCertificates:
    if passcode:
        return load_pkcs12(pfx, passcode.encode())
    # An empty passcode and none are two things in the format, and one to people.
    try:
        return load_pkcs12(pfx, b"")
    except ValueError:
        return load_pkcs12(pfx, None)


@lru_cache(maxsize=16)
def _context_for(pfx: bytes, passcode: str, ca: bytes | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # A bank may ask for the certificate once it has seen the request (TLS 1.3, RFC 8446 section 4.6.2).
    context.post_handshake_auth = True
    _, found = _open_pfx(pfx, passcode)
    _load_chain(context, found)
    _trust(context, ca)
    return context


def _load_chain(context: ssl.SSLContext, found: PKCS12KeyAndCertificates) -> None:
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
