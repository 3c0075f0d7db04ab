"""The inbox: one delivery in, one verdict out, after it is on disk."""

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection

from receiver.banks.callback import Callback
from receiver.banks.protocol import KeysNotKnown
from receiver.inbox.decompression import CodingNotSupported, unpacked_bytes_max
from receiver.inbox.source_cache import KnownSource, SourceCache
from receiver.inbox.verification import CODING_NOT_SUPPORTED, Genuine, Late, Refused, check_head, judge
from receiver.logs import ids
from receiver.model import Verdict
from receiver.projection.backlog import Backlog
from receiver.runtime import Runtime
from receiver.signing.errors import Refusal
from receiver.store import credential_changes, deliveries, intake, public_keys
from receiver.store.database import ANSWER_SECONDS
from receiver.store.group_commit import GroupCommit
from receiver.store.late import NewLate, find_before, hold_all
from receiver.store.records import NonceReused, Recorded
from receiver.store.thread_pool import run_in_thread

log = logging.getLogger(__name__)

LARGE_BYTES = 256 * 1024
"""A larger body takes long to unpack and to verify; others are not to wait for that."""

UNRESOLVED = "rotation_unresolved"
"""The reason of deliveries that fit no known secret while the bank may be signing with one that is not known yet."""

NO_USABLE_SECRET = frozenset({"secret_not_set", "secret_malformed"})
"""The reasons of deliveries to a source that has no secret which makes a key."""

REJECTED_AT_ONCE = 8
"""Rejected deliveries in one transaction: on SQLite genuine ones wait for it."""

_NO_SECRET_FITS = NO_USABLE_SECRET | {"signature_mismatch"}


class TryLater(Exception):
    """Whether the delivery is genuine can't be told just now: the bank must send it again.

    `reason` is one word for why, to be counted by.
    """

    def __init__(self, text: str, reason: str) -> None:
        super().__init__(text)
        self.reason = reason


class Outcome(NamedTuple):
    """What became of a delivery."""

    verdict: Verdict
    event_ids: Sequence[str] = ()
    acknowledgement: str | None = None
    """The text that the bank takes for "I have it"; none where it takes any."""
    reason: str = ""
    """Why it was rejected, or is late: one word."""


