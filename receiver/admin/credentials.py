"""API credentials at the bank: created, rotated and disabled over its API; what they may do, and what they see."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from receiver.admin import sources
from receiver.bank_client.session import BankSession, CredentialsMissing
from receiver.banks.abilities import Account, KeepsAccounts, Permission
from receiver.banks.errors import Forbidden
from receiver.banks.protocol import CA_CERTIFICATE
from receiver.credentials import outcomes
from receiver.credentials.attempts import issuing
from receiver.credentials.rotation import ChangeRequest, CredentialChanges
from receiver.model import NotPossible, Purpose
from receiver.runtime import Runtime
from receiver.store import audit, credential_changes, signing_secrets
from receiver.store import sources as stored
from receiver.store.credential_changes import ChangeRecord
from receiver.store.database import retried


@dataclass(frozen=True)
class Permissions:
    """What a source may do at its bank, beside what it needs to."""

    held: Sequence[Permission]
    needed: Mapping[str, str]
    """What each permission that is needed is for."""
    missing: Sequence[str]
    """Those that are needed and not held."""


@dataclass(frozen=True)
class ClientToDisable:
    """A client, whether the source uses it itself, and whether it is disabled already, of which nobody was told."""

    client_id: str
    is_own: bool
    is_done: bool


def create(
    runtime: Runtime, who: str, source_name: str, allowed_ips: str | None = None, *, for_another_app: bool = False
) -> ChangeRecord:
    """Have a new client made, which the source uses once it has worked from here; the one before stays alive.

    Audited as `credentials.create.begun`, then `.done` or `.refused`. `allowed_ips` are the addresses from which it may
    be used. One `for_another_app` is not tried and not used (`credentials.issue…` in the audit log). Say `report` once
    the person has seen that it is done.

    Raises:
        NotFound
        AddressesWrong
        CredentialsError: it is not done, or may have been; the text says which.
        BankError: it was not even begun.
        BudgetSpent: likewise.
        StoreUnavailable
        DecryptionFailed
    """
    source = sources.find(runtime, source_name)
    bank = issuing(source)
    kind = "issue" if for_another_app else "create"
    checked = bank.check_addresses(allowed_ips) if allowed_ips is not None else None
    return CredentialChanges(runtime).make(source, ChangeRequest(kind, who, allowed_ips=checked))


def undo(runtime: Runtime, who: str, source_name: str) -> ChangeRecord:
    """Take back what `create` has done: the source uses the client before it. Audited as `credentials.create.undone`.

    The new client stays alive at the bank; `disable` ends it.

    Raises:
        NotFound
        NothingUnderWay: there is nothing to take back; the text says why.
        StoreUnavailable
        DecryptionFailed
    """
    return CredentialChanges(runtime).take_back(sources.find(runtime, source_name), who)


def rotate(runtime: Runtime, who: str, source_name: str) -> ChangeRecord:
    """Have the source's secrets replaced (rotation), or finish a rotation that was begun.

    Audited as `credentials.rotate.begun`, then `.done` or `.refused`. Say `report` once the person has seen that it
    is done.

    Raises:
        NotFound
        CredentialsError
        BankError
        BudgetSpent
        StoreUnavailable
        DecryptionFailed
    """
    return CredentialChanges(runtime).make(sources.find(runtime, source_name), ChangeRequest("rotate", who))


def client_to_disable(runtime: Runtime, who: str, source_name: str, client_id: str | None = None) -> ClientToDisable:
    """Return the client that `disable` ends for good, to be shown before; without `client_id` the source's own.

    Raises:
        NotFound
        CredentialsError: `AlreadyUnderWay` where another client's disabling is unfinished, or nobody was told that it
            is done; or `BankWithoutCredentials`.
        BankError: the source has no credentials.
        StoreUnavailable
        DecryptionFailed
    """
    source, changes = sources.find(runtime, source_name), CredentialChanges(runtime)
    issuing(source)
    named = client_id or changes.client_to_disable(source)
    _, done = changes.standing(source, ChangeRequest("disable", who, client_id=named))
    return ClientToDisable(named, is_own=named == changes.own_client(source), is_done=done is not None)


def disable(runtime: Runtime, who: str, source_name: str, client_id: str | None = None) -> ChangeRecord:
    """Disable a client at the bank for good: `client_to_disable` where `client_id` names none.

    Audited as `credentials.disable.begun`, then `.done` or `.refused`. Say `report` once the person has seen that it
    is done.

    Raises:
        NotFound
        CredentialsError
        BankError
        BudgetSpent
        StoreUnavailable
        DecryptionFailed
    """
    source = sources.find(runtime, source_name)
    return CredentialChanges(runtime).make(source, ChangeRequest("disable", who, client_id=client_id))


def endless_secrets(runtime: Runtime, source_name: str, client_id: str) -> list[int]:
    """Return the versions of the source's signing secret that have no end, and are a client's as far as is known.

    One that was set by hand is that client's whose known secret it follows, or may be any client's of which none is
    known; but not one's that was made for another app, whose secret is not stored here. The only version without end
    is the source's own, unless it is known to be another's.

    Raises:
        NotFound
        StoreUnavailable
    """
    source = sources.find(runtime, source_name)
    with runtime.database.read() as connection:
        changes = credential_changes.every(connection, source.id)
        versions = signing_secrets.versions(connection, source.id)
    endless = [secret.version for secret in versions if secret.expires_at is None]
    whose = {change.secret_version: change.client_id for change in changes if change.secret_version is not None}
    known = [version for version in endless if whose.get(version) == client_id]
    is_for_another_app = any(change.kind == "issue" and change.client_id == client_id for change in changes)
    if is_for_another_app or len(endless) == 1:
        return known
    if client_id not in whose.values():
        return [version for version in endless if version not in whose]
    follows = {version: max((before for before in whose if before <= version), default=None) for version in endless}
    return [version for version, before in follows.items() if before is not None and whose[before] == client_id]


def abandon(runtime: Runtime, who: str, source_name: str) -> ChangeRecord:
    """Give up an unfinished change of any kind, once the bank has handed out new credentials in another way; return it.

    Audited as `credentials.rotate.abandoned` (or `create`, `disable`).

    Raises:
        NotFound
        NothingUnderWay
        StoreUnavailable
    """
    return CredentialChanges(runtime).abandon(sources.find(runtime, source_name), who)


def latest(runtime: Runtime, source_name: str) -> int:
    """Return the number of the change that was begun last, 0 before the first; one that is begun later has a higher.

    Raises:
        NotFound
        StoreUnavailable
    """
    source = sources.find(runtime, source_name)
    with runtime.database.read() as connection:
        found = credential_changes.latest(connection, source.id)
    return found.id if found is not None else 0


def report(runtime: Runtime, change: ChangeRecord) -> None:
    """Note that whoever asked for a change has seen that it is done; else asking once more is answered with it.

    Raises:
        StoreUnavailable
    """
    CredentialChanges(runtime).report(change)


@retried
def show(runtime: Runtime, who: str, source_name: str, change: ChangeRecord) -> dict[str, str | None]:
    """Return what a change has brought, in the clear: credentials and signing secret; audited as `secret.shown`.

    Raises:
        NotFound
        DecryptionFailed
        StoreUnavailable
    """
    with runtime.database.write() as connection:
        source = sources.in_use(connection, source_name)
        if change.made is not None:
            # For another app: nothing of it is stored but this.
            opened = credential_changes.made(runtime.encryption, source, change)
        else:
            opened = stored.credentials(connection, runtime.encryption, source) or {}
            opened.pop(CA_CERTIFICATE, None)
        secrets = signing_secrets.every(connection, runtime.encryption, source.id)
        about = {"source": source_name, "version": change.secret_version}
        audit.write(connection, runtime.encryption, at=runtime.clock(), who=who, what="secret.shown", about=about)
    signing_secret = next((secret.text for secret in secrets if secret.version == change.secret_version), None)
    return {"signing_secret": signing_secret, **opened} if change.made else {**opened, "signing_secret": signing_secret}


def permissions(runtime: Runtime, source_name: str) -> Permissions:
    """Ask the bank what a source may do, and compare it with what is needed.

    Raises:
        NotFound
        BankWithoutCredentials
        NotPossible: the bank does not let it be asked; the text says what to do.
        BankError
        BudgetSpent
    """
    source = sources.find(runtime, source_name)
    bank = issuing(source)
    with runtime.database.read() as connection:
        own = stored.credentials(connection, runtime.encryption, source)
    if own is None:
        raise CredentialsMissing(f"source {source_name} has no API credentials")
    try:
        held = BankSession(runtime, source, Purpose.PERSON).ask(
            lambda client: bank.permissions(client, own["client_id"])
        )
    except Forbidden as refused:
        raise NotPossible(outcomes.in_words(source, None, refused)) from refused
    keys = {permission.key for permission in held}
    return Permissions(held, bank.needed_permissions, [key for key in bank.needed_permissions if key not in keys])


def accounts(runtime: Runtime, source_name: str) -> Sequence[Account]:
    """Ask a source's bank for all accounts that its credentials see.

    Raises:
        NotFound
        NotPossible: the bank has no list of accounts.
        BankError
        BudgetSpent
    """
    source = sources.find(runtime, source_name)
    session = BankSession(runtime, source, Purpose.PERSON)
    if not isinstance(session.bank, KeepsAccounts):
        raise NotPossible(f"{source.bank} has no list of accounts")
    return session.ask(session.bank.accounts)
