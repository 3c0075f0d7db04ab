"""The inbox: one delivery in, one verdict out, after it is on disk."""

import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import NamedTuple

from receiver import banks
from receiver.banks.protocol import Bank, Callback, KeysNotKnown, Proof
from receiver.inbox.decompression import CodingBroken, CodingNotSupported, decode
from receiver.inbox.redaction import redact
from receiver.inbox.source_cache import KnownSource, SourceCache
from receiver.inbox.verification import events
from receiver.inbox.writer import Genuine, Limits, Refused, Writer
from receiver.signing.errors import Refusal
from receiver.store import bank_sessions, credential_changes, deliveries, intake
from receiver.store.database import ANSWER_SECONDS, Database
from receiver.store.encryption import Encryption
from receiver.store.records import NewDelivery, NonceReused, Recorded, new_id
from receiver.store.sources import SourceRecord
from receiver.store.thread_pool import run_in_thread

log = logging.getLogger(__name__)

KEYS_REFRESHED_EVERY = timedelta(minutes=5)
"""A signature that fits no known public key asks for fresh keys at most this often."""

LARGE_BYTES = 256 * 1024
"""A larger body takes long to unpack and to verify; others are not to wait for that."""


class TryLater(Exception):
    """Whether the delivery is genuine can't be told just now: the bank must send it again."""


class Verdict(NamedTuple):
    """What became of a delivery; `kind` is `accepted`, `duplicate` or `rejected`."""

    kind: str
    event_ids: Sequence[str] = ()
    acknowledgement: str | None = None
    """The text that the bank takes for "I have it"; none where it takes any."""


class Inbox:
    """Accepts deliveries for all sources of a database; any number of threads and processes may."""

    def __init__(
        self, database: Database, encryption: Encryption, clock: Callable[[], datetime], limits: Limits
    ) -> None:
        self._database = database
        self._directory = SourceCache(database, encryption)
        self._writer = Writer(database, limits)
        self._clock = clock
        self._limits = limits

    def accept(self, name: str, callback: Callback) -> Verdict:
        """Prove a delivery to a source, write it down, and say what became of it; its body comes in its content coding.

        Raises:
            SourceUnknown
            BodyTooLarge
            CodingNotSupported
            TryLater
            StoreUnavailable
            DecryptionFailed
        """
        now = self._clock()
        known = self._directory.find(name, now)
        verdict = self._take(callback, known, now)
        acknowledgement = banks.named(known.source.bank).acknowledgement
        return verdict if acknowledgement is None else verdict._replace(acknowledgement=acknowledgement)

    def _take(self, callback: Callback, known: KnownSource, now: datetime) -> Verdict:
        try:
            if len(callback.body) > LARGE_BYTES:
                judged = run_in_thread(self._judge, callback, known, now)
            else:
                judged = self._judge(callback, known, now)
        except KeysNotKnown as unknown:
            self._want_keys(known, now)
            raise TryLater(str(unknown)) from unknown
        if isinstance(judged, Refused):
            self._keep_while_unresolved(judged, now)
            return self._repeat_of_accepted(known, judged) or self._reject(judged)
        return self._record(judged)

    def body_limit(self, name: str) -> int:
        """Return how large a callback of a source may be, in bytes: what its bank documents, but no less than any.

        Raises:
            SourceUnknown
            StoreUnavailable
            DecryptionFailed
        """
        return self._limit(self._directory.find(name, self._clock()))

    def _limit(self, known: KnownSource) -> int:
        return max(self._limits.body_bytes, banks.named(known.source.bank).body_bytes)

    def _judge(self, coded: Callback, known: KnownSource, now: datetime) -> Genuine | Refused:
        """Look at a delivery; nothing is read or written.

        Raises:
            BodyTooLarge
            CodingNotSupported
            KeysNotKnown
        """
        bank = banks.named(known.source.bank)
        try:
            callback = _decoded(coded, known.source.name, self._limit(known))
        except Refusal as refusal:
            return Refused(_delivery(bank, known.source, coded, now), refusal)
        try:
            proof = self._prove(bank, callback, known, now)
        except Refusal as refusal:
            return Refused(_delivery(bank, known.source, callback, now), refusal, callback)
        return Genuine(_delivery(bank, known.source, callback, now, proof), events(bank, proof, now))

    def _prove(self, bank: Bank, callback: Callback, known: KnownSource, now: datetime) -> Proof:
        try:
            return bank.prove(callback, known.profile, now)
        except Refusal:
            raise
        except KeysNotKnown as unknown:
            keys = known.keys
            lately = keys.tried_at is not None and now - keys.tried_at < KEYS_REFRESHED_EVERY
            if keys.wanted_at is None and keys.jwks is not None and lately:
                raise Refusal("signature_mismatch", str(unknown)) from unknown
            raise
        except Exception as error:
            # A fault in a verifier must not become an acceptance, nor an answer that the bank takes for good.
            log.exception("verifying a delivery to %s failed", known.source.name)
            raise Refusal("verification_failed", type(error).__name__) from error

    def _want_keys(self, known: KnownSource, now: datetime) -> None:
        if known.keys.wanted_at is not None:
            return
        with self._database.write(ANSWER_SECONDS) as connection:
            bank_sessions.want_public_keys(connection, known.source.id, now)
        self._directory.forget(known.source.name)

    def _keep_while_unresolved(self, refused: Refused, now: datetime) -> None:
        """Put a delivery off that fits no secret while the secrets are being changed at the bank.

        Raises:
            TryLater
            StoreUnavailable
        """
        unresolved = hold_back(self._database, refused.delivery, refused.refusal, now)
        if unresolved is None:
            return
        if not unresolved.is_kept:
            self._reject(Refused(refused.delivery, unresolved.refusal))
        raise TryLater(str(unresolved.refusal)) from refused.refusal

    def _repeat_of_accepted(self, known: KnownSource, refused: Refused) -> Verdict | None:
        """A delivery that is refused for its age alone and was accepted before is the bank's retry: it may stop now."""
        if refused.callback is None or not refused.refusal.proven:
            return None
        nonce = banks.named(known.source.bank).nonce_of(refused.callback)
        if nonce is None:
            return None
        with self._database.read(ANSWER_SECONDS) as connection:
            found = intake.find_identical(connection, refused.delivery, nonce)
        return None if found is None else Verdict("duplicate", found.event_ids)

    def _record(self, genuine: Genuine) -> Verdict:
        try:
            recorded = self._writer.record(genuine)
        except NonceReused as error:
            return self._reject(Refused(genuine.delivery, Refusal("nonce_reused", str(error), proven=True)))
        _tell(genuine.delivery, recorded)
        return Verdict("accepted" if recorded.is_new else "duplicate", recorded.event_ids)

    def _reject(self, refused: Refused) -> Verdict:
        self._writer.reject(refused)
        log.info("delivery %s from %s rejected: %s", refused.delivery.id, refused.delivery.peer, refused.refusal.reason)
        return Verdict("rejected")


