"""Sources: one row for each bank relation, with its API credentials, encrypted."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, insert, select, update

from receiver.model import ReceiverError
from receiver.store.encryption import DecryptionFailed, Encryption
from receiver.store.records import columns_of, fetch_all, fetch_one
from receiver.store.tables import Source, table_of

_sources = table_of(Source)

_NAMES = select(_sources.c.id, _sources.c.name)

GIVEN_BY_PERSONS = ("ca_certificate",)
"""What stands among the credentials and is not the bank's to change."""

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,62}[a-z0-9])?")

_FORMER = re.compile(rf"(?:{_NAME.pattern})~[0-9]+")
"""What a removed source is called whose name is free: no source can be added under such a name."""


class SourceNameWrong(ReceiverError):
    """A source's name must stand in a URL as it is."""


class SourceExists(ReceiverError):
    """There is a source of this name already."""


class SourceRecord(NamedTuple):
    """A source without its secrets; times are UTC. One with `hidden_at` was removed: it is not enabled ever after."""

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
    hidden_at: datetime | None

    @property
    def may_be_asked(self) -> bool:
        """Whether it is in use, and has API credentials to ask its bank with."""
        return self.enabled and self.has_credentials

    @property
    def destination(self) -> str:
        """The digest of all that decides where the credentials go and how: bank, environment, address, options.

        What is sealed for this source's bank is bound to it, so that changing one of them in the database gets nobody
        a password. All options count: so none that comes later can be forgotten.
        """
        return destination(self.bank, self.environment, self.base_url, self.options)


def destination(bank: str, environment: str, base_url: str | None, options: Mapping[str, Any]) -> str:
    """Return the digest behind `SourceRecord.destination`; it must never change, or nothing opens any more."""
    text = json.dumps([bank, environment, base_url, dict(options)], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


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
    """Return the source of this name, enabled or not, removed or not."""
    if not _NAME.fullmatch(name) and not _FORMER.fullmatch(name):
        return None
    return fetch_one(connection, SourceRecord, _ALL.where(_sources.c.name == name))


def with_id(connection: Connection, source_id: int) -> SourceRecord:
    """Return the source of this number, which something that is stored refers to, enabled or not, removed or not."""
    return SourceRecord._make(connection.execute(_ALL.where(_sources.c.id == source_id)).one())


def every(connection: Connection) -> list[SourceRecord]:
    """Return all sources by name, removed ones too."""
    return fetch_all(connection, SourceRecord, _ALL.order_by(_sources.c.name))


def shown(connection: Connection) -> list[SourceRecord]:
    """Return all sources that were not removed, by name."""
    return [source for source in every(connection) if source.hidden_at is None]


def names(connection: Connection) -> dict[int, str]:
    """Return the name behind each source's number, of removed ones too."""
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

    Nobody waits who only refers to it: the lock is `FOR NO KEY UPDATE`, which goes together with the key-share lock of
    a foreign key. `FOR UPDATE` does not.
    """
    connection.execute(select(_sources.c.id).where(_sources.c.id == source_id).with_for_update(key_share=True))


def lock_bank(connection: Connection, bank: str) -> None:
    """Make other writers about all sources of a bank wait, as `lock` does for one, always in the same order."""
    rows = select(_sources.c.id).where(_sources.c.bank == bank).order_by(_sources.c.id)
    connection.execute(rows.with_for_update(key_share=True))


def set_credentials(
    connection: Connection, encryption: Encryption, source: SourceRecord, credentials: Mapping[str, str]
) -> None:
    """Store the API credentials, encrypted, for the destination in `source` alone."""
    change(connection, source.id, credentials=seal_credentials(encryption, source, credentials))


def renew_credentials(
    connection: Connection, encryption: Encryption, source: SourceRecord, credentials: Mapping[str, str]
) -> None:
    """Store credentials that a bank has made; the CA that a person gave beside the ones before stays."""
    try:
        before = _credentials(connection, encryption, source) or {}
    except DecryptionFailed:
        before = {}
    given = {name: before[name] for name in GIVEN_BY_PERSONS if name in before}
    set_credentials(connection, encryption, source, {**given, **credentials})


def seal_credentials(encryption: Encryption, source: SourceRecord, credentials: Mapping[str, str]) -> bytes:
    """Encrypt API credentials for the destination in `source` alone."""
    return encryption.encrypt(_purpose(source), json.dumps(dict(credentials)), source.destination)


def open_credentials(encryption: Encryption, source: SourceRecord, sealed: bytes) -> dict[str, str]:
    """Return what `seal_credentials` was given.

    Raises:
        DecryptionFailed: also where they were sealed for another destination.
    """
    opened: dict[str, str] = json.loads(encryption.decrypt(_purpose(source), sealed, source.destination))
    return opened


def credentials(connection: Connection, encryption: Encryption, source: SourceRecord) -> dict[str, str] | None:
    """Return the API credentials, to be sent to the destination in `source`, which they are bound to.

    Raises:
        DecryptionFailed: also where they were stored for another destination.
    """
    return _credentials(connection, encryption, source)


def _credentials(connection: Connection, encryption: Encryption, source: SourceRecord) -> dict[str, str] | None:
    # By a name that no argument of this module hides.
    sealed = connection.execute(select(_sources.c.credentials).where(_sources.c.id == source.id)).scalar_one()
    return None if sealed is None else open_credentials(encryption, source, sealed)


def _purpose(source: SourceRecord) -> str:
    return f"credentials of source {source.id}"
