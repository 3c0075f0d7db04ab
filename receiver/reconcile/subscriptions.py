"""Whether a bank has an active subscription that sends a source's callbacks here."""

from collections.abc import Iterator, Sequence

from receiver.bank_client.session import BankSession
from receiver.banks.abilities import Subscribes, Subscription
from receiver.settings import Settings
from receiver.store.sources import SourceRecord


def address(settings: Settings, source: SourceRecord, origin: str) -> str:
    """Return where a source's callbacks are to go, where banks reach this receiver at `origin`."""
    return f"{origin.rstrip('/')}{settings.public_path_prefix}/webhooks/{source.name}"


def is_at(found: str | None, own: str) -> bool:
    """Tell whether an address is a source's own, or that of one of its channels."""
    return found is not None and (found == own or found.startswith(f"{own}/"))


def look(session: BankSession, source: SourceRecord, own: str) -> list[str]:
    """Ask the bank for its subscriptions; return in words what is wrong with those that have the address `own`.

    Nothing where the bank has no subscriptions over its API.

    Raises:
        BankError
        BudgetSpent
        StoreUnavailable
        DecryptionFailed
    """
    if not isinstance(session.bank, Subscribes):
        return []
    return list(faults(session.ask(session.bank.list_subscriptions), source, own))


def faults(listed: Sequence[Subscription], source: SourceRecord, own: str) -> Iterator[str]:
    """Yield in words what is wrong: none comes here, or one stays silent."""
    ours = [each for each in listed if is_at(each.address, own)]
    active = [each for each in ours if each.is_active]
    if not active:
        inactive = f"; {', '.join(each.id for each in ours)} has, and is not active" if ours else ""
        yield f"none that is active has the address {own}{inactive}: receiver subscriptions create {source.name}"
    yield from (f"{each.id} names no event, so it stays silent" for each in active if not each.topics)
