"""Message-signing secrets: versions of one secret that overlap while it is rotated, encrypted at rest."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, func, insert, or_, select, update

from receiver.model import SecretState
from receiver.store import sources
from receiver.store.encryption import Encryption
from receiver.store.records import columns_of, fetch_all, fetch_one
from receiver.store.tables import SigningSecret, table_of

_secrets = table_of(SigningSecret)


class SecretVersion(NamedTuple):
    """What may be shown of a secret; times are UTC."""

    version: int
    created_at: datetime
    expires_at: datetime | None

    def state(self, now: datetime) -> SecretState:
        """Return whether it still proves callbacks at `now`."""
        if self.expires_at is None:
            return SecretState.CURRENT
        return SecretState.VALID if self.expires_at > now else SecretState.EXPIRED


class StoredSecret(NamedTuple):
    """The version that a secret has here; `is_new` where it was made for it, rather than the current one already."""

    version: int
    is_new: bool


@dataclass(frozen=True)
class OpenSecret:
    """A secret in the clear, for verification alone."""

    version: int
    text: str = field(repr=False)


def put(
    connection: Connection,
    encryption: Encryption,
    source_id: int,
    secret: str,
    *,
    now: datetime,
    grace_seconds: int | None,
) -> StoredSecret:
    """Make `secret` the current one and return its version.

    Those before it stay valid for the grace period, or as long as they were where that is none. A secret that is the
    current one already is left as it is; one that is about to expire, or has, becomes a new version.
    """
    sources.lock(connection, source_id)
    endless = _newest_first(source_id).where(_secrets.c.expires_at.is_(None)).limit(1)
    current = fetch_one(connection, _Encrypted, endless)
    if current is not None and _open(encryption, current).text == secret:
        return StoredSecret(current.version, is_new=False)
    newest = connection.execute(select(func.max(_secrets.c.version)).where(_secrets.c.source_id == source_id)).scalar()
    version = (newest or 0) + 1
    if grace_seconds is not None:
        expire_all(connection, source_id, now + timedelta(seconds=grace_seconds))
    sealed = encryption.encrypt(_purpose(source_id, version), secret)
    connection.execute(insert(_secrets).values(source_id=source_id, version=version, sealed=sealed, created_at=now))
    return StoredSecret(version, is_new=True)


def expire_all(connection: Connection, source_id: int, at: datetime) -> None:
    """Let all secrets that have no end yet end then."""
    endless = (_secrets.c.source_id == source_id, _secrets.c.expires_at.is_(None))
    connection.execute(update(_secrets).where(*endless).values(expires_at=at))


def expire_now(connection: Connection, source_id: int, now: datetime) -> None:
    """End all secrets that are valid at `now`."""
    alive = or_(_secrets.c.expires_at.is_(None), _secrets.c.expires_at > now)
    connection.execute(update(_secrets).where(_secrets.c.source_id == source_id, alive).values(expires_at=now))


def expire(connection: Connection, source_id: int, version: int, now: datetime) -> bool:
    """End one version now; false where there is no such version, or it has ended already."""
    alive = or_(_secrets.c.expires_at.is_(None), _secrets.c.expires_at > now)
    one = update(_secrets).where(_secrets.c.source_id == source_id, _secrets.c.version == version, alive)
    return connection.execute(one.values(expires_at=now)).rowcount == 1


def valid(connection: Connection, encryption: Encryption, source_id: int, now: datetime) -> list[OpenSecret]:
    """Return the secrets that prove a callback at `now`, newest first.

    Raises:
        DecryptionFailed
    """
    alive = or_(_secrets.c.expires_at.is_(None), _secrets.c.expires_at > now)
    return [_open(encryption, row) for row in fetch_all(connection, _Encrypted, _newest_first(source_id).where(alive))]


def every(connection: Connection, encryption: Encryption, source_id: int) -> list[OpenSecret]:
    """Return every version in the clear, newest first, expired ones too: to find out how something was signed.

    Raises:
        DecryptionFailed
    """
    return [_open(encryption, row) for row in fetch_all(connection, _Encrypted, _newest_first(source_id))]


class _Encrypted(NamedTuple):
    source_id: int
    version: int
    sealed: bytes


def _newest_first(source_id: int) -> Select[Any]:
    query = select(*columns_of(_Encrypted, _secrets))
    return query.where(_secrets.c.source_id == source_id).order_by(_secrets.c.version.desc())


def _open(encryption: Encryption, row: _Encrypted) -> OpenSecret:
    return OpenSecret(row.version, encryption.decrypt(_purpose(row.source_id, row.version), row.sealed))


def versions(connection: Connection, source_id: int) -> list[SecretVersion]:
    """Return every version, newest first, expired ones too."""
    query = select(*columns_of(SecretVersion, _secrets)).where(_secrets.c.source_id == source_id)
    return fetch_all(connection, SecretVersion, query.order_by(_secrets.c.version.desc()))


def _purpose(source_id: int, version: int) -> str:
    return f"signing secret {version} of source {source_id}"
