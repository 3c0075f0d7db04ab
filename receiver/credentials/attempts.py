"""One attempt at a change: ask the bank with the idempotency key that was written down, and note what came of it."""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from receiver import banks
from receiver.bank_client.session import BankSession, BudgetSpent
from receiver.banks.abilities import IssuesCredentials, NewCredentials
from receiver.banks.errors import BankError, Conflict, Forbidden, NotKnown, RefusedForNow, RequestRefused, TokenRefused
from receiver.banks.http import HttpClient
from receiver.credentials import outcomes, trial
from receiver.credentials.outcomes import BankWithoutCredentials, ChangeRefused, ChangeUnfinished
from receiver.model import CredentialChangeKind, CredentialChangeState, Purpose
from receiver.runtime import Runtime
from receiver.store import audit, credential_changes, destinations, sources
from receiver.store.credential_changes import ChangeRecord
from receiver.store.database import retried
from receiver.store.encryption import DecryptionFailed
from receiver.store.sources import SourceRecord

log = logging.getLogger(__name__)

HEAD_START = timedelta(seconds=10)
"""How long whoever began an attempt is left alone with it. Two at once do no harm: the idempotency key is the same, the
later one alone may give up, and an answer to either is taken."""

PAUSE_LONGEST = timedelta(seconds=60)
"""The token that was kept for asking again lives 40 minutes, so the bank is asked often ..."""

ATTEMPTS_OFTEN = 60

PAUSE_IN_VAIN = timedelta(minutes=15)
"""... and then seldom: its limit on requests is for all."""


def issuing(source: SourceRecord) -> IssuesCredentials:
    """Return the source's bank as one that manages credentials over its API.

    Raises:
        BankWithoutCredentials
    """
    bank = banks.named(source.bank)
    if not isinstance(bank, IssuesCredentials):
        raise BankWithoutCredentials(f"{source.bank} has no API for credentials")
    return bank


