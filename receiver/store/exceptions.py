"""What a person has to look at (exceptions): opened and resolved by what is so, acknowledged and resolved by persons.

One row for each thing, by its kind, its source and what it is about. One that was resolved is opened anew where it is
so once more. Nothing here is on the way of a callback: what asks the bank, indexes events, or looks, opens these.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, and_, exists, func, literal_column, or_, select, update

from receiver.model import ExceptionKind, ExceptionState, Severity, Verdict
from receiver.store import exception_entries as entries
from receiver.store import pagination, sources
from receiver.store.bulk_insert import BulkInsert, RowValues
from receiver.store.records import columns_of, fetch_all, fetch_one, new_id
from receiver.store.tables import Delivery, Event, HeldEvent, Repeat, Source, StaffException, Subject, table_of

_exceptions, _deliveries, _held = table_of(StaffException), table_of(Delivery), table_of(HeldEvent)
_events, _repeats, _subjects, _sources = (table_of(model) for model in (Event, Repeat, Subject, Source))

AT_ONCE = 250
"""Rows that are opened or resolved in one transaction."""

COUNTED_MAX = 1000
"""Of one kind in one state: of more it is said that there are more."""

UNRESOLVED = (ExceptionState.OPEN, ExceptionState.ACKNOWLEDGED)


class Opened(NamedTuple):
    """Something that a person has to look at from now on; `StaffException` says what each field holds."""

    kind: ExceptionKind
    source_id: int
    about: str
    subject: str
    event_id: str | None = None
    delivery_id: str | None = None
    amount: str | None = None
    currency: str | None = None
    number: int = 1
    detail: str | None = None
    presses_at_most: Severity | None = None


class ExceptionRecord(NamedTuple):
    """Something that a person has to look at; `source` is a name, times are UTC."""

    id: str
    kind: ExceptionKind
    state: ExceptionState
    source: str
    about: str
    subject: str
    event_id: str | None
    delivery_id: str | None
    amount: str | None
    currency: str | None
    number: int
    detail: str | None
    opened_at: datetime
    changed_at: datetime
    place: str
    note: str | None
    handled_by: str | None
    handled_at: datetime | None
    presses_at_most: Severity | None


@dataclass(frozen=True)
class Wanted:
    """Which of them to list; what is empty does not restrict. Of several values any will do."""

    states: Sequence[str] = ()
    kinds: Sequence[str] = ()
    sources: Sequence[str] = ()


WATCHED = (
    ExceptionKind.STALLED,
    ExceptionKind.RECOVERED,
    ExceptionKind.AMOUNT_DIFFERS,
    ExceptionKind.SUBSCRIPTION_INACTIVE,
    ExceptionKind.SILENCE,
    ExceptionKind.GIVING_UP,
    ExceptionKind.CONSUMER_IDLE,
)
"""Kinds that are so over and over: what a person has resolved stays so until it was otherwise in the meantime."""

RESTATED = (ExceptionKind.CONTRADICTED, ExceptionKind.AMOUNT_DIFFERS)
"""Kinds of which one line says the latest: what is so otherwise than it says is news, whatever became of the line."""

_IS_WATCHED, _IS_RESTATED = (", ".join(f"'{kind}'" for kind in kinds) for kinds in (WATCHED, RESTATED))

# One that is unresolved is left as it is, but for refused deliveries, of which more have come, and for what is so
# otherwise than it says. One that was resolved is opened anew, but for refused deliveries that were there then, and for
# what has been so ever since.
_open_all = BulkInsert(
    _exceptions,
    [*("id", "place", "state", "opened_at", "changed_at", "opening"), *Opened._fields],
    unique=["kind", "source_id", "about", "subject"],
    otherwise=f"""
        state = CASE WHEN exceptions.state = 'resolved' THEN 'open' ELSE exceptions.state END,
        opened_at = CASE WHEN exceptions.state = 'resolved' THEN excluded.opened_at ELSE exceptions.opened_at END,
        note = CASE WHEN exceptions.state = 'resolved' THEN NULL ELSE exceptions.note END,
        handled_by = CASE WHEN exceptions.state = 'resolved' THEN NULL ELSE exceptions.handled_by END,
        handled_at = CASE WHEN exceptions.state = 'resolved' THEN NULL ELSE exceptions.handled_at END,
        opening = CASE WHEN exceptions.state = 'resolved' THEN excluded.opening ELSE exceptions.opening END,
        over_at = NULL,
        changed_at = excluded.changed_at, place = excluded.place, event_id = excluded.event_id,
        delivery_id = excluded.delivery_id, amount = excluded.amount, currency = excluded.currency,
        number = excluded.number, detail = excluded.detail, presses_at_most = excluded.presses_at_most
        WHERE exceptions.state = 'resolved' AND excluded.kind <> 'rejected'
            AND (excluded.kind NOT IN ({_IS_WATCHED}) OR exceptions.over_at IS NOT NULL)
            OR excluded.kind IN ({_IS_RESTATED})
                AND (coalesce(exceptions.amount, '') <> coalesce(excluded.amount, '')
                    OR coalesce(exceptions.detail, '') <> coalesce(excluded.detail, ''))
            OR coalesce(exceptions.delivery_id, '') < coalesce(excluded.delivery_id, '')
    """,
)


def open_all(
    connection: Connection, opened: Iterable[Opened], now: datetime, *, entry_at: datetime | None = None
) -> None:
    """Open what a person has to look at, in the caller's transaction; what is unresolved already is not opened anew.

    The feed has an entry for each that is opened, or opened anew; `entry_at` is its time where that is not `now`.
    """
    # In one order for all writers, so that no two ever wait for each other in a circle.
    rows = [_row(each, now) for each in sorted(opened, key=lambda each: each[:4])]
    _open_all.run(connection, rows)
    # Which of them these are is known by the rows alone: another writer may have opened the same.
    entries.write_opened(connection, [row[1] for row in rows], entry_at or now)


def _row(opened: Opened, now: datetime) -> RowValues:
    place = new_id("chg", now)
    return (new_id("exc", now), place, str(ExceptionState.OPEN), now, now, place, str(opened.kind), *opened[1:])


def open_about(connection: Connection, kind: ExceptionKind, subject_id: int, detail: str | None, now: datetime) -> None:
    """Open what concerns a payment or job, in the caller's transaction."""
    columns = ("source_id", "kind", "subject", "last_event_id", "amount", "currency")
    row = connection.execute(select(*(_subjects.c[name] for name in columns)).where(_subjects.c.id == subject_id)).one()
    about = Opened(
        kind, row.source_id, str(row.kind), row.subject, row.last_event_id, None, row.amount, row.currency, 1, detail
    )
    open_all(connection, [about], now)


