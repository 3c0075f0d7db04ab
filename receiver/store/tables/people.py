"""Who uses the staff pages, and who did what: people, their sessions, the audit log."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Column, ForeignKey, Index, LargeBinary, UniqueConstraint
from sqlmodel import Field, SQLModel

from receiver.model import Role
from receiver.store.tables.base import BigKey, key, time, word


class StaffUser(SQLModel, table=True):
    """A person: by a password of their own, or by an OpenID Connect provider that vouches for them."""

    __tablename__ = "staff_users"
    __table_args__ = (UniqueConstraint("issuer", "subject", name="uq_staff_users_identity"),)

    id: int = key()
    name: str = Field(unique=True)
    role: Role = word(Role)
    payloads: bool
    """Whether they may read what a bank sent, which is apart from the role."""
    sealed: bytes = Field(sa_type=LargeBinary)
    """What their password is held against (argon2id), encrypted and bound to name, role, rights and state: whoever
    writes to the database alone can make nobody an admin."""
    issuer: str | None = None
    """The provider, and ..."""
    subject: str | None = None
    """... how it calls them (`sub`)."""
    created_at: datetime = time()
    password_at: datetime | None = time(nullable=True)
    """When the password was set."""
    disabled_at: datetime | None = time(nullable=True)
    signed_in_at: datetime | None = time(nullable=True)
    """The last time."""


class StaffSession(SQLModel, table=True):
    """One browser that somebody is signed in with."""

    __tablename__ = "staff_sessions"
    __table_args__ = (
        Index("ix_staff_sessions_user", "user_id", "id"),
        Index("ix_staff_sessions_expires_at", "expires_at"),
    )

    id: int = key()
    digest: str = Field(unique=True)
    """HMAC-SHA256 of what the cookie holds, which names the person: nobody is given another's session by this row."""
    user_id: int = Field(sa_column=Column(BigKey, ForeignKey("staff_users.id"), nullable=False))
    address: str
    """Where it was signed in from; an IPv6 address stands for its network of 64 bits."""
    created_at: datetime = time()
    seen_at: datetime = time()
    """When it was used last, to a minute."""
    expires_at: datetime = time()
    ended_at: datetime | None = time(nullable=True)


class StaffForm(SQLModel, table=True):
    """A form that was sent: its token is not taken another time."""

    __tablename__ = "staff_forms"

    nonce: str = Field(primary_key=True)
    expires_at: datetime = time(index=True)
    """From then on the token is not taken for its age, and this row is not needed."""


class SignInFailures(SQLModel, table=True):
    """How often signing in failed, by account and by address: a fixed number of rows, whoever tries."""

    __tablename__ = "staff_sign_in_failures"

    bucket: int = Field(sa_column=Column(BigKey, primary_key=True, autoincrement=False))
    """Accounts and addresses share buckets by a keyed digest: nobody can tell whose is whose."""
    failures: int = Field(sa_type=BigInteger)
    failed_at: datetime = time()


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
