"""Payments and jobs: which are due to be asked about, who has the lease to ask, and what was answered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Select,
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
from receiver.store import pagination, sources
from receiver.store.records import SKEW, columns_of, fetch_all, fetch_one
from receiver.store.tables import Check, Source, Subject, table_of

_subjects, _checks, _sources = (table_of(model) for model in (Subject, Check, Source))

STATUSES = tuple(str(status) for status in Status)
AGREEMENTS = tuple(str(agreement) for agreement in Agreement)


LATEST = timedelta(days=31)
"""The furthest ahead that a bank wants what is final to be looked at once more, and a day."""

BROUGHT_AT_ONCE = 1000


EACH_ITEM = "each_item"
"""Where a check's detail holds the items of a job."""


class LeaseLost(Exception):
    """Another worker has taken the subject over; what this one found out must not be written."""


class SubjectRecord(NamedTuple):
    """A payment or job: what callbacks claim of it, and what the bank answers; `source` is a name, times are UTC."""

    id: int
    source_id: int
    source: str
    kind: SubjectKind
    subject: str
    """The payment's or job's id at the bank."""
    status: Status
    bank_status: str | None
    """The status in the bank's own words."""
    agreement: Agreement
    claimed_status: Status | None
    claimed_at: datetime | None
    amount: str | None
    currency: str | None
    last_event_id: str | None
    returns: str | None
    returned_by: str | None
    created_at: datetime
    updated_at: datetime
    due_at: datetime | None
    attempts: int
    purpose: Purpose
    """What the bank is asked for next."""
    stalled_at: datetime | None


class NextCheck(NamedTuple):
    """When the bank is asked next about a payment or job (UTC), and why in words."""

    at: datetime | None
    """None where it is not asked for any more, or nobody knows when."""
    why: str


class CheckRecord(NamedTuple):
    """One question to the bank, and what came back."""

    at: datetime
    outcome: str
    """`answered`, or the `outcome` of a `BankError`."""
    bank_status: str | None
    detail: Mapping[str, Any]


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
        .where(_subjects.c.purpose == _text(purpose), _subjects.c.due_at.is_not(None))
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
        due = due.where(_subjects.c.purpose == _text(purpose))
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
            purpose=case((unchanged, _text(Purpose.RECHECK)), else_=_subjects.c.purpose),
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


def put_off(connection: Connection, dues: Sequence[Due], until: datetime) -> None:
    """Give subjects back unasked, due at `until`."""
    for due in dues:
        connection.execute(
            update(_subjects)
            .where(_subjects.c.id == due.id, _subjects.c.lease == due.lease)
            .values(lease=None, leased_until=None, due_at=until)
        )


def put_off_too_far(connection: Connection, source_id: int, now: datetime, longest: timedelta) -> list[int]:
    """Return subjects of a source that seem to wait for longer than any does: a clock was wrong when it was written.

    `longest` is the longest pause of what is not final. No more than `BROUGHT_AT_ONCE` are returned.
    """
    is_open = _subjects.c.status.in_([status for status in Status if not status.is_final])
    query = select(_subjects.c.id).where(
        _subjects.c.source_id == source_id,
        or_(and_(is_open, _subjects.c.due_at > now + longest), _subjects.c.due_at > now + LATEST),
    )
    return list(connection.execute(query.limit(BROUGHT_AT_ONCE)).scalars())


def bring_forward(connection: Connection, subject_ids: Sequence[int], now: datetime) -> None:
    """Make subjects due at once that have been put off, unless they are by now."""
    later = _subjects.c.due_at > now
    connection.execute(update(_subjects).where(_subjects.c.id.in_(subject_ids), later).values(due_at=now))


def ask_now(connection: Connection, subject_id: int, now: datetime) -> None:
    """Make a subject due at once, for a person."""
    changed = update(_subjects).where(_subjects.c.id == subject_id)
    connection.execute(changed.values(due_at=now, attempts=0, purpose=Purpose.PERSON))


class Stalled(NamedTuple):
    """A payment or job that has not come to an end for too long; times are UTC."""

    source_id: int
    kind: SubjectKind
    subject: str
    last_event_id: str | None
    amount: str | None
    currency: str | None
    status: Status
    bank_status: str | None
    created_at: datetime


def _unstalled(source_id: int, before: datetime) -> list[ColumnElement[bool]]:
    """Return the conditions for what is known since before `before`, has not come to an end, and is still asked for."""
    # As text, so that any plan goes by the index over those that are open.
    is_open = _subjects.c.status.in_([_text(status) for status in (Status.PENDING, Status.UNKNOWN)])
    is_subject = _subjects.c.kind.in_([SubjectKind.PAYMENT, SubjectKind.JOB])
    is_due = _subjects.c.due_at.is_not(None)
    is_old = (_subjects.c.source_id == source_id, _subjects.c.created_at <= before)
    return [_subjects.c.stalled_at.is_(None), is_open, *is_old, is_subject, is_due]


def has_stalled(connection: Connection, source_id: int, before: datetime) -> bool:
    """Tell whether anything of a source has not come to an end since before `before` that was not noted yet."""
    query = select(_subjects.c.id).where(*_unstalled(source_id, before)).order_by(_subjects.c.created_at).limit(1)
    return connection.execute(query).first() is not None


