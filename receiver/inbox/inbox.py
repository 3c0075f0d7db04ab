"""The door behind the web: one delivery in, one verdict out, after it is on disk."""

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from receiver import banks
from receiver.banks.bank import Bank, Callback, KeysNotKnown, Profile, Proof
from receiver.inbox.coding import CodingBroken, CodingNotSupported, decode
from receiver.inbox.profiles import profile_of
from receiver.inbox.reading import events
from receiver.inbox.unresolved import put_off
from receiver.signing.errors import Refusal
from receiver.store import bank_access, intake, rejections, sources
from receiver.store.bank_access import StoredKeys
from receiver.store.database import Database
from receiver.store.ids import new_id
from receiver.store.intake import NewDelivery, NewEvent, NonceReused, Recorded
from receiver.store.sealing import Sealer
from receiver.store.sources import SourceRecord

log = logging.getLogger(__name__)

KEYS_REFRESHED_EVERY = timedelta(minutes=5)
"""A signature that fits no known public key asks for fresh keys at most this often."""

SECRET_HEADERS = frozenset({"authorization", "proxy-authorization", "cookie"})


class SourceUnknown(Exception):
    """No enabled source has this name."""


class TryLater(Exception):
    """Whether the delivery is genuine can't be told just now: the bank must send it again."""


@dataclass(frozen=True)
class Arrival:
    """A request as it came; header names in lower case, `body` still with its content coding."""

    source: str
    channel: str | None
    method: bytes
    path: bytes
    headers: Mapping[str, bytes]
    body: bytes = field(repr=False)
    peer: str


@dataclass(frozen=True)
class Verdict:
    """What became of a delivery; `kind` is `accepted`, `duplicate` or `rejected`."""

    kind: str
    event_ids: Sequence[str] = ()


@dataclass(frozen=True)
class Limits:
    """How much is taken in and kept, in bytes and rows."""

    body_bytes: int
    rejected_kept: int
    rejected_body_bytes: int