def _tell(delivery: NewDelivery, recorded: Recorded) -> None:
    word = "accepted" if recorded.is_new else "duplicate"
    conflict = ", with other content than before" if recorded.has_conflict else ""
    log.info("delivery %s %s%s: %s", delivery.id, word, conflict, " ".join(recorded.event_ids))


def _decoded(callback: Callback, source: str, limit: int) -> Callback:
    """Return a callback free of the content coding of its body.

    Raises:
        Refusal
        BodyTooLarge
        CodingNotSupported
    """
    coding = callback.headers.get("content-encoding", b"").decode("latin-1")
    try:
        body = decode(callback.body, coding, limit)
    except CodingBroken as error:
        raise Refusal("coding_broken", str(error)) from error
    except CodingNotSupported as error:
        log.warning("delivery to %s has a content coding that is not supported: %s", source, error)
        raise
    return callback if body is callback.body else replace(callback, body=body)


def _delivery(
    bank: Bank, source: SourceRecord, callback: Callback, now: datetime, proof: Proof | None = None
) -> NewDelivery:
    shown = redact(callback.path, callback.channel, callback.headers, bank.carried(source.options))
    return NewDelivery(
        id=new_id("dlv", now),
        source_id=source.id,
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


UNRESOLVED = "rotation_unresolved"

_NO_SECRET_FITS = frozenset({"signature_mismatch", "secret_not_set"})


@dataclass(frozen=True)
class HeldBack:
    """A delivery to be answered 503, and the refusal with which it is kept, unless it is kept already."""

    refusal: Refusal
    is_kept: bool


def hold_back(database: Database, delivery: NewDelivery, refusal: Refusal, now: datetime) -> HeldBack | None:
    """Return how to put a delivery off that fits no secret; none where the verdict stands.

    It looks at the database itself: what a process remembers of a source may be older than the change.

    Raises:
        StoreUnavailable
    """
    if refusal.proven or refusal.reason not in _NO_SECRET_FITS:
        return None
    with database.read(ANSWER_SECONDS) as connection:
        if not credential_changes.secrets_may_be_newer(connection, delivery.source_id, now):
            return None
        is_kept = deliveries.is_held(connection, delivery, UNRESOLVED)
    unresolved = Refusal(UNRESOLVED, f"{refusal.detail}, while the secrets are being changed at the bank")
    return HeldBack(unresolved, is_kept)
