"""Subscriptions at a bank: list them, make and deactivate them, and compare them with this receiver's own address."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from receiver.admin import sources
from receiver.admin.audit import note
from receiver.admin.sources import ORIGIN, OriginWrong
from receiver.bank_client.session import BankSession
from receiver.banks.abilities import NewSubscription, Subscribes, Subscription, SubscriptionIncomplete
from receiver.banks.errors import masked
from receiver.model import NotFound, NotPossible, Purpose
from receiver.reconcile import subscriptions as at_bank
from receiver.runtime import Runtime
from receiver.store import signing_secrets
from receiver.store.sources import SourceRecord

_CHANNEL = re.compile(r"[A-Za-z0-9_~-]{1,100}")


@dataclass(frozen=True)
class Listed:
    """A subscription, and whether its callbacks come here; none where this receiver's own address is not known."""

    subscription: Subscription
    is_ours: bool | None


def listing(runtime: Runtime, source_name: str) -> list[Listed]:
    """Ask the bank for all subscriptions, active or not.

    Raises:
        NotFound
        NotPossible: the bank has none.
        BankError
        BudgetSpent
        StoreUnavailable
    """
    source = sources.find(runtime, source_name)
    session, bank = _session(runtime, source)
    own = address(runtime, source)
    found = session.ask(bank.list_subscriptions)
    return [Listed(each, None if own is None else at_bank.is_at(each.address, own)) for each in found]


@dataclass(frozen=True)
class Request:
    """What a person says of a subscription to be made."""

    topics: Sequence[str] = ()
    """In the bank's words; all that it has where none is named."""
    origin: str | None = None
    """Where banks reach this receiver, in place of `RECEIVER_PUBLIC_URL`."""
    channel: str | None = None
    """What follows the source's own path, so that two subscriptions have addresses of their own."""


def create(runtime: Runtime, who: str, source_name: str, asked: Request) -> Sequence[Subscription]:
    """Have callbacks sent to this receiver; audited as `subscription.creating` before that, and `subscription.created`.

    Of one that was made in part the second entry says what is missing. Where the bank's answer is lost there is the
    first one alone.

    Where an active one has the same address already, none is made: every event would come twice.

    Raises:
        NotFound: there is no such source, or the bank has no such topic.
        NotPossible: there is such a subscription already; the address is not known; the source has no secret; the
            channel can't stand in a path.
        OriginWrong
        BankError: `SubscriptionIncomplete` where a part of it was made.
        BudgetSpent
        StoreUnavailable
    """
    source = sources.find(runtime, source_name)
    session, bank = _session(runtime, source)
    if unknown := [topic for topic in asked.topics if topic not in bank.topics]:
        raise NotFound(f"{source.bank} has no topic {unknown[0]!r}; it has: {', '.join(bank.topics)}")
    own = _channel_address(runtime, source, asked)
    secret = _current_secret(runtime, source)
    if secret is None:
        words = f"{source_name} has no secret, so its callbacks would be refused"
        raise NotPossible(f"{words}: receiver secret set {source_name}")
    if same := [each.id for each in session.ask(bank.list_subscriptions) if each.is_active and each.address == own]:
        raise NotPossible(
            f"subscription {same[0]} is active and has this address already: every event would come twice"
        )
    wanted = NewSubscription(own, tuple(asked.topics) or bank.topics, secret if bank.secret_in_subscription else None)
    about = {"source": source_name, "address": own, "topics": list(wanted.topics)}
    note(runtime, who, "subscription.creating", about)
    try:
        made = session.ask(lambda client: bank.subscribe(client, wanted))
    except SubscriptionIncomplete as error:
        note(runtime, who, "subscription.created", {**about, "incomplete": masked(str(error), [secret])})
        raise
    note(runtime, who, "subscription.created", {**about, "subscriptions": [masked(each.id, [secret]) for each in made]})
    return made


def _channel_address(runtime: Runtime, source: SourceRecord, asked: Request) -> str:
    own = address(runtime, source, asked.origin)
    if own is None:
        raise NotPossible("where banks reach this receiver is not known: set RECEIVER_PUBLIC_URL, or give it")
    if asked.channel is None:
        return own
    if not _CHANNEL.fullmatch(asked.channel):
        raise NotPossible(f"{asked.channel[:40]!r} is no channel: 1 to 100 letters, digits and - _ ~")
    return f"{own}/{asked.channel}"


def deactivate(runtime: Runtime, who: str, source_name: str, subscription_id: str) -> None:
    """Have the bank send no more callbacks for a subscription.

    Audited as `subscription.deactivating` before it is asked, and as `subscription.deactivated` once it has done so.

    Raises:
        NotFound
        NotPossible: the bank has none.
        BankError: `NotKnown` where it has no such one.
        BudgetSpent
        StoreUnavailable
    """
    source = sources.find(runtime, source_name)
    session, bank = _session(runtime, source)
    about = {"source": source_name, "subscription": subscription_id}
    note(runtime, who, "subscription.deactivating", about)
    session.ask(lambda client: bank.unsubscribe(client, subscription_id))
    note(runtime, who, "subscription.deactivated", about)


def address(runtime: Runtime, source: SourceRecord, origin: str | None = None) -> str | None:
    """Return where a source's callbacks are to go; none where this receiver's own address is not known.

    Raises:
        OriginWrong
    """
    settings = runtime.settings
    known = (origin or settings.public_url or "").rstrip("/")
    if not known:
        return None
    if not ORIGIN.fullmatch(known):
        raise OriginWrong(f"takes https://HOST[:PORT] (http:// on loopback alone), not {known!r}")
    return at_bank.address(settings, source, known)


def faults(runtime: Runtime, source: SourceRecord) -> Iterator[str]:
    """Yield in words what is wrong with a source's subscriptions: none comes here, or one stays silent.

    Nothing where the bank has none, or this receiver's own address is not set.

    Raises:
        BankError
        BudgetSpent
        StoreUnavailable
    """
    own = address(runtime, source)
    if own is not None:
        yield from at_bank.look(BankSession(runtime, source, Purpose.PERSON), source, own)


def _session(runtime: Runtime, source: SourceRecord) -> tuple[BankSession, Subscribes]:
    session = BankSession(runtime, source, Purpose.PERSON)
    if not isinstance(session.bank, Subscribes):
        raise NotPossible(f"{source.bank} has no subscriptions over its API")
    return session, session.bank


def _current_secret(runtime: Runtime, source: SourceRecord) -> str | None:
    with runtime.database.read() as connection:
        secrets = signing_secrets.valid(connection, runtime.encryption, source.id, runtime.clock())
    return secrets[0].text if secrets else None
