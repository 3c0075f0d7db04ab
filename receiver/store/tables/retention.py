"""What was removed for its age (retention), what is held back from it, and who holds an event on purpose."""

from datetime import datetime

from sqlalchemy import BigInteger, Column, ForeignKey, Integer, String
from sqlmodel import Field, SQLModel

from receiver.model import HeldBack, RetentionKind
from receiver.store.tables.base import BigKey, time, word


class EventHold(SQLModel, table=True):
    """An event of which nothing is removed for as long as this row is there (legal hold)."""

    __tablename__ = "event_holds"

    event_id: str = Field(sa_column=Column(String, ForeignKey("events.id"), primary_key=True))
    reason: str
    held_by: str
    held_at: datetime = time()


class RetentionTurn(SQLModel, table=True):
    """One row: the lock under which anything is removed, and under which anybody comes to want it (`holds`)."""

    __tablename__ = "retention_turn"

    id: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    looked_at: datetime | None = time(nullable=True)
    """When retention was at work last: it did a part, or nothing was left to do."""


class RetentionProgress(SQLModel, table=True):
    """How far what is of one source and kind was looked through (watermark); of the feed there is one, of source 0."""

    __tablename__ = "retention_progress"

    source_id: int = Field(sa_column=Column(BigKey, primary_key=True, autoincrement=False))
    kind: RetentionKind = word(RetentionKind, primary_key=True)
    through: str = ""
    """The last place that was looked at: a delivery's id, or a number with leading zeros."""
    left_through: str = ""
    """The last place of what was held back that was looked at once more; empty where that has come to its end."""
    left_at: datetime | None = time(nullable=True)
    """When that began last."""
    removed: int = Field(default=0, sa_type=BigInteger)
    """How many were removed so far."""
    stopped_by: HeldBack | None = word(HeldBack, nullable=True)
    """Why it goes no further for now, where it is not for the age."""


class RetentionLeft(SQLModel, table=True):
    """One thing that was old enough and was held back; it is looked at again and again."""

    __tablename__ = "retention_left"

    source_id: int = Field(sa_column=Column(BigKey, primary_key=True, autoincrement=False))
    kind: RetentionKind = word(RetentionKind, primary_key=True)
    place: str = Field(primary_key=True)
    reason: HeldBack = word(HeldBack)
