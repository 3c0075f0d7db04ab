"""A new client's credentials on trial: set aside until they have worked from here, and what was used before after it.

The bank shows them once, so they are stored before anything else. The source goes on with what it has: the new client
may not be allowed from this machine's address, or may need a while at the bank.
"""

from datetime import datetime

from sqlalchemy import Connection

from receiver.banks.abilities import NewCredentials
from receiver.credentials import outcomes
from receiver.credentials.outcomes import NothingUnderWay
from receiver.model import CredentialChangeKind, CredentialChangeState
from receiver.store import audit, bank_tokens, credential_changes, destinations, signing_secrets, sources
from receiver.store.credential_changes import ChangeRecord
from receiver.store.encryption import Encryption
from receiver.store.sources import SourceRecord


def set_aside(
    connection: Connection,
    encryption: Encryption,
    source: SourceRecord,
    change: ChangeRecord,
    answer: NewCredentials,
    now: datetime,
) -> None:
    """Store what the bank has made, in the caller's transaction; `change` is locked by it.

    Callbacks may be signed with the new client's secret from now on, so that is valid beside the others at once.
    """
    version = _put_secret(connection, encryption, source, answer, now)
    destination = destinations.vouched(connection, encryption, source)
    made = sources.seal_credentials(encryption, destination, answer.for_source)
    credential_changes.change_values(
        connection, change.id, made=made, client_id=answer.client_id, secret_version=version, token=None
    )


def note_given_up(
    connection: Connection,
    encryption: Encryption,
    source: SourceRecord,
    change: ChangeRecord,
    answer: NewCredentials,
    now: datetime,
) -> None:
    """Write down what the bank has made for a change that was given up meanwhile, in the caller's transaction.

    Nobody wants the client any more, which lives on at the bank. Callbacks may be signed with its secret all the same.
    """
    version = _put_secret(connection, encryption, source, answer, now)
    values = {"client_id": answer.client_id, "secret_version": version, "settled_at": None}
    credential_changes.change_values(connection, change.id, **values)
    about = {"source": source.name, "client": answer.client_id, "secret_version": version}
    what = f"credentials.{change.kind}.late"
    audit.write(connection, encryption, at=now, who=change.requested_by, what=what, about=about)


def _put_secret(
    connection: Connection, encryption: Encryption, source: SourceRecord, answer: NewCredentials, now: datetime
) -> int | None:
    text = answer.signing_secret
    if text is None:
        return None
    return signing_secrets.put(connection, encryption, source.id, text, now=now, grace_seconds=None).version


def issue(
    connection: Connection,
    encryption: Encryption,
    source: SourceRecord,
    change: ChangeRecord,
    answer: NewCredentials,
    now: datetime,
) -> None:
    """Store a client that was made for another app, to be shown once, in the caller's transaction."""
    credentials = answer.for_source
    if answer.signing_secret is not None:
        credentials["signing_secret"] = answer.signing_secret
    made = sources.seal_credentials(encryption, destinations.vouched(connection, encryption, source), credentials)
    credential_changes.change_values(connection, change.id, made=made, client_id=answer.client_id)
    outcomes.close(connection, change, CredentialChangeState.DONE, now)
    about = {"source": source.name, "client": answer.client_id, "attempts": change.attempts}
    what = f"credentials.{change.kind}.done"
    audit.write(connection, encryption, at=now, who=change.requested_by, what=what, about=about)


def adopt(
    connection: Connection, encryption: Encryption, source: SourceRecord, change: ChangeRecord, now: datetime
) -> None:
    """Have the source use what has worked, and set aside what it used, in the caller's transaction."""
    current = destinations.vouched(connection, encryption, source)
    made = credential_changes.made(encryption, current, change)
    before = sources.credentials(connection, encryption, current)
    sources.renew_credentials(connection, encryption, current, made)
    bank_tokens.start_anew(connection, source.id)
    outcomes.close(connection, change, CredentialChangeState.DONE, now)
    previous = None if before is None else sources.seal_credentials(encryption, current, before)
    credential_changes.change_values(connection, change.id, made=None, previous=previous)
    about = {
        "source": source.name,
        "client": change.client_id,
        "secret_version": change.secret_version,
        "attempts": change.attempts,
    }
    what = f"credentials.{change.kind}.done"
    audit.write(connection, encryption, at=now, who=change.requested_by, what=what, about=about)


def take_back(
    connection: Connection, encryption: Encryption, source: SourceRecord, who: str, now: datetime
) -> ChangeRecord:
    """Give up a client on trial, or go back from a new client to the one before it; return the change.

    The new client stays alive at the bank, and the secret that came with it stays valid here.

    Raises:
        NothingUnderWay: there is nothing to take back; the text says why.
        DecryptionFailed
    """
    sources.lock(connection, source.id)
    change = credential_changes.latest(connection, source.id)
    if change is None or change.kind != CredentialChangeKind.CREATE:
        raise NothingUnderWay(f"the latest change of the credentials of {source.name} made no new client for it")
    if change.state == CredentialChangeState.PENDING and change.made is None:
        raise NothingUnderWay(
            f"whether the bank has made a new client is not known yet: `receiver credentials create {source.name}` asks"
        )
    if change.state == CredentialChangeState.DONE and change.previous is not None:
        own = sources.credentials(connection, encryption, source)
        if own is None or own["client_id"] != change.client_id:
            raise NothingUnderWay(f"{source.name} uses another client by now than the one that was made")
        previous = sources.open_credentials(encryption, source, change.previous)
        sources.set_credentials(connection, encryption, source, previous)
        bank_tokens.start_anew(connection, source.id)
    elif change.state != CredentialChangeState.PENDING:
        raise NothingUnderWay(f"the latest change of the credentials of {source.name} is over, and nothing of it kept")
    outcomes.close(connection, change, CredentialChangeState.UNDONE, now, why="taken back")
    credential_changes.change_values(connection, change.id, made=None, previous=None)
    about = {"source": source.name, "client": change.client_id}
    audit.write(connection, encryption, at=now, who=who, what=f"credentials.{change.kind}.undone", about=about)
    return change
