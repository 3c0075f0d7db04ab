"""The public keys (JWKS) of a source's bank, sealed: what is known of them, and when they are due to be fetched."""

from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Connection, func, not_, or_, select, update

from receiver.store import sources
from receiver.store.bulk_insert import insert_or_skip, upsert
from receiver.store.encryption import DecryptionFailed, Encryption
from receiver.store.records import SKEW
from receiver.store.sources import SourceRecord
from receiver.store.tables import PublicKeys, Source, table_of

_keys, _sources = table_of(PublicKeys), table_of(Source)

PAUSE_MAX = timedelta(minutes=15)
"""The longest pause (backoff) between two fetches of public keys that fail, however many did."""


class StoredKeys(NamedTuple):
    """A source's public keys, and how fetching them went; times are UTC."""

    jwks: str | None = None
    """None too where what is stored is not what was fetched from the source's own bank."""
    fetched_at: datetime | None = None
    tried_at: datetime | None = None
    wanted_at: datetime | None = None
    error: str | None = None


def stored(connection: Connection, encryption: Encryption, source: SourceRecord) -> StoredKeys:
    """Return the public keys that are known, and how fetching them went.

    What was put into the database in place of them, or fetched for another destination, is none: forged signatures
    would be taken by it. The bank is asked for its keys then, as where none are known.
    """
    row = connection.execute(select(_keys).where(_keys.c.source_id == source.id)).one_or_none()
    if row is None:
        return StoredKeys()
    jwks, error = None, row.error
    if row.sealed is not None:
        try:
            jwks = encryption.decrypt(_purpose(source), row.sealed, source.destination)
        except DecryptionFailed as failed:
            error = str(failed)
    return StoredKeys(jwks, row.fetched_at, row.tried_at, row.wanted_at, error)


def seal(connection: Connection, encryption: Encryption, source: SourceRecord, jwks: str | None) -> None:
    """Bind the public keys that are stored to the source's new destination; without `jwks`, have them fetched anew."""
    values: dict[str, object] = {"sealed": None, "fetched_at": None, "tried_at": None, "failures": None}
    if jwks is not None:
        values = {"sealed": encryption.encrypt(_purpose(source), jwks, source.destination)}
    connection.execute(update(_keys).where(_keys.c.source_id == source.id).values(**values))


def _purpose(source: SourceRecord) -> str:
    return f"public keys of source {source.id}"


def want(connection: Connection, source_id: int, now: datetime) -> None:
    """Ask the worker for a fresh set; asking more than once changes nothing (idempotent)."""
    insert_or_skip(connection, _keys, ["source_id"], {"source_id": source_id})
    unasked = _keys.c.wanted_at.is_(None)
    connection.execute(update(_keys).where(_keys.c.source_id == source_id, unasked).values(wanted_at=now))


def put(
    connection: Connection,
    encryption: Encryption,
    source: SourceRecord,
    now: datetime,
    *,
    jwks: str | None,
    error: str | None,
) -> None:
    """Store what a fetch gave: a new set, or why there is none (the old set stays); neither where the bank has none."""
    values: dict[str, object] = {"tried_at": now, "wanted_at": None, "error": error}
    start: dict[str, object] = {"failures": None}
    if error is not None:
        start = {"failures": 1}
        values |= {"failures": func.coalesce(_keys.c.failures, 0) + 1}
    else:
        values |= {"fetched_at": now, "failures": None}
        if jwks is not None:
            values |= {"sealed": encryption.encrypt(_purpose(source), jwks, source.destination)}
    statement = upsert(connection, _keys).values(source_id=source.id, **{**values, **start})
    connection.execute(statement.on_conflict_do_update(index_elements=["source_id"], set_=values))


def sources_in_want(
    connection: Connection, *, now: datetime, older_than: timedelta, pause: timedelta
) -> list[SourceRecord]:
    """Return the enabled sources with credentials whose bank's public keys are due to be fetched.

    That is where keys are asked for, missing or older than `older_than`, and no fetch was tried for the length of
    `pause`, which doubles with each one that failed (backoff). What was fetched or tried later than `now` was so by a
    clock that was wrong, and counts as long ago.
    """
    fresh = _keys.c.fetched_at.between(now - older_than, now + SKEW)
    wanted = or_(_keys.c.wanted_at.is_not(None), _keys.c.fetched_at.is_(None), not_(fresh))
    query = (
        select(_sources.c.name, _keys.c.tried_at, _keys.c.failures)
        .outerjoin(_keys, _keys.c.source_id == _sources.c.id)
        .where(_sources.c.enabled.is_(True), _sources.c.credentials.is_not(None), wanted)
    )
    due = [row.name for row in connection.execute(query) if _is_calm(now, row.tried_at, row.failures or 0, pause)]
    found = [sources.find(connection, name) for name in due]
    return [source for source in found if source is not None]


def _is_calm(now: datetime, tried_at: datetime | None, failures: int, pause: timedelta) -> bool:
    if tried_at is None:
        return True
    # A clock that was ahead, and was put right, must not stop fetching for as long as it was ahead.
    return not timedelta(0) <= now - tried_at <= min(pause * 2 ** min(max(failures - 1, 0), 30), PAUSE_MAX)
