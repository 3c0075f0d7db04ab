"""A callback's amount against the bank's answer: exact, and only where the two can be compared.

Where money comes in the bank may have less than what was sent, by the fees of banks on the way: that is said in words,
and presses little.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal

from sqlalchemy import Connection

from receiver import banks
from receiver.banks.protocol import Money
from receiver.model import ExceptionKind, Severity, SubjectKind
from receiver.store import events, exceptions, sources
from receiver.store.events import EventRecord, Filter
from receiver.store.exceptions import Opened
from receiver.store.joining import differ_in_currency, worth
from receiver.store.leases import Due
from receiver.store.particulars import direction

EVENTS_MAX = 20
"""Of one payment that are compared, the latest; no bank sends more."""

NET_OF_FEES = "what comes in may be net of the fees of banks on the way"


def compare(connection: Connection, due: Due, theirs: Sequence[Money], now: datetime) -> None:
    """Open that the bank has another amount than the callbacks about a payment, and resolve it where one has the same.

    It is about the payment, and what a closed day finds is about the event: each is resolved by who has opened it.
    In the caller's transaction. Of several events about a payment one is enough: others may tell of its fees. What a
    sweep has made of the bank's own list has the bank's amount, and says nothing of callbacks.
    """
    if due.kind != SubjectKind.PAYMENT:
        return
    source = sources.with_id(connection, due.source_id)
    about = events.listing(
        connection, Filter(sources=[source.name], payment_ids=[due.subject]), below=None, limit=EVENTS_MAX
    )
    about = [event for event in about if event.delivery_id is not None]
    agreed = {event.id: is_same(event, theirs) for event in about}
    if True in agreed.values():
        _resolve(connection, due, now)
        return
    # One line for the payment, about the event with the most at stake; the first of those, since another one with the
    # same amount is no news.
    differing = [event for event in about if agreed[event.id] is False]
    if differing:
        most = max(reversed(differing), key=lambda event: worth(event.amount) or Decimal(0))
        exceptions.open_all(connection, [_difference(due, most, theirs, source.bank)], now)


def _resolve(connection: Connection, due: Due, now: datetime) -> None:
    kind, about = ExceptionKind.AMOUNT_DIFFERS, str(SubjectKind.PAYMENT)
    # Looked for first: most payments have none, and then nothing is written.
    known = exceptions.of_subject(connection, due.source_id, [(about, due.subject)])
    if any(each.kind == kind for each in known):
        exceptions.resolve_about(connection, kind, due.source_id, about, due.subject, now)


def is_same(event: EventRecord, theirs: Iterable[Money]) -> bool | None:
    """Tell whether the bank has an event's amount; none where the two can't be compared, in another currency say."""
    claimed = worth(event.amount)
    comparable = [money for money in theirs if not differ_in_currency(event.currency, money.currency)]
    return None if claimed is None or not comparable else claimed in (money.amount for money in comparable)


def only(theirs: Iterable[Money]) -> Money | None:
    """Return what the bank says that a payment is worth; none where it says nothing, or different things of each side.

    To be told alone: it is no claim, and is compared with nothing.
    """
    found = set(theirs)
    return found.pop() if len(found) == 1 else None


def may_be_fees(bank: str, way: str | None) -> bool:
    """Tell whether an amount of a bank, by its name, may differ by fees alone; `way` is `incoming` or `outgoing`."""
    return banks.named(bank).incoming_net_of_fees and way == "incoming"


def differs(
    source_id: int,
    about: tuple[str, str],
    event_id: str,
    amount: str | None,
    currency: str | None,
    words: str,
    *,
    fees: bool,
) -> Opened:
    """Return what is to be opened; where the difference may be `fees`, it says so and presses little."""
    return Opened(
        ExceptionKind.AMOUNT_DIFFERS,
        source_id,
        *about,
        event_id,
        None,
        amount,
        currency,
        1,
        f"{words}; {NET_OF_FEES}" if fees else words,
        Severity.LOW if fees else None,
    )


def _difference(due: Due, event: EventRecord, theirs: Iterable[Money], bank: str) -> Opened:
    """Return what is to be opened about a payment: the event's amount and the bank's, in words too.

    The bank's amounts read the same however it has written them, and in whichever order: other words are news.
    """
    has = " or ".join(sorted({_written(money, event.currency) for money in theirs}))
    words = f"the callback claims {event.amount} {event.currency or ''}".rstrip() + f", and the bank has {has}"
    about = (str(SubjectKind.PAYMENT), due.subject)
    fees = may_be_fees(bank, direction(event.facts))
    return differs(due.source_id, about, event.id, event.amount, event.currency, words, fees=fees)


def _written(money: Money, currency: str | None) -> str:
    """Write an amount with two digits behind the point, or more if it has them, in `currency` where it names none."""
    whole, _, part = f"{money.amount:f}".partition(".")
    return f"{whole}.{part.rstrip('0'):0<2} {(money.currency or currency or '').upper()}".rstrip()
