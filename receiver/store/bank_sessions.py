"""What all processes share of a bank's API: access token, request budget (rate limit), public keys (JWKS)."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Connection, delete, or_, select, update

from receiver.store import sources
from receiver.store.bulk_insert import insert_or_skip, upsert
from receiver.store.encryption import Encryption
from receiver.store.records import columns_of, fetch_one
from receiver.store.tables import BankToken, PublicKeys, RequestBudget, Source, table_of

_tokens, _budgets, _keys, _sources = (table_of(model) for model in (BankToken, RequestBudget, PublicKeys, Source))


@dataclass(frozen=True)
class StoredToken:
    """An access token in the clear."""

    text: str = field(repr=False)
    expires_at: datetime


class StoredKeys(NamedTuple):
    """A source's public keys, and how fetching them went; times are UTC."""

    jwks: str | None = None
    fetched_at: datetime | None = None
    tried_at: datetime | None = None
    wanted_at: datetime | None = None
    error: str | None = None


def token(connection: Connection, encryption: Encryption, source_id: int) -> StoredToken | None:
    """Return the token last stored, expired or not.

    Raises:
        DecryptionFailed
    """
    query = select(_tokens.c.sealed, _tokens.c.expires_at).where(_tokens.c.source_id == source_id)
    row = connection.execute(query).one_or_none()
    if row is None or row.sealed is None:
        return None
    return StoredToken(encryption.decrypt(_purpose(source_id), row.sealed), row.expires_at)


def claim_fetching(
    connection: Connection, source_id: int, *, now: datetime, until: datetime, in_place_of_a_good_one: bool = False
) -> bool:
    """Lease the fetching of a new token until `until`; false where another process has the lease, or has just had it.

    A token that is good by now makes it false too: between this process's look for one and its claim, another may
    have fetched one.
    """
    insert_or_skip(connection, _tokens, ["source_id"], {"source_id": source_id})
    nobody = or_(_tokens.c.fetching_until.is_(None), _tokens.c.fetching_until <= now)
    claim = update(_tokens).where(_tokens.c.source_id == source_id, nobody)
    if not in_place_of_a_good_one:
        claim = claim.where(or_(_tokens.c.expires_at.is_(None), _tokens.c.expires_at <= now))
    return connection.execute(claim.values(fetching_until=until)).rowcount == 1


def put_token(connection: Connection, encryption: Encryption, source_id: int, text: str, expires_at: datetime) -> None:
    """Store a fetched token for all processes."""
    sealed = encryption.encrypt(_purpose(source_id), text)
    values = {"sealed": sealed, "expires_at": expires_at, "fetching_until": None}
    connection.execute(update(_tokens).where(_tokens.c.source_id == source_id).values(**values))


def end_fetching(connection: Connection, source_id: int) -> None:
    """Let another process try, after a failure."""
    connection.execute(update(_tokens).where(_tokens.c.source_id == source_id).values(fetching_until=None))


def drop_token(connection: Connection, encryption: Encryption, source_id: int, text: str) -> None:
    """Forget the token that the bank refused, unless another process has replaced it already."""
    # Locked, lest the token that another process stores meanwhile is dropped in place of this one.
    connection.execute(select(_tokens.c.source_id).where(_tokens.c.source_id == source_id).with_for_update())
    stored = token(connection, encryption, source_id)
    if stored is not None and stored.text == text:
        connection.execute(update(_tokens).where(_tokens.c.source_id == source_id).values(sealed=None, expires_at=None))


def _purpose(source_id: int) -> str:
    return f"bank token of source {source_id}"


def take_request(connection: Connection, source_id: int, *, now: datetime, limit: int, window: timedelta) -> datetime:
    """Count one request against the bank's limit; return `now`, or when to come back where none is left.

    Windows are fixed: one starts with the first request after the one before it has ended.
    """
    start = {"source_id": source_id, "window_started_at": now, "used": 0}
    insert_or_skip(connection, _budgets, ["source_id"], start)
    row = connection.execute(select(_budgets).where(_budgets.c.source_id == source_id).with_for_update()).one()
    if row.blocked_until is not None and row.blocked_until > now:
        blocked: datetime = row.blocked_until
        return blocked
    started, used = (now, 0) if row.window_started_at + window <= now else (row.window_started_at, row.used)
    if used >= limit:
        ends: datetime = started + window
        return ends
    changed = {"window_started_at": started, "used": used + 1, "blocked_until": None}
    connection.execute(update(_budgets).where(_budgets.c.source_id == source_id).values(**changed))
    return now


def block_requests(connection: Connection, source_id: int, until: datetime) -> None:
    """Make no request until then: the bank said so."""
    connection.execute(update(_budgets).where(_budgets.c.source_id == source_id).values(blocked_until=until))


def forget(connection: Connection, source_id: int) -> None:
    """Drop the token and the block, after the credentials have changed."""
    connection.execute(delete(_tokens).where(_tokens.c.source_id == source_id))
    connection.execute(update(_budgets).where(_budgets.c.source_id == source_id).values(blocked_until=None))


def public_keys(connection: Connection, source_id: int) -> StoredKeys:
    """Return the public keys that are known, and how fetching them went."""
    query = select(*columns_of(StoredKeys, _keys)).where(_keys.c.source_id == source_id)
    return fetch_one(connection, StoredKeys, query) or StoredKeys()


def want_public_keys(connection: Connection, source_id: int, now: datetime) -> None:
    """Ask the worker for a fresh set; asking more than once changes nothing (idempotent)."""
    insert_or_skip(connection, _keys, ["source_id"], {"source_id": source_id})
    unasked = _keys.c.wanted_at.is_(None)
    connection.execute(update(_keys).where(_keys.c.source_id == source_id, unasked).values(wanted_at=now))


def put_public_keys(
    connection: Connection, source_id: int, now: datetime, *, jwks: str | None, error: str | None
) -> None:
    """Store what a fetch gave: a new set, or why there is none (the old set stays); neither where the bank has none."""
    values: dict[str, object] = {"tried_at": now, "wanted_at": None, "error": error}
    if error is None:
        values |= {"fetched_at": now} if jwks is None else {"jwks": jwks, "fetched_at": now}
    statement = upsert(connection, _keys).values(source_id=source_id, **values)
    connection.execute(statement.on_conflict_do_update(index_elements=["source_id"], set_=values))


def sources_in_want_of_keys(
    connection: Connection, *, older_than: datetime, tried_before: datetime
) -> list[sources.SourceRecord]:
    """Return the enabled sources with credentials whose bank's public keys are due to be fetched.

    That is where keys are asked for, missing or older than `older_than`, and no fetch was tried since `tried_before`.
    """
    wanted = or_(_keys.c.wanted_at.is_not(None), _keys.c.fetched_at.is_(None), _keys.c.fetched_at < older_than)
    calm = or_(_keys.c.tried_at.is_(None), _keys.c.tried_at < tried_before)
    query = (
        select(_sources.c.name)
        .outerjoin(_keys, _keys.c.source_id == _sources.c.id)
        .where(_sources.c.enabled.is_(True), _sources.c.credentials.is_not(None), wanted, calm)
    )
    found = [sources.find(connection, name) for name in connection.execute(query).scalars()]
    return [source for source in found if source is not None]
