"""Replays: the runs of plans, and what a plan chose one by one."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Column, Index
from sqlmodel import Field, SQLModel

from receiver.model import ReplayState, ReplayTarget
from receiver.store.tables.base import BigKey, time, word


class Replay(SQLModel, table=True):
    """One run of a plan: what is sent again, how far it has come, who asked for it and why."""

    __tablename__ = "replays"
    __table_args__ = (Index("ix_replays_due", "state", "due_at"), Index("ix_replays_state", "state", "id"))

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
    approved_by: str | None = None
    """The second person, where one was asked for."""
    approved_at: datetime | None = time(nullable=True)


class ReplayPosition(SQLModel, table=True):
    """An entry of the feed that a search found when a replay was planned: its plan sends exactly these again."""

    __tablename__ = "replay_positions"

    plan: str = Field(primary_key=True)
    position: int = Field(sa_column=Column(BigKey, primary_key=True, autoincrement=False))
