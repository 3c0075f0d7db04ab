"""The log of who did what, why and when: only ever added to, each entry bound to the one before it."""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, select, text

from receiver.model import ReceiverError
from receiver.store.tables import AuditEntry, table_of

_entries = table_of(AuditEntry)


class AuditBroken(ReceiverError):
    """An entry was changed or taken out since it was written."""


def write(
    connection: Connection, *, at: datetime, who: str, what: str, why: str | None, about: Mapping[str, Any]
) -> None:
    """Add an entry in the caller's transaction: what is logged and the log of it are kept or lost together."""
    if connection.dialect.name == "postgresql":
        # Writers take turns, so that each entry is bound to the one before it. The number is this project's own.
        connection.execute(text("SELECT pg_advisory_xact_lock(7236102)"))
    before = connection.execute(select(_entries.c.digest).order_by(_entries.c.id.desc()).limit(1)).scalar()
    digest = _digest(before, at, who, what, why, about)
    connection.execute(insert(_entries).values(at=at, who=who, what=what, why=why, about=dict(about), digest=digest))


def listing(connection: Connection, *, limit: int) -> list[Row[Any]]:
    """Return entries, newest first."""
    return list(connection.execute(select(_entries).order_by(_entries.c.id.desc()).limit(limit)))


def verify(connection: Connection) -> int:
    """Check every entry against the one before it, and return how many there are.

    Raises:
        AuditBroken: naming the first entry that does not fit.
    """
    before: str | None = None
    number = 0
    for row in connection.execute(select(_entries).order_by(_entries.c.id)):
        if _digest(before, row.at, row.who, row.what, row.why, row.about) != row.digest:
            raise AuditBroken(f"entry {row.id} does not fit the one before it: one of them was changed or taken out")
        before = row.digest
        number += 1
    return number


def _digest(before: str | None, at: datetime, who: str, what: str, why: str | None, about: Mapping[str, Any]) -> str:
    told = json.dumps([before, at.astimezone(UTC).isoformat(), who, what, why, dict(about)], sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()
