"""What a change of credentials comes to: what is written down of it, how it can fail, and in which words."""

import shlex
from datetime import datetime, timedelta

from sqlalchemy import Connection

from receiver.bank_client.session import BudgetSpent
from receiver.banks.abilities import NewCredentials
from receiver.banks.errors import BankError, Forbidden, RateLimited, TokenRefused
from receiver.model import CredentialChangeKind, CredentialChangeState, ReceiverError
from receiver.store import audit, bank_tokens, credential_changes, destinations, signing_secrets, sources
from receiver.store.credential_changes import ChangeRecord
from receiver.store.encryption import Encryption
from receiver.store.sources import SourceRecord

LOCKED_OUT = (
    "the bank takes neither the token that was kept nor the stored secret, so the answer can't be asked for. Ask the "
    "bank for new credentials; then `receiver secret set {source}` and `receiver source credentials {source}`"
)


def record(
    connection: Connection,
    encryption: Encryption,
    source: SourceRecord,
    change: ChangeRecord,
    answer: NewCredentials | None,
    now: datetime,
    grace_seconds: int,
) -> None:
    """Write down what the bank did, all in the caller's transaction; `change` is locked by it."""
    version = None
    if answer is not None:
        version = _take_over(connection, encryption, source, answer, now, grace_seconds)
    else:
        _let_go(connection, encryption, source, change, now, grace_seconds)
    close(connection, change, CredentialChangeState.DONE, now)
    client_id = answer.client_id if answer is not None else change.client_id
    credential_changes.change_values(connection, change.id, client_id=client_id, secret_version=version)
    about = {"source": source.name, "client": client_id, "secret_version": version, "attempts": change.attempts}
    what = f"credentials.{change.kind}.done"
    audit.write(connection, encryption, at=now, who=change.requested_by, what=what, about=about)


def _take_over(
    connection: Connection,
    encryption: Encryption,
    source: SourceRecord,
    answer: NewCredentials,
    now: datetime,
    grace_seconds: int,
) -> int | None:
    version = None
    if answer.signing_secret is not None:
        version = signing_secrets.put(
            connection, encryption, source.id, answer.signing_secret, now=now, grace_seconds=grace_seconds
        ).version
    destination = destinations.vouched(connection, encryption, source)
    sources.renew_credentials(connection, encryption, destination, answer.for_source)
    bank_tokens.start_anew(connection, source.id)
    return version


def _let_go(
    connection: Connection,
    encryption: Encryption,
    source: SourceRecord,
    change: ChangeRecord,
    now: datetime,
    grace_seconds: int,
) -> None:
    own = sources.credentials(connection, encryption, destinations.vouched(connection, encryption, source))
    if own is None or own["client_id"] != change.client_id:
        return
    sources.change(connection, source.id, credentials=None)
    bank_tokens.start_anew(connection, source.id)
    signing_secrets.expire_all(connection, source.id, now + timedelta(seconds=grace_seconds))


def close(
    connection: Connection,
    change: ChangeRecord,
    state: CredentialChangeState,
    now: datetime,
    *,
    why: str | None = None,
) -> None:
    """End a change; the token that was kept for it goes, and what has come of it stays written down."""
    credential_changes.change_values(
        connection,
        change.id,
        state=state,
        finished_at=now,
        settled_at=None,
        token=None,
        error=why,
    )


def abandon(
    connection: Connection, encryption: Encryption, source: SourceRecord, who: str, now: datetime
) -> ChangeRecord | None:
    """Give up the source's unfinished change, in the caller's transaction, and return it; none where there is none."""
    pending = credential_changes.pending(connection, source.id)
    change = credential_changes.lock(connection, pending) if pending is not None else None
    if change is None:
        return None
    close(connection, change, CredentialChangeState.ABANDONED, now, why="given up by an operator")
    about = {"source": source.name, "begun_at": change.begun_at.isoformat()}
    audit.write(connection, encryption, at=now, who=who, what=f"credentials.{change.kind}.abandoned", about=about)
    return change


