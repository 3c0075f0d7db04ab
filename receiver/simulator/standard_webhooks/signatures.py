"""Signs as Standard Webhooks 1.0.0 says: `{id}.{timestamp}.{body}`, HMAC-SHA256 (`v1`) or Ed25519 (`v1a`)."""

import base64
import binascii
import hashlib
import hmac

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SECRET, PRIVATE, PUBLIC = "whsec_", "whsk_", "whpk_"


def secret(text: str) -> bytes:
    """Return the bytes of a `whsec_` secret.

    Raises:
        ValueError: where it is none.
    """
    return _decoded(text, SECRET)


def private_key(text: str) -> Ed25519PrivateKey:
    """Return the key that `whsk_` and the Base64 of its 32 bytes stand for (RFC 8032).

    Raises:
        ValueError: where it is none.
    """
    # Some write the public key's 32 bytes behind those of the private one.
    return Ed25519PrivateKey.from_private_bytes(_decoded(text, PRIVATE)[:32])


def public_key(key: Ed25519PrivateKey) -> str:
    """Return the public half as `whpk_` and Base64."""
    return PUBLIC + base64.b64encode(key.public_key().public_bytes_raw()).decode()


def content(message_id: str, timestamp: str, body: bytes) -> bytes:
    """Return what is signed."""
    return f"{message_id}.{timestamp}.".encode() + body


def v1(key: bytes, signed: bytes) -> str:
    """Return a signature with a shared secret."""
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def v1a(key: Ed25519PrivateKey, signed: bytes) -> str:
    """Return a signature with a private key."""
    return "v1a," + base64.b64encode(key.sign(signed)).decode()


def _decoded(text: str, prefix: str) -> bytes:
    try:
        return base64.b64decode(text.removeprefix(prefix), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"{prefix} and Base64 are expected") from error