def open_conflicts(connection: Connection, event_ids: Sequence[str]) -> None:
    """Open that events came again with other content, since the time when they did, in the caller's transaction."""
    since = (
        select(_repeats.c.event_id, func.max(_repeats.c.received_at).label("at"))
        .where(_repeats.c.event_id.in_(event_ids), _repeats.c.conflict)
        .group_by(_repeats.c.event_id)
        .subquery()
    )
    columns = (_events.c.source_id, _events.c.id, _events.c.amount, _events.c.currency)
    # Within one delivery it may have come again too: then there is no other time than the event's own.
    query = select(*columns, since.c.at, _events.c.received_at).outerjoin(since, since.c.event_id == _events.c.id)
    words = "the same event came again with other content"
    for source_id, id_, amount, currency, at, received_at in connection.execute(
        query.where(_events.c.id.in_(event_ids))
    ).all():
        made = Opened(ExceptionKind.CONFLICT, source_id, "event", id_, id_, None, amount, currency, 1, words)
        since_then = at or received_at
        open_all(connection, [made], since_then, entry_at=entries.not_before_the_last(connection, since_then))


def resolve_about(
    connection: Connection, kind: ExceptionKind, source_id: int, about: str, subject: str, now: datetime
) -> None:
    """Resolve what is no longer so, in the caller's transaction; nothing happens where nothing was open."""
    is_about = (_exceptions.c.about == about, _exceptions.c.subject == subject)
    which = and_(_exceptions.c.kind == kind, _exceptions.c.source_id == source_id, *is_about)
    _resolve(connection, which, now)
    if kind in WATCHED:
        # Where a person has resolved it, it may be opened anew from now on.
        connection.execute(update(_exceptions).where(which, _exceptions.c.over_at.is_(None)).values(over_at=now))


