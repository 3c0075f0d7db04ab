"""Sources: one row for each bank relation, with its API credentials, encrypted."""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, insert, select, update

from receiver.model import ReceiverError
from receiver.store.encryption import Encryption
from receiver.store.records import columns_of, fetch_all, fetch_one
from receiver.store.tables import Source, table_of

_sources = table_of(Source)

_NAMES = select(_sources.c.id, _sources.c.name)

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,62}[a-z0-9])?")


class SourceNameWrong(ReceiverError):
    """A source's name must stand in a URL as it is."""


class SourceExists(ReceiverError):
    """There is a source of this name already."""


class SourceRecord(NamedTuple):
    """A source without its secrets; `created_at` is UTC."""

    id: int
    name: str
    bank: str
    environment: str
    base_url: str | None
    options: Mapping[str, Any]
    enabled: bool
    has_credentials: bool
    environment_digest: str | None
    created_at: datetime


_ALL = select(*columns_of(SourceRecord, _sources, has_credentials=_sources.c.credentials.is_not(None)))


def add(
    connection: Connection,
    *,
    name: str,
    bank: str,
    environment: str,
    base_url: str | None,
    options: Mapping[str, Any],
    now: datetime,
) -> SourceRecord:
    """Create a source.

    Raises:
        SourceNameWrong
        SourceExists
    """
    if not _NAME.fullmatch(name):
        raise SourceNameWrong(f"{name!r} is not a source's name: 1 to 64 of a-z, 0-9, _ and -, no _ or - at the ends")
    if find(connection, name) is not None:
        raise SourceExists(f"there is a source {name!r} already")
    connection.execute(
        insert(_sources).values(
            name=name,
            bank=bank,
            environment=environment,
            base_url=base_url,
            options=dict(options),
            enabled=True,
            created_at=now,
        )
    )
    found = find(connection, name)
    assert found is not None  # noqa: S101 - inserted above, in this transaction
    return found


def find(connection: Connection, name: str) -> SourceRecord | None:
    """Return the source of this name, enabled or not."""
    if not _NAME.fullmatch(name):
        return None
    return fetch_one(connection, SourceRecord, _ALL.where(_sources.c.name == name))


def every(connection: Connection) -> list[SourceRecord]:
    """Return all sources by name."""
    return fetch_all(connection, SourceRecord, _ALL.order_by(_sources.c.name))


def names(connection: Connection) -> dict[int, str]:
    """Return the name behind each source's number."""
    return {row.id: row.name for row in connection.execute(_NAMES)}


def ids(connection: Connection, names: Sequence[str]) -> list[int]:
    """Return the numbers of the named sources that there are."""
    if not names:
        return []
    return list(connection.execute(select(_sources.c.id).where(_sources.c.name.in_(names))).scalars())


def names_starting(connection: Connection, name: str) -> list[str]:
    """Return the names of other sources that start with this one's."""
    query = select(_sources.c.name).where(_sources.c.name.startswith(name, autoescape=True), _sources.c.name != name)
    return list(connection.execute(query).scalars())


def change(connection: Connection, source_id: int, **values: Any) -> None:
    """Set columns of a source."""
    connection.execute(update(_sources).where(_sources.c.id == source_id).values(**values))


def lock(connection: Connection, source_id: int) -> None:
    """Make other writers about this source wait until the transaction ends (on SQLite they all wait anyway).

    Callbacks do not wait: the lock is `FOR NO KEY UPDATE`, which goes together with the key-share lock that the insert
    of a delivery takes on its source. `FOR UPDATE` does not, and would starve where callbacks come without a pause.
    """
    connection.execute(select(_sources.c.id).where(_sources.c.id == source_id).with_for_update(key_share=True))


def set_credentials(
    connection: Connection, encryption: Encryption, source_id: int, credentials: Mapping[str, str]
) -> None:
    """Store the API credentials, encrypted."""
    sealed = encryption.encrypt(_purpose(source_id), json.dumps(dict(credentials)))
    change(connection, source_id, credentials=sealed)


def credentials(connection: Connection, encryption: Encryption, source_id: int) -> dict[str, str] | None:
    """Return the API credentials.

    Raises:
        DecryptionFailed
    """
    sealed = connection.execute(select(_sources.c.credentials).where(_sources.c.id == source_id)).scalar_one()
    if sealed is None:
        return None
    opened: dict[str, str] = json.loads(encryption.decrypt(_purpose(source_id), sealed))
    return opened


def _purpose(source_id: int) -> str:
    return f"credentials of source {source_id}"
