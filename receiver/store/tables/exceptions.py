"""What a person has to look at, how far people were told of it, and how many rows there are of what metrics tell."""

from datetime import datetime

from sqlalchemy import Index, UniqueConstraint
from sqlmodel import Field, SQLModel

from receiver.model import ExceptionKind, ExceptionState, Severity
from receiver.store.tables.base import BigKey, key, shared_source, source, time, word


class StaffException(SQLModel, table=True):
    """One thing that a person has to look at. It is derived from what is stored, never on the way of a callback."""

    __tablename__ = "exceptions"
    __table_args__ = (
        UniqueConstraint("kind", "source_id", "about", "subject"),
        Index("ix_exceptions_state", "state", "kind", "place"),
        Index("ix_exceptions_source", "source_id", "state", "kind", "place"),
    )

    id: str = Field(primary_key=True)
    kind: ExceptionKind = word(ExceptionKind)
    state: ExceptionState = word(ExceptionState)
    source_id: int = source()
    about: str
    """What `subject` names: `payment`, `job`, `reference`, `event`, `delivery`, `reason` of a refusal, or `source`."""
    subject: str
    event_id: str | None = None
    """An event to look at."""
    delivery_id: str | None = None
    """A delivery to look at: of refused ones the newest."""
    amount: str | None = None
    currency: str | None = None
    number: int = 1
    """How many it is about: of refused deliveries how many are stored."""
    detail: str | None = None
    """What is so, in words."""
    opened_at: datetime = time()
    """When it was opened last."""
    changed_at: datetime = time()
    place: str
    """Ascends with the latest change: what lists are ordered by."""
    note: str | None = None
    """What the person wrote who acknowledged or resolved it."""
    handled_by: str | None = None
    """Who acknowledged or resolved it; none where nobody did, or where it was resolved by itself."""
    handled_at: datetime | None = time(nullable=True)
    presses_at_most: Severity | None = word(Severity, nullable=True)
    """However much money is at stake, and for however long."""
    opening: str | None = None
    """The `place` that it had when it was opened last: by it the one who opened it knows that it was them."""
    over_at: datetime | None = time(nullable=True)
    """Since when it is no longer so, where that is looked at over and over."""


class AlarmProgress(SQLModel, table=True):
    """Up to which position of the feed one address was told."""

    __tablename__ = "alarm_progress"

    address: str = Field(primary_key=True)
    """A keyed digest of it: it holds a password."""
    position: int = Field(sa_type=BigKey)
    leased_until: datetime | None = time(nullable=True)
    """While one worker tells it, no other does."""
    failures: int = 0
    """Tries in a row that failed."""
    retry_at: datetime | None = time(nullable=True)


class Tally(SQLModel, table=True):
    """A part of the number of rows of one table that have the same words; all parts together are the number.

    On SQLite there is one part for the same words. On PostgreSQL each writer adds one of its own, so that none waits
    for another, and from time to time they are put together.
    """

    __tablename__ = "tallies"
    __table_args__ = (Index("ix_tallies_words", "counted", "source_id", "kind", "state", "agreement"),)

    id: int = key()
    counted: str
    """Which table: `subjects` or `exceptions`."""
    source_id: int = shared_source()
    kind: str
    state: str
    agreement: str
    """Of a payment or job; empty elsewhere."""
    number: int = Field(sa_type=BigKey)
