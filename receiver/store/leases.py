"""Who may ask about what is due: payments and jobs are leased to one worker at a time, and settled by its answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    case,
    func,
    insert,
    literal_column,
    or_,
    select,
    update,
)

from receiver.model import Agreement, Purpose, Status, SubjectKind
from receiver.store import pagination
from receiver.store.records import SKEW, columns_of, fetch_all
from receiver.store.tables import Check, Source, Subject, table_of

_subjects, _checks, _sources = (table_of(model) for model in (Subject, Check, Source))

LATEST = timedelta(days=31)
"""The furthest ahead that a bank wants what is final to be looked at once more, and a day."""

BROUGHT_AT_ONCE = 1000


class LeaseLost(Exception):
    """Another worker has taken the subject over; what this one found out must not be written."""


class Due(NamedTuple):
    """A subject that this worker alone may ask about until its lease ends."""

    id: int
    source_id: int
    kind: SubjectKind
    subject: str
    attempts: int
    last_event_id: str | None
    due_at: datetime
    lease: str
    purpose: Purpose


class Lease(NamedTuple):
    """The right to ask that one worker takes (UTC); its `name` is new each time."""

    now: datetime
    until: datetime
    name: str


@dataclass(frozen=True)
class State:
    """What is known of a subject."""

    status: Status
    bank_status: str | None
    agreement: Agreement
    claimed_status: Status | None
    last_event_id: str | None
    returns: str | None = None
    since: datetime | None = field(default=None, compare=False)
    """When it last changed."""


def purposes_due(connection: Connection, now: datetime) -> list[Purpose]:
    """Return what anything is due for; next to nothing where nothing is."""
    # In the index's order: one that only asks whether there is any might be looked for among all that is settled.
    first = [
        select(_subjects.c.due_at)
        .where(_subjects.c.purpose == as_text(purpose), _subjects.c.due_at.is_not(None))
        .order_by(_subjects.c.due_at)
        .limit(1)
        .scalar_subquery()
        for purpose in Purpose
    ]
    row = connection.execute(select(*first)).one()
    return [purpose for purpose, due_at in zip(Purpose, row, strict=True) if due_at is not None and due_at <= now]


def claim_planned(
    connection: Connection, order: Sequence[Purpose], lease: Lease, *, limit: int, source_ids: Sequence[int]
) -> list[Due]:
    """Lease up to `limit` subjects of these sources: the one that is longest due of each purpose, then more in `order`.

    So none waits for another purpose to be through with all that it has.
    """
    taken: list[Due] = []
    left = list(order)
    for most in (1, limit):
        for purpose in list(left):
            room = min(most, limit - len(taken))
            if room <= 0 or not source_ids:
                return taken
            found = claim_due(
                connection,
                now=lease.now,
                until=lease.until,
                lease=lease.name,
                limit=room,
                purpose=purpose,
                source_ids=source_ids,
            )
            taken += found
            if len(found) < room:
                left.remove(purpose)
    return taken


def claim_due(
    connection: Connection,
    *,
    now: datetime,
    until: datetime,
    lease: str,
    limit: int,
    subject_id: int | None = None,
    purpose: Purpose | None = None,
    source_ids: Sequence[int] | None = None,
) -> list[Due]:
    """Lease up to `limit` subjects that are due until `until`, the longest due first; `lease` is new at each call.

    Those of all sources that are enabled, where none are named.

    A lease that ends later than one that is taken now was taken by a clock that was wrong, and is over.
    """
    is_over = or_(_subjects.c.leased_until <= now, _subjects.c.leased_until > until + SKEW)
    free = or_(_subjects.c.leased_until.is_(None), is_over)
    enabled = select(_sources.c.id).where(_sources.c.enabled.is_(True))
    due = (
        select(_subjects.c.id)
        .where(_subjects.c.due_at <= now, free, _subjects.c.source_id.in_(enabled))
        .order_by(_subjects.c.due_at, _subjects.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True, key_share=True)
    )
    if source_ids is not None:
        due = due.where(_subjects.c.source_id.in_(source_ids))
    if purpose is not None:
        due = due.where(_subjects.c.purpose == as_text(purpose))
    if subject_id is not None:
        due = due.where(_subjects.c.id == subject_id)
    # A CTE, so that PostgreSQL takes the limited, locked rows once and never plans them anew for each row.
    chosen = due.cte("due")
    taken = (
        update(_subjects)
        .where(_subjects.c.id.in_(select(chosen.c.id)))
        .values(lease=lease, leased_until=until)
        .returning(*columns_of(Due, _subjects))
    )
    return fetch_all(connection, Due, taken)


class DuePayment(NamedTuple):
    """A payment that is due, and that nobody asks about just now."""

    id: int
    source_id: int
    subject: str


def due_payments(connection: Connection, now: datetime, limit: int) -> list[DuePayment]:
    """Return the payments among the `limit` subjects that are longest due, whatever their source."""
    # By the one index that leads with the time: how many subjects a source has is of no matter.
    due = select(_subjects).where(_subjects.c.due_at <= now).order_by(_subjects.c.due_at).limit(limit).subquery()
    free = or_(due.c.leased_until.is_(None), due.c.leased_until <= now)
    query = select(due.c.id, due.c.source_id, due.c.subject).where(due.c.kind == SubjectKind.PAYMENT, free)
    return fetch_all(connection, DuePayment, query.order_by(due.c.due_at))


def locked_state(connection: Connection, due: Due) -> State:
    """Return what is known now, and keep other writers from it until the transaction ends.

    Raises:
        LeaseLost
    """
    query = select(_subjects).where(_subjects.c.id == due.id, _subjects.c.lease == due.lease)
    row = connection.execute(query.with_for_update(key_share=True)).one_or_none()
    if row is None:
        raise LeaseLost(f"{due.kind} {due.subject} was taken over by another worker")
    return State(
        status=row.status,
        bank_status=row.bank_status,
        agreement=row.agreement,
        claimed_status=row.claimed_status,
        last_event_id=row.last_event_id,
        returns=row.returns,
        since=row.updated_at,
    )


def settle(
    connection: Connection,
    due: Due,
    *,
    now: datetime,
    next_at: datetime | None,
    values: Mapping[str, Any],
    is_attempt: bool = True,
) -> None:
    """Write what a check changed, end the lease, and say when to ask again.

    Where a claim came in since the lease was taken, or a late delivery that waits for an answer, the subject stays due
    at once. Call `locked_state` before, in the same transaction.
    """
    unchanged = and_(
        _subjects.c.last_event_id.is_not_distinct_from(due.last_event_id), _subjects.c.due_at == due.due_at
    )
    connection.execute(
        update(_subjects)
        .where(_subjects.c.id == due.id)
        .values(
            **values,
            lease=None,
            leased_until=None,
            due_at=case((unchanged, next_at), else_=now),
            attempts=case((unchanged, _subjects.c.attempts + int(is_attempt)), else_=0),
            purpose=case((unchanged, as_text(Purpose.RECHECK)), else_=_subjects.c.purpose),
        )
    )


def add_check(
    connection: Connection,
    subject_id: int,
    *,
    at: datetime,
    outcome: str,
    bank_status: str | None,
    detail: Mapping[str, Any],
) -> None:
    """Record one question to the bank and what came back."""
    connection.execute(
        insert(_checks).values(
            subject_id=subject_id, at=at, outcome=outcome, bank_status=bank_status, detail=dict(detail)
        )
    )


class NotKnownRun(NamedTuple):
    """Answers in a row by which the bank does not know of a subject; failures to ask do not count."""

    number: int
    first: datetime | None
    last: datetime | None


def not_known_run(connection: Connection, subject_id: int, outcome: str) -> NotKnownRun:
    """Return how often the bank has said `outcome` since it last answered otherwise."""
    of_subject = _checks.c.subject_id == subject_id
    answered = select(func.max(_checks.c.id)).where(of_subject, _checks.c.outcome == "answered").scalar_subquery()
    query = select(func.count(), func.min(_checks.c.at), func.max(_checks.c.at)).where(
        of_subject, _checks.c.outcome == outcome, _checks.c.id > func.coalesce(answered, 0)
    )
    return NotKnownRun(*connection.execute(query).one())


def put_off(connection: Connection, dues: Sequence[Due], until: datetime | None) -> None:
    """Give subjects back unasked, due at `until`, or as long due as they were."""
    # In the order in which claims touch them, so that the two never wait for each other in a circle.
    for due in sorted(dues, key=lambda due: (due.source_id, due.kind, due.subject)):
        connection.execute(
            update(_subjects)
            .where(_subjects.c.id == due.id, _subjects.c.lease == due.lease)
            .values(lease=None, leased_until=None, due_at=until or due.due_at)
        )


def put_off_too_far(connection: Connection, source_id: int, now: datetime, longest: timedelta) -> list[int]:
    """Return subjects of a source that seem to wait for longer than any does: a clock was wrong when it was written.

    `longest` is the longest pause of what is not final. No more than `BROUGHT_AT_ONCE` are returned.
    """
    is_open = _subjects.c.status.in_([as_text(status) for status in Status if not status.is_final])
    # Each by an index of its own: what is final waits by the day, and is most of what waits for longer than the other.
    ways = (
        (_subjects.c.source_id == source_id, is_open, _subjects.c.due_at > now + longest),
        (*pagination.beside(_subjects.c.source_id, [source_id], 0), _subjects.c.due_at > now + LATEST),
    )
    queries = (select(_subjects.c.id).where(*way).order_by(_subjects.c.due_at).limit(BROUGHT_AT_ONCE) for way in ways)
    found = dict.fromkeys(id_ for query in queries for id_ in connection.execute(query).scalars())
    return list(found)[:BROUGHT_AT_ONCE]


def bring_forward(connection: Connection, subject_ids: Sequence[int], now: datetime) -> None:
    """Make subjects due at once that have been put off, unless they are by now, or somebody changes them just now."""
    later = select(_subjects.c.id).where(_subjects.c.id.in_(subject_ids), _subjects.c.due_at > now)
    # It waits for no row, so that it and a writer of claims never wait for each other in a circle.
    chosen = later.with_for_update(skip_locked=True, key_share=True).cte("later")
    connection.execute(update(_subjects).where(_subjects.c.id.in_(select(chosen.c.id))).values(due_at=now))


def ask_now(connection: Connection, subject_id: int, now: datetime) -> None:
    """Make a subject due at once, for a person."""
    changed = update(_subjects).where(_subjects.c.id == subject_id)
    connection.execute(changed.values(due_at=now, attempts=0, purpose=Purpose.PERSON))


def as_text(word: Purpose | Status | SubjectKind) -> ColumnElement[str]:
    """Return a word as part of the statement: a plan for any of them would not go by the index over the few."""
    return literal_column(f"'{word}'")
