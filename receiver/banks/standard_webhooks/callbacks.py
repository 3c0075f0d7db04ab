"""Callbacks by Standard Webhooks 1.0.0: proven by HMAC-SHA256 or ed25519, read by their type."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from receiver.banks import json_values, options
from receiver.banks.callback import check_fresh, known_facts
from receiver.banks.json_values import NotUnderstood
from receiver.banks.protocol import Callback, Claim, Profile, Proof
from receiver.signing import addresses, concatenation, hmac_sha256, standard_webhooks
from receiver.signing.errors import Refusal

PREFIXES = ("webhook", "svix")
"""The specification's own, and that of the service that it grew out of: all else is the same."""

ID = "id"
"""What a proof calls the message's id."""

UNRECOGNISED = "standard_webhooks.unrecognised"

_TYPE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.\-]{0,98}[A-Za-z0-9])?")

_KNOWN = (options.choice("headers", *PREFIXES), options.allowed_addresses(), *options.watch())


def check_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options as they are stored.

    `headers`: how the headers' names begin, `webhook` (default) or `svix`.
    `allowed_addresses`: callbacks from elsewhere are refused.
    `quiet_hours`: after how long without a callback a warning is given (default 0, for never).
    `business_hours`: which of these hours count, `DAYS,HH:MM-HH:MM,ZONE` (default all).
    `business_days`: its business days and when each ends, `DAYS,HH:MM,ZONE` (default every day, UTC).

    Raises:
        OptionsWrong
    """
    return options.check("standard_webhooks", given, _KNOWN)


def check_secret(secret: str, _given: Mapping[str, Any]) -> None:
    """Accept `whsec_…` for HMAC or `whpk_…` for ed25519.

    Raises:
        Refusal: `secret_malformed`.
    """
    standard_webhooks.key("new", secret)


def key_material(secret: str, _given: Mapping[str, Any]) -> bytes:
    """Return the bytes of a key, with or without `whsec_` before them.

    Raises:
        Refusal: `secret_malformed`.
    """
    found = standard_webhooks.key("new", secret)
    return found.material if isinstance(found, hmac_sha256.Key) else found.key.public_bytes_raw()


class Head(NamedTuple):
    """What the headers of a message say that may be genuine."""

    message_id: bytes
    timestamp_text: bytes
    timestamp: int
    signatures: list[tuple[bytes, bytes]]


def check_head(callback: Callback, profile: Profile) -> None:
    """Refuse another address than those of the source, and headers that sign nothing.

    Raises:
        Refusal
    """
    addresses.check(callback.peer, profile.options.get("allowed_addresses", ()))
    _head(callback, profile)


def _head(callback: Callback, profile: Profile) -> Head:
    prefix = profile.options.get("headers", PREFIXES[0])
    message_id, timestamp_text = callback.header(f"{prefix}-id"), callback.header(f"{prefix}-timestamp")
    standard_webhooks.check_id(message_id)
    timestamp = concatenation.read_timestamp(timestamp_text)
    given = standard_webhooks.signatures(callback.header(f"{prefix}-signature"))
    if not given:
        raise Refusal("signature_mismatch", "no signature of a version that is known")
    return Head(message_id, timestamp_text, timestamp, given)


def prove(callback: Callback, profile: Profile, now: datetime) -> Proof:
    """Prove a message genuine and fresh: its signature over `{id}.{timestamp}.{body}` is verified.

    Raises:
        Refusal
        Stale: only that it is fresh is not proven.
    """
    message_id, timestamp_text, timestamp, given = _head(callback, profile)
    keys = profile.keys("secret", standard_webhooks.key)
    signed = standard_webhooks.text(message_id, timestamp_text, callback.body)
    key_id = standard_webhooks.match(keys, signed, given)
    profile.check_address(callback)
    proof = Proof(
        strength="signature",
        key_id=key_id,
        content=callback.body,
        nonce=_nonce(message_id, timestamp_text, callback.body),
        signed_at=datetime.fromtimestamp(timestamp, UTC),
        headers={ID: message_id.decode("ascii")},
    )
    return check_fresh(proof, now)


def _nonce(message_id: bytes, timestamp: bytes, body: bytes) -> str:
    """Return what sets one sending of a message apart from any other.

    A retry has the same id with another time, and may be written anew: it is another delivery of the same event. So
    the nonce is all that was signed, its body by its digest; the time comes first, so that the index over it ascends.
    """
    return f"{timestamp.decode('latin-1')}.{message_id.decode('latin-1')}.{hashlib.sha256(body).hexdigest()[:32]}"


def read(proof: Proof) -> Sequence[Claim]:
    """Return the claim in a message: one event, whatever its body holds, because it has an id of its own."""
    message_id = proof.headers[ID]
    identity = ("message", message_id)
    try:
        fields = json_values.parse_object(proof.content)
        content = json_values.canonical(fields)
    except NotUnderstood:
        digest = hashlib.sha256(proof.content).hexdigest()
        return [Claim(UNRECOGNISED, identity, digest, facts={"message_id": message_id})]
    found = json_values.text(fields, "type")
    kind = f"standard_webhooks.{found}" if found is not None and _TYPE.fullmatch(found) else UNRECOGNISED
    facts = known_facts(message_id=message_id, occurred_at=json_values.text(fields, "timestamp"))
    return [Claim(kind, identity, content, facts=facts)]
