"""How far banks' lists were read (the sweep): watermarks, which list is due, and who has the lease to read it.

A source has a row for each of its lists, and one without a name for the list of these. A watermark is written in the
transaction that stores the last lines of what was read, and never passes the time at which that was asked for.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple, Protocol

from sqlalchemy import ColumnElement, Connection, Select, func, or_, select, update

from receiver.store.bulk_insert import BulkInsert, insert_or_skip
from receiver.store.leases import LeaseLost
from receiver.store.records import SKEW, columns_of, fetch_all, fetch_one
from receiver.store.tables import Source, Sweep, table_of

_sweeps, _sources = table_of(Sweep), table_of(Source)

ALL_LISTS = ""
"""The name of the row for the list of a source's lists."""

GOES_AFTER = timedelta(days=1)
"""How long a list is read on that the bank does not name any more, and counts: a bank may name too few by a fault."""

AHEAD_MOST = timedelta(minutes=15)
"""How far ahead a watermark may be without harm: by a clock that is ahead for less than windows overlap nothing is left
out, and some time has passed since the list was read."""

_insert = BulkInsert(_sweeps, ("source_id", "list_name", "next_at"), unique=["source_id", "list_name"]).run

_IN_USE = or_(_sweeps.c.gone_at.is_(None), _sweeps.c.next_at < _sweeps.c.gone_at)
"""As `SweepRecord.is_in_use`; the row for the list of lists always is."""


class SweepRecord(NamedTuple):
    """One list of a bank, and how far it was read; `source` is a name, times are UTC."""

    source_id: int
    source: str
    list_name: str
    covered_from: datetime | None
    covered_until: datetime | None
    last_read_at: datetime | None
    error: str | None
    next_at: datetime
    leased_until: datetime | None
    gone_at: datetime | None

    @property
    def is_in_use(self) -> bool:
        """Whether it is read, and counts: one that the bank does not name any more until it would be read too late."""
        return self.gone_at is None or self.next_at < self.gone_at

    @property
    def is_cut_off(self) -> bool:
        """Whether it went out of use without having been read to the time when the bank named it no more."""
        if self.gone_at is None or self.is_in_use:
            return False
        return self.covered_until is None or self.covered_until < self.gone_at - GOES_AFTER


class Claimed(NamedTuple):
    """A list that this worker alone may read until its lease ends."""

    source_id: int
    list_name: str
    covered_from: datetime | None
    covered_until: datetime | None
    next_at: datetime
    lease: str
    gone_at: datetime | None
    """It is read no further than this; the last reading, late as it may be, ends here."""


def _all() -> Select[Any]:
    columns = columns_of(SweepRecord, _sweeps, source=_sources.c.name)
    return select(*columns).join_from(_sweeps, _sources, _sources.c.id == _sweeps.c.source_id)


def of_source(connection: Connection, source_id: int) -> list[SweepRecord]:
    """Return the lists of a source by name, the list of them first."""
    query = _all().where(_sweeps.c.source_id == source_id).order_by(_sweeps.c.list_name)
    return fetch_all(connection, SweepRecord, query)


def in_use(connection: Connection, source_id: int) -> list[SweepRecord]:
    """Return the lists of a source that are read, by name, without the list of them."""
    return [each for each in of_source(connection, source_id) if each.list_name != ALL_LISTS and each.is_in_use]


class ReadWhole(NamedTuple):
    """Since when and until when every list of a source was read whole (UTC); none where one never was."""

    since: datetime | None
    until: datetime | None

    def holds(self, begin: datetime, end: datetime) -> bool:
        """Tell whether all between two times was read whole."""
        return self.since is not None and self.until is not None and self.since <= begin and end <= self.until


def read_whole(connection: Connection, source_id: int) -> ReadWhole:
    """Return what of a source's lists was read whole."""
    lists = in_use(connection, source_id)
    since = [each.covered_from for each in lists if each.covered_from is not None]
    until = [each.covered_until for each in lists if each.covered_until is not None]
    is_whole = bool(lists) and len(since) == len(until) == len(lists)
    return ReadWhole(max(since), min(until)) if is_whole else ReadWhole(None, None)


def covered(connection: Connection, source_id: int) -> datetime | None:
    """Return until when every list of a source was read whole (the watermark, UTC); none where one never was."""
    return read_whole(connection, source_id).until


def covered_but_for_new(connection: Connection, source_id: int) -> datetime | None:
    """Return `covered` as it was before there were lists that were never read (UTC); none where all are such."""
    known = [each.covered_until for each in in_use(connection, source_id) if each.covered_until is not None]
    return min(known) if known else None


