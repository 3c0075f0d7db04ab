"""Named consumers: the position in the feed up to which each downstream app has committed what it read (its offset)."""

import re
import secrets
import zlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import JSON, BigInteger, ColumnElement, Connection, delete, func, literal, or_, select, update

from receiver.store import audit, feed, holds
from receiver.store.bulk_insert import insert_or_skip
from receiver.store.records import columns_of, fetch_all, fetch_one
from receiver.store.tables import Consumer, FeedEntry, table_of

_consumers, _entries = table_of(Consumer), table_of(FeedEntry)

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
NAME_TAKES = "1 to 64 of A-Z, a-z, 0-9, `.`, `_` and `-`, no sign at the start"


GENERATION_MAX = 2**31 - 1
"""The largest integer of PostgreSQL."""


REMOVED = "consumer.removed"
"""What the audit log says of a consumer's removal: see `receiver.admin.consumers.remove`."""

LOOKED_AT = 500
"""Entries among which the first one is looked for that a consumer may see."""


class ConsumerPlace(NamedTuple):
    """Where a consumer stands, or a page of it ends."""

    position: int
    generation: int = 0
    """`ConsumerRecord.generation` when the page's first position was looked up."""


class ConsumerRecord(NamedTuple):
    """A consumer; times are UTC."""

    name: str
    position: int
    generation: int
    """Another one after each move on purpose, and than that of a consumer of this name that was removed.

    What was read before is not acknowledged any more. It is drawn by lot, not counted: a backup that is restored and
    moved would count up to a number that was there.
    """
    owner: str | None
    """The name of the token that it belongs to; none where it belongs to all."""
    shared_with: list[str]
    """The names of other tokens that may use it."""
    created_at: datetime
    read_at: datetime | None
    acked_at: datetime | None

    @property
    def place(self) -> ConsumerPlace:
        """Where it stands."""
        return ConsumerPlace(self.position, self.generation)

    def is_open_to(self, token: str) -> bool:
        """Tell whether a token may use it, by its name."""
        return self.owner in (None, token) or token in self.shared_with


class Lag(NamedTuple):
    """How far a consumer is behind the end of the feed."""

    entries: int
    """Positions that are not committed yet; those that the consumer may not see count too."""
    age: timedelta
    """Since the first of them was written; copies that are another consumer's alone count for nothing."""


def is_name(text: str) -> bool:
    """Tell whether a consumer may have this name: it stands in a URL as it is."""
    return NAME.fullmatch(text) is not None


def find(connection: Connection, name: str) -> ConsumerRecord | None:
    """Return the consumer of this name."""
    return fetch_one(connection, ConsumerRecord, _all().where(_consumers.c.name == name))


def lock(connection: Connection, name: str) -> ConsumerRecord | None:
    """Return the consumer of this name, and keep other writers from it until the transaction ends."""
    return fetch_one(
        connection, ConsumerRecord, _all().where(_consumers.c.name == name).with_for_update(key_share=True)
    )


def listing(connection: Connection, *, behind: str | None = None, limit: int) -> list[ConsumerRecord]:
    """Return consumers by name; `behind` is the name to go on from."""
    query = _all().order_by(_consumers.c.name).limit(limit)
    return fetch_all(connection, ConsumerRecord, query if behind is None else query.where(_consumers.c.name > behind))


def _all() -> Any:
    # Consumers of earlier releases have none.
    shared_with = func.coalesce(_consumers.c.shared_with, literal([], JSON), type_=JSON)
    return select(*columns_of(ConsumerRecord, _consumers, shared_with=shared_with))


def position_of(connection: Connection, name: str) -> int | None:
    """Return the committed position; none where the name is new."""
    found: int | None = connection.execute(select(_consumers.c.position).where(_consumers.c.name == name)).scalar()
    return found


def names(connection: Connection) -> list[str]:
    """Return the names of all consumers."""
    return list(connection.execute(select(_consumers.c.name)).scalars())


def owned(connection: Connection, token: str) -> int:
    """Return how many consumers belong to a token."""
    query = select(func.count()).select_from(_consumers).where(_consumers.c.owner == token)
    found: int = connection.execute(query).scalar_one()
    return found


def lag(connection: Connection, consumer: ConsumerRecord, now: datetime) -> Lag:
    """Return how far a consumer is behind; positions that are not given yet count for nothing."""
    since = connection.execute(select(unread_since(literal(consumer.position, BigInteger), consumer.name))).scalar()
    age = timedelta(0) if since is None else max(now - since, timedelta(0))
    return Lag(max(feed.head(connection) - consumer.position, 0), age)


