"""What a source's credentials may do at its bank, beside what they need to."""

from collections.abc import Sequence

from receiver import banks
from receiver.bank_client.session import BankSession, CredentialsMissing
from receiver.banks.abilities import IssuesCredentials, Permission
from receiver.credentials.outcomes import BankWithoutCredentials
from receiver.runtime import Runtime
from receiver.store import sources
from receiver.store.sources import SourceRecord


def issuing(source: SourceRecord) -> IssuesCredentials:
    """Return the source's bank as one that manages credentials.

    Raises:
        BankWithoutCredentials
    """
    bank = banks.named(source.bank)
    if not isinstance(bank, IssuesCredentials):
        raise BankWithoutCredentials(f"{source.bank} has no API for credentials")
    return bank


def permissions(runtime: Runtime, source: SourceRecord) -> Sequence[Permission]:
    """Ask the bank what the source's client may do.

    Raises:
        BankWithoutCredentials
        BankError: `Forbidden` where not even that may be asked.
        BudgetSpent
    """
    bank = issuing(source)
    with runtime.database.read() as connection:
        own = sources.credentials(connection, runtime.encryption, source.id)
    if own is None:
        raise CredentialsMissing(f"source {source.name} has no API credentials")
    session = BankSession(runtime, source)
    return session.ask(lambda client: bank.permissions(client, own["client_id"]))


def missing(bank: IssuesCredentials, held: Sequence[Permission]) -> list[str]:
    """Return the permissions that are needed and not held."""
    keys = {permission.key for permission in held}
    return [key for key in bank.needed_permissions if key not in keys]
