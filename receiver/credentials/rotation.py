"""Changes of a source's credentials, each crash-safe and idempotent.

The intent is committed before the bank is asked, so that it can be asked again with the same key by whoever comes
first: the same command, a worker, or the doctor.
"""

import logging
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from receiver.bank_client.session import CredentialsMissing
from receiver.credentials import outcomes, trial
from receiver.credentials.attempts import HEAD_START, PAUSE_IN_VAIN, Attempts, issuing
from receiver.credentials.outcomes import AlreadyUnderWay, ChangeRefused, ChangeUnfinished, NothingUnderWay
from receiver.inbox import reverify
from receiver.inbox.inbox import UNRESOLVED
from receiver.model import CredentialChangeKind
from receiver.runtime import Runtime
from receiver.store import audit, credential_changes, deliveries, sources
from receiver.store.credential_changes import SECRETS_SEEN, ChangeRecord, Intent
from receiver.store.database import StoreUnavailable, retried
from receiver.store.encryption import DecryptionFailed
from receiver.store.sources import SourceRecord

log = logging.getLogger(__name__)

PAUSES = (0.5, 2.0)
"""Seconds before a command asks again, where the answer was lost."""

SETTLED_AT_ONCE = 50
"""Deliveries of one change that are verified anew before others have their turn."""


@dataclass(frozen=True)
class ChangeRequest:
    """What is wanted: `create`, `issue`, `rotate` or `disable`; `client_id` is the source's own where it is none."""

    kind: str
    who: str
    allowed_ips: str | None = None
    client_id: str | None = None