class Span(Protocol):
    """A window of time (UTC): `begin` belongs to it, `end` does not."""

    @property
    def begin(self) -> datetime:
        """Its first moment."""

    @property
    def end(self) -> datetime:
        """The first moment behind it."""


def incomplete_until(connection: Connection, source_id: int, window: Span) -> datetime | None:
    """Return when a window that is not read whole yet will be, as far as known (UTC).

    None where it was read whole already, and where it is not known: nothing of the source was ever read.
    """
    behind = [
        max(each.next_at, window.end)
        for each in in_use(connection, source_id)
        if each.covered_until is None or each.covered_until < window.end
    ]
    return max(behind) if behind else None


def ensure(connection: Connection, source_id: int, now: datetime) -> None:
    """Have a row for the list of a source's lists, due at once; one that is there is left as it is (idempotent)."""
    first = {"source_id": source_id, "list_name": ALL_LISTS, "next_at": now}
    insert_or_skip(connection, _sweeps, ["source_id", "list_name"], first)


def lock(connection: Connection, source_id: int, now: datetime) -> None:
    """Keep others that store a source's lines, or join them to events, from doing so until the transaction ends.

    To be called before any other row of the source's lists or lines is locked.
    """
    ensure(connection, source_id, now)
    query = select(_sweeps.c.source_id).where(_sweeps.c.source_id == source_id, _sweeps.c.list_name == ALL_LISTS)
    connection.execute(query.with_for_update(key_share=True))


def name_lists(
    connection: Connection, source_id: int, names: Sequence[str], now: datetime, apart: timedelta = timedelta(0)
) -> list[str]:
    """Write down which lists a source has by now; new ones are due one after the other, `apart` from each other.

    One that was named before and is not any more is due at once, goes out of use after a day, and stays, so that it
    goes on where it was if it comes back. Return those of which this was not known yet.
    """
    # In one order for all writers, so that no two ever wait for each other in a circle.
    known = {each.list_name for each in of_source(connection, source_id)}
    new = sorted(set(names) - known - {ALL_LISTS})
    _insert(connection, [(source_id, name, now + number * apart) for number, name in enumerate(new)])
    missing = []
    for each in of_source(connection, source_id):
        gone_at = None if each.list_name in names else _gone_at(each, now)
        if gone_at == each.gone_at:
            continue
        values: dict[str, object] = {"gone_at": gone_at}
        if each.gone_at is None:
            missing.append(each.list_name)
            values["next_at"] = min(each.next_at, now)
        connection.execute(update(_sweeps).where(*_row(source_id, each.list_name)).values(**values))
    return missing


def _gone_at(each: SweepRecord, now: datetime) -> datetime | None:
    """Return when a list goes out of use that is not named; none where it does not."""
    is_read = each.leased_until is not None and each.leased_until > now
    if each.list_name == ALL_LISTS or (each.gone_at is None and is_read):
        # What is read just now ends before this time: it is seen to when the lists are named the next time.
        return None
    # One that goes later than that was marked by a clock that was wrong.
    return min(each.gone_at or now + GOES_AFTER, now + GOES_AFTER)


def _row(source_id: int, list_name: str) -> tuple[ColumnElement[bool], ...]:
    return (_sweeps.c.source_id == source_id, _sweeps.c.list_name == list_name)


def claim_due(
    connection: Connection, source_ids: Collection[int], *, now: datetime, until: datetime, lease: str
) -> Claimed | None:
    """Lease the list that has been due the longest of those sources; none where none is.

    A lease that ends later than one that is taken now was taken by a clock that was wrong, and is over. A list that is
    due in a future that no worker sets is due too.
    """
    if not source_ids:
        return None
    due = select(_sweeps.c.source_id, _sweeps.c.list_name).where(
        _sweeps.c.source_id.in_(source_ids), _sweeps.c.next_at <= now, _IN_USE, _free(now, until)
    )
    order = due.order_by(_sweeps.c.next_at, _sweeps.c.source_id, _sweeps.c.list_name)
    row = connection.execute(order.limit(1).with_for_update(skip_locked=True, key_share=True)).one_or_none()
    return None if row is None else claim(connection, *row, now=now, until=until, lease=lease)


def _free(now: datetime, until: datetime) -> ColumnElement[bool]:
    is_over = or_(_sweeps.c.leased_until <= now, _sweeps.c.leased_until > until + SKEW)
    return or_(_sweeps.c.leased_until.is_(None), is_over)


def claim(
    connection: Connection, source_id: int, list_name: str, *, now: datetime, until: datetime, lease: str
) -> Claimed | None:
    """Lease one list, due or not; none where another worker reads it, or there is no such list."""
    taken = (
        update(_sweeps)
        .where(*_row(source_id, list_name), _free(now, until))
        .values(lease=lease, leased_until=until)
        .returning(*columns_of(Claimed, _sweeps))
    )
    return fetch_one(connection, Claimed, taken)