class Inbox:
    """Accepts deliveries for all sources of a database; any number of threads and processes may."""

    def __init__(self, database: Database, sealer: Sealer, clock: Callable[[], datetime], limits: Limits) -> None:
        self._database = database
        self._sealer = sealer
        self._clock = clock
        self._limits = limits

    def accept(self, arrival: Arrival) -> Verdict:
        """Prove a delivery, write it down, and say what became of it.

        Raises:
            SourceUnknown
            BodyTooLarge
            CodingNotSupported
            TryLater
            StoreUnavailable
            SealBroken
        """
        now = self._clock()
        source, profile, keys = self._known(arrival.source, now)
        delivery_id = new_id("dlv", now)
        try:
            body = self._decode(arrival)
            callback = Callback(arrival.method, arrival.path, arrival.channel, arrival.headers, body, arrival.peer)
        except Refusal as refusal:
            return self._reject(_delivery(delivery_id, source, arrival, arrival.body, now), refusal)
        delivery = _delivery(delivery_id, source, arrival, body, now)
        bank = banks.named(source.bank)
        try:
            proof = self._prove(bank, callback, profile, keys, source, now)
        except Refusal as refusal:
            self._keep_while_unresolved(delivery, refusal, now)
            return self._same_again(bank, callback, delivery, refusal) or self._reject(delivery, refusal)
        return self._record(_proven(delivery, proof), events(bank, proof, now))

    def _known(self, name: str, now: datetime) -> tuple[SourceRecord, Profile, StoredKeys]:
        with self._database.read() as connection:
            source = sources.find(connection, name)
            if source is None or not source.enabled:
                raise SourceUnknown(name)
            profile, keys = profile_of(connection, self._sealer, source, now)
        return source, profile, keys

    def _decode(self, arrival: Arrival) -> bytes:
        encoding = arrival.headers.get("content-encoding", b"").decode("latin-1")
        try:
            return decode(arrival.body, encoding, self._limits.body_bytes)
        except CodingBroken as error:
            raise Refusal("coding_broken", str(error)) from error
        except CodingNotSupported as error:
            log.warning("delivery to %s has a content coding that is not supported: %s", arrival.source, error)
            raise

    def _prove(
        self, bank: Bank, callback: Callback, profile: Profile, keys: StoredKeys, source: SourceRecord, now: datetime
    ) -> Proof:
        try:
            return bank.prove(callback, profile, now)
        except Refusal:
            raise
        except KeysNotKnown as unknown:
            self._want_keys_or_refuse(source, keys, unknown, now)
            raise TryLater(str(unknown)) from unknown
        except Exception as error:
            # A fault in a verifier must not become an acceptance, nor an answer that the bank takes for good.
            log.exception("verifying a delivery to %s failed", source.name)
            raise Refusal("verification_failed", type(error).__name__) from error

    def _want_keys_or_refuse(
        self, source: SourceRecord, keys: StoredKeys, unknown: KeysNotKnown, now: datetime
    ) -> None:
        lately = keys.tried_at is not None and now - keys.tried_at < KEYS_REFRESHED_EVERY
        if keys.wanted_at is None:
            if keys.jwks is not None and lately:
                raise Refusal("signature_mismatch", str(unknown)) from unknown
            with self._database.write() as connection:
                bank_access.want_public_keys(connection, source.id, now)

    def _keep_while_unresolved(self, delivery: NewDelivery, refusal: Refusal, now: datetime) -> None:
        unresolved = put_off(self._database, delivery, refusal, now)
        if unresolved is None:
            return
        if not unresolved.is_kept:
            self._reject(delivery, unresolved.refusal)
        raise TryLater(str(unresolved.refusal)) from refusal

    def _same_again(self, bank: Bank, callback: Callback, delivery: NewDelivery, refusal: Refusal) -> Verdict | None:
        """A delivery that is refused for its age alone and was accepted before is the bank's retry: it may stop now."""
        nonce = bank.nonce_of(callback) if refusal.proven else None
        if nonce is None:
            return None
        with self._database.read() as connection:
            found = intake.find_identical(connection, delivery, nonce)
        return None if found is None else Verdict("duplicate", found.event_ids)

    def _record(self, delivery: NewDelivery, events: Sequence[NewEvent]) -> Verdict:
        try:
            with self._database.write() as connection:
                recorded = intake.record(connection, delivery, events)
        except NonceReused as error:
            return self._reject(delivery, Refusal("nonce_reused", str(error), proven=True))
        _tell(delivery, recorded)
        return Verdict("accepted" if recorded.is_new else "duplicate", recorded.event_ids)

    def _reject(self, delivery: NewDelivery, refusal: Refusal) -> Verdict:
        with self._database.write() as connection:
            rejections.keep(
                connection,
                delivery,
                reason=refusal.reason,
                detail=refusal.detail,
                proven=refusal.proven,
                kept=self._limits.rejected_kept,
                body_bytes=self._limits.rejected_body_bytes,
            )
        log.info("delivery %s from %s rejected: %s", delivery.id, delivery.peer, refusal.reason)
        return Verdict("rejected")


def _tell(delivery: NewDelivery, recorded: Recorded) -> None:
    word = "accepted" if recorded.is_new else "duplicate"
    conflict = ", with other content than before" if recorded.has_conflict else ""
    log.info("delivery %s %s%s: %s", delivery.id, word, conflict, " ".join(recorded.event_ids))


def _delivery(delivery_id: str, source: SourceRecord, arrival: Arrival, body: bytes, now: datetime) -> NewDelivery:
    headers = {name: value.decode("latin-1") for name, value in arrival.headers.items() if name not in SECRET_HEADERS}
    return NewDelivery(
        id=delivery_id,
        source_id=source.id,
        received_at=now,
        peer=arrival.peer,
        path=arrival.path.decode("latin-1").replace("\0", ""),
        channel=arrival.channel,
        headers=headers,
        nonce=None,
        signed_at=None,
        proof_key="",
        body=body,
        body_sha256=hashlib.sha256(body).hexdigest(),
    )


def _proven(delivery: NewDelivery, proof: Proof) -> NewDelivery:
    return NewDelivery(**dict(vars(delivery), nonce=proof.nonce, signed_at=proof.signed_at, proof_key=proof.key_id))
