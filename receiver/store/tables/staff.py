"""What staff do: replays, and the log of who did what."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Index
from sqlmodel import Field, SQLModel

from receiver.model import ReplayState, ReplayTarget
from receiver.store.tables.base import key, time, word


class Replay(SQLModel, table=True):
    """One run of a plan: what is sent again, how far it has come, who asked for it and why."""

    __tablename__ = "replays"
    __table_args__ = (Index("ix_replays_due", "state", "due_at"),)

    id: str = Field(primary_key=True)
    plan: str = Field(unique=True)
    """The plan's own id, so that a plan runs once."""
    target: ReplayTarget = word(ReplayTarget)
    filter: dict[str, Any] = Field(sa_type=JSON)
    consumer: str | None = None
    through: str
    """The last place that the plan saw; what came later is not part of it."""
    place: str
    """Behind which to go on: a position, or a delivery's id."""
    total: int
    done: int = 0
    failed: int = 0
    per_second: float | None = None
    state: ReplayState = word(ReplayState)
    requested_by: str
    reason: str
    created_at: datetime = time()
    finished_at: datetime | None = time(nullable=True)
    due_at: datetime = time()
    """When the next part may be done."""


class AuditEntry(SQLModel, table=True):
    """Who did what, why and when. The database refuses to change or delete one."""

    __tablename__ = "audit_entries"

    id: int = key()
    at: datetime = time()
    who: str
    what: str
    why: str | None = None
    about: dict[str, Any] = Field(sa_type=JSON)
    digest: str
    """SHA-256 over this entry and the digest before it, so that a gap or a change shows."""
