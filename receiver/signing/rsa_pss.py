"""RSA-PSS with SHA-256, MGF1-SHA-256 and a salt of 32 bytes: `PS256` of RFC 7518, keys from a JWKS (RFC 7517)."""

import json
from collections.abc import Iterable
from dataclasses import dataclass

import jwt
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256

from receiver.signing.errors import Refusal

BITS_MIN = 2048
"""RFC 7518 section 3.5 demands at least this."""

_PADDING = padding.PSS(mgf=padding.MGF1(SHA256()), salt_length=32)


@dataclass(frozen=True)
class PublicKey:
    """A verification key; `id` is its `kid`."""

    id: str
    key: RSAPublicKey


def public_keys(jwks: bytes | str) -> list[PublicKey]:
    """Return the RSA signature keys of a JWKS document, passing over those of another kind, use or strength.

    Raises:
        Refusal: `jwks_malformed` where the document is not a JWKS at all.
    """
    try:
        entries = json.loads(jwks)["keys"]
        if not isinstance(entries, list):
            raise TypeError("keys is no list")
        return [found for entry in entries if (found := _public_key(entry)) is not None]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise Refusal("jwks_malformed", "not a JSON object with a list of keys") from error


def _public_key(entry: object) -> PublicKey | None:
    if not isinstance(entry, dict) or entry.get("kty") != "RSA":
        return None
    # Both are optional members (RFC 7517 section 4), which some write as null; a key for another algorithm is none.
    if entry.get("use") not in (None, "sig") or entry.get("alg") not in (None, "PS256"):
        return None
    try:
        key = jwt.PyJWK.from_dict(entry, algorithm="PS256").key
    except (jwt.PyJWTError, ValueError, TypeError, OverflowError):
        return None
    if not isinstance(key, RSAPublicKey) or key.key_size < BITS_MIN:
        return None
    kid = entry.get("kid")
    return PublicKey(kid if isinstance(kid, str) else "", key)


def sign(key: RSAPrivateKey, text: bytes) -> bytes:
    """Return a signature; it differs at each call, because the salt is random."""
    return key.sign(text, _PADDING, SHA256())


def match(keys: Iterable[PublicKey], text: bytes, signature: bytes) -> str:
    """Return the id of the key whose owner made `signature` (raw bytes) over `text`.

    Raises:
        Refusal: `signature_mismatch` where none did.
    """
    for candidate in keys:
        try:
            candidate.key.verify(signature, text, _PADDING, SHA256())
        except InvalidSignature:
            continue
        return candidate.id
    raise Refusal("signature_mismatch", "no known public key fits this signature")
