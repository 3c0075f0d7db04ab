"""HMAC-SHA256 (RFC 2104, FIPS 180-4) with several keys at once, and the strict Base64 of keys and signatures."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from receiver.signing.errors import Refusal


def from_base64(value: bytes, what: str) -> bytes:
    """Decode standard, padded Base64.

    Raises:
        Refusal: `<what>_malformed` for any byte outside the alphabet, wrong padding, or bits that stand for nothing.
    """
    try:
        decoded = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        decoded = None
    # The library lets surplus padding and left-over bits through: one value must have one spelling.
    if decoded is None or base64.b64encode(decoded) != value:
        raise Refusal(f"{what}_malformed", f"not standard Base64 ({len(value)} bytes)")
    return decoded


def to_base64(value: bytes) -> bytes:
    """Encode as standard, padded Base64."""
    return base64.b64encode(value)


MATERIAL_BYTES_MIN = 16
"""Of a secret that is set; one that was set before goes on counting."""

SecretEncoding = Literal["base64", "utf8"]
"""How a secret's text becomes a key: the bytes that it encodes, or the bytes of the text itself."""


@dataclass(frozen=True)
class Key:
    """A symmetric key; `id` names it in what is stored about a match."""

    id: str
    material: bytes = field(repr=False)


def key(key_id: str, secret: str, encoding: SecretEncoding) -> Key:
    """Make a key of the secret's text as a bank hands it out.

    Raises:
        Refusal: `secret_malformed` where `encoding` is `base64` and the text is not, and where it gives no key at all.
    """
    text = secret.encode("utf-8", "ignore")
    material = from_base64(text, "secret") if encoding == "base64" else text
    if not material or text.decode() != secret:
        raise Refusal("secret_malformed", f"{len(secret)} characters that make no key")
    return Key(key_id, material)


def check_strength(key: Key) -> None:
    """Accept a key that can't be found by trying: NIST SP 800-107 asks for 112 bits, and no bank gives fewer than 128.

    Raises:
        Refusal: `secret_weak`.
    """
    if len(key.material) < MATERIAL_BYTES_MIN:
        raise Refusal(
            "secret_weak", f"a secret of {len(key.material)} bytes could be guessed; {MATERIAL_BYTES_MIN} are the least"
        )


def sign(material: bytes, text: bytes) -> bytes:
    """Return the 32 bytes of the code."""
    return hmac.digest(material, text, hashlib.sha256)


def match(keys: Iterable[Key], text: bytes, signature: bytes) -> str:
    """Return the id of the key that made `signature` (raw bytes) over `text`; every key is tried in constant time.

    Raises:
        Refusal: `signature_mismatch` where none did.
    """
    matched = None
    for candidate in keys:
        if hmac.compare_digest(sign(candidate.material, text), signature) and matched is None:
            matched = candidate.id
    if matched is None:
        raise Refusal("signature_mismatch", "no known secret made this signature")
    return matched
