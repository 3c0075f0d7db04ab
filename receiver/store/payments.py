"""Payments and jobs: what is due to be asked, who asks it, and what was answered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, case, insert, or_, select, update

from receiver.store import pagination, sources
from receiver.store.tables import Check, Source, Subject, table_of

_subjects, _checks, _sources = (table_of(model) for model in (Subject, Check, Source))


STATUSES = ("pending", "completed", "rejected", "reversed", "cancelled", "returned", "unknown")
AGREEMENTS = ("unconfirmed", "confirmed", "contradicted", "unknown_to_bank")


class LeaseLost(Exception):
    """Another worker has taken the subject over; what this one found out must not be written."""


@dataclass(frozen=True)
class Due:
    """A subject that this worker alone may ask about until its lease ends."""

    id: int
    source_id: int
    kind: str
    subject: str
    attempts: int
    last_event_id: str | None
    lease: str


@dataclass(frozen=True)
class State:
    """What is known of a subject."""

    status: str
    bank_status: str | None
    agreement: str
    claimed_status: str | None
    last_event_id: str | None
    returns: str | None = None
    since: datetime | None = field(default=None, compare=False)
    """When it last changed."""


def claim_due(
    connection: Connection, *, now: datetime, until: datetime, lease: str, limit: int, subject_id: int | None = None
) -> list[Due]:
    """Take up to `limit` subjects that are due, the longest due first; `lease` must be new at each call."""
    free = or_(_subjects.c.leased_until.is_(None), _subjects.c.leased_until <= now)
    enabled = select(_sources.c.id).where(_sources.c.enabled.is_(True))
    due = (
        select(_subjects.c.id)
        .where(_subjects.c.due_at <= now, free, _subjects.c.source_id.in_(enabled))
        .order_by(_subjects.c.due_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    if subject_id is not None:
        due = due.where(_subjects.c.id == subject_id)
    # A CTE, so that PostgreSQL takes the limited, locked rows once and never plans them anew for each row.
    chosen = due.cte("due")
    taken = (
        update(_subjects)
        .where(_subjects.c.id.in_(select(chosen.c.id)))
        .values(lease=lease, leased_until=until)
        .returning(
            _subjects.c.id,
            _subjects.c.source_id,
            _subjects.c.kind,
            _subjects.c.subject,
            _subjects.c.attempts,
            _subjects.c.last_event_id,
        )
    )
    return [
        Due(row.id, row.source_id, row.kind, row.subject, row.attempts, row.last_event_id, lease)
        for row in connection.execute(taken)
    ]


def locked_state(connection: Connection, due: Due) -> State:
    """Return what is known now, and keep other writers from it until the transaction ends.

    Raises:
        LeaseLost
    """
    row = connection.execute(
        select(_subjects).where(_subjects.c.id == due.id, _subjects.c.lease == due.lease).with_for_update()
    ).one_or_none()
    if row is None:
        raise LeaseLost(f"{due.kind} {due.subject} was taken over by another worker")
    return State(
        row.status,
        row.bank_status,
        row.agreement,
        row.claimed_status,
        row.last_event_id,
        row.returns,
        row.updated_at,
    )


def settle(
    connection: Connection,
    due: Due,
    *,
    now: datetime,
    next_at: datetime | None,
    values: Mapping[str, Any],
) -> None:
    """Write what a check changed, end the lease, and say when to ask again.

    Where a claim came in since the lease was taken, the subject stays due at once. Call `locked_state` before, in the
    same transaction.
    """
    unchanged = _subjects.c.last_event_id.is_not_distinct_from(due.last_event_id)
    connection.execute(
        update(_subjects)
        .where(_subjects.c.id == due.id)
        .values(
            **values,
            lease=None,
            leased_until=None,
            due_at=case((unchanged, next_at), else_=now),
            attempts=case((unchanged, _subjects.c.attempts + 1), else_=0),
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


def put_off(connection: Connection, dues: Sequence[Due], until: datetime) -> None:
    """Give subjects back unasked, due at `until`."""
    for due in dues:
        connection.execute(
            update(_subjects)
            .where(_subjects.c.id == due.id, _subjects.c.lease == due.lease)
            .values(lease=None, leased_until=None, due_at=until)
        )


def ask_now(connection: Connection, subject_id: int, now: datetime) -> None:
    """Make a subject due at once."""
    connection.execute(update(_subjects).where(_subjects.c.id == subject_id).values(due_at=now, attempts=0))


def _all() -> Select[Any]:
    return select(_subjects, _sources.c.name.label("source")).join(_sources, _sources.c.id == _subjects.c.source_id)


def find(connection: Connection, source: str, kind: str, subject: str) -> Row[Any] | None:
    """Return one payment or job with its source's name."""
    query = _all().where(_sources.c.name == source, _subjects.c.kind == kind, _subjects.c.subject == subject)
    return connection.execute(query).one_or_none()


def listing(
    connection: Connection,
    kind: str,
    *,
    names: Sequence[str] = (),
    status: str | None = None,
    agreement: str | None = None,
    below: int | None = None,
    limit: int,
) -> list[Row[Any]]:
    """Return payments or jobs, the latest known first; `names` are sources, `below` is the number to go on from."""
    source_ids = sources.ids(connection, names)
    if names and not source_ids:
        return []
    # One index leads with status and agreement in this order: where one of them is wanted, all of the other are named.
    filtered = bool(status or agreement)
    statuses = [status] if status else STATUSES if filtered else []
    agreements = [agreement] if agreement else AGREEMENTS if filtered else []
    where = [_subjects.c.kind == kind]
    if below is not None:
        where.append(_subjects.c.id < below)
    page = pagination.page(
        _subjects,
        pagination.combinations(
            (_subjects.c.source_id, source_ids), (_subjects.c.status, statuses), (_subjects.c.agreement, agreements)
        ),
        where=where,
        order=_subjects.c.id.desc(),
        limit=limit,
    ).subquery()
    named = select(page, _sources.c.name.label("source")).join(_sources, _sources.c.id == page.c.source_id)
    return list(connection.execute(named.order_by(page.c.id.desc())))


def checks_of(connection: Connection, subject_id: int) -> list[Row[Any]]:
    """Return every check made of a subject, oldest first."""
    return list(connection.execute(select(_checks).where(_checks.c.subject_id == subject_id).order_by(_checks.c.id)))
