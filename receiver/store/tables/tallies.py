"""How many rows there are of what metrics tell, kept up to date by triggers, so that nobody has to count them."""

from sqlalchemy import Index
from sqlmodel import Field, SQLModel

from receiver.store.tables.base import BigKey, key, shared_source


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