def stall(connection: Connection, source_id: int, before: datetime, now: datetime, *, limit: int) -> list[Stalled]:
    """Note up to `limit` of those, and return them."""
    some = select(_subjects.c.id).where(*_unstalled(source_id, before)).order_by(_subjects.c.created_at).limit(limit)
    chosen = some.with_for_update(skip_locked=True, key_share=True).cte("stalled")
    noted = update(_subjects).where(_subjects.c.id.in_(select(chosen.c.id))).values(stalled_at=now)
    return fetch_all(connection, Stalled, noted.returning(*columns_of(Stalled, _subjects)))


def _text(word: Purpose | Status) -> ColumnElement[str]:
    """Return a word as part of the statement: a plan for any of them would not go by the index over the few."""
    return literal_column(f"'{word}'")


_COLUMNS = [column for column in _subjects.c if column.name in SubjectRecord._fields]


def _named(rows: FromClause) -> Select[Any]:
    """Select the records of rows of the table, each with its source's name."""
    columns = columns_of(SubjectRecord, rows, source=_sources.c.name)
    return select(*columns).join_from(rows, _sources, _sources.c.id == rows.c.source_id)


def find(connection: Connection, source: str, kind: str, subject: str) -> SubjectRecord | None:
    """Return one payment or job of the source with this name."""
    query = _named(_subjects).where(_sources.c.name == source, _subjects.c.kind == kind, _subjects.c.subject == subject)
    return fetch_one(connection, SubjectRecord, query)


def listing(
    connection: Connection,
    kind: str,
    *,
    names: Sequence[str] = (),
    statuses: Sequence[str] = (),
    agreements: Sequence[str] = (),
    stalled: bool | None = None,
    below: int | None = None,
    limit: int,
) -> list[SubjectRecord]:
    """Return payments or jobs, the latest known first; `names` are sources, `below` is the number to go on from.

    An empty filter restricts nothing.
    """
    source_ids = sources.ids(connection, names)
    if names and not source_ids:
        return []
    where = [_subjects.c.kind == kind, *([_subjects.c.id < below] if below is not None else [])]
    if stalled:
        # Few are: they have an index of their own.
        where += [_subjects.c.stalled_at.is_not(None), *pagination.beside(_subjects.c.source_id, source_ids, 0)]
        where += [*pagination.beside(_subjects.c.status, statuses, "")]
        where += [*pagination.beside(_subjects.c.agreement, agreements, "")]
        few = select(*_COLUMNS).where(*where).order_by(_subjects.c.id.desc()).limit(limit).subquery()
        return fetch_all(connection, SubjectRecord, _named(few).order_by(few.c.id.desc()))
    if stalled is not None:
        where.append(_subjects.c.stalled_at.is_(None))
    # One index leads with status and agreement in this order: where one of them is wanted, all of the other are named.
    filtered = bool(statuses or agreements)
    statuses = statuses or (STATUSES if filtered else ())
    agreements = agreements or (AGREEMENTS if filtered else ())
    page = pagination.page(
        _COLUMNS,
        pagination.combinations(
            (_subjects.c.source_id, source_ids), (_subjects.c.status, statuses), (_subjects.c.agreement, agreements)
        ),
        where=where,
        order=_subjects.c.id.desc(),
        limit=limit,
    ).subquery()
    return fetch_all(connection, SubjectRecord, _named(page).order_by(page.c.id.desc()))


def checks_of(connection: Connection, subject_id: int) -> list[CheckRecord]:
    """Return every check made of a subject, oldest first."""
    query = select(*columns_of(CheckRecord, _checks)).where(_checks.c.subject_id == subject_id).order_by(_checks.c.id)
    return fetch_all(connection, CheckRecord, query)


class CheckMade(NamedTuple):
    """A question to a bank, whatever it was about; `at` is UTC."""

    source_id: int
    kind: SubjectKind
    subject: str
    at: datetime
    outcome: str


def latest_checks(connection: Connection, *, limit: int) -> list[CheckMade]:
    """Return the newest checks of all sources, newest first."""
    columns = (_checks.c.subject_id, _checks.c.at, _checks.c.outcome)
    # By its primary key, which SQLite's plan says only where there is a condition.
    query = select(*columns).where(_checks.c.id > 0).order_by(_checks.c.id.desc()).limit(limit)
    newest = connection.execute(query).all()
    about = select(_subjects.c.id, _subjects.c.source_id, _subjects.c.kind, _subjects.c.subject)
    subject_ids = sorted({subject_id for subject_id, _, _ in newest})
    found = {row.id: row for row in connection.execute(about.where(_subjects.c.id.in_(subject_ids)))}
    return [
        CheckMade(row.source_id, row.kind, row.subject, at, outcome)
        for subject_id, at, outcome in newest
        for row in (found[subject_id],)
    ]


def items_of(checks: Sequence[CheckRecord]) -> list[dict[str, Any]]:
    """Return what became of each item of a job, as the bank said it last."""
    found: list[dict[str, Any]] = next(
        (check.detail[EACH_ITEM] for check in reversed(checks) if EACH_ITEM in check.detail), []
    )
    return found
