"""Encrypts a callback: AES-256-GCM (NIST SP 800-38D) over UTF-16LE, the tag and a checksum in headers."""

import base64
import hashlib
import secrets
from typing import Literal, get_args

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from receiver.simulator.banking_circle.config import Config

TAG_BYTES = 16

Variant = Literal[
    "genuine",
    "again",
    "again-encrypted",
    "forged",
    "altered-body",
    "altered-tag",
    "altered-nonce",
    "altered-checksum",
    "short-nonce",
    "short-tag",
    "no-headers",
    "utf8",
    "not-json",
]
"""`again` repeats the bytes of the last genuine callback, `again-encrypted` its text with a new nonce; `forged` has
another key; the altered ones differ in one bit after they were made; `utf8` and `not-json` are rightly encrypted."""

VARIANTS: tuple[Variant, ...] = get_args(Variant)


def encrypt(text: str, config: Config, variant: str = "genuine") -> tuple[bytes, dict[str, str]]:
    """Return the body and the headers of a callback that says `text`, spoilt as `variant` says."""
    key = secrets.token_bytes(32) if variant == "forged" else config.key()
    text = text[: len(text) // 2] if variant == "not-json" else text
    nonce = secrets.token_bytes(12)
    sealed = AESGCM(key).encrypt(nonce, _plain(text, config, variant), None)
    body, tag = sealed[:-TAG_BYTES], sealed[-TAG_BYTES:]
    checksum = hashlib.sha256(text.encode()).digest()
    headers = {
        "Content-Type": "application/octet-stream",
        "Nonce": _base64(_spoilt(nonce, variant, "nonce")),
        "AuthenticationTag": _base64(_spoilt(tag, variant, "tag")),
        "Checksum": _base64(_spoilt(checksum, variant, "checksum")),
        "SubscriptionVersion": str(config.subscription_version),
    }
    if variant == "no-headers":
        headers = {"Content-Type": headers["Content-Type"]}
    return _spoilt(body, variant, "body"), headers


def _plain(text: str, config: Config, variant: str) -> bytes:
    mark = "\ufeff" if config.byte_order_mark else ""
    return text.encode() if variant == "utf8" else (mark + text).encode("utf-16-le")


def _spoilt(value: bytes, variant: str, part: str) -> bytes:
    if variant == f"altered-{part}":
        return bytes([value[0] ^ 1]) + value[1:]
    return value[:-4] if variant == f"short-{part}" else value


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()
