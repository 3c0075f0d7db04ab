"""Explaining which part of a message by Standard Webhooks is off: id, time, a signature's version, the secret."""

import binascii
import hmac
from base64 import b64decode, urlsafe_b64decode
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from receiver.banks.abilities import Explanation, Match
from receiver.banks.protocol import Callback, Profile
from receiver.banks.standard_webhooks.callbacks import PREFIXES
from receiver.signing import concatenation, hmac_sha256, standard_webhooks
from receiver.signing.errors import Refusal
from receiver.signing.standard_webhooks import ED25519, HMAC

PARTS = ("id", "timestamp", "signature")

VERSIONS = {HMAC: "v1 (HMAC), made with whsec_…", ED25519: "v1a (ed25519), proven by whpk_…"}


def alternatives(_callback: Callback, given: Mapping[str, Any]) -> Iterator[Mapping[str, str]]:
    """Yield the other beginning of the headers' names."""
    current = given.get("headers", PREFIXES[0])
    for prefix in PREFIXES:
        if prefix != current:
            yield {"headers": prefix}


def explain(callback: Callback, profile: Profile, _paths: Sequence[bytes], received_at: datetime) -> Explanation:
    """Say by which secret a message is signed, or which part of it is off."""
    prefix = _prefix(callback, profile.options)
    parts = {part: callback.headers.get(f"{prefix}-{part}", b"") for part in PARTS}
    seconds = _clock(parts["timestamp"], received_at)
    remarks = list(_form(prefix, parts))
    if seconds is not None and abs(seconds) > concatenation.WINDOW_SECONDS:
        remarks.append(f"signed {abs(seconds):.0f} s {'before' if seconds > 0 else 'after'} it came")
    if not profile.secrets:
        remarks.append("the source has no secret to try")
    matches = []
    path = callback.path.decode("latin-1")
    for version, text in profile.secrets:
        key_id = f"secret:{version}"
        words = _fit(text, parts, callback.body)
        if words == "":
            matches.append(Match(key_id, None, path))
        elif words is not None:
            remarks.append(f"{key_id} made the signature, {words}")
    return Explanation(tuple(matches), seconds, remarks)


def _prefix(callback: Callback, given: Mapping[str, Any]) -> str:
    """Return the beginning of the names of the headers that came, the source's own first."""
    current = given.get("headers", PREFIXES[0])
    ordered = sorted(PREFIXES, key=lambda prefix: prefix != current)
    return next((prefix for prefix in ordered if f"{prefix}-signature" in callback.headers), current)


def _clock(timestamp: bytes, received_at: datetime) -> float | None:
    try:
        return received_at.timestamp() - concatenation.read_timestamp(timestamp)
    except Refusal:
        return None


def _form(prefix: str, parts: Mapping[str, bytes]) -> Iterator[str]:
    """Say which headers are missing or malformed, and which versions the signatures are of."""
    for part, value in parts.items():
        if not value:
            yield f"the header {prefix}-{part} is missing"
    for part, check in (("id", standard_webhooks.check_id), ("timestamp", concatenation.read_timestamp)):
        if value := parts[part]:
            try:
                check(value)
            except Refusal as refusal:
                yield f"the header {prefix}-{part} is malformed: {refusal.detail}"
    if value := parts["signature"]:
        try:
            if not standard_webhooks.signatures(value):
                named = value.split(b",")[0][:20].decode("latin-1")
                known = ", ".join(VERSIONS.values())
                yield f"no signature is of a version that is known ({known}); it begins {named!r}"
        except Refusal as refusal:
            yield f"the header {prefix}-signature is malformed: {refusal.detail}"


def _fit(secret: str, parts: Mapping[str, bytes], body: bytes) -> str | None:
    """Return how a secret made one of the signatures: as it should, the empty text; none where it did not."""
    try:
        given = standard_webhooks.signatures(parts["signature"])
        key = standard_webhooks.key("tried", secret)
        standard_webhooks.match([key], standard_webhooks.text(parts["id"], parts["timestamp"], body), given)
    except Refusal:
        return _fit_otherwise(secret, parts, body)
    return ""


def _fit_otherwise(secret: str, parts: Mapping[str, bytes], body: bytes) -> str | None:
    texts = {
        "": standard_webhooks.text(parts["id"], parts["timestamp"], body),
        "over the time and the body, without the id": b".".join((parts["timestamp"], body)),
        "over the id and the body, without the time": b".".join((parts["id"], body)),
        "over the body alone, without id and time": body,
    }
    made = [signature for word in parts["signature"].replace(b" ", b",").split(b",") if (signature := _raw(word))]
    for how, material in _materials(secret):
        for over, text in texts.items():
            if any(hmac.compare_digest(hmac_sha256.sign(material, text), one) for one in made):
                return ", ".join(filter(None, (how, over)))
    return None


def _raw(word: bytes) -> bytes | None:
    try:
        return b64decode(word, validate=True)
    except (binascii.Error, ValueError):
        return None


def _materials(secret: str) -> Iterator[tuple[str, bytes]]:
    """Yield the bytes that senders take a secret's text for, and what that is."""
    if secret.startswith("whpk_"):
        return
    bare = secret.removeprefix("whsec_")
    for how, read in (("", b64decode), ("its text read as URL-safe Base64", urlsafe_b64decode)):
        try:
            yield how, read(bare)
        except (binascii.Error, ValueError):
            continue
    words = "its text taken as it is, not as Base64: set it anew as whsec_ and the Base64 of that text"
    yield words, bare.encode()
    yield f"{words} (whsec_ included)", secret.encode()
