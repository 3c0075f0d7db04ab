"""What events are found by. All of it is derived from the events, and could be derived anew."""

from datetime import datetime

from sqlalchemy import Column, ForeignKey, LargeBinary, UniqueConstraint
from sqlmodel import Field, SQLModel

from receiver.model import ProofStrength
from receiver.store.tables.base import BigKey, key, source, time, word


class Facets(SQLModel, table=True):
    """One combination of all that has few values; events that share it share this row (facets).

    Filters by any of these are answered here first, so what no event has costs nothing to look for.
    """

    __tablename__ = "search_facets"
    __table_args__ = (
        UniqueConstraint(
            *("source_id", "type", "currency", "proof", "status", "late"), name="uq_search_facets_combination"
        ),
    )

    id: int = key()
    source_id: int = source()
    type: str
    currency: str = ""
    """Empty where none is known: a null would be unlike any other, and never unique. So is `status`."""
    proof: ProofStrength = word(ProofStrength)
    status: str = ""
    """One of `Status`: what the callback claims."""
    late: bool


class SearchEvent(SQLModel, table=True):
    """An event that can be searched for, at the position of its own feed entry."""

    __tablename__ = "search_events"

    position: int = Field(sa_column=Column(BigKey, primary_key=True, autoincrement=False))
    event_id: str = Field(foreign_key="events.id", unique=True)
    facets_id: int = Field(sa_column=Column(BigKey, ForeignKey("search_facets.id"), nullable=False))
    received_at: datetime = time()
    terms: bytes = Field(sa_type=LargeBinary)
    """All that it is found by, packed: to see whether a found one fulfils the other conditions too."""


class SearchKey(SQLModel, table=True):
    """One thing that an event is found by. Its primary key is what searches read, and is all of it.

    Blocks of positions come first, so that newest first is a matter of blocks, however many fit a term's beginning;
    then facets, so that nothing is read that a filter leaves out.
    """

    __tablename__ = "search_keys"
    __table_args__ = {"sqlite_with_rowid": False}

    block: int = Field(sa_column=Column(BigKey, primary_key=True, autoincrement=False))
    facets_id: int = Field(sa_column=Column(BigKey, primary_key=True, autoincrement=False))
    """No foreign key: it would be looked up for each of an event's keys."""
    term: bytes = Field(sa_column=Column(LargeBinary, primary_key=True))
    """As bytes, which both databases order in the same way, whatever their collation."""
    position: int = Field(sa_column=Column(BigKey, primary_key=True, autoincrement=False))


class SearchBlock(SQLModel, table=True):
    """A block of positions that has events: when the first and the last of them came."""

    __tablename__ = "search_blocks"

    block: int = Field(sa_column=Column(BigKey, primary_key=True, autoincrement=False))
    first_at: datetime = time()
    last_at: datetime = time()


class SearchConflict(SQLModel, table=True):
    """An event that came again with other content, until its keys say so."""

    __tablename__ = "search_conflicts"

    event_id: str = Field(primary_key=True)


class SearchProgress(SQLModel, table=True):
    """How far the feed is indexed (watermarks): one row."""

    __tablename__ = "search_progress"

    id: int = Field(primary_key=True)
    through: int = Field(sa_type=BigKey)
    """Entries up to this position are indexed, but for ..."""
    below: int = Field(sa_type=BigKey)
    """... those below this one, which were there before there was an index; 0 once there are none."""