def unread_since(position: ColumnElement[int], name: ColumnElement[str] | str) -> ColumnElement[datetime]:
    """Return when the first entry behind a position was written that a consumer may see, as part of a statement.

    Where none is among the next `LOOKED_AT`, the one behind these stands for it.
    """
    through = position + LOOKED_AT
    may_see = or_(_entries.c.consumer.is_(None), _entries.c.consumer == name)
    first = select(feed.written_at).order_by(_entries.c.position).limit(1)
    near = first.where(_entries.c.position > position, _entries.c.position <= through, may_see)
    far = first.where(_entries.c.position > through)
    return func.coalesce(near.scalar_subquery(), far.scalar_subquery())


def create(connection: Connection, name: str, now: datetime, owner: str | None = None) -> bool:
    """Make a consumer at the beginning of the feed, unless it is there already (idempotent); tell whether it is new."""
    if position_of(connection, name) is not None:
        return False
    # Only here: acknowledgements, which come often, wait for nobody.
    holds.stop_removal(connection)
    place = ConsumerPlace(feed.removed(connection), _first_generation(connection, name))
    values = {**place._asdict(), "name": name, "created_at": now, "owner": owner, "shared_with": []}
    return insert_or_skip(connection, _consumers, ["name"], values)


def _first_generation(connection: Connection, name: str) -> int:
    """Return 0, or what the removal of the last consumer of this name makes it: what that had read moves no other.

    It is no lot: a backup that is restored has consumers made since anew, whose cursors are to go on.
    """
    removal = audit.latest(connection, REMOVED, "consumer", name)
    return 0 if removal is None else 1 + zlib.crc32(removal.digest.encode()) % GENERATION_MAX


def acknowledge(connection: Connection, name: str, position: int, now: datetime, generation: int) -> ConsumerPlace:
    """Commit a position and return what is committed then.

    An earlier one than before changes nothing, nor does one of another generation: it was read before a seek, or of a
    consumer of this name that was removed since.
    """
    place = _locked(connection, name, now).place
    if generation != place.generation or position < place.position:
        return place
    values = {"position": position, "acked_at": now}
    connection.execute(update(_consumers).where(_consumers.c.name == name).values(values))
    return place._replace(position=position)


def seek(connection: Connection, name: str, position: int, now: datetime) -> ConsumerPlace:
    """Move a consumer on purpose, forwards or back, and return where it stands; it is made where there is none.

    Who looks up a position that is still stored calls `holds.stop_removal` before, in the same transaction.
    """
    _locked(connection, name, now)
    place = ConsumerPlace(position, 1 + secrets.randbelow(GENERATION_MAX))
    values = {**place._asdict(), "acked_at": now}
    connection.execute(update(_consumers).where(_consumers.c.name == name).values(values))
    return place


def _locked(connection: Connection, name: str, now: datetime) -> ConsumerRecord:
    """Do what `lock` does; the consumer is made where there is none, or none any more."""
    while (found := lock(connection, name)) is None:
        create(connection, name, now)
    return found


def note_read(connection: Connection, name: str, now: datetime) -> bool:
    """Write down when a consumer read last; tell whether there is one."""
    noted = update(_consumers).where(_consumers.c.name == name).values(read_at=now)
    return connection.execute(noted).rowcount == 1


def change(connection: Connection, name: str, *, owner: str | None, shared_with: Sequence[str]) -> None:
    """Say whom a consumer belongs to, and who else may use it."""
    values = {"owner": owner, "shared_with": list(shared_with)}
    connection.execute(update(_consumers).where(_consumers.c.name == name).values(values))


def take_over(connection: Connection, old: str, new: str) -> list[str]:
    """Give all consumers of a token to another one, which shares them with it; return their names.

    What is shared with the old one is shared with the new one too.
    """
    listed = fetch_all(connection, ConsumerRecord, _all().order_by(_consumers.c.name).with_for_update(key_share=True))
    taken = []
    for consumer in listed:
        if consumer.owner == old:
            change(connection, consumer.name, owner=new, shared_with=[*consumer.shared_with, old])
        elif old in consumer.shared_with:
            change(connection, consumer.name, owner=consumer.owner, shared_with=[*consumer.shared_with, new])
        else:
            continue
        taken.append(consumer.name)
    return taken


def remove(connection: Connection, name: str) -> bool:
    """Delete a consumer; tell whether there was one. Who does adds an entry to the audit log, which is `REMOVED`."""
    return connection.execute(delete(_consumers).where(_consumers.c.name == name)).rowcount == 1
