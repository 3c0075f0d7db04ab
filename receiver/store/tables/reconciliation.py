"""What a bank says that it knows of a business day, line by line."""

from datetime import date, datetime
from typing import Any

from sqlalchemy import JSON, Index, UniqueConstraint
from sqlmodel import Field, SQLModel

from receiver.model import Status
from receiver.store.tables.base import key, shared_source, time, word


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
    how manieth of lines that are equal in all of that."""
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
    """The bank's own time of it."""
    detail: dict[str, Any] = Field(sa_type=JSON)
    seen_at: datetime = time()
    """When a sweep read it first."""
    event_id: str | None = None
    """The event that tells the same: one that came, or the one that the sweep made of this line (proof `none`)."""
