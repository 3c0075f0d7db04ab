"""What all processes share of a bank's API: access token, request budget (rate limit), public keys (JWKS)."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Connection, case, delete, func, not_, or_, select, update

from receiver.model import Purpose
from receiver.store import sources
from receiver.store.bulk_insert import insert_or_skip, upsert
from receiver.store.encryption import DecryptionFailed, Encryption
from receiver.store.records import SKEW
from receiver.store.sources import SourceRecord
from receiver.store.tables import BankToken, PublicKeys, RequestBudget, RequestSpending, Source, table_of

_tokens, _budgets, _spendings, _keys, _sources = (
    table_of(model) for model in (BankToken, RequestBudget, RequestSpending, PublicKeys, Source)
)

BLOCK_MAX = timedelta(hours=24)
"""The longest block that a bank's 429 is heeded for."""

KEYS_PAUSE_MAX = timedelta(minutes=15)
"""The longest pause (backoff) between two fetches of public keys that fail, however many did."""


@dataclass(frozen=True)
class StoredToken:
    """An access token in the clear."""

    text: str = field(repr=False)
    expires_at: datetime


class StoredKeys(NamedTuple):
    """A source's public keys, and how fetching them went; times are UTC."""

    jwks: str | None = None
    """None too where what is stored is not what was fetched from the source's own bank."""
    fetched_at: datetime | None = None
    tried_at: datetime | None = None
    wanted_at: datetime | None = None
    error: str | None = None


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


def put_token(
    connection: Connection, encryption: Encryption, source: SourceRecord, text: str, expires_at: datetime
) -> None:
    """Store a fetched token for all processes."""
    sealed = encryption.encrypt(_purpose(source), text, source.destination)
    values = {"sealed": sealed, "expires_at": expires_at, "fetching_until": None}
    connection.execute(update(_tokens).where(_tokens.c.source_id == source.id).values(**values))


def end_fetching(connection: Connection, source_id: int) -> None:
    """Let another process try, after a failure."""
    connection.execute(update(_tokens).where(_tokens.c.source_id == source_id).values(fetching_until=None))


def drop_token(connection: Connection, encryption: Encryption, source: SourceRecord, text: str) -> None:
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


def _purpose(source: SourceRecord) -> str:
    return f"bank token of source {source.id}"


def take_request(
    connection: Connection,
    source_id: int,
    *,
    now: datetime,
    limit: int,
    window: timedelta,
    purpose: Purpose = Purpose.OTHER,
) -> datetime:
    """Count one request against the bank's limit; return `now`, or when to come back where none is left.

    Windows are fixed: one starts with the first request after the one before it has ended. One that starts in the
    future was started by a clock that was wrong: it starts now, and a block from then is over.
    """
    start = {"source_id": source_id, "window_started_at": now, "used": 0}
    insert_or_skip(connection, _budgets, ["source_id"], start)
    query = select(_budgets).where(_budgets.c.source_id == source_id).with_for_update(key_share=True)
    row = connection.execute(query).one()
    is_ahead = row.window_started_at > now + SKEW
    blocked: datetime | None = row.blocked_until
    if blocked is not None and not is_ahead and now < blocked <= now + BLOCK_MAX:
        return blocked
    begun: datetime = now if is_ahead else row.window_started_at
    started, used = (now, 0) if begun + window <= now else (begun, row.used)
    is_left = used < limit
    changed = {"window_started_at": started, "used": used + is_left, "blocked_until": None}
    if is_left or is_ahead:
        connection.execute(update(_budgets).where(_budgets.c.source_id == source_id).values(**changed))
    if is_left:
        _note_spending(connection, source_id, purpose, started)
    return now if is_left else started + window


def _note_spending(connection: Connection, source_id: int, purpose: Purpose, started: datetime) -> None:
    """Count a request by its purpose; the lock on the budget's row is held."""
    statement = upsert(connection, _spendings).values(
        source_id=source_id, purpose=purpose, window_started_at=started, used=1
    )
    is_same = _spendings.c.window_started_at == started
    changed = {"window_started_at": started, "used": case((is_same, _spendings.c.used + 1), else_=1)}
    connection.execute(statement.on_conflict_do_update(index_elements=["source_id", "purpose"], set_=changed))


def _spent(connection: Connection, source_id: int, started: datetime) -> dict[Purpose, int]:
    is_of_window = (_spendings.c.source_id == source_id, _spendings.c.window_started_at == started)
    rows = connection.execute(select(_spendings.c.purpose, _spendings.c.used).where(*is_of_window))
    found: dict[Purpose, int] = {row.purpose: row.used for row in rows}
    return {purpose: found[purpose] for purpose in Purpose if purpose in found}


