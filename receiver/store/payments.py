"""Payments and jobs: what is known of them, what the bank was asked, and which do not come to an end."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Select,
    select,
    update,
)

from receiver.model import Agreement, Purpose, Status, SubjectKind
from receiver.store import pagination, sources
from receiver.store.events import EventRecord
from receiver.store.leases import as_text
from receiver.store.records import columns_of, fetch_all, fetch_one
from receiver.store.tables import Check, Source, Subject, table_of

_subjects, _checks, _sources = (table_of(model) for model in (Subject, Check, Source))

STATUSES = tuple(str(status) for status in Status)
AGREEMENTS = tuple(str(agreement) for agreement in Agreement)


EACH_ITEM = "each_item"
"""Where a check's detail holds the items of a job."""


CHECKS_AT_ONCE = 5000
"""Of all payments of a page: one that does not come to an end is asked about each hour, for as long as it does not."""


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
    is_open = _subjects.c.status.in_([as_text(status) for status in (Status.PENDING, Status.UNKNOWN)])
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


_COLUMNS = [column for column in _subjects.c if column.name in SubjectRecord._fields]


def _named(rows: FromClause) -> Select[Any]:
    """Select the records of rows of the table, each with its source's name."""
    columns = columns_of(SubjectRecord, rows, source=_sources.c.name)
    return select(*columns).join_from(rows, _sources, _sources.c.id == rows.c.source_id)


def find(connection: Connection, source: str, kind: str, subject: str) -> SubjectRecord | None:
    """Return one payment or job of the source with this name."""
    query = _named(_subjects).where(_sources.c.name == source, _subjects.c.kind == kind, _subjects.c.subject == subject)
    return fetch_one(connection, SubjectRecord, query)


def leased_until(connection: Connection, subject_id: int) -> datetime | None:
    """Return until when (UTC) a worker may ask about one of them, by its lease; none where no worker has it."""
    found: datetime | None = connection.execute(
        select(_subjects.c.leased_until).where(_subjects.c.id == subject_id)
    ).scalar_one()
    return found


class Asked(NamedTuple):
    """What the bank can be asked about an event, and what it was asked."""

    subjects: Sequence[SubjectRecord]
    """Its payment first; then what its callback named it by, where that is another: a reference, or a job."""
    checks: Sequence[CheckRecord]
    """Of all of these, oldest first."""


def of_event(connection: Connection, event: EventRecord) -> Asked:
    """Return what the bank can be asked about an event, and every check made of that."""
    names = [(SubjectKind.PAYMENT, event.payment_id), (event.kind, event.subject)]
    found = [
        subject
        for kind, name in dict.fromkeys(names)
        if name is not None and (subject := find(connection, event.source, kind, name)) is not None
    ]
    checks = [check for subject in found for check in checks_of(connection, subject.id)]
    return Asked(found, sorted(checks, key=lambda check: check.at))


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


def checks_of_each(connection: Connection, subject_ids: Sequence[int]) -> list[list[CheckRecord]]:
    """Return every check made of each of these subjects, oldest first; their numbers descend, as in a list.

    They are those of the first so many that have up to `CHECKS_AT_ONCE` together, and of one at least.
    """
    query = (
        select(_checks.c.subject_id, *columns_of(CheckRecord, _checks))
        .where(pagination.among(connection, _checks.c.subject_id, subject_ids))
        .order_by(_checks.c.subject_id.desc(), _checks.c.id.desc())
        .limit(CHECKS_AT_ONCE + 1)
    )
    made: dict[int, list[CheckRecord]] = {subject_id: [] for subject_id in subject_ids}
    rows = connection.execute(query).all() if subject_ids else []
    for subject_id, *check in reversed(rows):
        made[subject_id].append(CheckRecord(*check))
    if len(rows) <= CHECKS_AT_ONCE:
        return list(made.values())
    # The last one that was read has more than were read of it.
    behind = rows[-1].subject_id
    return [made[each] for each in subject_ids if each > behind] or [checks_of(connection, behind)]


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
