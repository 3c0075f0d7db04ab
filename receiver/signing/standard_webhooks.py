"""Standard Webhooks 1.0.0: `{id}.{timestamp}.{body}`, signed with HMAC-SHA256 (`v1`) or ed25519 (`v1a`, RFC 8032).

The full stops are the only borders in the signed text. Neither an id with a full stop nor a timestamp that is not all
digits is taken, so the text has one cut only.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from receiver.signing import hmac_sha256
from receiver.signing.errors import Refusal
from receiver.signing.hmac_sha256 import Key, from_base64

HMAC, ED25519 = b"v1", b"v1a"

SECRET_BYTES_MIN, SECRET_BYTES_MAX = 24, 64
"""The specification's own bounds: 192 and 512 bits."""

PUBLIC_KEY_BYTES = 32

HEADER_BYTES_MAX = 4096
SIGNATURES_MAX = 20
"""While keys are changed there is one for each; each costs a verification."""

_BETWEEN = re.compile(rb"[ \t,]+")

_ID = re.compile(rb"[\x21-\x2d\x2f-\x7e]{1,200}")


@dataclass(frozen=True)
class PublicKey:
    """A verification key; `id` names it in what is stored about a match."""

    id: str
    key: Ed25519PublicKey = field(repr=False)


def key(key_id: str, text: str) -> Key | PublicKey:
    """Make a key of its text: `whsec_…` (or the Base64 alone) for HMAC, `whpk_…` for a public ed25519 key.

    Raises:
        Refusal: `secret_malformed`.
    """
    kind, encoded = ("whpk", text[5:]) if text.startswith("whpk_") else ("whsec", text.removeprefix("whsec_"))
    if text.startswith("whsk_"):
        raise Refusal("secret_malformed", "whsk_ is the sender's private key: ask for the public one, whpk_")
    material = from_base64(encoded.encode("utf-8", "replace"), "secret")
    if kind == "whpk":
        if len(material) != PUBLIC_KEY_BYTES:
            raise Refusal("secret_malformed", f"a public key has {PUBLIC_KEY_BYTES} bytes, this one {len(material)}")
        return PublicKey(key_id, Ed25519PublicKey.from_public_bytes(material))
    if not SECRET_BYTES_MIN <= len(material) <= SECRET_BYTES_MAX:
        raise Refusal("secret_malformed", f"a secret has {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} bytes")
    return Key(key_id, material)


def check_id(message_id: bytes) -> None:
    """Accept an id of visible ASCII without a full stop.

    Raises:
        Refusal: `id_malformed`.
    """
    if not _ID.fullmatch(message_id):
        raise Refusal(
            "id_malformed", f"{message_id[:40]!r} is not 1 to 200 visible ASCII characters without a full stop"
        )


def text(message_id: bytes, timestamp: bytes, body: bytes) -> bytes:
    """Return the bytes to sign."""
    return b".".join((message_id, timestamp, body))


def signatures(header: bytes) -> list[tuple[bytes, bytes]]:
    """Return version and signature of each that a `webhook-signature` header holds and that can be read.

    They are parted by spaces; by commas where several headers were joined on their way (RFC 9110, section 5.3). What is
    of a version not known, or is no Base64, is left out: while keys are changed, a sender may add whatever it has.

    Raises:
        Refusal: `signature_malformed` where none of a known version can be read, or there are too many.
    """
    words = _BETWEEN.split(header[: HEADER_BYTES_MAX + 1].strip())
    if len(header) > HEADER_BYTES_MAX or len(words) > 2 * SIGNATURES_MAX:
        raise Refusal("signature_malformed", f"{len(header)} bytes, {len(words)} words or more")
    known = [(word, made) for word, made in pairwise([*words, b""]) if word in (HMAC, ED25519)]
    found = [(version, made) for version, word in known if (made := _readable(word)) is not None]
    if known and not found:
        raise Refusal("signature_malformed", "no signature of a known version can be read")
    return found


def _readable(word: bytes) -> bytes | None:
    try:
        return from_base64(word, "signature") or None
    except Refusal:
        return None


def match(keys: Sequence[Key | PublicKey], signed: bytes, given: Sequence[tuple[bytes, bytes]]) -> str:
    """Return the id of the key that made one of the given signatures over the text `signed`.

    A signature of one kind is never held against a key of the other: an HMAC keyed with a public key proves nothing.

    Raises:
        Refusal: `signature_mismatch`.
    """
    secrets = [found for found in keys if isinstance(found, Key)]
    for version, made in given:
        try:
            if version == HMAC:
                return hmac_sha256.match(secrets, signed, made)
            return _match_public([found for found in keys if isinstance(found, PublicKey)], signed, made)
        except Refusal:
            continue
    raise Refusal("signature_mismatch", "no known key made any of the signatures")


def _match_public(keys: Sequence[PublicKey], signed: bytes, made: bytes) -> str:
    for candidate in keys:
        try:
            candidate.key.verify(made, signed)
        except InvalidSignature:
            continue
        return candidate.id
    raise Refusal("signature_mismatch", "no known public key fits this signature")


def sign(with_key: bytes | Ed25519PrivateKey, message_id: bytes, timestamp: bytes, body: bytes) -> tuple[bytes, bytes]:
    """Return the version and the raw signature of a message; bytes sign by HMAC."""
    signed = text(message_id, timestamp, body)
    if isinstance(with_key, bytes):
        return HMAC, hmac_sha256.sign(with_key, signed)
    return ED25519, with_key.sign(signed)
