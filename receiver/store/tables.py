"""The tables. A column is explained where its name alone does not."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Column, ColumnElement, ForeignKey, Index, LargeBinary, MetaData, Table, UniqueConstraint
from sqlmodel import Field, SQLModel

from receiver.store.types import BigKey, UtcDateTime

SQLModel.metadata.naming_convention = {
    "pk": "pk_%(table_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
}


def metadata() -> MetaData:
    """Return what the migrations are compared with."""
    return SQLModel.metadata


def table_of(model: type[SQLModel]) -> Table:
    """Return the SQLAlchemy Core table behind a model, for statements that need no object."""
    found = SQLModel.metadata.tables[str(model.__tablename__)]
    assert isinstance(found, Table)  # noqa: S101 - for the type checker
    return found


def _key() -> Any:
    return Field(default=None, sa_column=Column(BigKey, primary_key=True, autoincrement=True))


def _time(**options: Any) -> Any:
    return Field(sa_type=UtcDateTime, **options)


def _source() -> Any:
    return Field(sa_column=Column(BigKey, ForeignKey("sources.id"), nullable=False))


def _source_key() -> Any:
    return Field(sa_column=Column(BigKey, ForeignKey("sources.id"), primary_key=True, autoincrement=False))


class Source(SQLModel, table=True):
    """One bank relation."""

    __tablename__ = "sources"

    id: int = _key()
    name: str = Field(unique=True)
    bank: str
    environment: str
    base_url: str | None
    options: dict[str, Any] = Field(sa_type=JSON)
    credentials: bytes | None = Field(sa_type=LargeBinary)
    """The API credentials as a JSON object, sealed."""
    enabled: bool = True
    environment_digest: str | None = None
    """Of the environment variables last applied: they are applied again only when they change."""
    created_at: datetime = _time()


class SigningSecret(SQLModel, table=True):
    """One version of a source's message-signing secret."""

    __tablename__ = "signing_secrets"
    __table_args__ = (UniqueConstraint("source_id", "version"),)

    id: int = _key()
    source_id: int = _source()
    version: int
    sealed: bytes = Field(sa_type=LargeBinary)
    created_at: datetime = _time()
    expires_at: datetime | None = _time(nullable=True)


class PublicKeys(SQLModel, table=True):
    """The bank's public keys as last fetched, and what is known of fetching them."""

    __tablename__ = "public_keys"

    source_id: int = _source_key()
    jwks: str | None = None
    fetched_at: datetime | None = _time(nullable=True)
    tried_at: datetime | None = _time(nullable=True)
    wanted_at: datetime | None = _time(nullable=True)
    """Since when a callback waits for a fresh set."""
    error: str | None = None


class BankToken(SQLModel, table=True):
    """The bank's access token, shared by all processes."""

    __tablename__ = "bank_tokens"

    source_id: int = _source_key()
    sealed: bytes | None = Field(default=None, sa_type=LargeBinary)
    expires_at: datetime | None = _time(nullable=True)
    fetching_until: datetime | None = _time(nullable=True)
    """While one process fetches a new token, the others wait for it."""


class RequestBudget(SQLModel, table=True):
    """How many requests all processes together have made in the bank's current window."""

    __tablename__ = "request_budgets"

    source_id: int = _source_key()
    window_started_at: datetime = _time()
    used: int
    blocked_until: datetime | None = _time(nullable=True)
    """From the bank's own 429."""


class Delivery(SQLModel, table=True):
    """One HTTP request as it came, accepted or not."""

    __tablename__ = "deliveries"
    __table_args__ = (
        # No rejected delivery holds a nonce here: NULLs never collide, on either database.
        UniqueConstraint("source_id", "nonce"),
    )

    id: str = Field(primary_key=True)
    source_id: int = _source()
    received_at: datetime = _time()
    verdict: str
    """`accepted`, `duplicate` or `rejected`."""
    reason: str | None = None
    detail: str | None = None
    proven: bool
    """Whether the signature itself was right, whatever the verdict."""
    peer: str
    path: str
    channel: str | None = None
    headers: dict[str, str] = Field(sa_type=JSON)
    nonce: str | None = None
    signed_at: datetime | None = _time(nullable=True)
    proof_key: str | None = None
    body: bytes | None = Field(sa_type=LargeBinary)
    """After undoing its content coding; cut to a limit where rejected, left out where the same bytes are stored."""
    body_bytes: int
    body_sha256: str


def _partial_index(name: str, columns: list[ColumnElement[Any]], where: ColumnElement[bool]) -> Index:
    return Index(name, *columns, sqlite_where=where, postgresql_where=where)


