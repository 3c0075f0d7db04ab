"""Bank relations: sources, their secrets, and the shared way into each bank."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Column, Index, Integer, LargeBinary, UniqueConstraint
from sqlmodel import Field, SQLModel

from receiver.model import CredentialChangeKind, CredentialChangeState, Purpose
from receiver.store.tables.base import UtcDateTime, key, source, source_key, table_of, time, word


class Source(SQLModel, table=True):
    """One bank relation."""

    __tablename__ = "sources"

    id: int = key()
    name: str = Field(unique=True)
    bank: str
    environment: str
    base_url: str | None
    options: dict[str, Any] = Field(sa_type=JSON)
    credentials: bytes | None = Field(sa_type=LargeBinary)
    """The API credentials as a JSON object, encrypted, and bound to the columns above that say where they go."""
    enabled: bool = True
    environment_digest: str | None = None
    """Of the environment variables last applied: they are applied again only when they change."""
    created_at: datetime = time()
    hidden_at: datetime | None = time(nullable=True)
    """When it was removed. The row stays, so that nothing that was, or is just being, written belongs to nobody."""


class SigningSecret(SQLModel, table=True):
    """One version of a source's message-signing secret."""

    __tablename__ = "signing_secrets"
    __table_args__ = (UniqueConstraint("source_id", "version"),)

    id: int = key()
    source_id: int = source()
    version: int
    sealed: bytes = Field(sa_type=LargeBinary)
    created_at: datetime = time()
    expires_at: datetime | None = time(nullable=True)


class PublicKeys(SQLModel, table=True):
    """The bank's public keys as last fetched, and what is known of fetching them."""

    __tablename__ = "public_keys"

    source_id: int = source_key()
    jwks: str | None = None
    """As older releases stored it; never read."""
    sealed: bytes | None = Field(default=None, sa_type=LargeBinary)
    """The JWKS, sealed: whoever could put another one in its place would have forged signatures taken."""
    failures: int | None = None
    """How many fetches have failed since the last one that did not."""
    fetched_at: datetime | None = time(nullable=True)
    tried_at: datetime | None = time(nullable=True)
    wanted_at: datetime | None = time(nullable=True)
    """Since when a callback waits for a fresh set."""
    error: str | None = None


class BankToken(SQLModel, table=True):
    """The bank's access token, shared by all processes."""

    __tablename__ = "bank_tokens"

    source_id: int = source_key()
    sealed: bytes | None = Field(default=None, sa_type=LargeBinary)
    expires_at: datetime | None = time(nullable=True)
    fetching_until: datetime | None = time(nullable=True)
    """While one process fetches a new token, the others wait for it."""


class RequestBudget(SQLModel, table=True):
    """How many requests all processes together have made in the bank's current window."""

    __tablename__ = "request_budgets"

    source_id: int = source_key()
    window_started_at: datetime = time()
    used: int
    blocked_until: datetime | None = time(nullable=True)
    """From the bank's own 429."""


class RequestSpending(SQLModel, table=True):
    """What the requests of a window were made for: a row for each purpose."""

    __tablename__ = "request_spendings"

    source_id: int = source_key()
    purpose: Purpose = word(Purpose, primary_key=True)
    window_started_at: datetime = time()
    """Of the window that was counted last; what was spent in one before it is spent no longer."""
    used: int


class Circuit(SQLModel, table=True):
    """Whether a source's bank answers at all (circuit breaker), as all processes see it."""

    __tablename__ = "circuits"

    source_id: int = source_key()
    failures: int = 0
    """In a row, by which the bank seems to be down."""
    opened_at: datetime | None = time(nullable=True)
    """Since when it is down, and not asked but to see whether it is back; none while it is not."""
    retry_at: datetime | None = time(nullable=True)
    """When one question may be put to see whether it is back (a probe)."""
    probes: int = 0
    """Of those how many have failed since it was opened."""
    probing_until: datetime | None = time(nullable=True)
    """While one process puts that question, the others wait."""
    closed_at: datetime | None = time(nullable=True)
    """When the bank was back: from then on the number of questions grows step by step."""
    asked: int = 0
    """Questions since it was back."""
    error: str | None = None
    """The bank's last failure, in words."""


class SourceWatch(SQLModel, table=True):
    """When something about a source was looked at last, by whichever process."""

    __tablename__ = "source_watches"

    source_id: int = source_key()
    what: str = Field(primary_key=True)
    looked_at: datetime = time()


class Outage(SQLModel, table=True):
    """Callbacks of a source that could not be taken (503), as far as they were counted: written once that is over."""

    __tablename__ = "outages"

    source_id: int = source_key()
    began_at: datetime = time()
    ended_at: datetime = time()
    number: int


class CredentialChange(SQLModel, table=True):
    """One change of a source's API credentials at the bank, written down before the bank is asked for it."""

    __tablename__ = "credential_changes"
    __table_args__ = (Index("ix_credential_changes_source", "source_id", "id"),)

    id: int = key()
    source_id: int = source()
    kind: CredentialChangeKind = word(CredentialChangeKind)
    state: CredentialChangeState = word(CredentialChangeState)
    client_id: str | None = None
    """Whose credentials; those of a new client are known once it is done."""
    allowed_ips: str | None = None
    idempotency_key: str = Field(unique=True)
    """The bank gives the same answer to the same key, however often it is asked."""
    token: bytes | None = Field(default=None, sa_type=LargeBinary)
    """The access token to ask with, encrypted: a rotation kills the secret with which one could fetch another."""
    made: bytes | None = Field(default=None, sa_type=LargeBinary)
    """A new client's credentials, encrypted, which the source does not use: not worked yet, or for another app."""
    previous: bytes | None = Field(default=None, sa_type=LargeBinary)
    """The credentials that the source used before it took the new client's, encrypted."""
    requested_by: str
    begun_at: datetime = time()
    attempts: int
    due_at: datetime = time()
    """When a worker may try again."""
    error: str | None = None
    finished_at: datetime | None = time(nullable=True)
    secret_version: int | None = None
    """The signing secret that came of it."""
    reported_at: datetime | None = Field(
        default=None, sa_column=Column("told_at", UtcDateTime, key="reported_at", nullable=True)
    )
    """When the one who asked for it was told that it is done."""
    settled_at: datetime | None = time(nullable=True)
    """When the deliveries that were stored meanwhile had been verified once more."""


_changes = table_of(CredentialChange).c
ONE_PENDING_CHANGE = Index(
    "uq_credential_changes_pending",
    _changes.source_id,
    unique=True,
    sqlite_where=_changes.state == CredentialChangeState.PENDING,
    postgresql_where=_changes.state == CredentialChangeState.PENDING,
)


class WorkerSeen(SQLModel, table=True):
    """When any worker was at work last: one row."""

    __tablename__ = "worker_seen"

    id: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    seen_at: datetime = time()
