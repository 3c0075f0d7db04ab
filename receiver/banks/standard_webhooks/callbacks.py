"""Callbacks by Standard Webhooks 1.0.0: proven by HMAC-SHA256 or ed25519, told by their type."""

import hashlib
import re
from collections.abc import Sequence
from datetime import UTC, datetime

from receiver.banks import json_values
from receiver.banks.json_values import NotUnderstood
from receiver.banks.protocol import Callback, Claim, Profile, Proof
from receiver.signing import concatenation, standard_webhooks
from receiver.signing.errors import Refusal

PREFIXES = ("webhook", "svix")
"""The specification's own, and that of the service that it grew out of: all else is the same."""

ID = "id"


def prove(callback: Callback, profile: Profile, now: datetime) -> Proof:
    """Prove a message genuine and fresh.

    Raises:
        Refusal
    """
    prefix = profile.options.get("headers", PREFIXES[0])
    message_id, timestamp_text = _header(callback, prefix, "id"), _header(callback, prefix, "timestamp")
    standard_webhooks.check_id(message_id)
    timestamp = concatenation.read_timestamp(timestamp_text)
    given = standard_webhooks.signatures(_header(callback, prefix, "signature"))
    if not profile.secrets:
        raise Refusal("secret_not_set", "the source has no secret: set one with `receiver secret set`")
    keys = [standard_webhooks.key(f"secret:{version}", text) for version, text in profile.secrets]
    signed = standard_webhooks.text(message_id, timestamp_text, callback.body)
    key_id = standard_webhooks.match(keys, signed, given)
    concatenation.check_fresh(timestamp, now)
    profile.check_address(callback)
    return Proof(
        strength="signature",
        key_id=key_id,
        content=callback.body,
        nonce=_nonce(message_id, timestamp_text, callback.body),
        signed_at=datetime.fromtimestamp(timestamp, UTC),
        headers={ID: message_id.decode("ascii")},
    )


def nonce_of(callback: Callback) -> str | None:
    """Return what sets one sending of a message apart from any other, unproven.

    A retry has the same id with another time, and may be written anew: it is another delivery of the same event. So
    the nonce is all that was signed, its body by its digest; the time comes first, so that the index over it ascends.
    """
    for prefix in PREFIXES:
        message_id, timestamp = (callback.headers.get(f"{prefix}-{name}", b"") for name in ("id", "timestamp"))
        if message_id and timestamp:
            return _nonce(message_id, timestamp, callback.body)
    return None


def _nonce(message_id: bytes, timestamp: bytes, body: bytes) -> str:
    return f"{timestamp.decode('latin-1')}.{message_id.decode('latin-1')}.{hashlib.sha256(body).hexdigest()[:32]}"


def _header(callback: Callback, prefix: str, name: str) -> bytes:
    value = callback.headers.get(f"{prefix}-{name}", b"")
    if not value:
        raise Refusal("header_missing", f"no {prefix}-{name}")
    return value


UNRECOGNISED = "standard_webhooks.unrecognised"

_TYPE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.\-]{0,98}[A-Za-z0-9])?")


def read(proof: Proof) -> Sequence[Claim]:
    """Return the claim in a message: one event, whatever its body holds, because it has an id of its own."""
    message_id = proof.headers[ID]
    kind, content, facts = _told(proof.content)
    return [
        Claim(
            type=kind,
            identity=("message", message_id),
            content=content,
            facts={"message_id": message_id, **facts},
        )
    ]


def _told(body: bytes) -> tuple[str, str, dict[str, str]]:
    try:
        fields = json_values.parse_object(body)
        content = json_values.canonical(fields)
    except NotUnderstood:
        return UNRECOGNISED, hashlib.sha256(body).hexdigest(), {}
    found = json_values.text(fields, "type")
    kind = f"standard_webhooks.{found}" if found is not None and _TYPE.fullmatch(found) else UNRECOGNISED
    occurred = json_values.text(fields, "timestamp")
    return kind, content, {"occurred_at": occurred} if occurred is not None else {}
