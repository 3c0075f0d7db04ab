"""Searching for events: newest first, by any combination of filters, at a cost that is bounded whatever is asked.

What has few values (facets) is answered by a small table of its combinations. The rest is terms: one condition leads,
its terms are looked up block by block from the newest on, and what else was asked for is looked at in what was found.
A page ends when it is full, when there is nothing more, or when `LOOKED_AT_MAX` events were looked at: then it holds
fewer than asked for, and says where to go on.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import islice
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, exists, func, literal, or_, select

from receiver.model import Agreement, Status, SubjectKind
from receiver.store import feed, pagination, search_questions, search_terms, sources
from receiver.store.events import EventRecord, by_ids
from receiver.store.pagination import among
from receiver.store.records import SKEW, moment_of
from receiver.store.search_index import BLOCK_BITS, SEPARATOR
from receiver.store.search_terms import Condition
from receiver.store.search_walk import READ_MAX, Span, rarest, walk
from receiver.store.tables import (
    Event,
    Facets,
    FeedEntry,
    Repeat,
    SearchBlock,
    SearchEvent,
    Subject,
    table_of,
)

_events, _entries, _repeats, _subjects = (table_of(model) for model in (Event, FeedEntry, Repeat, Subject))
_facets, _found, _blocks = (table_of(model) for model in (Facets, SearchEvent, SearchBlock))

LOOKED_AT_MAX = 500
"""Events that are looked at for one page."""

FEW_SUBJECTS = 3000
"""Payments in a state that are looked up one by one; where more are, their events are met on the way."""

LOOKED_AT_ONCE = 250


@dataclass(frozen=True)
class Wanted:
    """Which events to search for; what is empty or none does not restrict. Of several values any will do.

    `question` is what a person typed, see `search_questions.question`; amounts are without their sign. The time of
    receipt is from `received_after` on and ends before `received_before`. `status` is what callbacks claim; `agreement`
    is the payment's or job's.
    """

    question: str = ""
    source: Sequence[str] = ()
    type: Sequence[str] = ()
    payment_id: Sequence[str] = ()
    event_id: Sequence[str] = ()
    currency: Sequence[str] = ()
    account: Sequence[str] = ()
    reference: Sequence[str] = ()
    status: Sequence[str] = ()
    proof: Sequence[str] = ()
    agreement: Sequence[str] = ()
    amount_min: Decimal | None = None
    amount_max: Decimal | None = None
    conflict: bool | None = None
    late: bool | None = None
    received_after: datetime | None = None
    received_before: datetime | None = None


class Page(NamedTuple):
    """Events, newest first, and the position below which to go on; none where there is nothing more."""

    events: list[EventRecord]
    below: int | None


def page(
    connection: Connection, wanted: Wanted, *, below: int | None, limit: int, spares_private: bool = False
) -> Page:
    """Return up to `limit` events at positions below `below`; `spares_private` as in `search_questions.question`."""
    span, conditions = _span(connection, wanted, below), _conditions(wanted, spares_private)
    if span is None or any(condition.is_empty for condition in conditions):
        return Page([], None)
    candidates, is_exact = _candidates(connection, wanted, span, conditions)
    looked_at = 0
    positions: list[int] = []
    while asked := list(islice(candidates, LOOKED_AT_ONCE if not is_exact else limit + 1)):
        looked_at += len(asked)
        positions += asked if is_exact else _fulfilling(connection, wanted, span, conditions, asked)
        if len(positions) > limit:
            return Page(_records(connection, positions[:limit]), positions[limit - 1])
        if looked_at >= LOOKED_AT_MAX:
            return Page(_records(connection, positions), asked[-1])
    return Page(_records(connection, positions), None)


def _records(connection: Connection, positions: Sequence[int]) -> list[EventRecord]:
    query = (
        select(_found.c.event_id)
        .where(among(connection, _found.c.position, positions))
        .order_by(_found.c.position.desc())
    )
    return by_ids(connection, connection.execute(query).scalars().all()) if positions else []


def _span(connection: Connection, wanted: Wanted, below: int | None) -> Span | None:
    """Return where events may be; none where nothing can be."""
    facets, (after, before) = _facets_of(connection, wanted), _times(wanted)
    query = select(_blocks.c.block).order_by(_blocks.c.block.desc())
    if after:
        query = query.where(_blocks.c.last_at >= after)
    if before:
        query = query.where(_blocks.c.first_at < before)
    if below is not None:
        query = query.where(_blocks.c.block <= (below - 1) >> BLOCK_BITS)
    blocks = connection.execute(query).scalars().all()
    if not facets or not blocks:
        return None
    newest, oldest = (_positions_in(block) for block in (blocks[0], blocks[-1]))
    least, most = oldest.start, newest.stop
    # Positions are nearly in the order of time; what is amiss is looked at one by one.
    if before:
        found = _edge(connection, newest, func.max(_found.c.position), _found.c.received_at < before)
        most = newest.start if found is None else found + 1
    if after:
        found = _edge(connection, oldest, func.min(_found.c.position), _found.c.received_at >= after)
        least = oldest.stop if found is None else found
    return Span(blocks, facets, least, most if below is None else min(most, below))


def _times(wanted: Wanted) -> tuple[datetime | None, datetime | None]:
    """Return from when on and before when what is wanted came; an event's id begins with the time."""
    after, before = wanted.received_after, wanted.received_before
    beginning = _id(wanted)
    if beginning is not None and beginning.startswith("evt"):
        first, last = (moment_of(beginning, rest) for rest in "0f")
        after, before = max(after or first - SKEW, first - SKEW), min(before or last + SKEW, last + SKEW)
    return after, before