def resolve_refused(connection: Connection, seen: "Known", now: datetime) -> None:
    """Resolve what was open about refused deliveries, unless more have come since it was `seen`."""
    _resolve(connection, _as_seen(seen), now)


def count_refused(connection: Connection, seen: "Known", left: Opened) -> None:
    """Write down how many refused deliveries are left, and which is the newest, unless that has changed since.

    Some were accepted, or dropped: that opens nothing, and is no change for a person to look at.
    """
    changed = update(_exceptions).where(
        _as_seen(seen), _exceptions.c.number == seen.number, _exceptions.c.state.in_(UNRESOLVED)
    )
    connection.execute(changed.values(number=left.number, delivery_id=left.delivery_id))


def _as_seen(seen: "Known") -> ColumnElement[bool]:
    """Return the condition for what is known of refused deliveries, unless more have come since it was seen."""
    return and_(
        _exceptions.c.kind == ExceptionKind.REJECTED,
        _exceptions.c.source_id == seen.source_id,
        _exceptions.c.about == "reason",
        _exceptions.c.subject == seen.subject,
        _exceptions.c.delivery_id.is_not_distinct_from(seen.delivery_id),
    )


def _resolve(connection: Connection, which: ColumnElement[bool], now: datetime) -> None:
    values = {"state": ExceptionState.RESOLVED, "changed_at": now, "place": new_id("chg", now), "handled_by": None}
    changed = update(_exceptions).where(which, _exceptions.c.state.in_(UNRESOLVED))
    ids = connection.execute(changed.values(**values, handled_at=None).returning(_exceptions.c.id)).scalars().all()
    entries.write_resolved(connection, ids, now)


class Standing(NamedTuple):
    """One of what is watched, as it stands."""

    source_id: int
    about: str
    subject: str
    state: ExceptionState
    handled_by: str | None
    over_at: datetime | None


def standing(connection: Connection, kind: ExceptionKind) -> dict[tuple[int, str, str], Standing]:
    """Return all of a kind of which there are few: one for a source, or for a consumer, at the most."""
    query = select(*columns_of(Standing, _exceptions)).where(_exceptions.c.kind == _text(kind))
    return {row[:3]: row for row in fetch_all(connection, Standing, query)}


@dataclass(frozen=True)
class Changes:
    """What is to be opened and resolved of one kind; nothing is where it is false."""

    kind: ExceptionKind
    opened: Sequence[Opened]
    over: Sequence[Standing]

    def __bool__(self) -> bool:
        return bool(self.opened or self.over)


def changes(
    connection: Connection, kind: ExceptionKind, found: Sequence[Opened], undecided: Collection[int]
) -> Changes:
    """Compare what is so with what is stored of a kind; what is `undecided` (sources) stays as it stands."""
    known = standing(connection, kind)
    so = {each[1:4] for each in found}
    opened = [each for each in found if (row := known.get(each[1:4])) is None or _may_open(row)]
    over = [
        row for key, row in known.items() if key not in so and row.over_at is None and row.source_id not in undecided
    ]
    return Changes(kind, opened, sorted(over))


def _may_open(row: Standing) -> bool:
    return row.state == ExceptionState.RESOLVED and row.over_at is not None


def apply(connection: Connection, changed: Changes, now: datetime) -> None:
    """Open and resolve what `changes` found, in the caller's transaction."""
    open_all(connection, changed.opened, now)
    for row in changed.over:
        resolve_about(connection, changed.kind, row.source_id, row.about, row.subject, now)


