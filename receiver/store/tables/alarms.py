"""How far people were told of what needs one."""

from datetime import datetime

from sqlmodel import Field, SQLModel

from receiver.store.tables.base import BigKey, time


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