def _positions_in(block: int) -> range:
    return range(block << BLOCK_BITS, (block + 1) << BLOCK_BITS)


def _edge(connection: Connection, within: range, edge: Any, condition: ColumnElement[bool]) -> int | None:
    query = select(edge).where(_found.c.position >= within.start, _found.c.position < within.stop, condition)
    found: int | None = connection.execute(query).scalar()
    return found


def _facets_of(connection: Connection, wanted: Wanted) -> Sequence[int]:
    """Return the combinations of facets that are wanted."""
    query = select(_facets.c.id)
    if wanted.source:
        query = query.where(_facets.c.source_id.in_(sources.ids(connection, wanted.source)))
    if wanted.currency:
        query = query.where(func.upper(_facets.c.currency).in_([currency.upper() for currency in wanted.currency]))
    if wanted.late is not None:
        query = query.where(_facets.c.late.is_(wanted.late))
    for column, values in (("type", wanted.type), ("proof", wanted.proof), ("status", wanted.status)):
        if values:
            query = query.where(_facets.c[column].in_(list(values)))
    return connection.execute(query).scalars().all()


def _conditions(wanted: Wanted, spares_private: bool) -> list[Condition]:
    """Return all that is to be looked for by terms."""
    found = [None if _id(wanted) else search_questions.question(wanted.question, spares_private=spares_private)]
    for texts, kind in (
        (wanted.account, search_terms.ACCOUNT),
        (wanted.reference, search_terms.REFERENCE),
        (wanted.payment_id, search_terms.PAYMENT),
    ):
        found += [search_questions.any_of(texts, kind)] if texts else []
    if wanted.amount_min is not None or wanted.amount_max is not None:
        found.append(search_questions.between(wanted.amount_min, wanted.amount_max))
    if wanted.conflict:
        found.append(Condition((search_terms.exactly(search_terms.CONFLICT),)))
    return [condition for condition in found if condition is not None]


def _candidates(
    connection: Connection, wanted: Wanted, span: Span, conditions: Sequence[Condition]
) -> tuple[Iterator[int], bool]:
    """Return the positions of events that may be wanted, newest first, and whether all of them are."""
    listed = _listed(connection, wanted)
    if listed is not None:
        return iter(sorted((one for one in listed if span.least <= one < span.below), reverse=True)), False
    leads = [lead for condition in conditions for lead in condition.leads()]
    lead = rarest(connection, span, leads) if leads else (search_terms.exactly(search_terms.EVERYTHING),)
    is_exact = len(conditions) <= 1 and all(condition.is_simple for condition in conditions)
    others = (_id(wanted), wanted.agreement, wanted.payment_id, wanted.received_after, wanted.received_before)
    return walk(connection, span, lead), is_exact and not any(others) and wanted.conflict is not False


def _listed(connection: Connection, wanted: Wanted) -> list[int] | None:
    """Return the positions of the few events that can be named; none where they can't."""
    if wanted.event_id:
        query = select(_found.c.position).where(_found.c.event_id.in_(list(wanted.event_id)))
        return list(connection.execute(query).scalars())
    if beginning := _id(wanted):
        return _by_id(connection, beginning)
    return _in_agreement(connection, wanted.agreement) if wanted.agreement else None


def _id(wanted: Wanted) -> str | None:
    """Return the question where it is the beginning of an event's or a delivery's id."""
    return search_questions.beginning_of_id(wanted.question)


def _by_id(connection: Connection, beginning: str) -> list[int] | None:
    """Return the positions of the events whose id, or a delivery's of theirs, begins so; none where those are many."""
    ways = [
        select(_events.c.id)
        .where(*_begins(_events.c.delivery_id, beginning))
        .order_by(_events.c.delivery_id)
        .limit(READ_MAX + 1)
    ]
    ways += [
        select(_repeats.c.event_id)
        .where(*_begins(_repeats.c.delivery_id, beginning))
        .order_by(_repeats.c.delivery_id)
        .limit(READ_MAX + 1)
    ]
    if beginning.startswith("evt"):
        ways = [
            select(_events.c.id).where(*_begins(_events.c.id, beginning)).order_by(_events.c.id).limit(READ_MAX + 1)
        ]
    ids = [event_id for way in ways for event_id in connection.execute(way).scalars()]
    if len(ids) > READ_MAX:
        return None
    return list(
        connection.execute(select(_found.c.position).where(among(connection, _found.c.event_id, ids))).scalars()
    )


