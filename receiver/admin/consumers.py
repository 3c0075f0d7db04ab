"""Consumers of the feed: who may use one, and what a person does with one: move, give away, share, remove."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection

from receiver.admin.names import Names
from receiver.admin.tokens import named as token_named
from receiver.admin.tokens import state
from receiver.feed import read_notes
from receiver.feed.read_notes import ConsumerReader, Note
from receiver.feed.reader import check_given_out
from receiver.model import ConsumerAct, NotFound, NotPossible, ReceiverError
from receiver.projection.projector import catch_up
from receiver.runtime import Runtime
from receiver.store import api_tokens, audit, consumer_ranges, consumers, feed, holds
from receiver.store.consumer_ranges import Range
from receiver.store.consumers import ConsumerPlace, ConsumerRecord, Lag
from receiver.store.database import retried

NAMES_MAX = 50
"""Consumers that belong to one token."""


class Standing(NamedTuple):
    """A consumer, and how far it is behind."""

    consumer: ConsumerRecord
    lag: Lag


class ConsumerOfOther(ReceiverError):
    """The consumer belongs to another token, and is not shared with this one (the API's 403)."""


class ConsumersTooMany(NotPossible):
    """The token has as many consumers as it may have."""


def opened(runtime: Runtime, token: str, name: str) -> ConsumerRecord:
    """Return a consumer that a token may use; a new name comes to be at the beginning of the feed, and belongs to it.

    Raises:
        ConsumerOfOther
        ConsumersTooMany
        StoreUnavailable
    """
    with runtime.database.read() as connection:
        found = consumers.find(connection, name)
    if found is None:
        with runtime.database.write() as connection:
            return open_in(connection, token, name, runtime.clock())
    return check_open(found, token)


def open_in(connection: Connection, token: str, name: str, now: datetime) -> ConsumerRecord:
    """Do what `opened` does in the caller's transaction, until whose end nobody else moves or removes the consumer.

    Raises:
        ConsumerOfOther
        ConsumersTooMany
    """
    while (found := consumers.lock(connection, name)) is None:
        # One after the other, so that all that a token makes at once are counted.
        api_tokens.lock(connection, token)
        if consumers.owned(connection, token) >= NAMES_MAX:
            raise ConsumersTooMany(
                f"The token {token} has {NAMES_MAX} consumers, and may have no more; remove one that is not used."
            )
        consumers.create(connection, name, now, token)
    return check_open(found, token)


def check_may_use(runtime: Runtime, name: str, token: str) -> None:
    """Refuse a token that may not use a consumer; one that is not there yet is anybody's to make.

    Raises:
        ConsumerOfOther
        StoreUnavailable
    """
    with runtime.database.read() as connection:
        found = consumers.find(connection, name)
    if found is not None:
        check_open(found, token)


def check_open(found: ConsumerRecord, token: str) -> ConsumerRecord:
    """Return a consumer, if a token may use it.

    Raises:
        ConsumerOfOther
    """
    if not found.is_open_to(token):
        raise ConsumerOfOther(f"The consumer {found.name} belongs to another token, and is not shared with this one.")
    return found


def acknowledge(runtime: Runtime, reader: ConsumerReader, place: ConsumerPlace, notes: Sequence[Note]) -> ConsumerPlace:
    """Commit a consumer's position for a token, and write down what it has read; return where the consumer stands.

    It never moves back, nor at all by a place of before it was moved.

    Raises:
        PositionUnknown: it was not given out by this database.
        ConsumerOfOther
        ConsumersTooMany
        StoreUnavailable
    """
    name, token = reader
    now = runtime.clock()
    with runtime.database.write() as connection:
        before = open_in(connection, token, name, now).position
        check_given_out(place.position, feed.head(connection))
        committed = consumers.acknowledge(connection, name, place.position, now, place.generation)
        read_notes.write(connection, reader, notes)
        acked = Range(before, committed.position)
        consumer_ranges.note(connection, name, ConsumerAct.ACKED, token, acked, now)
    return committed


@retried
def seek(runtime: Runtime, who: str, name: str, to: int | datetime | None, token: str | None = None) -> ConsumerPlace:
    """Move a consumer on purpose and return where it stands; audited as `consumer.moved`.

    `to` is a position (0 is the beginning), a time, before whose entries it then stands, or none for the end. `token`
    is the one that asks, which must be allowed to use it; none for staff, who move only what there is.

    Raises:
        PositionUnknown: it was not given out by this database.
        EntriesRemoved: entries behind it are stored no longer; the beginning is that of what is stored.
        ConsumerOfOther
        ConsumersTooMany
        NotFound: staff asks, and there is no such consumer.
        StoreUnavailable
    """
    catch_up(runtime.database)
    at = _position_at(runtime, to) if isinstance(to, datetime) else 0
    with runtime.database.write() as connection:
        now = runtime.clock()
        # In the order in which a consumer is made, so that no two wait for each other in a circle (deadlock).
        if token is not None:
            api_tokens.lock(connection, token)
        holds.stop_removal(connection)
        there = consumers.lock(connection, name)
        if token is not None:
            open_in(connection, token, name, now)
        else:
            _found(there, name)
        before = None if there is None else there.position
        position = _place(connection, to, feed.head(connection), at)
        place = consumers.seek(connection, name, position, now)
        about = {"consumer": name, "from": before, "to": position}
        audit.write(connection, runtime.encryption, at=now, who=who, what="consumer.moved", about=about)
    return place


def _position_at(runtime: Runtime, time: datetime) -> int:
    """Look a time up before anything is locked: that takes long in a long feed, and what comes meanwhile is behind."""
    with runtime.database.read() as connection:
        return feed.position_at(connection, time)


def _locked(connection: Connection, name: str) -> ConsumerRecord:
    return _found(consumers.lock(connection, name), name)


def _found(consumer: ConsumerRecord | None, name: str) -> ConsumerRecord:
    """Return a consumer that was there when it was asked for, unless somebody has removed it meanwhile."""
    if consumer is None:
        raise NotFound(f"there is no consumer {name!r} any more")
    return consumer


def _place(connection: Connection, to: int | datetime | None, head: int, at: int) -> int:
    """Return the position that is meant by a position, a time, 0 for the beginning, or none for the end.

    `at` is where a time was found to stand.

    Raises:
        PositionUnknown
        EntriesRemoved
    """
    if to is None:
        return head
    if isinstance(to, int):
        check_given_out(to, head)
        return feed.check_stored(connection, to) if to else feed.removed(connection)
    begins, oldest = feed.removed(connection), feed.oldest_time(connection)
    if begins and oldest is not None and to < oldest:
        raise feed.EntriesRemoved(begins)
    return max(begins, at)


def standing(runtime: Runtime, name: str) -> Standing | None:
    """Return a consumer and how far it is behind; none where there is no such consumer.

    Raises:
        StoreUnavailable
    """
    catch_up(runtime.database)
    with runtime.database.read() as connection:
        found = consumers.find(connection, name)
        return None if found is None else Standing(found, consumers.lag(connection, found, runtime.clock()))


def listing(runtime: Runtime, *, behind: str | None = None, limit: int, token: str | None = None) -> list[Standing]:
    """Return consumers by name, with how far each is behind; `behind` is the name to go on from.

    `token` is the one that asks, which is shown those that it may use; none for staff.

    Raises:
        StoreUnavailable
    """
    catch_up(runtime.database)
    found: list[Standing] = []
    while len(found) < limit:
        with runtime.database.read() as connection:
            page = consumers.listing(connection, behind=behind, limit=limit)
            now = runtime.clock()
            opens = [each for each in page if token is None or each.is_open_to(token)]
            found += [Standing(each, consumers.lag(connection, each, now)) for each in opens]
        if len(page) < limit:
            break
        behind = page[-1].name
    return found[:limit]


def find(runtime: Runtime, name: str) -> ConsumerRecord:
    """Return a consumer.

    Raises:
        NameUnknown
        NotFound: it was removed just then.
        StoreUnavailable
    """
    Names(runtime.database).check("consumer", name)
    with runtime.database.read() as connection:
        return _found(consumers.find(connection, name), name)


@retried
def share(runtime: Runtime, who: str, name: str, token: str) -> ConsumerRecord:
    """Let another token use a consumer besides its owner; audited as `consumer.shared`.

    Where it has no owner, or one that was revoked or has expired, it is given to the token: nobody else can claim it.

    Raises:
        NameUnknown: there is no such consumer, or no such token.
        NotFound: the consumer was removed just then.
        NotPossible: the token is not valid.
        StoreUnavailable
    """
    return _give(runtime, who, name, token, "consumer.shared")


@retried
def give(runtime: Runtime, who: str, name: str, token: str) -> ConsumerRecord:
    """Make a token the owner of a consumer, in the place of any other, and end its shares; audited as `consumer.given`.

    Raises:
        NameUnknown: there is no such consumer, or no such token.
        NotFound: the consumer was removed just then.
        NotPossible: the token is not valid.
        StoreUnavailable
    """
    return _give(runtime, who, name, token, "consumer.given")


def _give(runtime: Runtime, who: str, name: str, token: str, what: str) -> ConsumerRecord:
    find(runtime, name)
    now = runtime.clock()
    with runtime.database.write() as connection:
        found = _locked(connection, name)
        if state(token_named(connection, token), now) != "valid":
            raise NotPossible(f"the token {token!r} is not valid any more")
        if what == "consumer.given":
            owner, shared_with = token, []
        elif found.owner is None or not _is_valid(connection, found.owner, now):
            owner, shared_with = token, [other for other in found.shared_with if other != token]
        else:
            owner, shared_with = found.owner, list(dict.fromkeys([*found.shared_with, token]))
        consumers.change(connection, name, owner=owner, shared_with=shared_with)
        about = {"consumer": name, "token": token, "owner": owner, "before": found.owner}
        audit.write(connection, runtime.encryption, at=now, who=who, what=what, about=about)
    return found._replace(owner=owner, shared_with=shared_with)


def _is_valid(connection: Connection, token: str, now: datetime) -> bool:
    found = api_tokens.named(connection, token)
    return found is not None and state(found, now) == "valid"


@retried
def remove(runtime: Runtime, who: str, name: str) -> None:
    """Delete a consumer and what is noted of its reading; audited as `consumer.removed`. Its name is free then.

    Raises:
        NameUnknown
        StoreUnavailable
    """
    found = find(runtime, name)
    with runtime.database.write() as connection:
        if consumers.remove(connection, name):
            # Behind the consumer, which whoever writes more of them holds.
            consumer_ranges.forget(connection, name)
            about = {"consumer": name, "owner": found.owner, "position": found.position}
            audit.write(
                connection, runtime.encryption, at=runtime.clock(), who=who, what="consumer.removed", about=about
            )
