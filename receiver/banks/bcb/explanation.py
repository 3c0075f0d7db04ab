"""Explaining how a BCB callback was signed: which secret or key fits, over which path, and what else is wrong."""

import hmac
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, get_args

from receiver.banks.abilities import Explanation, Match
from receiver.banks.bcb.callbacks import NONCE, SIGNATURE, TIMESTAMP, VERSION
from receiver.banks.bcb.options import ENCODING
from receiver.banks.protocol import Callback, Profile
from receiver.signing import concatenation, hmac_sha256, rsa_pss
from receiver.signing.errors import Refusal
from receiver.signing.hmac_sha256 import SecretEncoding, from_base64


def explain(callback: Callback, profile: Profile, paths: Sequence[bytes], received_at: datetime) -> Explanation:
    """Say how a callback was signed: every secret is tried in both encodings, or every public key, over each path."""
    remarks = list(_form(callback))
    seconds = _clock(callback, received_at)
    if seconds is not None and abs(seconds) > concatenation.WINDOW_SECONDS:
        side = "before" if seconds > 0 else "after"
        remarks.append(
            f"signed {abs(seconds):.0f} s {side} it came, {concatenation.WINDOW_SECONDS} s are allowed: "
            "a clock is off, or it was sent again"
        )
    version = callback.headers.get(VERSION)
    if version is None and not profile.secrets:
        remarks.append("the source has no signing secret to try")
    if version is not None and profile.jwks is None:
        remarks.append(f"it names the version {version[:40]!r} (RSA), and no public key of the bank is known")
    try:
        signature = from_base64(callback.headers.get(SIGNATURE, b""), "signature")
    except Refusal:
        return Explanation((), seconds, remarks)
    tried = (
        _by_secret(callback, profile, paths, signature)
        if version is None
        else _by_key(callback, profile, paths, signature)
    )
    return Explanation(tuple(tried), seconds, remarks)


def alternatives(callback: Callback, given: Mapping[str, Any]) -> Iterator[Mapping[str, str]]:
    """Yield the other encoding of the secret, and the channel that the callback came to beside those that are named."""
    channels = given.get("channels", ())
    unnamed = callback.channel if channels and callback.channel and callback.channel not in channels else None
    named = {"channels": ",".join([*channels, unnamed])} if unnamed else {}
    if named:
        yield named
    for encoding in get_args(SecretEncoding):
        if encoding != given.get("encoding", ENCODING):
            yield {"encoding": encoding, **named}


def _form(callback: Callback) -> Iterator[str]:
    """Say which headers are missing or malformed."""
    for name in (SIGNATURE, TIMESTAMP, NONCE):
        if not callback.headers.get(name):
            yield f"the header {name} is missing"
    checks: tuple[tuple[str, Callable[[bytes], object]], ...] = (
        (TIMESTAMP, concatenation.read_timestamp),
        (NONCE, lambda value: concatenation.check_nonce(value, callback.method)),
        (SIGNATURE, lambda value: from_base64(value, "signature")),
    )
    for name, check in checks:
        if value := callback.headers.get(name):
            try:
                check(value)
            except Refusal as refusal:
                yield f"the header {name} is malformed: {refusal.detail}"


def _clock(callback: Callback, received_at: datetime) -> float | None:
    try:
        return received_at.timestamp() - concatenation.read_timestamp(callback.headers.get(TIMESTAMP, b""))
    except Refusal:
        return None


def _text(callback: Callback, path: bytes) -> bytes:
    timestamp, nonce = callback.headers.get(TIMESTAMP, b""), callback.headers.get(NONCE, b"")
    return concatenation.text(timestamp, nonce, callback.method, path, callback.body)


def _by_secret(callback: Callback, profile: Profile, paths: Sequence[bytes], signature: bytes) -> Iterator[Match]:
    for version, text in profile.secrets:
        for encoding in get_args(SecretEncoding):
            try:
                key = hmac_sha256.key(f"secret:{version}", text, encoding)
            except Refusal:
                continue
            for path in paths:
                if hmac.compare_digest(hmac_sha256.sign(key.material, _text(callback, path)), signature):
                    yield Match(key.id, encoding, path.decode("latin-1"))


def _by_key(callback: Callback, profile: Profile, paths: Sequence[bytes], signature: bytes) -> Iterator[Match]:
    keys = rsa_pss.public_keys(profile.jwks) if profile.jwks else []
    for path in paths:
        try:
            yield Match(f"rsa:{rsa_pss.match(keys, _text(callback, path), signature)}", None, path.decode("latin-1"))
        except Refusal:
            continue