# What is derived by looking through deliveries


def refused(connection: Connection) -> list[Opened]:
    """Return the refused deliveries that look like the bank's, those of a source that have one reason together.

    They are bounded in number, so all are looked at.
    """
    # As text, so that any plan goes by the index over the rejected ones.
    is_rejected = _deliveries.c.verdict == literal_column(f"'{Verdict.REJECTED}'")
    of_bank = or_(_deliveries.c.likely.is_(True), _deliveries.c.proven.is_(True))
    query = (
        select(_deliveries.c.source_id, _deliveries.c.reason, func.count(), func.max(_deliveries.c.id))
        .where(is_rejected, of_bank)
        .group_by(_deliveries.c.source_id, _deliveries.c.reason)
    )
    return [
        Opened(ExceptionKind.REJECTED, source_id, "reason", reason or "unknown", None, newest, None, None, number)
        for source_id, reason, number, newest in connection.execute(query)
    ]


class Known(NamedTuple):
    """What is known of refused deliveries with one reason."""

    source_id: int
    subject: str
    state: ExceptionState
    delivery_id: str | None
    number: int


def known_refused(connection: Connection) -> dict[tuple[int, str], Known]:
    """Return what is known of refused deliveries, by source and reason."""
    query = select(*columns_of(Known, _exceptions)).where(_exceptions.c.kind == _text(ExceptionKind.REJECTED))
    return {(row.source_id, row.subject): row for row in fetch_all(connection, Known, query)}


def late_unopened(connection: Connection) -> list[Opened]:
    """Return late deliveries, up to `AT_ONCE`, of which nobody has been told yet."""
    is_late = _deliveries.c.verdict == literal_column(f"'{Verdict.LATE}'")
    known = exists().where(
        _exceptions.c.kind == ExceptionKind.LATE,
        _exceptions.c.source_id == _deliveries.c.source_id,
        _exceptions.c.about == "delivery",
        _exceptions.c.subject == _deliveries.c.id,
    )
    query = (
        select(_deliveries.c.source_id, _deliveries.c.id, _deliveries.c.detail)
        .where(is_late, ~known)
        .order_by(_deliveries.c.id)
        .limit(AT_ONCE)
    )
    return [_late(connection, *row) for row in connection.execute(query).all()]


def _late(connection: Connection, source_id: int, delivery_id: str, detail: str | None) -> Opened:
    query = select(_held.c.event).where(_held.c.delivery_id == delivery_id).order_by(_held.c.id).limit(1)
    event: dict[str, Any] = connection.execute(query).scalar() or {}
    worth = (event.get("amount"), event.get("currency"))
    return Opened(ExceptionKind.LATE, source_id, "delivery", delivery_id, None, delivery_id, *worth, 1, detail)


def _is_over(state: ExceptionState) -> ColumnElement[bool]:
    """Return the condition for what was late and is not any more: it was confirmed, accepted, or is gone."""
    is_late = _deliveries.c.verdict == literal_column(f"'{Verdict.LATE}'")
    still = exists().where(_deliveries.c.id == _exceptions.c.subject, is_late)
    return and_(_exceptions.c.state == _text(state), _exceptions.c.kind == _text(ExceptionKind.LATE), ~still)


def has_late_over(connection: Connection) -> bool:
    """Tell whether something is open about a delivery that is late no longer."""
    # One state after the other: together no index would be taken.
    queries = (select(_exceptions.c.id).where(_is_over(state)).limit(1) for state in UNRESOLVED)
    return any(connection.execute(query).first() is not None for query in queries)


def resolve_late(connection: Connection, now: datetime) -> None:
    """Resolve what is open about deliveries that are late no longer, in the caller's transaction."""
    for state in UNRESOLVED:
        _resolve(connection, _is_over(state), now)


# What a person sees and does


def _all() -> Select[Any]:
    columns = columns_of(ExceptionRecord, _exceptions, source=_sources.c.name)
    return select(*columns).join_from(_exceptions, _sources, _sources.c.id == _exceptions.c.source_id)