_deliveries = table_of(Delivery).c
REJECTED = _partial_index(
    "ix_deliveries_rejected",
    [_deliveries.source_id, _deliveries.proven, _deliveries.peer, _deliveries.id],
    _deliveries.verdict == "rejected",
)


class Event(SQLModel, table=True):
    """One thing a bank told us."""

    __tablename__ = "events"
    __table_args__ = (
        UniqueConstraint("source_id", "identity"),
        Index("ix_events_source", "source_id", "id"),
        Index("ix_events_type", "type", "id"),
        Index("ix_events_payment", "payment_id", "id"),
        Index("ix_events_delivery", "delivery_id"),
    )

    id: str = Field(primary_key=True)
    source_id: int = _source()
    delivery_id: str = Field(foreign_key="deliveries.id")
    identity: bytes = Field(sa_type=LargeBinary)
    """SHA-256 of what makes this event this event and no other."""
    content_sha256: str
    """Of what it says, however it was written down; another one under the same identity is a conflict."""
    type: str
    kind: str
    """What it is about: `payment`, `job`, or `none`."""
    subject: str | None = None
    payment_id: str | None = None
    claimed_status: str | None = None
    amount: str | None = None
    currency: str | None = None
    facts: dict[str, Any] = Field(sa_type=JSON)
    proof: str
    proof_key: str
    conflict: bool = False
    received_at: datetime = _time()
    payload_sha256: str


class Repeat(SQLModel, table=True):
    """An event that came again in another delivery."""

    __tablename__ = "repeats"
    __table_args__ = (Index("ix_repeats_delivery", "delivery_id"),)

    event_id: str = Field(foreign_key="events.id", primary_key=True)
    delivery_id: str = Field(foreign_key="deliveries.id", primary_key=True)
    conflict: bool
    received_at: datetime = _time()


class Subject(SQLModel, table=True):
    """What events are about: a payment, or a job. What callbacks claim of it, and what the bank answers."""

    __tablename__ = "subjects"
    __table_args__ = (
        UniqueConstraint("source_id", "kind", "subject"),
        Index("ix_subjects_due", "due_at"),
        Index("ix_subjects_payments", "kind", "id"),
    )

    id: int = _key()
    source_id: int = _source()
    kind: str
    subject: str
    status: str
    bank_status: str | None = None
    agreement: str
    claimed_status: str | None = None
    amount: str | None = None
    currency: str | None = None
    last_event_id: str | None = None
    created_at: datetime = _time()
    updated_at: datetime = _time()
    due_at: datetime | None = _time(nullable=True)
    """When to ask the bank next; none where nothing is left to ask."""
    attempts: int = 0
    """Checks since the last claim came."""
    lease: str | None = None
    leased_until: datetime | None = _time(nullable=True)


class Check(SQLModel, table=True):
    """One question to the bank about a subject, and its answer."""

    __tablename__ = "checks"
    __table_args__ = (Index("ix_checks_subject", "subject_id", "id"),)

    id: int = _key()
    subject_id: int = Field(sa_column=Column(BigKey, ForeignKey("subjects.id"), nullable=False))
    at: datetime = _time()
    outcome: str
    bank_status: str | None = None
    detail: dict[str, Any] = Field(sa_type=JSON)


class FeedEntry(SQLModel, table=True):
    """One line in the ordered log that apps read."""

    __tablename__ = "feed_entries"
    __table_args__ = (
        UniqueConstraint("position"),
        Index("ix_feed_entries_event", "event_id"),
    )

    id: int = _key()
    position: int | None = Field(default=None, sa_column=Column(BigKey, nullable=True))
    """Given after commit: see `receiver.store.feed`."""
    type: str
    source_id: int = _source()
    subject: str | None = None
    time: datetime = _time()
    event_id: str | None = None
    data: dict[str, Any] = Field(sa_type=JSON)


_entries = table_of(FeedEntry).c
FEED_PENDING = _partial_index("ix_feed_entries_pending", [_entries.id], _entries.position.is_(None))


class FeedHead(SQLModel, table=True):
    """The last position given: one row, and the lock under which positions are given."""

    __tablename__ = "feed_head"

    id: int = Field(primary_key=True)
    position: int = Field(sa_type=BigKey)


class ApiToken(SQLModel, table=True):
    """What a downstream app shows to read; only its digest is kept."""

    __tablename__ = "api_tokens"

    id: int = _key()
    name: str = Field(unique=True)
    digest: str = Field(unique=True)
    scopes: list[str] = Field(sa_type=JSON)
    sources: list[str] = Field(sa_type=JSON)
    """Names of the sources that it may see; empty for all."""
    created_at: datetime = _time()
    expires_at: datetime | None = _time(nullable=True)
    revoked_at: datetime | None = _time(nullable=True)
    last_used_at: datetime | None = _time(nullable=True)