def _begins(column: ColumnElement[str], beginning: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    """Return that an id begins with a text; behind it come digits of hexadecimal alone."""
    return (column >= beginning, column < f"{beginning}g")


def _in_agreement(connection: Connection, agreements: Sequence[str]) -> list[int] | None:
    """Return the positions of events about payments and jobs in these states; none where those are many."""
    ways = pagination.combinations(
        (_subjects.c.agreement, [Agreement(word) for word in agreements]),
        (_subjects.c.kind, [kind for kind in SubjectKind if kind != SubjectKind.NONE]),
        (_subjects.c.status, list(Status)),
    )
    # Their numbers alone are read from the index, which is in the order of these.
    query = pagination.page([_subjects.c.id], ways, where=[], order=_subjects.c.id.desc(), limit=FEW_SUBJECTS + 1)
    ids = connection.execute(query).scalars().all()
    if len(ids) > FEW_SUBJECTS:
        return None
    about = select(_subjects.c.subject, _subjects.c.kind).where(among(connection, _subjects.c.id, ids))
    subjects = connection.execute(about).all()
    names = [subject for subject, _ in subjects]
    # Among them are entries that are no event's own; these are indexed as no event.
    placed = select(_entries.c.position).where(among(connection, _entries.c.subject, names))
    found = set(connection.execute(placed).scalars())
    # Entries of old events are gone, and only payments lead to their events by an index.
    if feed.removed(connection) and any(kind != SubjectKind.PAYMENT for _, kind in subjects):
        return None
    return sorted(found | _of_payments(connection, names))


def _of_payments(connection: Connection, payment_ids: Sequence[str]) -> set[int]:
    """Return the positions of events about payments, told by a reference too, whether or not entries are stored."""
    query = (
        select(_found.c.position)
        .join_from(_events, _found, _found.c.event_id == _events.c.id)
        .where(among(connection, _events.c.payment_id, payment_ids))
    )
    return set(connection.execute(query).scalars())


def _fulfilling(
    connection: Connection, wanted: Wanted, span: Span, conditions: Sequence[Condition], positions: Sequence[int]
) -> list[int]:
    """Return those of the positions whose events fulfil all conditions, in their order."""
    query = select(_found.c.position, _found.c.terms).where(
        among(connection, _found.c.position, positions),
        among(connection, _found.c.facets_id, span.facets),
        *_outside_terms(wanted),
    )
    fulfilling = []
    for position, packed in connection.execute(query):
        terms = sorted(packed.split(SEPARATOR))
        if all(condition.holds(terms) for condition in conditions):
            fulfilling.append(position)
    return sorted(fulfilling, reverse=True)


def _outside_terms(wanted: Wanted) -> list[ColumnElement[bool]]:
    """Return what is asked for and no term tells."""
    where: list[ColumnElement[bool]] = []
    if wanted.event_id:
        where.append(_found.c.event_id.in_(list(wanted.event_id)))
    if wanted.received_after:
        where.append(_found.c.received_at >= wanted.received_after)
    if wanted.received_before:
        where.append(_found.c.received_at < wanted.received_before)
    own: list[ColumnElement[bool]] = []
    if beginning := _id(wanted):
        own.append(_has_id(beginning))
    if wanted.conflict is False:
        own.append(_events.c.conflict.is_(False))
    if wanted.payment_id:
        own.append(_events.c.payment_id.in_(list(wanted.payment_id)))
    if wanted.agreement:
        own.append(_agreement().in_(list(wanted.agreement)))
    if own:
        # A subquery with a value is run for each event that was found; of an EXISTS PostgreSQL might make a join.
        where.append(select(literal(1)).where(_events.c.id == _found.c.event_id, *own).scalar_subquery() == 1)
    return where


def _has_id(beginning: str) -> ColumnElement[bool]:
    if beginning.startswith("evt"):
        return and_(*_begins(_events.c.id, beginning))
    repeated = exists(select(_repeats.c.event_id)).where(
        _repeats.c.event_id == _events.c.id, *_begins(_repeats.c.delivery_id, beginning)
    )
    return or_(and_(*_begins(_events.c.delivery_id, beginning)), repeated)


def _agreement() -> ColumnElement[str]:
    """Return how the bank stands to what an event is about: its payment, where that is known, as its page shows it."""
    is_own = (_subjects.c.kind == _events.c.kind, _subjects.c.subject == _events.c.subject)
    is_payment = (_subjects.c.kind == SubjectKind.PAYMENT, _subjects.c.subject == _events.c.payment_id)
    of_source = select(_subjects.c.agreement).where(_subjects.c.source_id == _events.c.source_id)
    return func.coalesce(of_source.where(*is_payment).scalar_subquery(), of_source.where(*is_own).scalar_subquery())
