"""What staff do: the log of who did what."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Column, Index, LargeBinary
from sqlmodel import Field, SQLModel

from receiver.store.tables.base import BigKey, key, time


class AuditEntry(SQLModel, table=True):
    """Who did what, why and when. The database refuses to change or delete one."""

    __tablename__ = "audit_entries"
    __table_args__ = (
        Index("ix_audit_entries_who", "who", "id"),
        Index("ix_audit_entries_who_what", "who", "what", "id"),
        Index("ix_audit_entries_what", "what", "id"),
        Index("ix_audit_entries_at", "at", "id"),
    )

    id: int = key()
    at: datetime = time()
    who: str
    what: str
    why: str | None = None
    about: dict[str, Any] = Field(sa_type=JSON)
    key: str | None = None
    """The name of the key that the digest is made with; none in entries of releases that had no key."""
    digest: str
    """HMAC-SHA256 (SHA-256 where there is no key) over this entry and the digest before it: a gap or a change shows."""


class AuditSubject(SQLModel, table=True):
    """One thing that an entry of the audit log is about, to find the entries by; derived from `about`."""

    __tablename__ = "audit_subjects"
    __table_args__ = (Index("ix_audit_subjects_name", "name", "value", "entry_id"),)

    id: int = key()
    entry_id: int = Field(sa_type=BigKey)
    """No foreign key: what refuses to change the log is a trigger of its own, and nothing here is proof of anything."""
    name: str
    """What it is: `event`, `payment`, `delivery`, `exception`, …"""
    value: str
    """Which one."""


class AuditHead(SQLModel, table=True):
    """How many entries the audit log has, and which is the newest: one row."""

    __tablename__ = "audit_head"

    id: int = Field(sa_column=Column(BigKey, primary_key=True, autoincrement=False))
    entries: int = Field(sa_type=BigInteger)
    digest: str | None = None
    """Of the newest entry."""
    key: str
    """The name of the key that `mac` is made with."""
    mac: str
    """HMAC-SHA256 over number and digest."""


class AuditKey(SQLModel, table=True):
    """A key that the audit log's digests are made with."""

    __tablename__ = "audit_keys"

    name: str = Field(primary_key=True)
    """The beginning of the key's own SHA-256."""
    sealed: bytes = Field(sa_type=LargeBinary)
    created_at: datetime = time()