@dataclass(frozen=True)
class CredentialChanges:
    """Makes and finishes changes; any number of processes may."""

    runtime: Runtime

    def make(self, source: SourceRecord, request: ChangeRequest, pauses: Sequence[float] = PAUSES) -> ChangeRecord:
        """Carry a request out, or finish what is under way; return the change once it is done.

        One that was done, but of which nobody was told (a kill, or a worker that finished it), is that change, for as
        long as the source uses what came of it.

        Raises:
            CredentialsError: `AlreadyUnderWay`, `ChangeRefused`, `ChangeUnfinished` or `BankWithoutCredentials`.
            BankError: it was not even begun.
            BudgetSpent: likewise.
            StoreUnavailable
            DecryptionFailed
        """
        if request.kind == CredentialChangeKind.DISABLE and request.client_id is None:
            request = replace(request, client_id=self.client_to_disable(source))
        pending, done = self.standing(source, request)
        if done is not None:
            return done
        attempts = self._attempts(source)
        if pending is not None:
            return self._finish(attempts, pending, request, pauses)
        begun = self._begin(attempts, request)
        try:
            return attempts.make(begun)
        except ChangeUnfinished:
            if not pauses:
                raise
            time.sleep(pauses[0])
            return self._finish(attempts, begun, request, pauses[1:])

    def standing(self, source: SourceRecord, request: ChangeRequest) -> tuple[ChangeRecord | None, ChangeRecord | None]:
        """Return the unfinished change, and the one that a request is answered with: it is done, and nobody was told.

        Raises:
            StoreUnavailable
            DecryptionFailed
        """
        with self.runtime.database.read() as connection:
            pending = credential_changes.pending(connection, source.id)
            unreported = credential_changes.unreported(connection, source.id, request.kind, self.runtime.clock())
        if pending is not None:
            return pending, None
        return None, next((done for done in unreported if self._is_asked_by(source, request, done)), None)

    def client_to_disable(self, source: SourceRecord) -> str:
        """Return the client that is disabled where none is named: the source's own.

        Where it has none any more, that is the one whose disabling was done, and which nobody was told.

        Raises:
            AlreadyUnderWay: another client's disabling is unfinished, or nobody was told that it is done: that one
                may be meant.
            BankWithoutCredentials
            CredentialsMissing
            StoreUnavailable
            DecryptionFailed
        """
        issuing(source)
        own = self.own_client(source)
        with self.runtime.database.read() as connection:
            pending = credential_changes.pending(connection, source.id)
            kind = CredentialChangeKind.DISABLE
            unreported = credential_changes.unreported(connection, source.id, kind, self.runtime.clock())
        for change in [pending] if pending is not None else unreported:
            if change.kind == kind and change.client_id != own:
                if own is None and change.client_id is not None:
                    return change.client_id
                stands = "is unfinished" if pending is not None else "is done, which nobody was told"
                raise AlreadyUnderWay(
                    f"the disabling of {change.client_id} {stands}: {outcomes.command(source, change)} asks for it. If "
                    f"the source's own client is meant, name it: it is {own}"
                )
        if own is None:
            raise CredentialsMissing(f"source {source.name} has no API credentials")
        return own

    def resume(self, source: SourceRecord, change: ChangeRecord) -> ChangeRecord:
        """Ask the bank once more, with the same key; return the change once it is done.

        Raises:
            ChangeRefused
            ChangeUnfinished
        """
        return self._attempts(source).retry(change)

    def finish_due(self) -> int:
        """Finish what commands have left behind; return how many changes were brought to an end.

        Raises:
            StoreUnavailable
        """
        with self.runtime.database.read() as connection:
            due = credential_changes.due(connection, self.runtime.clock(), PAUSE_IN_VAIN)
            known = {source.id: source for source in sources.every(connection)}
        return sum(self._finish_one(known[change.source_id], change) for change in due)

    @retried
    def abandon(self, source: SourceRecord, who: str) -> ChangeRecord:
        """Give up an unfinished change, once the bank has handed out new credentials in another way, and return it.

        Raises:
            NothingUnderWay
        """
        with self.runtime.database.write() as connection:
            given_up = outcomes.abandon(connection, self.runtime.encryption, source, who, self.runtime.clock())
        if given_up is None:
            raise NothingUnderWay(f"no change of the credentials of {source.name} is unfinished")
        return given_up

    def settle_due(self) -> int:
        """Verify anew what was rejected while a change was unfinished, with the secrets that are known by now.

        Returns how many deliveries were dealt with.

        Raises:
            StoreUnavailable
        """
        with self.runtime.database.read() as connection:
            over = credential_changes.unsettled(connection)
        return sum(self._settle(change) for change in over)

    @retried
    def report(self, change: ChangeRecord) -> None:
        """Note that the one who asked for a change knows that it is done; what was made for another app is dropped."""
        with self.runtime.database.write() as connection:
            credential_changes.change_values(connection, change.id, reported_at=self.runtime.clock(), made=None)

    @retried
    def take_back(self, source: SourceRecord, who: str) -> ChangeRecord:
        """Give up a client on trial, or go back from a new client to the one before it; return the change.

        Raises:
            NothingUnderWay
            DecryptionFailed
            StoreUnavailable
        """
        with self.runtime.database.write() as connection:
            return trial.take_back(connection, self.runtime.encryption, source, who, self.runtime.clock())

    def _attempts(self, source: SourceRecord) -> Attempts:
        return Attempts(self.runtime, source)

    def _finish(
        self, attempts: Attempts, change: ChangeRecord, request: ChangeRequest, pauses: Sequence[float]
    ) -> ChangeRecord:
        if not self._is_asked_by(attempts.source, request, change):
            name = attempts.source.name
            raise AlreadyUnderWay(f"another change ({_described(change)}) of the credentials of {name} is unfinished")
        for pause in pauses:
            try:
                return attempts.retry(change)
            except ChangeUnfinished:
                time.sleep(pause)
        return attempts.retry(change)

    def _is_asked_by(self, source: SourceRecord, request: ChangeRequest, change: ChangeRecord) -> bool:
        """Tell whether a request asks for a change that was begun, rather than for one like it.

        Without addresses, a new client of the source's own is asked for whatever addresses it was begun with: the
        receiver's own words name the command so. One for another app may be of use from there alone.
        """
        if change.kind != request.kind:
            return False
        if change.kind == CredentialChangeKind.ISSUE:
            return request.allowed_ips == change.allowed_ips
        if change.kind == CredentialChangeKind.CREATE:
            is_used = change.finished_at is None or change.client_id == self.own_client(source)
            return is_used and request.allowed_ips in (None, change.allowed_ips)
        return (request.client_id or self.own_client(source)) == change.client_id

    def _finish_one(self, source: SourceRecord, change: ChangeRecord) -> int:
        try:
            self.resume(source, change)
        except ChangeRefused as refused:
            log.warning("%s: %s", source.name, refused)
        except (ChangeUnfinished, DecryptionFailed) as unfinished:
            log.warning("%s: %s", source.name, unfinished)
            return 0
        except StoreUnavailable:
            raise
        except Exception:
            # The changes of other sources must not wait for this one.
            log.exception("finishing a change of the credentials of %s failed", source.name)
            return 0
        return 1

    def _settle(self, change: ChangeRecord) -> int:
        with self.runtime.database.read() as connection:
            is_pending = credential_changes.pending(connection, change.source_id) is not None
            rows = deliveries.rejected_for(connection, change.source_id, UNRESOLVED, limit=SETTLED_AT_ONCE)
        accepted = {row.id for row in rows if reverify.verify_stored(self.runtime, row.id) in reverify.NOT_REJECTED}
        left = [row.id for row in rows if row.id not in accepted]
        if accepted:
            log.info("%s deliveries that were kept during a change of credentials are accepted", len(accepted))
        # More may be stored for a moment, by processes that do not know yet that the change is over.
        finished = change.finished_at
        is_over = finished is not None and abs(self.runtime.clock() - finished) > 2 * SECRETS_SEEN
        with self.runtime.database.write() as connection:
            if not is_pending:
                deliveries.set_reason(connection, left, "signature_mismatch")
            if is_over and (is_pending or len(rows) < SETTLED_AT_ONCE):
                credential_changes.change_values(connection, change.id, settled_at=self.runtime.clock())
        return len(accepted) if is_pending else len(rows)

    def _begin(self, attempts: Attempts, request: ChangeRequest) -> ChangeRecord:
        """Write the intent down, with a token that is as fresh as can be: a rotation kills what gets another one."""
        source, session = attempts.source, attempts.session()
        kind = CredentialChangeKind(request.kind)
        makes_client = kind in (CredentialChangeKind.CREATE, CredentialChangeKind.ISSUE)
        target = None if makes_client else request.client_id or self.own_client(source)
        if target is None and not makes_client:
            raise CredentialsMissing(f"source {source.name} has no API credentials")
        token = session.log_in()
        now = self.runtime.clock()
        intent = Intent(kind, target, request.allowed_ips, str(uuid.uuid4()), request.who, token)
        return self._write_down(source, intent, now)

    @retried
    def _write_down(self, source: SourceRecord, intent: Intent, now: datetime) -> ChangeRecord:
        with self.runtime.database.write() as connection:
            begun = credential_changes.begin(
                connection, self.runtime.encryption, source, intent, now=now, due_at=now + HEAD_START
            )
            if begun is None:
                raise AlreadyUnderWay(f"somebody else has just begun to change the credentials of {source.name}")
            about = {"source": source.name, "client": intent.client_id}
            what = f"credentials.{intent.kind}.begun"
            audit.write(connection, self.runtime.encryption, at=now, who=intent.requested_by, what=what, about=about)
        return begun

    def own_client(self, source: SourceRecord) -> str | None:
        """Return the client that the source uses itself; none where it uses none.

        Raises:
            StoreUnavailable
            DecryptionFailed
        """
        with self.runtime.database.read() as connection:
            own = sources.credentials(connection, self.runtime.encryption, source)
        return None if own is None else own["client_id"]


def _described(change: ChangeRecord) -> str:
    """Return what a change is about, in a few words."""
    if change.client_id is not None:
        return f"{change.kind}: {change.client_id}"
    return f"{change.kind}: for {change.allowed_ips}" if change.allowed_ips is not None else str(change.kind)