def renew(connection: Connection, claimed: Claimed, until: datetime, next_at: datetime | None = None) -> None:
    """Lease a list on; `next_at` is when to go on, where nothing can be asked until then.

    Raises:
        LeaseLost
    """
    _change(connection, claimed, {"leased_until": until} | ({} if next_at is None else {"next_at": next_at}))


def advance(connection: Connection, claimed: Claimed, begin: datetime, end: datetime, now: datetime) -> None:
    """Write down that all between `begin` and `end` was read whole and is stored (moves the watermark).

    What does not adjoin what was read before moves nothing: no gap is stepped over. Nor does anything move a watermark
    that is far ahead, until `go_back` has taken it back.

    Raises:
        LeaseLost
    """
    query = select(_sweeps.c.covered_from, _sweeps.c.covered_until).where(
        *_row(claimed.source_id, claimed.list_name), _sweeps.c.lease == claimed.lease
    )
    row = connection.execute(query.with_for_update(key_share=True)).one_or_none()
    if row is None:
        raise LeaseLost(f"the list {claimed.list_name!r} is read by another worker")
    span = _joined(row.covered_from, row.covered_until, begin, end, now)
    _change(connection, claimed, {"covered_from": span[0], "covered_until": span[1]})


def _joined(
    since: datetime | None, until: datetime | None, begin: datetime, end: datetime, now: datetime
) -> tuple[datetime | None, datetime | None]:
    if since is not None and until is not None and until > now + SKEW:
        if is_far_ahead(until, now):
            return since, until
        # A clock was ahead: nothing was read whole until a time that has not come.
        since, until = (None, None) if since > end else (since, end)
    if begin >= end:
        return since, until
    if since is None or until is None:
        return begin, end
    if begin > until or end < since:
        return since, until
    return min(since, begin), max(until, end)


def is_far_ahead(covered_until: datetime | None, now: datetime) -> bool:
    """Tell whether a watermark is so far ahead that what was read by its clock was not what had happened.

    So it is by a clock that is behind, too.
    """
    return covered_until is not None and covered_until > now + AHEAD_MOST


def go_back(connection: Connection, claimed: Claimed, since: datetime, to: datetime) -> None:
    """Take a watermark back to a time from which on all is to be read once more; all `since` until then was read whole.

    Raises:
        LeaseLost
    """
    _change(connection, claimed, {"covered_from": since, "covered_until": to})


class Outcome(NamedTuple):
    """How a reading of a list went that has come to an end of its own."""

    error: str | None
    """Why it could not be read."""
    read_at: datetime | None
    """When the reading began, where it was whole."""


def settle(connection: Connection, claimed: Claimed, next_at: datetime, outcome: Outcome | None) -> None:
    """End the lease of a list, and say when it is read next; without an outcome all else is said of it as before.

    Raises:
        LeaseLost
    """
    values: dict[str, object] = {"lease": None, "leased_until": None, "next_at": next_at}
    if outcome is not None:
        values["error"] = outcome.error
        if outcome.read_at is not None:
            values["last_read_at"] = outcome.read_at
    _change(connection, claimed, values)


def _change(connection: Connection, claimed: Claimed, values: Mapping[str, object]) -> None:
    is_ours = (*_row(claimed.source_id, claimed.list_name), _sweeps.c.lease == claimed.lease)
    if connection.execute(update(_sweeps).where(*is_ours).values(**values)).rowcount == 0:
        raise LeaseLost(f"the list {claimed.list_name!r} is read by another worker")


def number(connection: Connection, source_id: int) -> int:
    """Return how many lists a source has by now."""
    return len(in_use(connection, source_id))


def bring_forward(connection: Connection, source_id: int, now: datetime, longest: timedelta) -> None:
    """Make due at once what waits for longer than any list of the source does: a clock was wrong."""
    ahead = (_sweeps.c.source_id == source_id, _sweeps.c.next_at > now + longest)
    connection.execute(update(_sweeps).where(*ahead).values(next_at=now))


def is_due(connection: Connection, source_id: int, now: datetime, longest: timedelta) -> bool:
    """Tell whether a list of a source is to be read, or nothing was ever noted of the source."""
    query = select(func.count(), func.min(_sweeps.c.next_at), func.max(_sweeps.c.next_at))
    row = connection.execute(query.where(_sweeps.c.source_id == source_id, _IN_USE)).one()
    lists, first, last = row
    return bool(lists == 0 or first <= now or last > now + longest)
