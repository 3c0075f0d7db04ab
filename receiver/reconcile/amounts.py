"""A callback's amount against the bank's answer: exact, and only where the two can be compared.

Where money comes in the bank may have less than what was sent, by the fees of banks on the way: that is said in words,
and presses little.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal, InvalidOperation

from sqlalchemy import Connection

from receiver import banks
from receiver.banks.protocol import Money
from receiver.model import ExceptionKind, Severity, SubjectKind
from receiver.store import events, exceptions, sources
from receiver.store.events import EventRecord, Filter
from receiver.store.exceptions import Opened
from receiver.store.particulars import direction
from receiver.store.payments import Due

EVENTS_MAX = 20
"""Of one payment that are compared, the latest; no bank sends more."""

NET_OF_FEES = "what comes in may be net of the fees of banks on the way"


def compare(connection: Connection, due: Due, theirs: Sequence[Money], now: datetime) -> None:
    """Open that the bank has another amount than the callbacks about a payment, and resolve it where one has the same.

    In the caller's transaction. Of several events about a payment one is enough: others may tell of its fees. What a
    sweep has made of the bank's own list has the bank's amount, and says nothing of callbacks.
    """
    if due.kind != SubjectKind.PAYMENT:
        return
    source = next(source for source in sources.every(connection) if source.id == due.source_id)
    about = events.listing(
        connection, Filter(sources=[source.name], payment_ids=[due.subject]), below=None, limit=EVENTS_MAX
    )
    about = [event for event in about if event.delivery_id is not None]
    agreed = {event.id: is_same(event, theirs) for event in about}
    if True in agreed.values():
        _resolve(connection, due, [event.id for event in about], now)
        return
    nets_fees = banks.named(source.bank).incoming_net_of_fees
    differing = [event for event in about if agreed[event.id] is False]
    opened = [difference(due.source_id, event, theirs, nets_fees=nets_fees) for event in differing]
    exceptions.open_all(connection, opened, now)


def _resolve(connection: Connection, due: Due, event_ids: Sequence[str], now: datetime) -> None:
    known = exceptions.of_subject(connection, due.source_id, [("event", event_id) for event_id in event_ids])
    for each in sorted(known, key=lambda each: each.subject):
        if each.kind == ExceptionKind.AMOUNT_DIFFERS:
            exceptions.resolve_about(connection, each.kind, due.source_id, "event", each.subject, now)


def is_same(event: EventRecord, theirs: Iterable[Money]) -> bool | None:
    """Tell whether the bank has an event's amount; none where the two can't be compared, in another currency say."""
    claimed = _amount(event)
    comparable = [money for money in theirs if event.currency is None or money.currency in (None, event.currency)]
    return None if claimed is None or not comparable else claimed in (money.amount for money in comparable)


def difference(source_id: int, event: EventRecord, theirs: Iterable[Money], *, nets_fees: bool) -> Opened:
    """Return what is to be opened: the event's amount and the bank's, in words too."""
    has = " or ".join(" ".join(filter(None, (f"{money.amount:f}", money.currency))) for money in theirs)
    words = f"the callback claims {event.amount} {event.currency or ''}".rstrip() + f", and the bank has {has}"
    may_be_fees = nets_fees and direction(event.facts) == "incoming"
    return Opened(
        ExceptionKind.AMOUNT_DIFFERS,
        source_id,
        "event",
        event.id,
        event.id,
        None,
        event.amount,
        event.currency,
        1,
        f"{words}; {NET_OF_FEES}" if may_be_fees else words,
        Severity.LOW if may_be_fees else None,
    )


def _amount(event: EventRecord) -> Decimal | None:
    try:
        return None if event.amount is None else Decimal(event.amount).copy_abs()
    except InvalidOperation:
        return None
