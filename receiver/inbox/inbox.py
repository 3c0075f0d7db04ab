"""The inbox: one delivery in, one verdict out, after it is on disk."""

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection

from receiver.banks.callback import Callback
from receiver.banks.protocol import KeysNotKnown
from receiver.inbox.source_cache import KnownSource, SourceCache
from receiver.inbox.verification import Genuine, Refused, judge
from receiver.model import Verdict
from receiver.runtime import Runtime
from receiver.signing.errors import Refusal
from receiver.store import bank_sessions, credential_changes, deliveries, intake
from receiver.store.database import ANSWER_SECONDS
from receiver.store.group_commit import GroupCommit
from receiver.store.records import NonceReused, Recorded
from receiver.store.thread_pool import run_in_thread

log = logging.getLogger(__name__)

LARGE_BYTES = 256 * 1024
"""A larger body takes long to unpack and to verify; others are not to wait for that."""

UNRESOLVED = "rotation_unresolved"
"""The reason of deliveries that fit no known secret while the bank may be signing with one that is not known yet."""

_NO_SECRET_FITS = frozenset({"signature_mismatch", "secret_not_set"})


class TryLater(Exception):
    """Whether the delivery is genuine can't be told just now: the bank must send it again."""


class Outcome(NamedTuple):
    """What became of a delivery."""

    kind: Verdict
    event_ids: Sequence[str] = ()
    acknowledgement: str | None = None
    """The text that the bank takes for "I have it"; none where it takes any."""


class Inbox:
    """Accepts deliveries for all sources of a database; any number of threads and processes may."""

    def __init__(self, runtime: Runtime) -> None:
        """Take a process's parts."""
        self._database = runtime.database
        self._clock = runtime.clock
        self._settings = runtime.settings
        self._sources = SourceCache(runtime)
        self._commits: GroupCommit[Genuine | Refused, Recorded | NonceReused | None] = GroupCommit(
            runtime.database, self._write, runtime.settings.waiting_max
        )

    def accept(self, name: str, callback: Callback) -> Outcome:
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
        known = self._sources.find(name, now)
        try:
            judged = self._judge(callback, known, now)
        except KeysNotKnown as unknown:
            self._want_keys(known, now)
            raise TryLater(str(unknown)) from unknown
        if isinstance(judged, Refused):
            self._hold_back_while_unresolved(judged, now)
            return self._repeat_of_accepted(known, judged) or self._reject(judged)
        return self._record(judged, known)

    def body_limit(self, name: str) -> int:
        """Return how large a callback of a source may be, in bytes: what its bank documents, but no less than any.

        Raises:
            SourceUnknown
            StoreUnavailable
            DecryptionFailed
        """
        return self._limit(self._sources.find(name, self._clock()))

    def _limit(self, known: KnownSource) -> int:
        return max(self._settings.max_body_bytes, known.bank.body_bytes)

    def _judge(self, callback: Callback, known: KnownSource, now: datetime) -> Genuine | Refused:
        if len(callback.body) > LARGE_BYTES:
            return run_in_thread(judge, callback, known, self._limit(known), now)
        return judge(callback, known, self._limit(known), now)

    def _want_keys(self, known: KnownSource, now: datetime) -> None:
        if known.keys.wanted_at is not None:
            return
        with self._database.write(ANSWER_SECONDS) as connection:
            bank_sessions.want_public_keys(connection, known.source.id, now)
        self._sources.forget(known.source.name)

    def _hold_back_while_unresolved(self, refused: Refused, now: datetime) -> None:
        """Have a delivery sent again that fits no secret while the secrets are being changed at the bank, and store it.

        It looks at the database itself: what a process remembers of a source may be older than the change.

        Raises:
            TryLater
            StoreUnavailable
        """
        delivery, refusal = refused.delivery, refused.refusal
        if refusal.proven or refusal.reason not in _NO_SECRET_FITS:
            return
        with self._database.read(ANSWER_SECONDS) as connection:
            if not credential_changes.secrets_may_be_newer(connection, delivery.source_id, now):
                return
            is_stored = deliveries.is_rejected_for(connection, delivery, UNRESOLVED)
        unresolved = Refusal(UNRESOLVED, f"{refusal.detail}, while the secrets are being changed at the bank")
        if not is_stored:
            self._reject(Refused(delivery, unresolved))
        raise TryLater(str(unresolved)) from refusal

    def _repeat_of_accepted(self, known: KnownSource, refused: Refused) -> Outcome | None:
        """Answer a delivery that is refused for its age alone and was accepted before: the bank's retry may stop."""
        if refused.callback is None or not refused.refusal.proven:
            return None
        nonce = known.bank.nonce_of(refused.callback)
        if nonce is None:
            return None
        with self._database.read(ANSWER_SECONDS) as connection:
            found = intake.find_identical(connection, refused.delivery, nonce)
        return None if found is None else Outcome(Verdict.DUPLICATE, found.event_ids, known.bank.acknowledgement)

    def _record(self, genuine: Genuine, known: KnownSource) -> Outcome:
        recorded = self._commits.run(genuine)
        if isinstance(recorded, NonceReused):
            return self._reject(Refused(genuine.delivery, Refusal("nonce_reused", str(recorded), proven=True)))
        assert recorded is not None  # noqa: S101 - only a rejected delivery has no outcome
        kind = Verdict.ACCEPTED if recorded.is_new else Verdict.DUPLICATE
        conflict = ", with other content than before" if recorded.has_conflict else ""
        log.info("delivery %s %s%s: %s", genuine.delivery.id, kind, conflict, " ".join(recorded.event_ids))
        return Outcome(kind, recorded.event_ids, known.bank.acknowledgement)

    def _reject(self, refused: Refused) -> Outcome:
        """Store a rejected delivery for staff to look at."""
        self._commits.run(refused)
        log.info("delivery %s from %s rejected: %s", refused.delivery.id, refused.delivery.peer, refused.refusal.reason)
        return Outcome(Verdict.REJECTED)

    def _write(
        self, connection: Connection, judged: Sequence[Genuine | Refused]
    ) -> list[Recorded | NonceReused | None]:
        """Write deliveries that came together, in the transaction that they share (group commit)."""
        genuine = [one for one in judged if isinstance(one, Genuine)]
        outcomes = iter(intake.record_all(connection, [(one.delivery, one.events) for one in genuine]))
        for one in judged:
            if isinstance(one, Refused):
                self._store_rejected(connection, one)
        return [next(outcomes) if isinstance(one, Genuine) else None for one in judged]

    def _store_rejected(self, connection: Connection, refused: Refused) -> None:
        deliveries.store_rejected(
            connection,
            refused.delivery,
            reason=refused.refusal.reason,
            detail=refused.refusal.detail,
            proven=refused.refusal.proven,
            most=self._settings.rejected_max,
            body_bytes=self._settings.rejected_body_bytes,
        )
