"""Who may ask about what is due: payments and jobs are leased to one worker at a time, and settled by its answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Update,
    and_,
    case,
    func,
    insert,
    literal_column,
    or_,
    select,
    tuple_,
    union_all,
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

_ENABLED = select(_sources.c.id).where(_sources.c.enabled.is_(True))


class LeaseLost(Exception):
    """Another worker has taken over what was leased; what this one found out must not be written."""


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
    confirmed_status: Status | None = field(default=None, compare=False)
    """The final claim that the bank has confirmed last."""
    contradicted_status: Status | None = field(default=None, compare=False)
    """The final claim that was told last to be contradicted."""


def is_free(lease: Lease) -> ColumnElement[bool]:
    """Return the condition that nobody asks about a subject just now, so that `lease` could take it.

    A lease that ends later than one that is taken now was taken by a clock that was wrong, and is over.
    """
    is_over = or_(_subjects.c.leased_until <= lease.now, _subjects.c.leased_until > lease.until + SKEW)
    return or_(_subjects.c.leased_until.is_(None), is_over)


def claim_planned(
    connection: Connection, order: Mapping[Purpose, Sequence[int]], lease: Lease, *, limit: int
) -> list[Due]:
    """Lease up to `limit` subjects: the one that is longest due for each purpose, then more in `order`.

    So none waits for another purpose to be through with all that it has. Of each purpose those of the sources whose
    numbers are named in `order`, the longest due first, where they are enabled.
    """
    taken: list[Due] = []
    enabled = set(connection.execute(_ENABLED).scalars())
    left = {purpose: [number for number in numbers if number in enabled] for purpose, numbers in order.items()}
    for most in (1, limit):
        for purpose, source_ids in list(left.items()):
            room = min(most, limit - len(taken))
            if room <= 0:
                return taken
            found = _claim(connection, purpose, lease, room, source_ids)
            taken += found
            if len(found) < room:
                del left[purpose]
    return taken


def claim_one(connection: Connection, subject_id: int, lease: Lease) -> Due | None:
    """Lease one subject, where it is due and free, and its source is enabled; none elsewhere."""
    one = [_subjects.c.id == subject_id, _subjects.c.due_at <= lease.now, _subjects.c.source_id.in_(_ENABLED)]
    return next(iter(_take(connection, _first_free(lease, one, 1), lease)), None)


IN_ORDER = (_subjects.c.source_id, _subjects.c.purpose, _subjects.c.due_at, _subjects.c.id)
"""What is due, as the index has it: by source and purpose, the longest due first."""


def due_for(source_id: Any, purpose: Purpose, now: Any) -> list[ColumnElement[bool]]:
    """Return the condition that a subject of a source is due for a purpose, as a stretch of `IN_ORDER`.

    Ordered so, nothing but its index serves: by any other one in the order of time, PostgreSQL may go through all that
    is due of other sources, where this one has nothing.
    """
    source, what_for, due_at, _ = IN_ORDER
    begins = tuple_(source, what_for) >= tuple_(source_id, as_text(purpose))
    ends = tuple_(source, what_for, due_at) <= tuple_(source_id, as_text(purpose), now)
    return [begins, ends, due_at.is_not(None)]


def _claim(connection: Connection, purpose: Purpose, lease: Lease, limit: int, source_ids: Sequence[int]) -> list[Due]:
    """Lease up to `limit` subjects that are the longest due for a purpose, of these sources."""
    parts = [
        _first_free(lease, due_for(number, purpose, lease.now), limit, IN_ORDER)
        # Of more sources, those that are named first, which are the longest due.
        for number in source_ids[: pagination.PARTS_MAX]
    ]
    if len(parts) < 2:
        return _take(connection, parts[0], lease) if parts else []
    # PostgreSQL locks so many of each until the transaction ends.
    each = union_all(*(select(part.subquery()) for part in parts)).subquery()
    return _take(connection, select(each).order_by(each.c.due_at, each.c.id).limit(limit), lease)


def _first_free(
    lease: Lease, where: Sequence[ColumnElement[bool]], limit: int, order: Sequence[ColumnElement[Any]] = ()
) -> Select[Any]:
    found = select(_subjects.c.id, _subjects.c.due_at).where(*where, is_free(lease)).order_by(*order).limit(limit)
    return found.with_for_update(skip_locked=True, key_share=True)


def _take(connection: Connection, chosen: Select[Any], lease: Lease) -> list[Due]:
    # A CTE, so that PostgreSQL takes the limited, locked rows once and never plans them anew for each row.
    due = chosen.cte("due")
    taken = (
        update(_subjects)
        .where(_subjects.c.id.in_(select(due.c.id)))
        .values(lease=lease.name, leased_until=lease.until)
        .returning(*columns_of(Due, _subjects))
    )
    return fetch_all(connection, Due, taken)


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
        confirmed_status=row.confirmed_status,
        contradicted_status=row.contradicted_status,
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
    unchanged = _is_unchanged(due)
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
    claimed: bool = True,
) -> None:
    """Record one question to the bank and what came back; `claimed` says whether a callback had named it by then."""
    values = {"subject_id": subject_id, "at": at, "outcome": outcome, "bank_status": bank_status, "claimed": claimed}
    connection.execute(insert(_checks).values(**values, detail=dict(detail)))


class NotKnownRun(NamedTuple):
    """Answers in a row by which the bank does not know of a subject; failures to ask do not count."""

    number: int
    first: datetime | None
    last: datetime | None


def not_known_run(connection: Connection, due: Due, outcome: str) -> NotKnownRun:
    """Return how often the bank has said `outcome` since it last answered otherwise.

    What it was asked before anybody claimed it counts for nothing to whoever does. That is written with each check: no
    number of one says so, since SQLite uses those anew that retention has removed, and no time, since clocks are wrong.
    """
    of_subject = _checks.c.subject_id == due.id
    answered = select(func.max(_checks.c.id)).where(of_subject, _checks.c.outcome == "answered").scalar_subquery()
    query = select(func.count(), func.min(_checks.c.at), func.max(_checks.c.at)).where(
        of_subject,
        _checks.c.outcome == outcome,
        _checks.c.id > func.coalesce(answered, 0),
        *([] if due.last_event_id is None else [_checks.c.claimed.is_not(False)]),
    )
    return NotKnownRun(*connection.execute(query).one())


def give_back(connection: Connection, dues: Sequence[Due]) -> None:
    """Give subjects back unasked, as long due as they are."""
    for due in _in_order(dues):
        connection.execute(_end_lease(due))


def put_off(connection: Connection, dues: Sequence[Due], until: datetime) -> None:
    """Give subjects back unasked, due at `until`; what was claimed or asked for meanwhile stays due at once."""
    for due in _in_order(dues):
        due_at = case((_is_unchanged(due), until), else_=_subjects.c.due_at)
        connection.execute(_end_lease(due).values(due_at=due_at))


def _in_order(dues: Sequence[Due]) -> list[Due]:
    """Return them in the order in which claims touch them, so that the two never wait for each other in a circle."""
    return sorted(dues, key=lambda due: (due.source_id, due.kind, due.subject))


def _end_lease(due: Due) -> Update:
    ours = (_subjects.c.id == due.id, _subjects.c.lease == due.lease)
    return update(_subjects).where(*ours).values(lease=None, leased_until=None)


def _is_unchanged(due: Due) -> ColumnElement[bool]:
    """Return the condition that no claim came in since the lease was taken, no late delivery, and no person asked."""
    is_same_event = _subjects.c.last_event_id.is_not_distinct_from(due.last_event_id)
    return and_(is_same_event, _subjects.c.due_at == due.due_at)


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