class Inbox:
    """Accepts deliveries for all sources of a database; any number of threads and processes may."""

    def __init__(self, runtime: Runtime) -> None:
        """Take a process's parts."""
        self._database = runtime.database
        self._clock = runtime.clock
        self._settings = runtime.settings
        self._sources = SourceCache(runtime)
        waiting_max = runtime.settings.waiting_max
        self._commits: GroupCommit[Genuine | Late, Recorded | NonceReused] = GroupCommit(
            runtime.database, self._write, waiting_max
        )
        # Apart, so that a flood of what nobody has proven fills no group, and no queue, of what somebody has.
        self._rejections: GroupCommit[Refused, None] = GroupCommit(
            runtime.database, self._write_rejected, waiting_max, REJECTED_AT_ONCE
        )
        self._backlog = Backlog(runtime.database)

    def accept(self, name: str, callback: Callback) -> Outcome:
        """Prove a delivery to a source, write it down, and say what became of it; its body comes in its content coding.

        Raises:
            SourceUnknown
            BodyTooLarge
            CodingNotSupported: it is stored all the same.
            TryLater
            StoreUnavailable
            DecryptionFailed
        """
        now = self._clock()
        # By its name, here and in `unpacked_bytes`: the source may have been changed while the body came in.
        known = self._sources.find(name, now)
        if callback.is_partial and passes(known, callback):
            raise TryLater("the source was changed while the request came in", "source_changed")
        try:
            judged = self._judge(callback, known, now)
        except KeysNotKnown as unknown:
            self._want_keys(known, now)
            raise TryLater(str(unknown), "keys_not_known") from unknown
        if isinstance(judged, Genuine):
            recorded = self._commits.run(judged)
            self._backlog.grew(len(judged.events))
            return self._settle(judged, recorded, known)
        if isinstance(judged, Late):
            return self._hold(judged, known)
        self._hold_back_without_secret(judged, known, now)
        outcome = self._reject(judged, known)
        _check_coding(known, judged.refusal)
        return outcome

    def find(self, name: str) -> KnownSource:
        """Return what is known of an enabled source, as of the last second.

        Raises:
            SourceUnknown
            StoreUnavailable
            DecryptionFailed
        """
        return self._sources.find(name, self._clock())

    def body_limit(self, known: KnownSource) -> int:
        """Return how large a callback of a source may be, in bytes: what its bank documents, but no less than any."""
        return max(self._settings.max_body_bytes, known.bank.body_bytes)

    def knew(self, name: str) -> bool:
        """Tell whether there was a source of this name when they were last read; asks nothing."""
        return self._sources.knew(name)

    def unpacked_bytes(self, name: str, callback: Callback) -> int:
        """Return how many bytes may come out of a callback's content coding; 0 where nothing is undone.

        Raises:
            SourceUnknown
            StoreUnavailable
            DecryptionFailed
        """
        known = self.find(name)
        return unpacked_bytes_max(len(callback.body), self.body_limit(known)) if _is_unpacked(callback, known) else 0

    def _judge(self, callback: Callback, known: KnownSource, now: datetime) -> Genuine | Late | Refused:
        if len(callback.body) > LARGE_BYTES or _is_unpacked(callback, known):
            return run_in_thread(judge, callback, known, self.body_limit(known), now)
        return judge(callback, known, self.body_limit(known), now)

    def _want_keys(self, known: KnownSource, now: datetime) -> None:
        if known.keys.wanted_at is not None:
            return
        with self._database.write(ANSWER_SECONDS) as connection:
            public_keys.want(connection, known.source.id, now)
        self._sources.forget(known.source.name)

    def _hold_back_without_secret(self, refused: Refused, known: KnownSource, now: datetime) -> None:
        """Have a delivery sent again that can't be judged for want of a secret, and store it, once.

        Either the source has no usable one, or none fits while the secrets are being changed at the bank. That is held
        against the database itself: what a process remembers of a source may be older than the change.

        Raises:
            TryLater
            StoreUnavailable
        """
        delivery, refusal = refused.delivery, refused.refusal
        if refusal.proven or refusal.reason not in _NO_SECRET_FITS:
            return
        with self._database.read(ANSWER_SECONDS) as connection:
            if credential_changes.secrets_may_be_newer(connection, delivery.source_id, now):
                words = f"{refusal.detail}, while the secrets are being changed at the bank"
                reason = Refusal(UNRESOLVED, words)
            elif refusal.reason in NO_USABLE_SECRET:
                reason = refusal
            else:
                return
            is_stored = deliveries.is_rejected_for(connection, delivery, reason.reason)
        if not is_stored:
            self._reject(refused._replace(refusal=reason), known)
        raise TryLater(str(reason), reason.reason) from refusal

    def _hold(self, late: Late, known: KnownSource) -> Outcome:
        """Store a late delivery until it is confirmed; the bank's retry of one that was accepted may stop.

        The first look spares a write for each repeat; whether it is the first one is told by the write itself.
        """
        with self._database.read(ANSWER_SECONDS) as connection:
            found = find_before(connection, late.delivery)
        if found is None and not late.refusal.has_one_cut:
            return self._reject(Refused(late.delivery, late.refusal), known)
        return self._settle(late, self._commits.run(late) if found is None else found, known)

    def _settle(self, judged: Genuine | Late, recorded: Recorded | NonceReused, known: KnownSource) -> Outcome:
        delivery = judged.delivery
        if isinstance(recorded, NonceReused):
            return self._reject(Refused(delivery, Refusal("nonce_reused", str(recorded), proven=True)), known)
        if recorded.waits:
            level = logging.WARNING if recorded.is_new else logging.INFO
            about = ids(delivery=delivery.id, source=known.source.name, verdict=Verdict.LATE)
            words = "delivery %s from %s is late, and waits to be confirmed"
            log.log(level, words, delivery.id, delivery.peer, extra=about)
            return Outcome(Verdict.LATE, reason=judged.refusal.reason if isinstance(judged, Late) else "")
        verdict = Verdict.ACCEPTED if recorded.is_new else Verdict.DUPLICATE
        conflict = ", with other content than before" if recorded.has_conflict else ""
        about = ids(delivery=delivery.id, source=known.source.name, verdict=verdict, events=recorded.event_ids)
        log.info("delivery %s %s%s: %s", delivery.id, verdict, conflict, " ".join(recorded.event_ids), extra=about)
        return Outcome(verdict, recorded.event_ids, known.bank.acknowledgement)

    def _reject(self, refused: Refused, known: KnownSource) -> Outcome:
        """Store a rejected delivery for staff to look at."""
        self._rejections.run(refused)
        delivery, reason = refused.delivery, refused.refusal.reason
        about = ids(delivery=delivery.id, source=known.source.name, verdict=Verdict.REJECTED, reason=reason)
        log.info("delivery %s from %s rejected: %s", delivery.id, delivery.peer, reason, extra=about)
        return Outcome(Verdict.REJECTED, reason=reason)

    def _write(self, connection: Connection, judged: Sequence[Genuine | Late]) -> list[Recorded | NonceReused]:
        """Write deliveries that came together, in the transaction that they share (group commit)."""
        genuine = [one for one in judged if isinstance(one, Genuine)]
        recorded = iter(intake.record_all(connection, [(one.delivery, one.events) for one in genuine]))
        held = iter(hold_all(connection, [_new_late(one) for one in judged if isinstance(one, Late)]))
        return [next(recorded if isinstance(one, Genuine) else held) for one in judged]

    def _write_rejected(self, connection: Connection, rejected: Sequence[Refused]) -> list[None]:
        for refused in rejected:
            deliveries.store_rejected(
                connection,
                refused.delivery,
                reason=refused.refusal.reason,
                detail=refused.refusal.detail,
                proven=refused.refusal.proven,
                likely=refused.likely,
                most=self._settings.rejected_max,
                body_bytes=self._settings.rejected_body_bytes,
            )
        return [None] * len(rejected)


def _new_late(late: Late) -> NewLate:
    return NewLate(late.delivery, late.events, late.refusal.reason, late.refusal.detail)


def passes(known: KnownSource, callback: Callback) -> bool:
    """Tell whether a callback may be genuine by its address, path and headers; its body is not looked at."""
    try:
        check_head(callback, known)
    except Refusal:
        return False
    return True


def lists_addresses(known: KnownSource) -> bool:
    """Tell whether a source says where its callbacks come from."""
    return "address" in known.bank.proofs(known.source.options)


def _is_unpacked(callback: Callback, known: KnownSource) -> bool:
    """Tell whether a content coding is to be undone; that of what can't be genuine by its head is not."""
    if "content-encoding" not in callback.headers:
        return False
    try:
        return check_head(callback, known) is not None
    except Refusal:
        return False


def _check_coding(known: KnownSource, refusal: Refusal) -> None:
    """Let the bank know that it is the content coding that is not taken.

    Raises:
        CodingNotSupported
    """
    if refusal.reason == CODING_NOT_SUPPORTED:
        log.warning("delivery to %s has a content coding that is not supported: %s", known.source.name, refusal.detail)
        raise CodingNotSupported(refusal.detail, known.bank.codings)
