"""The audit log: who did what, why and when; append-only, each entry bound to the one before it (a hash chain)."""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, insert, select, text

from receiver.model import ReceiverError
from receiver.store.records import columns_of, fetch_all
from receiver.store.tables import AuditEntry, table_of

_entries = table_of(AuditEntry)


class AuditBroken(ReceiverError):
    """An entry was changed or taken out since it was written."""


class AuditRecord(NamedTuple):
    """One entry of the log; `at` is UTC, `about` is what it was done to."""

    id: int
    at: datetime
    who: str
    what: str
    why: str | None
    about: dict[str, Any]
    digest: str


def write(
    connection: Connection, *, at: datetime, who: str, what: str, why: str | None, about: Mapping[str, Any]
) -> None:
    """Add an entry in the caller's transaction: what is logged and the log of it are stored or lost together."""
    if connection.dialect.name == "postgresql":
        # Writers take turns, so that each entry is bound to the one before it. The number is this project's own.
        connection.execute(text("SELECT pg_advisory_xact_lock(7236102)"))
    before = connection.execute(select(_entries.c.digest).order_by(_entries.c.id.desc()).limit(1)).scalar()
    digest = _digest(before, at, who, what, why, about)
    connection.execute(insert(_entries).values(at=at, who=who, what=what, why=why, about=dict(about), digest=digest))


def _all() -> Select[Any]:
    return select(*columns_of(AuditRecord, _entries))


def listing(connection: Connection, *, limit: int) -> list[AuditRecord]:
    """Return entries, newest first."""
    return fetch_all(connection, AuditRecord, _all().order_by(_entries.c.id.desc()).limit(limit))


def verify(connection: Connection) -> int:
    """Check every entry against the one before it, and return how many there are.

    Raises:
        AuditBroken: naming the first entry that does not fit.
    """
    before: str | None = None
    number = 0
    for entry in map(AuditRecord._make, connection.execute(_all().order_by(_entries.c.id))):
        if _digest(before, entry.at, entry.who, entry.what, entry.why, entry.about) != entry.digest:
            raise AuditBroken(f"entry {entry.id} does not fit the one before it: one of them was changed or taken out")
        before = entry.digest
        number += 1
    return number


def _digest(before: str | None, at: datetime, who: str, what: str, why: str | None, about: Mapping[str, Any]) -> str:
    content = json.dumps([before, at.astimezone(UTC).isoformat(), who, what, why, dict(about)], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()