def find(connection: Connection, exception_id: str) -> ExceptionRecord | None:
    """Return one of them."""
    return fetch_one(connection, ExceptionRecord, _all().where(_exceptions.c.id == exception_id))


def lock(connection: Connection, exception_id: str) -> ExceptionRecord | None:
    """Return one of them, and keep other writers from it until the transaction ends."""
    query = _all().where(_exceptions.c.id == exception_id)
    return fetch_one(connection, ExceptionRecord, query.with_for_update(of=_exceptions, key_share=True))


def listing(connection: Connection, wanted: Wanted, *, below: str | None, limit: int) -> list[ExceptionRecord]:
    """Return those that are wanted, the newest change first; `below` is the place to go on from.

    Raises:
        ValueError: a state or kind is none.
    """
    source_ids = sources.ids(connection, wanted.sources)
    if wanted.sources and not source_ids:
        return []
    states = [_text(ExceptionState(word)) for word in wanted.states or ExceptionState]
    kinds = [_text(ExceptionKind(word)) for word in wanted.kinds or ExceptionKind]
    page = pagination.page(
        [column for column in _exceptions.c if column.name in (*ExceptionRecord._fields, "source_id")],
        pagination.combinations(
            (_exceptions.c.state, states), (_exceptions.c.kind, kinds), (_exceptions.c.source_id, source_ids)
        ),
        where=[_exceptions.c.place < below] if below else [],
        order=_exceptions.c.place.desc(),
        limit=limit,
    ).subquery()
    columns = columns_of(ExceptionRecord, page, source=_sources.c.name)
    query = select(*columns).join_from(page, _sources, _sources.c.id == page.c.source_id)
    return fetch_all(connection, ExceptionRecord, query.order_by(page.c.place.desc()))


def _text(word: ExceptionKind | ExceptionState) -> ColumnElement[str]:
    """Return a word as part of the statement: a plan for any of them would not go by the index over the few."""
    return literal_column(f"'{word}'")


def of_subject(connection: Connection, source_id: int, abouts: Sequence[tuple[str, str]]) -> list[ExceptionRecord]:
    """Return what there is about any of these things of a source, given as what and which; the newest change first."""
    names = [(kind, *about) for kind in ExceptionKind for about in abouts]
    which = [
        and_(
            _exceptions.c.kind == kind,
            _exceptions.c.source_id == source_id,
            _exceptions.c.about == about,
            _exceptions.c.subject == subject,
        )
        for kind, about, subject in names
    ]
    found = fetch_all(connection, ExceptionRecord, _all().where(or_(*which))) if which else []
    return sorted(found, key=lambda each: each.place, reverse=True)


def counts(connection: Connection, source_names: Sequence[str] = ()) -> dict[tuple[ExceptionKind, ExceptionState], int]:
    """Return how many there are of each kind in each unresolved state, counted to `COUNTED_MAX` and one more."""
    source_ids = sources.ids(connection, source_names)
    if source_names and not source_ids:
        return {}
    found = {}
    for kind in ExceptionKind:
        for state in UNRESOLVED:
            some = select(_exceptions.c.id).where(
                _exceptions.c.kind == _text(kind), _exceptions.c.state == _text(state)
            )
            if source_ids:
                some = some.where(_exceptions.c.source_id.in_(source_ids))
            number = select(func.count()).select_from(some.limit(COUNTED_MAX + 1).subquery())
            if counted := connection.execute(number).scalar_one():
                found[kind, state] = counted
    return found


def handle(
    connection: Connection, exception_id: str, state: ExceptionState, who: str, note: str | None, now: datetime
) -> None:
    """Write down that a person has acknowledged or resolved one of them."""
    values = {"state": state, "changed_at": now, "place": new_id("chg", now), "note": note}
    changed = update(_exceptions).where(_exceptions.c.id == exception_id)
    connection.execute(changed.values(**values, handled_by=who, handled_at=now))
    if state == ExceptionState.RESOLVED:
        entries.write_resolved(connection, [exception_id], now)
