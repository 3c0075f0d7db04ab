"""Base64 as RFC 4648 section 4 writes it, and nothing looser."""

import base64
import binascii

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
