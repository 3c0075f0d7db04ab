"""Message-signing secrets: versions of one secret that overlap while it is changed, sealed."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import Connection, func, insert, or_, select, update

from receiver.store import sources
from receiver.store.sealing import Sealer
from receiver.store.tables import SigningSecret, table_of

_secrets = table_of(SigningSecret)


@dataclass(frozen=True)
class SecretVersion:
    """What may be shown of a secret."""

    version: int
    created_at: datetime
    expires_at: datetime | None


@dataclass(frozen=True)
class OpenSecret:
    """A secret in the clear, for verification alone."""

    version: int
    text: str = field(repr=False)


def put(
    connection: Connection, sealer: Sealer, source_id: int, secret: str, *, now: datetime, grace_seconds: int
) -> int:
    """Make `secret` the current one and return its version; those before it stay valid for the grace period.

    A secret that is the current one already is left as it is.
    """
    sources.lock(connection, source_id)
    known = valid(connection, sealer, source_id, now)
    if known and known[0].text == secret:
        return known[0].version
    newest = connection.execute(select(func.max(_secrets.c.version)).where(_secrets.c.source_id == source_id)).scalar()
    version = (newest or 0) + 1
    connection.execute(
        update(_secrets)
        .where(_secrets.c.source_id == source_id, _secrets.c.expires_at.is_(None))
        .values(expires_at=now + timedelta(seconds=grace_seconds))
    )
    sealed = sealer.seal(_purpose(source_id, version), secret)
    connection.execute(insert(_secrets).values(source_id=source_id, version=version, sealed=sealed, created_at=now))
    return version


def valid(connection: Connection, sealer: Sealer, source_id: int, now: datetime) -> list[OpenSecret]:
    """Return the secrets that prove a callback at `now`, newest first.

    Raises:
        SealBroken
    """
    rows = connection.execute(
        select(_secrets)
        .where(_secrets.c.source_id == source_id, or_(_secrets.c.expires_at.is_(None), _secrets.c.expires_at > now))
        .order_by(_secrets.c.version.desc())
    )
    return [OpenSecret(row.version, sealer.open(_purpose(source_id, row.version), row.sealed)) for row in rows]


def versions(connection: Connection, source_id: int) -> list[SecretVersion]:
    """Return every version, newest first, expired ones too."""
    rows = connection.execute(
        select(_secrets).where(_secrets.c.source_id == source_id).order_by(_secrets.c.version.desc())
    )
    return [SecretVersion(row.version, row.created_at, row.expires_at) for row in rows]


def _purpose(source_id: int, version: int) -> str:
    return f"signing secret {version} of source {source_id}"