@dataclass(frozen=True)
class Attempts:
    """Asks the bank of one source."""

    runtime: Runtime
    source: SourceRecord

    def session(self) -> BankSession:
        """Return a session with the bank.

        Raises:
            BankWithoutCredentials
        """
        issuing(self.source)
        return BankSession(self.runtime, self.source, Purpose.PERSON)

    def retry(self, change: ChangeRecord) -> ChangeRecord:
        """Make one more attempt; return the change once it is done.

        Raises:
            ChangeRefused
            ChangeUnfinished
        """
        taken = self._begin(change)
        return self.make(taken) if taken is not None else self._ended(change)

    def make(self, change: ChangeRecord) -> ChangeRecord:
        """Make the attempt that is written down already; return the change once it is done.

        Raises:
            ChangeRefused: the bank will not do it, or somebody ended it before it was asked; nothing has changed.
            ChangeUnfinished: it may have been done.
        """
        session = self.session()
        if change.made is not None:
            return self._try_out(change, session)
        before, is_over = self._used(change)
        if is_over:
            return self._ended(change)
        try:
            answer = self._ask(session, change)
        except BudgetSpent as spent:
            return self._put_off(change, str(spent), spent, spent.until)
        except (RequestRefused, Forbidden, NotKnown) as refused:
            return self._refused(change, session, refused)
        except BankError as lost:
            return self._put_off(change, str(lost), lost)
        recorded = self._record(change, answer, before)
        return recorded if recorded.made is None or _is_over(recorded) else self._try_out(recorded, session)

    def _try_out(self, change: ChangeRecord, session: BankSession) -> ChangeRecord:
        """See that a new client works from here; only then the source uses it."""
        try:
            session.try_out(credential_changes.made(self.runtime.encryption, self.source, change))
        except BudgetSpent as spent:
            return self._wait(change, self._not_yet(change, str(spent)), spent, spent.until)
        except BankError as error:
            return self._wait(change, self._not_yet(change, str(error)), error)
        self._adopt(change)
        log.info("%s uses the new client %s", self.source.name, change.client_id)
        return self._ended(change)

    @retried
    def _adopt(self, change: ChangeRecord) -> None:
        with self.runtime.database.write() as connection:
            found = credential_changes.lock(connection, change)
            if found is not None:
                trial.adopt(connection, self.runtime.encryption, self.source, found, self.runtime.clock())

    def _not_yet(self, change: ChangeRecord, words: str) -> str:
        return outcomes.on_trial(self.source, change, f"does not work from here: {words}")

    @retried
    def _begin(self, change: ChangeRecord) -> ChangeRecord | None:
        with self.runtime.database.write() as connection:
            return credential_changes.begin_attempt(connection, change, due_at=self.runtime.clock() + HEAD_START)

    def _ask(self, session: BankSession, change: ChangeRecord) -> NewCredentials | None:
        """Ask with the token that was kept; where the bank does not take it, with one that the stored secret gets.

        A rotation that has taken place leaves it none, since whoever gives the source another secret ends the change. A
        change without a token that is sealed for it was not begun here: somebody wrote it into the database.

        Raises:
            BankError
            BudgetSpent
            DecryptionFailed
        """
        bank = issuing(self.source)
        token = credential_changes.token(self.runtime.encryption, self.source, change)
        if token is None:
            raise DecryptionFailed(f"the change ({change.kind}) of {self.source.name} was not begun by this receiver")
        try:
            return session.ask_with(token, lambda client: _call(bank, client, change))
        except TokenRefused:
            log.info("the bank of %s refused the token that was kept for a change", self.source.name)
        try:
            fresh = session.log_in()
        except TokenRefused:
            if change.kind == CredentialChangeKind.DISABLE and change.attempts > 1 and session.uses(change.client_id):
                # What was asked for has come to be: the client gets no token any more.
                return None
            raise
        self._pin(change, fresh)
        return session.ask_with(fresh, lambda client: _call(bank, client, change))

    @retried
    def _pin(self, change: ChangeRecord, token: str) -> None:
        with self.runtime.database.write() as connection:
            if credential_changes.lock(connection, change) is not None:
                credential_changes.pin_token(connection, self.runtime.encryption, self.source, change, token)

    def _refused(self, change: ChangeRecord, session: BankSession, refused: BankError) -> ChangeRecord:
        """Give up a change that the bank refused, unless an earlier attempt at it may have been done all the same."""
        words = outcomes.in_words(self.source, change.client_id, refused)
        if _may_be_done(change, session, refused):
            return self._put_off(change, words, refused)
        return self._give_up(change, words, refused)

    def _put_off(self, change: ChangeRecord, words: str, why: Exception, until: datetime | None = None) -> ChangeRecord:
        """Leave it for later; where it was the first attempt, and not even taken up, take the intent back."""
        if change.attempts == 1 and outcomes.was_not_taken_up(why):
            return self._give_up(change, words, why, until)
        if isinstance(why, TokenRefused):
            words = outcomes.LOCKED_OUT.format(source=self.source.name)
        return self._wait(change, words, why, until)

    def _give_up(self, change: ChangeRecord, words: str, why: Exception, until: datetime | None = None) -> ChangeRecord:
        """End it as refused; where another attempt at it was begun meanwhile, leave it to that one."""
        if not self._close(change, words):
            return self._wait(change, words, why, until)
        raise ChangeRefused(words) from why

    def _wait(self, change: ChangeRecord, words: str, why: Exception, until: datetime | None = None) -> ChangeRecord:
        """Leave it for later, by whoever comes first."""
        now = self.runtime.clock()
        # No longer than any pause: what is stored by a clock that is wrong must be told from what is meant.
        due_at = min(until, now + PAUSE_IN_VAIN) if until else now + _pause(change.attempts)
        if not self._note(change, words, due_at):
            return self._ended(change)
        raise ChangeUnfinished(outcomes.unfinished(self.source, change, words)) from why

    @retried
    def _note(self, change: ChangeRecord, words: str, due_at: datetime) -> bool:
        """Write down why it is unfinished, and when to try again; false where it is over."""
        with self.runtime.database.write() as connection:
            found = credential_changes.lock(connection, change)
            if found is not None and found.attempts == change.attempts:
                credential_changes.change_values(connection, change.id, error=words, due_at=due_at)
        return found is not None

    @retried
    def _close(self, change: ChangeRecord, words: str) -> bool:
        """Give it up; false where it is over, or where a later attempt was begun, whose answer may be on its way."""
        now = self.runtime.clock()
        with self.runtime.database.write() as connection:
            found = credential_changes.lock(connection, change)
            if found is None or found.attempts != change.attempts:
                return False
            outcomes.close(connection, found, CredentialChangeState.REFUSED, now, why=words)
            about = {"source": self.source.name, "client": change.client_id}
            what = f"credentials.{change.kind}.refused"
            audit.write(
                connection, self.runtime.encryption, at=now, who=change.requested_by, what=what, why=words, about=about
            )
        return True

    def _used(self, change: ChangeRecord) -> tuple[dict[str, str] | None, bool]:
        """Return the credentials that the source uses now, none where it uses none, and whether the change is over.

        By one snapshot: whoever gives the source others, by hand or from the environment, ends the change. So where it
        is not over, they are none that anybody has given since it was begun.

        Raises:
            DecryptionFailed
        """
        with self.runtime.database.read() as connection:
            current = sources.find(connection, self.source.name)
            used = None if current is None else sources.credentials(connection, self.runtime.encryption, current)
            return used, _is_over(credential_changes.find(connection, change.id))

    @retried
    def _record(
        self, change: ChangeRecord, answer: NewCredentials | None, before: dict[str, str] | None
    ) -> ChangeRecord:
        """Write the outcome down: the secrets, the credentials and that it is done, or nothing of it.

        Where the change was ended meanwhile that is done all the same, unless the source has been removed since the
        bank was asked, or given other credentials.
        """
        with self.runtime.database.write() as connection:
            found = credential_changes.lock_answered(connection, change)
            if found is not None and _is_over(found) and not self._is_used(connection, before):
                found = None
            if found is not None:
                self._write_down(connection, found, answer)
                found = credential_changes.find(connection, change.id)
        if found is not None and not _is_over(found):
            return found
        if found is None:
            log.warning("an answer to a change (%s) of %s that is over is not used", change.kind, self.source.name)
        else:
            log.info("the credentials of %s are changed (%s)", self.source.name, change.kind)
        return self._ended(change)

    def _is_used(self, connection: Connection, before: dict[str, str] | None) -> bool:
        """Tell whether the source still uses the credentials of before."""
        destination = destinations.vouched(connection, self.runtime.encryption, self.source)
        return before is not None and sources.credentials(connection, self.runtime.encryption, destination) == before

    def _write_down(self, connection: Connection, change: ChangeRecord, answer: NewCredentials | None) -> None:
        encryption, now = self.runtime.encryption, self.runtime.clock()
        if answer is not None and change.kind == CredentialChangeKind.CREATE:
            write = trial.note_given_up if _is_over(change) else trial.set_aside
            write(connection, encryption, self.source, change, answer, now)
        elif answer is not None and change.kind == CredentialChangeKind.ISSUE:
            trial.issue(connection, encryption, self.source, change, answer, now)
        else:
            grace = self.runtime.settings.secret_grace_seconds
            outcomes.record(connection, encryption, self.source, change, answer, now, grace)

    def _ended(self, change: ChangeRecord) -> ChangeRecord:
        with self.runtime.database.read() as connection:
            found = credential_changes.find(connection, change.id)
        if found.state != CredentialChangeState.DONE:
            is_made = found.kind == CredentialChangeKind.CREATE and found.client_id is not None
            made = f"; the client {found.client_id} was made for it, and lives on at the bank" if is_made else ""
            raise ChangeRefused(f"the change has ended meanwhile: {found.state}{made}")
        return found


