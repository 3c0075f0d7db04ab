"""API tokens (bearer tokens) of downstream apps: shown once, stored as a digest."""

import hashlib
import secrets
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, insert, or_, select, update

from receiver.model import ReceiverError, Scope
from receiver.store.records import columns_of
from receiver.store.tables import ApiToken, table_of

_tokens = table_of(ApiToken)

SCOPES = tuple(str(scope) for scope in Scope)
DEFAULT_SCOPES = ("events:read", "feed:read", "payments:read")

USE_NOTED_EVERY = timedelta(minutes=1)
"""The time of last use is written down at most this often, so that reading does not become writing."""


class TokenExists(ReceiverError):
    """There is a token of this name already."""


class TokenRecord(NamedTuple):
    """A token without its secret; times are UTC."""

    id: int
    name: str
    scopes: tuple[str, ...]
    sources: tuple[str, ...]
    """Names of the sources that it may see; empty for all."""
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None


_ALL = select(*columns_of(TokenRecord, _tokens))
_USABLE = _ALL.where(
    _tokens.c.digest == bindparam("digest"),
    _tokens.c.revoked_at.is_(None),
    or_(_tokens.c.expires_at.is_(None), _tokens.c.expires_at > bindparam("now")),
)


def create(
    connection: Connection,
    *,
    name: str,
    scopes: Sequence[str],
    sources: Sequence[str],
    now: datetime,
    expires_at: datetime | None,
) -> str:
    """Create a token and return it, for this once.

    Raises:
        TokenExists
    """
    if connection.execute(select(_tokens.c.id).where(_tokens.c.name == name)).first() is not None:
        raise TokenExists(f"there is a token {name!r} already")
    token = f"rcv_{secrets.token_urlsafe(32)}"
    connection.execute(
        insert(_tokens).values(
            name=name,
            digest=_digest(token),
            scopes=list(scopes),
            sources=list(sources),
            created_at=now,
            expires_at=expires_at,
        )
    )
    return token


def find(connection: Connection, token: str, now: datetime) -> TokenRecord | None:
    """Return what a shown token stands for; none where it is unknown, expired or revoked.

    The look-up goes by a digest of 256 random bits, so how long it takes tells nothing of use.
    """
    row = connection.execute(_USABLE, {"digest": _digest(token), "now": now}).one_or_none()
    return None if row is None else _record(row)


def needs_note_of_use(record: TokenRecord, now: datetime) -> bool:
    """Tell whether the stored time of last use is older than `USE_NOTED_EVERY`."""
    return record.last_used_at is None or abs(now - record.last_used_at) >= USE_NOTED_EVERY


def note_use(connection: Connection, token_id: int, now: datetime) -> None:
    """Write down that a token was used."""
    connection.execute(update(_tokens).where(_tokens.c.id == token_id).values(last_used_at=now))


def revoke(connection: Connection, name: str, now: datetime) -> bool:
    """End a token at once, in every process; tell whether there was one to end."""
    ended = update(_tokens).where(_tokens.c.name == name, _tokens.c.revoked_at.is_(None)).values(revoked_at=now)
    return connection.execute(ended).rowcount == 1


def named(connection: Connection, name: str) -> TokenRecord | None:
    """Return the token of this name, an ended one too."""
    row = connection.execute(_ALL.where(_tokens.c.name == name)).one_or_none()
    return None if row is None else _record(row)


def lock(connection: Connection, name: str) -> None:
    """Make other writers about this token wait until the transaction ends."""
    connection.execute(select(_tokens.c.id).where(_tokens.c.name == name).with_for_update(key_share=True))


def every(connection: Connection) -> list[TokenRecord]:
    """Return all tokens by name, ended ones too."""
    return [_record(row) for row in connection.execute(_ALL.order_by(_tokens.c.name))]


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _record(row: Iterable[Any]) -> TokenRecord:
    read = TokenRecord._make(row)
    return read._replace(scopes=tuple(read.scopes), sources=tuple(read.sources))
