"""Signs a callback as the sheet says: `{timestamp}{nonce}{METHOD}{path}{body}`, HMAC-SHA256 or RSA-PSS."""

import uuid
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from receiver.signing import concatenation, hmac_sha256, rsa_pss
from receiver.signing.encoding import to_base64
from receiver.signing.hmac_sha256 import SecretEncoding


class Signer(Protocol):
    """Makes signatures of one kind."""

    @property
    def version(self) -> str | None:
        """The value of `Bcb-Signature-Version`; None leaves the header out, which means HMAC."""

    def sign(self, text: bytes) -> bytes:
        """Return the raw signature over `text`."""


@dataclass(frozen=True)
class HmacSigner:
    """HMAC-SHA256 with the message-signing secret, whose text is read as `encoding` says."""

    secret: str = field(repr=False)
    encoding: SecretEncoding = "base64"

    @property
    def version(self) -> None:
        """None: HMAC callbacks carry no version."""
        return

    def sign(self, text: bytes) -> bytes:
        """Return the 32 bytes of the code.

        Raises:
            receiver.signing.errors.Refusal: where the secret is not Base64 and should be.
        """
        return hmac_sha256.sign(hmac_sha256.key("simulator", self.secret, self.encoding).material, text)


@dataclass(frozen=True)
class RsaSigner:
    """RSA-PSS with SHA-256 and a salt of 32 bytes."""

    private_key: RSAPrivateKey = field(repr=False)
    version: str | None = "rsa-v1"

    def sign(self, text: bytes) -> bytes:
        """Return a signature as long as the key."""
        return rsa_pss.sign(self.private_key, text)


@dataclass(frozen=True)
class Stamp:
    """A timestamp in Unix seconds, as text so that a test can send any, and a nonce."""

    timestamp: str
    nonce: str

    @classmethod
    def at(cls, moment: datetime) -> "Stamp":
        """Return a stamp of `moment` (an aware datetime) with a fresh GUID."""
        return cls(str(int(moment.timestamp())), str(uuid.uuid4()))


def signature_headers(signer: Signer, stamp: Stamp, path: str, body: bytes) -> dict[str, str]:
    """Return the headers that prove a POST of `body` to `path`."""
    text = concatenation.text(stamp.timestamp.encode(), stamp.nonce.encode(), b"POST", path.encode(), body)
    headers = {
        "Bcb-Signature": to_base64(signer.sign(text)).decode(),
        "Bcb-Timestamp": stamp.timestamp,
        "Bcb-Nonce": stamp.nonce,
    }
    if signer.version is not None:
        headers["Bcb-Signature-Version"] = signer.version
    return headers