def _is_over(change: ChangeRecord) -> bool:
    return change.state != CredentialChangeState.PENDING


def _may_be_done(change: ChangeRecord, session: BankSession, refused: BankError) -> bool:
    """Tell whether a change may have been done, or be just about to be, although the bank refused this attempt."""
    if isinstance(refused, RefusedForNow):
        return True
    if change.kind == CredentialChangeKind.DISABLE or change.attempts == 1:
        return False
    if change.kind != CredentialChangeKind.ROTATE:
        # Nothing here tells whether a new client was made; nor does one that was harm what is in use.
        return True
    # A bank says 409 where it is still at work on an earlier request with the same idempotency key.
    return isinstance(refused, Conflict) or not _is_alive(session)


def _is_alive(session: BankSession) -> bool:
    """Tell whether the stored secret still gets a token: then it was not rotated."""
    try:
        session.log_in()
    except (BankError, BudgetSpent):
        return False
    return True


def _pause(attempts: int) -> timedelta:
    if attempts > ATTEMPTS_OFTEN:
        return PAUSE_IN_VAIN
    return min(timedelta(seconds=2.0 ** min(attempts, 10)), PAUSE_LONGEST)


def _call(bank: IssuesCredentials, client: HttpClient, change: ChangeRecord) -> NewCredentials | None:
    key = change.idempotency_key
    if change.kind in (CredentialChangeKind.CREATE, CredentialChangeKind.ISSUE):
        return bank.create_credentials(client, key, change.allowed_ips)
    assert change.client_id is not None  # noqa: S101 - only a new client has none yet
    if change.kind == CredentialChangeKind.ROTATE:
        return bank.rotate_credentials(client, key, change.client_id)
    bank.disable_credentials(client, key, change.client_id)
    return None
