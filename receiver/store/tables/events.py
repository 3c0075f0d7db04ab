"""Deliveries, events and what these are about: what the banks sent, and what they answered."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Column, ForeignKey, Index, LargeBinary, UniqueConstraint, and_, false, text
from sqlmodel import Field, SQLModel

from receiver.model import Agreement, ProofStrength, Purpose, Status, SubjectKind, Verdict
from receiver.store.tables.base import BigKey, key, partial_index, shared_source, source, table_of, time, word


class Delivery(SQLModel, table=True):
    """One HTTP request as it came, accepted or not."""

    __tablename__ = "deliveries"
    __table_args__ = (
        # No rejected delivery holds a nonce here: NULLs never collide, on either database.
        UniqueConstraint("source_id", "nonce"),
    )

    id: str = Field(primary_key=True)
    source_id: int = shared_source()
    received_at: datetime = time()
    verdict: Verdict = word(Verdict)
    reason: str | None = None
    detail: str | None = None
    proven: bool
    """Whether the signature itself was right, whatever the verdict."""
    likely: bool = Field(default=False, sa_column_kwargs={"server_default": false()})
    """Whether a rejected one looks like the bank's: well-formed, and from an address that is allowed."""
    network: str = Field(default="", sa_column_kwargs={"server_default": text("''")})
    """The network that a rejected one came from; rejected ones are bounded by it."""
    peer: str
    path: str
    channel: str | None = None
    headers: dict[str, str] = Field(sa_type=JSON)
    nonce: str | None = None
    signed_at: datetime | None = time(nullable=True)
    proof_key: str | None = None
    body: bytes | None = Field(sa_type=LargeBinary)
    """After undoing its content coding; cut to a limit where rejected, left out where the same bytes are stored."""
    body_bytes: int
    body_sha256: str


_deliveries = table_of(Delivery).c
_is_rejected = _deliveries.verdict == Verdict.REJECTED
REJECTED = partial_index(
    "ix_deliveries_rejected_network",
    [_deliveries.source_id, _deliveries.proven, _deliveries.likely, _deliveries.network, _deliveries.id],
    _is_rejected,
)
REJECTED_IN_ORDER = partial_index("ix_deliveries_rejected_id", [_deliveries.id], _is_rejected)
REJECTED_BY_BODY = partial_index("ix_deliveries_rejected_body", [_deliveries.body_sha256], _is_rejected)
LATE = partial_index("ix_deliveries_late", [_deliveries.id], _deliveries.verdict == Verdict.LATE)
WITHOUT_EVENT = partial_index(
    "ix_deliveries_without_event",
    [_deliveries.source_id, _deliveries.id],
    _deliveries.verdict.in_([Verdict.DUPLICATE, Verdict.LATE]),
)


class Event(SQLModel, table=True):
    """One thing a bank told us."""

    __tablename__ = "events"
    __table_args__ = (
        UniqueConstraint("source_id", "identity"),
        Index("ix_events_source", "source_id", "id"),
        Index("ix_events_type", "type", "id"),
        Index("ix_events_source_type", "source_id", "type", "id"),
        Index("ix_events_payment", "payment_id", "id"),
        Index("ix_events_delivery", "delivery_id"),
    )

    id: str = Field(primary_key=True)
    source_id: int = shared_source()
    delivery_id: str | None = Field(default=None, foreign_key="deliveries.id")
    """The one that told it first; none where no callback has come for what a sweep found."""
    identity: bytes = Field(sa_type=LargeBinary)
    """SHA-256 of what makes this event this event and no other."""
    content_sha256: str
    """Of what it says, however it was written down; another one under the same identity is a conflict."""
    type: str
    kind: SubjectKind = word(SubjectKind)
    subject: str | None = None
    payment_id: str | None = None
    claimed_status: Status | None = word(Status, nullable=True)
    claimed_at: datetime | None = time(nullable=True)
    """When the bank told it, where that orders its claims."""
    amount: str | None = None
    currency: str | None = None
    facts: dict[str, Any] = Field(sa_type=JSON)
    proof: ProofStrength = word(ProofStrength)
    proof_key: str
    conflict: bool = False
    late: bool = Field(default=False, sa_column_kwargs={"server_default": false()})
    """Whether its delivery came too late, and was accepted only once it was confirmed."""
    received_at: datetime = time()
    payload_sha256: str
    found_by: str | None = None
    """`sweep` where asking the bank has shown it before any callback did."""


_events = table_of(Event).c
LATE_EVENTS = partial_index("ix_events_late", [_events.id], _events.late.is_(True))
UNNAMED = partial_index(
    "ix_events_unnamed",
    [_events.source_id, _events.subject, _events.id],
    and_(_events.kind == SubjectKind.REFERENCE, _events.payment_id.is_(None)),
)
"""Events about a reference whose payment is not known yet."""


