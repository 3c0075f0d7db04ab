"""The access token of a source's bank, sealed, shared by all processes: whoever has the lease fetches a new one."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, delete, or_, select, update

from receiver.store import request_budget
from receiver.store.bulk_insert import insert_or_skip
from receiver.store.encryption import DecryptionFailed, Encryption
from receiver.store.records import SKEW
from receiver.store.sources import SourceRecord
from receiver.store.tables import BankToken, table_of

_tokens = table_of(BankToken)


@dataclass(frozen=True)
class StoredToken:
    """An access token in the clear."""

    text: str = field(repr=False)
    expires_at: datetime


def token(connection: Connection, encryption: Encryption, source: SourceRecord) -> StoredToken | None:
    """Return the token last stored, expired or not, to be sent to the destination in `source`, which it is bound to.

    Raises:
        DecryptionFailed: also where it was fetched for another destination.
    """
    query = select(_tokens.c.sealed, _tokens.c.expires_at).where(_tokens.c.source_id == source.id)
    row = connection.execute(query).one_or_none()
    if row is None or row.sealed is None:
        return None
    return StoredToken(encryption.decrypt(_purpose(source), row.sealed, source.destination), row.expires_at)


def claim_fetching(
    connection: Connection, source_id: int, *, now: datetime, until: datetime, in_place_of_a_good_one: bool = False
) -> bool:
    """Lease the fetching of a new token until `until`; false where another process has the lease, or has just had it.

    A token that is good by now makes it false too: between this process's look for one and its claim, another may
    have fetched one. A lease that ends later than one that is taken now was taken by a clock that was wrong, and is
    over.
    """
    insert_or_skip(connection, _tokens, ["source_id"], {"source_id": source_id})
    is_over = or_(_tokens.c.fetching_until <= now, _tokens.c.fetching_until > until + SKEW)
    nobody = or_(_tokens.c.fetching_until.is_(None), is_over)
    claim = update(_tokens).where(_tokens.c.source_id == source_id, nobody)
    if not in_place_of_a_good_one:
        claim = claim.where(or_(_tokens.c.expires_at.is_(None), _tokens.c.expires_at <= now))
    return connection.execute(claim.values(fetching_until=until)).rowcount == 1


def is_being_fetched(connection: Connection, source_id: int, now: datetime, longest: timedelta) -> bool:
    """Tell whether a process has the lease to fetch a token, which it takes for the `longest` at most."""
    until = connection.execute(select(_tokens.c.fetching_until).where(_tokens.c.source_id == source_id)).scalar()
    return until is not None and now < until <= now + longest + SKEW


def put(
    connection: Connection, encryption: Encryption, source: SourceRecord, fetched: StoredToken, until: datetime
) -> None:
    """Store a fetched token for all processes, and end the lease until `until`.

    Where that is over, because another process has the lease by now or had it, or the credentials have changed, the
    token is not stored: it may be older than what is, or good for other credentials.
    """
    sealed = encryption.encrypt(_purpose(source), fetched.text, source.destination)
    values = {"sealed": sealed, "expires_at": fetched.expires_at, "fetching_until": None}
    connection.execute(update(_tokens).where(*_leased(source.id, until)).values(**values))


def end_fetching(connection: Connection, source_id: int, until: datetime) -> None:
    """Let another process try, after a failure; one that has the lease by now, which ends later, goes on."""
    connection.execute(update(_tokens).where(*_leased(source_id, until)).values(fetching_until=None))


def _leased(source_id: int, until: datetime) -> tuple[ColumnElement[bool], ...]:
    """Select the row while it is leased until then: a lease is known by its end."""
    return _tokens.c.source_id == source_id, _tokens.c.fetching_until == until


def drop(connection: Connection, encryption: Encryption, source: SourceRecord, text: str) -> None:
    """Forget the token that the bank refused, unless another process has replaced it already."""
    # Locked, lest the token that another process stores meanwhile is dropped in place of this one.
    row = select(_tokens.c.source_id).where(_tokens.c.source_id == source.id)
    connection.execute(row.with_for_update(key_share=True))
    try:
        stored = token(connection, encryption, source)
    except DecryptionFailed:
        return
    if stored is not None and stored.text == text:
        connection.execute(update(_tokens).where(_tokens.c.source_id == source.id).values(sealed=None, expires_at=None))


def forget(connection: Connection, source_id: int) -> None:
    """Drop the token: it was fetched for another destination."""
    connection.execute(delete(_tokens).where(_tokens.c.source_id == source_id))


def start_anew(connection: Connection, source_id: int) -> None:
    """Drop the token, and the bank's word to wait, after the credentials have changed."""
    forget(connection, source_id)
    request_budget.unblock(connection, source_id)


def _purpose(source: SourceRecord) -> str:
    return f"bank token of source {source.id}"
