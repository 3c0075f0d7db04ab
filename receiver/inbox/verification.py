"""Judging one delivery: undo its content coding, prove it genuine, read what it claims; pure, nothing is looked up."""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from json.encoder import encode_basestring_ascii
from typing import NamedTuple

from receiver.banks.callback import Callback, Claim, Proof, Stale, unrecognised
from receiver.banks.json_values import NotUnderstood, decimal_text
from receiver.banks.protocol import Bank, KeysNotKnown
from receiver.inbox.decompression import CodingBroken, CodingNotSupported, coding_of, decode
from receiver.inbox.redaction import redact
from receiver.inbox.source_cache import KnownSource
from receiver.signing.errors import Refusal
from receiver.store.records import NewDelivery, NewEvent, new_id

log = logging.getLogger(__name__)

KEYS_REFRESHED_EVERY = timedelta(minutes=5)
"""A signature that fits no known public key asks for fresh keys at most this often."""


CODING_NOT_SUPPORTED = "coding_not_supported"
"""The reason of deliveries in a content coding that their bank does not document."""

CODING_BROKEN = "coding_broken"
"""The reason of deliveries whose body is not what their content coding says."""


class Genuine(NamedTuple):
    """A delivery that is proven genuine, and its events."""

    delivery: NewDelivery
    events: Sequence[NewEvent]


class Late(NamedTuple):
    """A delivery that is proven all but fresh, and what it tells."""

    delivery: NewDelivery
    events: Sequence[NewEvent]
    refusal: Stale


class Refused(NamedTuple):
    """A delivery that is not proven genuine, and why; `likely` says that it looks like the bank's all the same."""

    delivery: NewDelivery
    refusal: Refusal
    likely: bool = False


def judge(coded: Callback, known: KnownSource, body_limit: int, now: datetime) -> Genuine | Late | Refused:
    """Verify a delivery and read it; its body comes in its content coding, and may have `body_limit` bytes without.

    Raises:
        BodyTooLarge
        KeysNotKnown: it may be genuine; the public key to tell is not known yet.
    """
    try:
        callback = _decoded(coded, known, body_limit)
    except Refusal as refusal:
        return Refused(_delivery(known, coded, now), _of_partial(refusal) if coded.is_partial else refusal)
    try:
        proof = _prove(known, callback, now)
    except Stale as stale:
        delivery = _delivery(known, callback, now, stale.proof)
        return Late(delivery, events(known.bank, stale.proof, now), stale)
    except Refusal as refusal:
        likely = refusal.well_formed and known.profile.allows(callback.peer)
        return Refused(_delivery(known, callback, now), refusal, likely)
    return Genuine(_delivery(known, callback, now, proof), events(known.bank, proof, now))


def check_head(callback: Callback, known: KnownSource) -> str | None:
    """Refuse what can't be genuine whatever its body is; return the content coding to undo, if any.

    Raises:
        Refusal
    """
    coding = coding_to_undo(callback, known.bank)
    try:
        known.bank.check_head(callback, known.profile)
    except Refusal:
        raise
    except Exception as error:
        log.exception("verifying the head of a delivery to %s failed", known.source.name)
        raise Refusal("verification_failed", type(error).__name__) from error
    return coding


def _of_partial(refusal: Refusal) -> Refusal:
    detail = f"{refusal.detail}; only the beginning of its body was read"
    return Refusal(refusal.reason, detail, proven=refusal.proven)


def coding_to_undo(callback: Callback, bank: Bank) -> str | None:
    """Return the content coding that a callback names; none where it names none.

    Raises:
        Refusal: it is none that its bank documents.
    """
    named = callback.headers.get("content-encoding")
    if named is None:
        return None
    try:
        return coding_of(named.decode("latin-1"), bank.codings)
    except CodingNotSupported as error:
        raise Refusal(CODING_NOT_SUPPORTED, str(error)) from error


def _decoded(callback: Callback, known: KnownSource, limit: int) -> Callback:
    """Return a callback free of the content coding of its body: nothing is unpacked before its head was looked at.

    Raises:
        Refusal
        BodyTooLarge
    """
    is_plain = "content-encoding" not in callback.headers and not callback.is_partial
    coding = None if is_plain else check_head(callback, known)
    try:
        body = decode(callback.body, coding, limit)
    except CodingBroken as error:
        raise Refusal(CODING_BROKEN, str(error)) from error
    return callback if coding is None else replace(callback, body=body)


def _prove(known: KnownSource, callback: Callback, now: datetime) -> Proof:
    try:
        return known.bank.prove(callback, known.profile, now)
    except Refusal:
        raise
    except KeysNotKnown as unknown:
        keys = known.keys
        lately = keys.tried_at is not None and abs(now - keys.tried_at) < KEYS_REFRESHED_EVERY
        if keys.wanted_at is None and keys.jwks is not None and lately:
            raise Refusal("signature_mismatch", str(unknown)) from unknown
        raise
    except Exception as error:
        # A fault in a verifier must not become an acceptance, nor an answer that the bank takes for good.
        log.exception("verifying a delivery to %s failed", known.source.name)
        raise Refusal("verification_failed", type(error).__name__) from error


def _delivery(known: KnownSource, callback: Callback, now: datetime, proof: Proof | None = None) -> NewDelivery:
    tokens = [text for _, text in known.profile.secrets] if known.carried.shows_token else []
    shown = redact(callback.path, callback.channel, callback.headers, known.carried, tokens)
    return NewDelivery(
        id=new_id("dlv", now),
        source_id=known.source.id,
        received_at=now,
        peer=callback.peer,
        path=shown.path,
        channel=shown.channel,
        headers=shown.headers,
        nonce=proof.nonce if proof else None,
        signed_at=proof.signed_at if proof else None,
        proof_key=proof.key_id if proof else "",
        body=callback.body,
        body_sha256=hashlib.sha256(callback.body).hexdigest(),
    )


def events(bank: Bank, proof: Proof, now: datetime) -> list[NewEvent]:
    """Return the events in a proven callback: at least one, whatever it holds."""
    return [_event(claim, proof, now) for claim in _claims(bank, proof)]


def _claims(bank: Bank, proof: Proof) -> Sequence[Claim]:
    try:
        claims = bank.read(proof)
    except NotUnderstood as error:
        log.warning("a genuine delivery is not understood: %s", error)
    except Exception:
        log.exception("reading a genuine delivery failed; it is stored as unrecognised")
    else:
        if any(claim.type.endswith(".unrecognised") for claim in claims):
            log.warning("a genuine delivery is not understood: its type or shape is new")
        return claims
    return [unrecognised(bank.name, proof.content, proof.headers)]


def digest_of(identity: Sequence[str]) -> bytes:
    """Return the SHA-256 of a claim's identity, by which its event is deduplicated."""
    # As `json.dumps` writes a list of texts, in a fifth of the time.
    written = ", ".join(map(encode_basestring_ascii, identity))
    return hashlib.sha256(f"[{written}]".encode()).digest()


def _event(claim: Claim, proof: Proof, now: datetime) -> NewEvent:
    return NewEvent(
        id=new_id("evt", now),
        identity=digest_of(claim.identity),
        content_sha256=hashlib.sha256(claim.content.encode("utf-8", "surrogatepass")).hexdigest(),
        type=claim.type,
        kind=claim.kind,
        subject=claim.subject,
        payment_id=claim.payment_id,
        claimed_status=claim.status,
        amount=decimal_text(claim.amount),
        currency=claim.currency,
        facts={name: fact for name, fact in claim.facts.items() if name not in proof.left_out},
        proof=proof.strength,
        claimed_at=claim.claimed_at,
    )
