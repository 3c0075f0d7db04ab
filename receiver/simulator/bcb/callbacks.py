"""Signs a callback as the bank does: `{timestamp}{nonce}{METHOD}{path}{body}`, HMAC-SHA256 or RSA-PSS (PS256)."""

import gzip
import secrets
import threading
import uuid
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

import requests
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from jwt.algorithms import RSAAlgorithm

from receiver.signing import concatenation, hmac_sha256, rsa_pss
from receiver.signing.hmac_sha256 import SecretEncoding, to_base64
from receiver.simulator.bcb.config import Method
from receiver.simulator.outbox import Message

ContentEncoding = Literal["gzip", "deflate"]

Variant = Literal["genuine", "forged", "stale", "unsigned", "again", "other-body"]
"""`again` is exactly an earlier delivery once more, `other-body` its nonce with another body."""

STALE_SECONDS = 3600.0
"""How old a stale callback is; the bank's documentation allows 300 seconds."""

KEY_BITS = 2048


@dataclass(frozen=True)
class Signer:
    """Makes raw signatures over a text; `version` goes into `Bcb-Signature-Version`, None leaves that out: HMAC."""

    sign: Callable[[bytes], bytes] = field(repr=False)
    version: str | None = None


def hmac_signer(secret: str, encoding: SecretEncoding = "base64") -> Signer:
    """Return what signs with HMAC-SHA256 and the message-signing secret, whose text is read as `encoding` says.

    Raises:
        receiver.signing.errors.Refusal: where the secret is not Base64 and should be.
    """
    material = hmac_sha256.key("simulator", secret, encoding).material
    return Signer(lambda text: hmac_sha256.sign(material, text))


def rsa_signer(private_key: RSAPrivateKey, version: str = "rsa-v1") -> Signer:
    """Return what signs with RSA-PSS, SHA-256 and a salt of 32 bytes."""
    return Signer(lambda text: rsa_pss.sign(private_key, text), version)


def forger(genuine: Signer) -> Signer:
    """Return a signer of the same kind whose key is not the bank's."""
    if genuine.version is None:
        return hmac_signer(to_base64(secrets.token_bytes(32)).decode())
    return rsa_signer(_new_key(), genuine.version)


@dataclass(frozen=True)
class SigningKey:
    """A key pair.

    The bank names it `rsa-{version}` in the JWKS (`kid`) and, as far as is known, `rsa-v{version}` in the header
    `Bcb-Signature-Version`.
    """

    version: int
    private_key: RSAPrivateKey = field(repr=False)

    @property
    def kid(self) -> str:
        """The key's name in the JWKS."""
        return f"rsa-{self.version}"

    @property
    def signature_version(self) -> str:
        """The value of `Bcb-Signature-Version`."""
        return f"rsa-v{self.version}"

    def as_jwk(self) -> dict[str, object]:
        """Return the public half as a JWK (RFC 7517)."""
        public = RSAAlgorithm.to_jwk(self.private_key.public_key(), as_dict=True)
        return {"kty": "RSA", "use": "sig", "kid": self.kid, "alg": "PS256", "n": public["n"], "e": public["e"]}


class KeyRing:
    """Holds the bank's one RSA key, made when it is first asked for."""

    def __init__(self) -> None:
        """Start without a key."""
        self._current: SigningKey | None = None
        self._lock = threading.Lock()

    def current(self) -> SigningKey:
        """Return the key that signs now."""
        with self._lock:
            if self._current is None:
                self._current = SigningKey(1, _new_key())
            return self._current

    def rotate(self, *, keep_version: bool = False) -> SigningKey:
        """Replace the key and return the new one; `keep_version` leaves `kid` and header as they were."""
        version = self.current().version
        fresh = SigningKey(version if keep_version else version + 1, _new_key())
        with self._lock:
            self._current = fresh
        return fresh

    def jwks(self) -> dict[str, object]:
        """Return the JWKS document: one key, the current one."""
        return {"keys": [self.current().as_jwk()]}


@dataclass(frozen=True)
class Stamp:
    """A timestamp in Unix seconds, as text so that a test can send any, and a nonce."""

    timestamp: str
    nonce: str

    @classmethod
    def at(cls, moment: datetime) -> "Stamp":
        """Return a stamp of `moment` (an aware datetime) with a fresh GUID."""
        return cls(str(int(moment.timestamp())), str(uuid.uuid4()))

    @classmethod
    def of(cls, headers: Mapping[str, str]) -> "Stamp":
        """Return the stamp that a callback's headers carry."""
        found = {name.lower(): value for name, value in headers.items()}
        return cls(found.get("bcb-timestamp", ""), found.get("bcb-nonce", ""))


@dataclass(frozen=True)
class SignedMessage(Message):
    """A message with what is said about its signature.

    `method` replaces the configured one, `signed_path` the path of the address (a proxy in between rewrites it).
    `age_seconds` is how old a stale callback is. `content_encoding` packs the body after it is signed.
    `custom_headers` are echoed as they are, and never replace the bank's own. `fresh_each_try` replaces the configured
    one; `stamp` fixes timestamp and nonce for every try. `subscription_id` names the subscription that it is for.
    """

    method: Method | None = None
    signed_path: str | None = None
    age_seconds: float = STALE_SECONDS
    content_encoding: ContentEncoding | None = None
    custom_headers: Mapping[str, str] = field(default_factory=dict)
    fresh_each_try: bool | None = None
    stamp: Stamp | None = None
    subscription_id: str | None = None

    def packed(self) -> bytes:
        """Return the body as it goes over the wire."""
        body = self.text.encode()
        if self.content_encoding == "gzip":
            return gzip.compress(body, mtime=0)
        return zlib.compress(body) if self.content_encoding == "deflate" else body

    def headers(self, signer: Signer | None, stamp: Stamp, url: str) -> dict[str, str]:
        """Return the headers of a POST to `url`, those of the signature among them unless there is no signer.

        Raises:
            ValueError: where the address is none that HTTP can be spoken to.
        """
        own = {"Content-Type": "application/json; charset=utf-8"}
        if signer is not None:
            own |= signature_headers(signer, stamp, self.signed_path or wire_path(url), self.text.encode())
        if self.content_encoding is not None:
            own["Content-Encoding"] = self.content_encoding
        # Names of headers know no case; what the transport needs is not for customers to set either.
        taken = {name.lower() for name in own} | {"content-length", "transfer-encoding", "host", "connection"}
        return {name: value for name, value in self.custom_headers.items() if name.lower() not in taken} | own


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


def wire_path(url: str) -> str:
    """Return the path of `url` as it goes over the wire, without the query string.

    Raises:
        ValueError: where the address is none that HTTP can be spoken to.
    """
    return requests.Request("POST", url).prepare().path_url.partition("?")[0]


def _new_key() -> RSAPrivateKey:
    return generate_private_key(public_exponent=65537, key_size=KEY_BITS)