def supersede(
    connection: Connection, encryption: Encryption, source: SourceRecord, who: str, now: datetime
) -> ChangeRecord | None:
    """Make way for credentials that are set in another way: `abandon`, and tell nobody of what changes have brought."""
    given_up = abandon(connection, encryption, source, who, now)
    credential_changes.supersede(connection, source.id, now)
    return given_up


def was_not_taken_up(error: Exception) -> bool:
    """Tell whether the request was not made, or turned away before anything was done."""
    return isinstance(error, TokenRefused | RateLimited | BudgetSpent)


def in_words(source: SourceRecord, client_id: str | None, error: BankError) -> str:
    """Say what a refusal means, and what to ask the bank for."""
    if not isinstance(error, Forbidden):
        return str(error)
    whose = f"the client {client_id}" if client_id else f"the client of {source.name}"
    return (
        f"{error}. The permission `manage-credentials` is missing, or this machine's address is not among the client's "
        f"allowed addresses. Ask the bank to grant `manage-credentials` to {whose}, or to allow the address."
    )


def unfinished(source: SourceRecord, change: ChangeRecord, words: str) -> str:
    """Say that a change is unfinished, why, and who will finish it; of a client on trial `words` say all of it."""
    if change.made is not None:
        return words
    return (
        f"the change ({change.kind}) begun at {change.begun_at:%Y-%m-%d %H:%M:%S} UTC is unfinished after "
        f"{change.attempts} attempts: {words}. The bank may have done it. A worker asks again with the same key, and "
        f"so does {command(source, change)}{_given_up_by(source, change)}"
    )


def standing(source: SourceRecord, change: ChangeRecord) -> str:
    """Say how an unfinished change stands, by what was last written down of it."""
    if change.made is not None and change.error is None:
        return on_trial(source, change, "was not tried yet")
    return unfinished(source, change, change.error or "no answer yet")


def on_trial(source: SourceRecord, change: ChangeRecord, words: str) -> str:
    """Say how it stands with a new client that is not used yet, and what gives it up."""
    return (
        f"the new client {change.client_id} was made, and {words}. {source.name} goes on with the one before it. A "
        f"worker tries it, and so does {command(source, change)}; with `--undo` the new one is given up"
    )


def command(source: SourceRecord, change: ChangeRecord) -> str:
    """Return what finishes a change, or tells of one that is done."""
    if change.kind == CredentialChangeKind.DISABLE:
        # Without a name it would end the source's own client once this change is over.
        return f"`receiver credentials disable {source.name} --client-id {shlex.quote(change.client_id or '')}`"
    if change.kind == CredentialChangeKind.ISSUE:
        options = f" --allowed-ips '{change.allowed_ips}'" if change.allowed_ips is not None else ""
        return f"`receiver credentials create {source.name} --keep-old{options}`"
    return f"`receiver credentials {change.kind} {source.name}`"


def _given_up_by(source: SourceRecord, change: ChangeRecord) -> str:
    """Say what gives up a change that would leave no more than a client that nobody uses."""
    if change.kind not in (CredentialChangeKind.CREATE, CredentialChangeKind.ISSUE):
        return ""
    return (
        f". `receiver credentials rotate {source.name} --abandon` gives it up; a client that the bank has made then "
        "lives on there"
    )


class CredentialsError(ReceiverError):
    """A change of credentials is not done. The text is for staff: never a secret."""


class BankWithoutCredentials(CredentialsError):
    """The bank has no API for credentials."""


class AlreadyUnderWay(CredentialsError):
    """Another change of the same source is unfinished."""


class NothingUnderWay(CredentialsError):
    """There is no unfinished change."""


class ChangeRefused(CredentialsError):
    """The bank will not do it, or somebody ended it; the secrets are those of before."""


class ChangeUnfinished(CredentialsError):
    """The bank may have done it or not: the answer is to be asked for again."""