def spent(connection: Connection, source_id: int, budget: "Budget", window: timedelta) -> dict[Purpose, int]:
    """Return how many requests of the present window were made for what; nothing where none has begun."""
    return {} if budget.ends_at is None else _spent(connection, source_id, budget.ends_at - window)


class Budget(NamedTuple):
    """How a source stands with its bank's rate limit; times are UTC."""

    limit: int
    left: int
    """Requests that may be made before the window ends."""
    ends_at: datetime | None
    """When all of them may be made anew; none where all of them may be now."""
    blocked_until: datetime | None
    """When the bank, by a 429, takes requests again; none where it does now."""

    def hindrance(self, name: str) -> str | None:
        """Return in words why no request is made now; none where one may be."""
        if self.blocked_until is not None:
            return f"the bank of {name} has said to wait (429): no request before {_shown(self.blocked_until)}"
        if self.left == 0 and self.ends_at is not None:
            return f"the limit of {name}, {self.limit} requests, is spent: no request before {_shown(self.ends_at)}"
        return None


def _shown(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def budget(connection: Connection, source_id: int, *, now: datetime, limit: int, window: timedelta) -> Budget:
    """Return how a source stands, as `take_request` would see it; nothing is counted."""
    row = connection.execute(select(_budgets).where(_budgets.c.source_id == source_id)).one_or_none()
    if row is None or row.window_started_at > now + SKEW:
        return Budget(limit, limit, None, None)
    is_blocked = row.blocked_until is not None and now < row.blocked_until <= now + BLOCK_MAX
    is_over = row.window_started_at + window <= now
    return Budget(
        limit,
        limit if is_over else max(limit - row.used, 0),
        None if is_over else row.window_started_at + window,
        row.blocked_until if is_blocked else None,
    )


def block_requests(connection: Connection, source_id: int, until: datetime) -> None:
    """Make no request until then: the bank said so."""
    connection.execute(update(_budgets).where(_budgets.c.source_id == source_id).values(blocked_until=until))


def forget_token(connection: Connection, source_id: int) -> None:
    """Drop the token: it was fetched for another destination."""
    connection.execute(delete(_tokens).where(_tokens.c.source_id == source_id))


def forget(connection: Connection, source_id: int) -> None:
    """Drop the token and the block, after the credentials have changed."""
    forget_token(connection, source_id)
    connection.execute(update(_budgets).where(_budgets.c.source_id == source_id).values(blocked_until=None))


def public_keys(connection: Connection, encryption: Encryption, source: SourceRecord) -> StoredKeys:
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
            jwks = encryption.decrypt(_keys_purpose(source), row.sealed, source.destination)
        except DecryptionFailed as failed:
            error = str(failed)
    return StoredKeys(jwks, row.fetched_at, row.tried_at, row.wanted_at, error)


def seal_public_keys(connection: Connection, encryption: Encryption, source: SourceRecord, jwks: str | None) -> None:
    """Bind the public keys that are stored to the source's new destination; without `jwks`, have them fetched anew."""
    values: dict[str, object] = {"sealed": None, "fetched_at": None, "tried_at": None, "failures": None}
    if jwks is not None:
        values = {"sealed": encryption.encrypt(_keys_purpose(source), jwks, source.destination)}
    connection.execute(update(_keys).where(_keys.c.source_id == source.id).values(**values))


def _keys_purpose(source: SourceRecord) -> str:
    return f"public keys of source {source.id}"


def want_public_keys(connection: Connection, source_id: int, now: datetime) -> None:
    """Ask the worker for a fresh set; asking more than once changes nothing (idempotent)."""
    insert_or_skip(connection, _keys, ["source_id"], {"source_id": source_id})
    unasked = _keys.c.wanted_at.is_(None)
    connection.execute(update(_keys).where(_keys.c.source_id == source_id, unasked).values(wanted_at=now))


def put_public_keys(
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
            values |= {"sealed": encryption.encrypt(_keys_purpose(source), jwks, source.destination)}
    statement = upsert(connection, _keys).values(source_id=source.id, **{**values, **start})
    connection.execute(statement.on_conflict_do_update(index_elements=["source_id"], set_=values))


def sources_in_want_of_keys(
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
    return not timedelta(0) <= now - tried_at <= min(pause * 2 ** min(max(failures - 1, 0), 30), KEYS_PAUSE_MAX)