class HeldEvent(SQLModel, table=True):
    """What a late delivery tells, for as long as it waits: it becomes an event once it is confirmed."""

    __tablename__ = "held_events"
    __table_args__ = (
        Index("ix_held_events_delivery", "delivery_id", "id"),
        Index("ix_held_events_subject", "source_id", "kind", "subject"),
    )

    id: int = key()
    source_id: int = source()
    delivery_id: str = Field(foreign_key="deliveries.id")
    kind: SubjectKind = word(SubjectKind)
    subject: str | None = None
    event: dict[str, Any] = Field(sa_type=JSON)
    """All that is to be written down of the event."""
    confirmed_at: datetime | None = time(nullable=True)
    """When the bank's answer about the subject agreed with it."""


class Repeat(SQLModel, table=True):
    """An event that came once more, in another delivery (a duplicate)."""

    __tablename__ = "repeats"
    __table_args__ = (Index("ix_repeats_delivery", "delivery_id"),)

    event_id: str = Field(foreign_key="events.id", primary_key=True)
    delivery_id: str = Field(foreign_key="deliveries.id", primary_key=True)
    conflict: bool
    received_at: datetime = time()


class Subject(SQLModel, table=True):
    """What events are about: a payment (by its id, or by a reference), or a job.

    It holds what callbacks claim of it, and what the bank answers.
    """

    __tablename__ = "subjects"
    __table_args__ = (
        UniqueConstraint("source_id", "kind", "subject"),
        Index("ix_subjects_due", "due_at"),
        Index("ix_subjects_payments", "kind", "id"),
        Index("ix_subjects_state", "kind", "status", "agreement", "id"),
        Index("ix_subjects_source", "source_id", "kind", "id"),
        Index("ix_subjects_source_state", "source_id", "kind", "status", "agreement", "id"),
    )

    id: int = key()
    source_id: int = shared_source()
    kind: SubjectKind = word(SubjectKind)
    subject: str
    status: Status = word(Status)
    bank_status: str | None = None
    agreement: Agreement = word(Agreement)
    claimed_status: Status | None = word(Status, nullable=True)
    claimed_at: datetime | None = time(nullable=True)
    """When the bank told the claim, where that orders its claims."""
    confirmed_status: Status | None = word(Status, nullable=True)
    """The final claim that the bank has confirmed last: it was true, whatever became of the payment since."""
    contradicted_status: Status | None = word(Status, nullable=True)
    """The final claim that was told last to be contradicted by the bank."""
    amount: str | None = None
    currency: str | None = None
    last_event_id: str | None = None
    returns: str | None = None
    """The payment that this one returns."""
    returned_by: str | None = None
    """The payment that returned this one."""
    created_at: datetime = time()
    updated_at: datetime = time()
    due_at: datetime | None = time(nullable=True)
    """When to ask the bank next; none where nothing is left to ask."""
    attempts: int = 0
    """Checks since the last claim came."""
    lease: str | None = None
    leased_until: datetime | None = time(nullable=True)
    purpose: Purpose = word(Purpose, default=Purpose.CLAIM, sa_column_kwargs={"server_default": text("'claim'")})
    """What the bank is asked for next."""
    stalled_at: datetime | None = time(nullable=True)
    """When it was found not to have come to an end for too long; none again once it has."""


_subjects = table_of(Subject).c
DUE = partial_index(
    "ix_subjects_plan", [_subjects.purpose, _subjects.due_at, _subjects.id], _subjects.due_at.is_not(None)
)
DUE_OF_SOURCE = partial_index(
    "ix_subjects_source_plan",
    [_subjects.source_id, _subjects.purpose, _subjects.due_at, _subjects.id],
    _subjects.due_at.is_not(None),
)
OPEN = partial_index(
    "ix_subjects_open",
    [_subjects.source_id, _subjects.created_at],
    and_(_subjects.stalled_at.is_(None), _subjects.status.in_([Status.PENDING, Status.UNKNOWN])),
)
PUT_OFF = partial_index(
    "ix_subjects_put_off",
    [_subjects.source_id, _subjects.due_at],
    and_(_subjects.due_at.is_not(None), _subjects.status.in_([Status.PENDING, Status.UNKNOWN])),
)
STALLED = partial_index("ix_subjects_stalled", [_subjects.kind, _subjects.id], _subjects.stalled_at.is_not(None))


class Check(SQLModel, table=True):
    """One question to the bank about a subject, and its answer."""

    __tablename__ = "checks"
    __table_args__ = (Index("ix_checks_subject", "subject_id", "id"),)

    id: int = key()
    subject_id: int = Field(sa_column=Column(BigKey, ForeignKey("subjects.id"), nullable=False))
    at: datetime = time()
    outcome: str
    bank_status: str | None = None
    detail: dict[str, Any] = Field(sa_type=JSON)
    claimed: bool | None = None
    """Whether a callback had named the subject when the bank was asked; where that is not known it counts as named."""
