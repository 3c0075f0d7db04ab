"""What downstream apps read: the feed, who may read it how far, and what is sent to it again."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Column, Index, text
from sqlmodel import Field, SQLModel

from receiver.model import ConsumerAct, ReplayState, ReplayTarget
from receiver.store.tables.base import BigKey, UtcDateTime, key, shared_source, source, time, word


class PendingEvent(SQLModel, table=True):
    """An event from which nothing is derived yet: `receiver.store.outbox` takes it from here."""

    __tablename__ = "pending_events"

    id: int = key()
    event_id: str
    """Written in the transaction that writes the event, so no foreign key, which each callback would pay for."""


class OutboxEntry(SQLModel, table=True):
    """A feed entry of its own, of no new event, as its writer's transaction leaves it until it has a position."""

    __tablename__ = "feed_outbox"

    id: int = key()
    type: str
    source_id: int = source()
    subject: str | None = None
    time: datetime = time()
    event_id: str | None = None
    data: dict[str, Any] = Field(sa_type=JSON)
    replay_id: str | None = None
    consumer: str | None = None
    copied_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class FeedEntry(SQLModel, table=True):
    """One line in the ordered log that apps read; `receiver.store.outbox` brings it here."""

    __tablename__ = "feed_entries"
    __table_args__ = (
        Index("ix_feed_entries_source", "source_id", "position"),
        Index("ix_feed_entries_type", "type", "position"),
        Index("ix_feed_entries_source_type", "source_id", "type", "position"),
        Index("ix_feed_entries_event", "event_id", "position"),
        Index("ix_feed_entries_subject", "subject", "position"),
    )

    position: int = Field(sa_column=Column(BigKey, primary_key=True, autoincrement=False))
    outbox_id: int = Field(sa_type=BigKey)
    """Its number among those that waited for a position."""
    type: str
    source_id: int = shared_source()
    subject: str | None = None
    time: datetime = time()
    event_id: str | None = None
    data: dict[str, Any] = Field(sa_type=JSON)
    """Empty where it is read from the event: see `receiver.store.events.feed_data`."""
    replay_id: str | None = None
    """The replay that wrote it again."""
    consumer: str | None = None
    """The one consumer that it is for; none for all."""
    copied_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    """When a replay wrote it, whose time is the original's; none of all else, and of copies of earlier releases."""


class FeedHead(SQLModel, table=True):
    """The last position given, and how much was removed: one row, and the lock under which positions are given."""

    __tablename__ = "feed_head"

    id: int = Field(primary_key=True)
    position: int = Field(sa_type=BigKey)
    removed: int = Field(default=0, sa_type=BigKey, sa_column_kwargs={"server_default": text("0")})
    """Up to here entries were removed for their age (retention): a reader begins behind it."""


class ApiToken(SQLModel, table=True):
    """What a downstream app shows to read; only its digest is stored."""

    __tablename__ = "api_tokens"

    id: int = key()
    name: str = Field(unique=True)
    digest: str = Field(unique=True)
    scopes: list[str] = Field(sa_type=JSON)
    sources: list[str] = Field(sa_type=JSON)
    """Names of the sources that it may see; empty for all."""
    created_at: datetime = time()
    expires_at: datetime | None = time(nullable=True)
    revoked_at: datetime | None = time(nullable=True)
    last_used_at: datetime | None = time(nullable=True)


class Consumer(SQLModel, table=True):
    """A downstream app's committed position in the feed, by name."""

    __tablename__ = "consumers"
    __table_args__ = (Index("ix_consumers_owner", "owner"),)

    name: str = Field(primary_key=True)
    position: int = Field(sa_type=BigKey)
    generation: int = Field(default=0, sa_column_kwargs={"server_default": text("0")})
    """Drawn anew whenever it is moved on purpose; 0 until then, unless one of this name was removed before."""
    owner: str | None = None
    """The name of the token that it belongs to, which no other token ever gets; none where it belongs to all."""
    shared_with: list[str] | None = Field(default=None, sa_type=JSON)
    """Names of other tokens that may use it."""
    created_at: datetime = time()
    read_at: datetime | None = time(nullable=True)
    acked_at: datetime | None = time(nullable=True)


class ConsumerRange(SQLModel, table=True):
    """A part of the feed that a consumer has read or acknowledged, and when."""

    __tablename__ = "consumer_ranges"
    __table_args__ = (Index("ix_consumer_ranges_consumer", "consumer", "act", "id"),)

    id: int = key()
    consumer: str
    act: ConsumerAct = word(ConsumerAct)
    token: str
    """The name of the token that did it."""
    behind: int = Field(sa_type=BigInteger)
    through: int = Field(sa_type=BigInteger)
    first_at: datetime = time()
    last_at: datetime = time()


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
