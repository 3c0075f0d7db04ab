"""What callbacks claim of payments and jobs (upserts), and which payments belong together: reasons to ask the bank."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, select, update

from receiver.model import Agreement, OwnType, Purpose, Status, SubjectKind
from receiver.store import outbox, particulars, search_index
from receiver.store.bulk_insert import BulkInsert, insert_or_skip
from receiver.store.leases import Due, as_text
from receiver.store.tables import Event, Subject, table_of

_subjects, _events = table_of(Subject), table_of(Event)

SUBJECT_KINDS = (SubjectKind.PAYMENT, SubjectKind.JOB, SubjectKind.REFERENCE)
"""What the bank can be asked about."""

_AT_FIRST = (str(Status.UNKNOWN), str(Agreement.UNCONFIRMED))
"""What is known of a payment or job before the bank was asked: its status and agreement."""

# A claim that it is pending takes back no other one, and neither does one that the bank told earlier, but for one that
# it is pending. Where either time is not known that comparison is NULL, which is not true: then the order of receipt
# counts.
_make_due = BulkInsert(
    _subjects,
    [
        *("source_id", "kind", "subject", "claimed_status", "amount", "currency", "last_event_id", "created_at"),
        *("claimed_at", "status", "agreement", "updated_at", "due_at", "attempts", "purpose"),
    ],
    unique=["source_id", "kind", "subject"],
    otherwise="""
        claimed_status = CASE
            WHEN excluded.claimed_status IS NULL THEN subjects.claimed_status
            WHEN excluded.claimed_status = 'pending' THEN coalesce(subjects.claimed_status, 'pending')
            WHEN excluded.claimed_at < subjects.claimed_at AND subjects.claimed_status <> 'pending'
                THEN subjects.claimed_status
            ELSE excluded.claimed_status
        END,
        claimed_at = CASE
            WHEN excluded.claimed_status IS NULL THEN subjects.claimed_at
            WHEN excluded.claimed_status = 'pending' AND subjects.claimed_status IS NOT NULL THEN subjects.claimed_at
            WHEN excluded.claimed_at < subjects.claimed_at AND subjects.claimed_status <> 'pending'
                THEN subjects.claimed_at
            ELSE excluded.claimed_at
        END,
        currency = CASE WHEN subjects.amount IS NULL THEN coalesce(excluded.currency, subjects.currency)
            ELSE subjects.currency END,
        amount = coalesce(subjects.amount, excluded.amount),
        last_event_id = excluded.last_event_id, due_at = excluded.due_at, attempts = 0, purpose = excluded.purpose
    """,
)

_ask_about = BulkInsert(
    _subjects,
    [
        *(
            "source_id",
            "kind",
            "subject",
            "status",
            "agreement",
            "created_at",
            "updated_at",
            "due_at",
            "attempts",
            "purpose",
        )
    ],
    unique=["source_id", "kind", "subject"],
    otherwise="due_at = excluded.due_at, attempts = 0, purpose = excluded.purpose",
)


class NewClaim(NamedTuple):
    """What a new event says of what it is about."""

    source_id: int
    kind: str
    subject: str
    status: str | None
    """One of `Status`."""
    amount: str | None
    currency: str | None
    event_id: str
    at: datetime
    claimed_at: datetime | None = None
    """When the bank told it, where that orders its claims."""


def make_due(connection: Connection, new_claims: Sequence[NewClaim]) -> None:
    """Write claims down in the order in which they came (upsert), and make what they are about due at once."""
    rounds: list[dict[tuple[int, str, str], NewClaim]] = []
    for claim in new_claims:
        key = claim[:3]
        # One statement must not meet the same row twice.
        free = next((subjects for subjects in rounds if key not in subjects), None)
        if free is None:
            rounds.append(free := {})
        free[key] = claim
    for subjects in rounds:
        # In one order for all writers, so that no two ever wait for each other in a circle.
        _make_due.run(connection, [_row(subjects[key]) for key in sorted(subjects)])


def _row(claim: NewClaim) -> tuple[object, ...]:
    return (*claim, *_AT_FIRST, claim.at, claim.at, 0, str(Purpose.CLAIM))


def ask_about(
    connection: Connection, subjects: Iterable[tuple[int, str, str]], now: datetime, purpose: Purpose
) -> None:
    """Make subjects due at once, each given as source, kind and id, without a claim of what they are."""
    # In one order for all writers, so that no two ever wait for each other in a circle.
    rows = [(*subject, *_AT_FIRST, now, now, now, 0, str(purpose)) for subject in sorted(set(subjects))]
    _ask_about.run(connection, rows)


def claim_by_reference(connection: Connection, due: Due, payment_id: str, now: datetime) -> None:
    """Hand what is claimed of a reference on to the payment behind it, which becomes due; idempotent.

    A final state that the payment itself was told of later stays.
    """
    columns = ("claimed_status", "claimed_at", "amount", "currency", "last_event_id")
    row = connection.execute(select(*(_subjects.c[name] for name in columns)).where(_subjects.c.id == due.id)).one()
    if row.last_event_id is None:
        return
    query = select(*(_subjects.c[name] for name in columns)).where(_payment(due.source_id, payment_id))
    own = connection.execute(query.with_for_update(key_share=True)).one_or_none()
    # Ids ascend with time.
    newest = max(row.last_event_id, "" if own is None else own.last_event_id or "")
    is_final = own is not None and own.claimed_status is not None and own.claimed_status.is_final
    claim = NewClaim(
        source_id=due.source_id,
        kind=SubjectKind.PAYMENT,
        subject=payment_id,
        status=None if is_final and newest != row.last_event_id else row.claimed_status,
        amount=row.amount,
        currency=row.currency,
        event_id=newest,
        at=now,
        claimed_at=row.claimed_at,
    )
    make_due(connection, [claim])


NAMED_AT_ONCE = 100
"""Events that are given their payment in one transaction: on SQLite callbacks wait for it, some 20 ms."""


def name_payment(connection: Connection, due: Due, payment_id: str) -> int:
    """Have the events about a reference be found by the payment behind it, up to `NAMED_AT_ONCE` that are not yet.

    It returns how many those were; idempotent. It takes the lock of the feed's head, in the caller's transaction, which
    must hold no subject: whoever projects takes the two in this order.
    """
    unnamed = (
        _events.c.source_id == due.source_id,
        # As text: with a parameter no planner would know that the index over the few may serve.
        _events.c.kind == as_text(SubjectKind.REFERENCE),
        _events.c.subject == due.subject,
        _events.c.payment_id.is_(None),
    )
    query = select(_events.c.id).where(*unnamed).order_by(_events.c.id).limit(NAMED_AT_ONCE)
    event_ids = connection.execute(query).scalars().all()
    if event_ids:
        search_index.lock_head(connection)
        which = (_events.c.id.in_(event_ids), *unnamed)
        connection.execute(update(_events).where(*which).values(payment_id=payment_id))
        search_index.index_anew(connection, event_ids)
    return len(event_ids)


def note_return(connection: Connection, due: Due, original: str, now: datetime) -> None:
    """Write down at a payment which one returned it, and append that to the feed, once (idempotent)."""
    _insert_unknown(connection, due.source_id, original, now)
    noted = connection.execute(
        update(_subjects)
        .where(_payment(due.source_id, original), _subjects.c.returned_by.is_distinct_from(due.subject))
        .values(returned_by=due.subject)
        .returning(_subjects.c.status, _subjects.c.last_event_id)
    ).one_or_none()
    if noted is None:
        return
    outbox.append(
        connection,
        type=OwnType.PAYMENT_RETURNED,
        source_id=due.source_id,
        subject=original,
        event_id=due.last_event_id,
        data={
            "payment_id": original,
            "status": noted.status,
            "returned_by": due.subject,
            **particulars.of_subject(connection, due.source_id, SubjectKind.PAYMENT, original),
        },
        now=now,
    )


def _payment(source_id: int, payment_id: str) -> ColumnElement[bool]:
    return and_(
        _subjects.c.source_id == source_id, _subjects.c.kind == SubjectKind.PAYMENT, _subjects.c.subject == payment_id
    )


def _insert_unknown(connection: Connection, source_id: int, payment_id: str, now: datetime) -> None:
    """Insert a payment of which nothing is known, due at once; one that is there is left as it is (idempotent)."""
    values = {
        "source_id": source_id,
        "kind": SubjectKind.PAYMENT,
        "subject": payment_id,
        "status": Status.UNKNOWN,
        "agreement": Agreement.UNCONFIRMED,
        "created_at": now,
        "updated_at": now,
        "due_at": now,
        "attempts": 0,
    }
    insert_or_skip(connection, _subjects, ["source_id", "kind", "subject"], values)
