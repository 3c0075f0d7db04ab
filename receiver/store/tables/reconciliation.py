"""What a bank says that it knows, line by line; how far it was read, what no callback came for; closed days."""

from datetime import date, datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Column, ForeignKey, Index, LargeBinary, UniqueConstraint
from sqlmodel import Field, SQLModel

from receiver.model import DayCategory, Status
from receiver.store.tables.base import (
    BigKey,
    key,
    partial_index,
    shared_source,
    source,
    source_key,
    table_of,
    time,
    word,
)


class BankLine(SQLModel, table=True):
    """One line of a bank's own list (a transaction), as the sweep read it last."""

    __tablename__ = "bank_lines"
    __table_args__ = (
        UniqueConstraint("source_id", "identity"),
        Index("ix_bank_lines_day", "source_id", "day", "id"),
        Index("ix_bank_lines_payment", "source_id", "payment_id"),
        Index("ix_bank_lines_event", "event_id"),
    )

    id: int = key()
    source_id: int = shared_source()
    identity: str
    """SHA-256 (hex) of what makes it this line: list, account, id or reference, direction, amount, currency, and the
    how manieth of lines that are equal in all of that; without id and reference the business day is part of it, and
    without a time too all that the bank says of it."""
    list_name: str
    """Which of the bank's lists has it."""
    day: date
    """The business day that it belongs to, by the bank's calendar."""
    type: str
    payment_id: str | None = None
    reference: str | None = None
    account: str | None = None
    direction: str | None = None
    """`incoming` or `outgoing`."""
    amount: str | None = None
    """Without a sign, as a decimal number."""
    currency: str | None = None
    bank_status: str | None = None
    status: Status = word(Status)
    at: datetime | None = time(nullable=True)
    """The bank's own time of it; the beginning of `named_day` where it tells none."""
    named_day: date | None = None
    """The day that the bank names where it tells no time; none in lines of before that were not read since, too."""
    detail: dict[str, Any] = Field(sa_type=JSON)
    seen_at: datetime = time()
    """When a sweep read it first."""
    event_id: str | None = None
    """The event that tells the same: one that came, or the one that the sweep made of this line (proof `none`)."""


_lines = table_of(BankLine).c
UNJOINED = partial_index("ix_bank_lines_unjoined", [_lines.source_id, _lines.id], _lines.event_id.is_(None))


class Sweep(SQLModel, table=True):
    """How far one of a bank's lists was read; the row without a name is the bank's list of its lists."""

    __tablename__ = "sweeps"

    source_id: int = Field(sa_column=Column(BigKey, ForeignKey("sources.id"), primary_key=True, autoincrement=False))
    list_name: str = Field(primary_key=True)
    covered_from: datetime | None = time(nullable=True)
    """Since when, by the bank's time, all is here that the list had when it was read."""
    covered_until: datetime | None = time(nullable=True)
    """Until when (the watermark): never later than the list was read."""
    last_read_at: datetime | None = time(nullable=True)
    """When a reading of it was last begun that came to its end."""
    error: str | None = None
    """Why it was not read the last time, in words."""
    next_at: datetime = time()
    """When a worker reads it next."""
    lease: str | None = None
    leased_until: datetime | None = time(nullable=True)
    gone_at: datetime | None = time(nullable=True)
    """When it goes out of use, or went: a day after the bank did not name it any more."""


class Recovery(SQLModel, table=True):
    """A line of a bank's list for which no callback has come: its event is about to be made, or was made.

    The row is there before the event is, and goes once a callback tells of it: so whoever writes a callback down learns
    from it that the event is there, or that the sweep must not make one.
    """

    __tablename__ = "recoveries"
    __table_args__ = (Index("ix_recoveries_name", "name"), Index("ix_recoveries_source", "source_id", "id"))

    id: int = key()
    source_id: int = shared_source()
    line_id: int = Field(sa_type=BigInteger, unique=True)
    name: str | None = None
    """The payment's id, or its reference where the list has none: what a callback is found by."""
    event_id: str | None = None
    """The event that the sweep made; none yet."""
    since: datetime = time()
    """When it was found that no callback had come."""


_recoveries = table_of(Recovery).c
EXPECTED = partial_index(
    "ix_recoveries_expected", [_recoveries.source_id, _recoveries.id], _recoveries.event_id.is_(None)
)


class DayVersion(SQLModel, table=True):
    """A business day as it was closed: the bank's list held against our events.

    It is never changed, but for when it is looked at; what has changed since makes another version.
    """

    __tablename__ = "day_versions"
    __table_args__ = (
        UniqueConstraint("source_id", "day", "version"),
        Index("ix_day_versions_look", "next_look_at"),
    )

    id: int = key()
    source_id: int = source()
    day: date
    version: int
    """From 1."""
    closed_at: datetime = time()
    header: dict[str, Any] = Field(sa_type=JSON)
    """All that is said of the day besides its lines, and what binds these and the day before to it."""
    digest: str
    """HMAC-SHA256 (hex) over the header."""
    looked_at: datetime = time()
    """When it was last held against what is so."""
    next_look_at: datetime | None = time(nullable=True)
    """When it is to be next; none for one that a later version has replaced, and for one of long ago."""


class DayLines(SQLModel, table=True):
    """Some lines of a version of a day that are of one category, compressed."""

    __tablename__ = "day_lines"
    __table_args__ = (UniqueConstraint("version_id", "category", "first"),)

    id: int = key()
    version_id: int = Field(sa_column=Column(BigKey, ForeignKey("day_versions.id"), nullable=False))
    category: DayCategory = word(DayCategory)
    first: int
    """Which of the category's lines is the first one here, from 0."""
    number: int
    content: bytes = Field(sa_type=LargeBinary)
    """JSON, a line each, by zlib (RFC 1950)."""


class DayHead(SQLModel, table=True):
    """How many versions of its days a source has, and which is the newest; and who closes a day just now."""

    __tablename__ = "day_heads"

    source_id: int = source_key()
    versions: int
    digest: str
    key: str
    """The name of the key of `mac`."""
    mac: str
    """HMAC-SHA256 (hex) over the number of versions and the newest digest."""
    leased_until: datetime | None = time(nullable=True)
