"""Closed business days: versions that are only ever added, each bound by a keyed digest; and whether they still fit.

A version's header says all of the day but its lines: counts and sums, the digest of each section of lines, the digest
of the day before as it was then, and of the version that its source got before it. The version's digest is an
HMAC-SHA256 over that header; so a changed line, one that was cut out or put in, and a day in another's place show. One
row for each source, the head, counts its versions and names the newest; so the newest can't be taken away either.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, and_, case, exists, insert, or_, select, update

from receiver.model import DayCategory
from receiver.store import day_sides
from receiver.store.bulk_insert import insert_or_skip
from receiver.store.day_lines import Chunk, Section
from receiver.store.digest_keys import DigestKeys
from receiver.store.encryption import Encryption
from receiver.store.leases import LeaseLost
from receiver.store.pagination import among
from receiver.store.records import SKEW, columns_of, fetch_all, fetch_one
from receiver.store.tables import BankLine, DayHead, DayLines, DayVersion, table_of

_versions, _chunks, _heads, _lines = (table_of(model) for model in (DayVersion, DayLines, DayHead, BankLine))
_later = _versions.alias("later")

PURPOSE = "closed days"
"""What the keys of the digests are derived for."""

FORMAT = 1

CHUNKS_AT_ONCE = 50

PAUSE, PAUSE_MAX = timedelta(minutes=1), timedelta(hours=1)
"""How long a closed day is left alone after a look, whatever changes: twice as long with each version, to an hour."""

PAUSE_PER_LINE = timedelta(milliseconds=6)
"""No less than that for each line: 20 times what it takes to compare one, so that a twentieth of the time goes."""


class DayRecord(NamedTuple):
    """A version of a day; times are UTC."""

    id: int
    source_id: int
    day: date
    version: int
    closed_at: datetime
    header: dict[str, Any]
    digest: str
    looked_at: datetime
    next_look_at: datetime | None

    @property
    def pause(self) -> timedelta:
        """How long it is left alone after a look, so that many changes make few versions (backoff)."""
        doubled = PAUSE * 2.0 ** min(self.version - 1, 10)
        return min(max(doubled, PAUSE_PER_LINE * self.number), PAUSE_MAX)

    def is_paused(self, now: datetime) -> bool:
        """Tell whether its pause is not over; a look in the future was written down by a clock that was wrong."""
        return -SKEW <= now - self.looked_at < self.pause

    @property
    def window(self) -> tuple[datetime, datetime]:
        """From when to when the day lasted: its first moment, and the first one behind it."""
        begin, end = map(datetime.fromisoformat, self.header["window"])
        return begin, end

    @property
    def sections(self) -> list[Section]:
        """What the header says of its lines."""
        return [Section(DayCategory(name), number, sha256) for name, number, sha256 in self.header["sections"]]

    @property
    def number(self) -> int:
        """How many lines it has."""
        return sum(section.number for section in self.sections)


class NewVersion(NamedTuple):
    """A day to be written down as it is now."""

    source_id: int
    source: str
    day: date
    closed_at: datetime
    next_look_at: datetime | None
    content: Mapping[str, Any]
    """What its header says of the day itself."""
    chunks: Sequence[Chunk]
    after: int
    """The version that was the latest when it was looked at; 0 for none."""
    seen: datetime | None = None
    """When that one was to be looked at, as it was read before the day was: another time means that something came."""


class Head(NamedTuple):
    """How far the versions of a source have come."""

    versions: int
    digest: str
    key: str
    mac: str


def canonical(content: object) -> bytes:
    """Return the bytes that digests are made over: JSON with sorted names and no blanks, in ASCII."""
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()


def signed(header: Mapping[str, Any]) -> bytes:
    """Return what the digest of a version is made over."""
    return canonical(["day", header])


# Closing


def lease(connection: Connection, source_id: int, now: datetime, lasting: timedelta) -> datetime | None:
    """Take the right to close days of a source for a while, in the caller's transaction; none where another has it.

    It is known by its end, which is returned: no other lease of the source ends at the same moment. One that ends later
    than this one was taken by a clock that was wrong, and is over.
    """
    insert_or_skip(
        connection,
        _heads,
        ["source_id"],
        {"source_id": source_id, "versions": 0, "digest": "", "key": "", "mac": ""},
    )
    until = _heads.c.leased_until
    free = or_(until.is_(None), until <= now, until > now + lasting + SKEW)
    taken = update(_heads).where(_heads.c.source_id == source_id, free).values(leased_until=now + lasting)
    return now + lasting if connection.execute(taken).rowcount == 1 else None


def hold(connection: Connection, source_id: int, leased_until: datetime) -> None:
    """See that a lease is still the caller's, and let nobody take it until the transaction ends: its first statement.

    Raises:
        LeaseLost: it ran out, and another has taken it since; what was compared under it must not be written.
    """
    ours = select(_heads.c.source_id).where(_heads.c.source_id == source_id, _heads.c.leased_until == leased_until)
    if connection.execute(ours.with_for_update(key_share=True)).one_or_none() is None:
        raise LeaseLost("days of the source are closed by another process")


def release(connection: Connection, source_id: int, leased_until: datetime) -> None:
    """Give a lease back, unless another has taken it since."""
    ours = (_heads.c.source_id == source_id, _heads.c.leased_until == leased_until)
    connection.execute(update(_heads).where(*ours).values(leased_until=None))


def add(connection: Connection, encryption: Encryption, new: NewVersion) -> DayRecord:
    """Write a version down, bound to what was there before. Call `hold` before, in the same transaction.

    Raises:
        DecryptionFailed: the head is made with a key that none of RECEIVER_SECRET_KEYS opens.
    """
    head = _head(connection, new.source_id)
    latest = _locked_latest(connection, new.source_id, new.day)
    if latest is not None and latest.next_look_at != new.seen:
        new = new._replace(next_look_at=latest.next_look_at)
    keys = DigestKeys(connection, encryption, PURPOSE)
    key = keys.current(new.closed_at)
    header = _header(connection, new, head, key)
    digest = keys.mac(key, signed(header))
    version_id = _insert(connection, new, header, digest)
    if latest is not None:
        put_off(connection, latest, new.closed_at, None)
    state = (head.versions + 1, digest)
    values = {"versions": state[0], "digest": digest, "key": key, "mac": _head_mac(keys, key, new.source_id, state)}
    connection.execute(update(_heads).where(_heads.c.source_id == new.source_id).values(**values))
    return _one(connection, _all().where(_versions.c.id == version_id))


def _head(connection: Connection, source_id: int) -> Head:
    found = fetch_one(connection, Head, select(*columns_of(Head, _heads)).where(_heads.c.source_id == source_id))
    assert found is not None  # noqa: S101 - whoever has the lease has it
    return found


def _locked_latest(connection: Connection, source_id: int, day: date) -> DayRecord | None:
    """Return the latest version; whoever would have it looked at waits until the transaction ends."""
    latest = find(connection, source_id, day)
    if latest is None:
        return None
    return _one(connection, _all().where(_versions.c.id == latest.id).with_for_update(key_share=True))


def _header(connection: Connection, new: NewVersion, head: Head, key: str) -> dict[str, Any]:
    before = before_day(connection, new.source_id, new.day)
    return {
        "format": FORMAT,
        "source_id": new.source_id,
        "source": new.source,
        "day": new.day.isoformat(),
        "version": new.after + 1,
        "closed_at": new.closed_at.isoformat(),
        **new.content,
        "day_before": None if before is None else [before.day.isoformat(), before.version, before.digest],
        "written_before": head.digest or None,
        "key": key,
    }


def _insert(connection: Connection, new: NewVersion, header: Mapping[str, Any], digest: str) -> int:
    values = {
        "source_id": new.source_id,
        "day": new.day,
        "version": new.after + 1,
        "closed_at": new.closed_at,
        "header": dict(header),
        "digest": digest,
        "looked_at": new.closed_at,
        "next_look_at": new.next_look_at,
    }
    made: int = connection.execute(insert(_versions).values(values).returning(_versions.c.id)).scalar_one()
    for start in range(0, len(new.chunks), CHUNKS_AT_ONCE):
        rows = [{"version_id": made, **chunk._asdict()} for chunk in new.chunks[start : start + CHUNKS_AT_ONCE]]
        connection.execute(insert(_chunks), rows)
    return made


def _head_mac(keys: DigestKeys, key: str, source_id: int, state: tuple[int, str]) -> str:
    return keys.mac(key, canonical(["days", source_id, *state]))


def put_off(connection: Connection, seen: DayRecord, now: datetime, next_at: datetime | None) -> None:
    """Write down that a version was looked at, and when it is to be next, unless something came since it was read.

    `seen` is the version as it was read before the day was compared.
    """
    is_unchanged = _versions.c.next_look_at.is_not_distinct_from(seen.next_look_at)
    next_look_at = case((is_unchanged, next_at), else_=_versions.c.next_look_at)
    looked = update(_versions).where(_versions.c.id == seen.id)
    connection.execute(looked.values(looked_at=now, next_look_at=next_look_at))


def payment_changed(
    connection: Connection, source_id: int, payment_id: str | None, now: datetime, *, reference: str | None = None
) -> None:
    """Have the closed days looked at, once their pauses are over, that have a payment which has changed.

    Those whose list has it or points at an event of it, and those to which its events belong: it may be on no list. So
    with a reference, whose payment is known or not. In the caller's transaction, at its end, as `make_due`.
    """
    found = day_sides.touched(connection, source_id, payment_id, reference)
    make_due(connection, source_id, [*found.days, *_closed_at(connection, source_id, found.times)], now)


BELONGS_WITHIN = timedelta(days=8)
"""A day of business is that long after a moment that belongs to it at most: where one day a week is one."""


def _closed_at(connection: Connection, source_id: int, times: Sequence[datetime]) -> list[date]:
    """Return the closed days that some moments belong to, by the windows in which these were closed."""
    if not times:
        return []
    first, last = (min(times) - timedelta(days=1)).date(), (max(times) + BELONGS_WITHIN).date()
    closed = latest(connection, source_id, first, last)
    windows = {day: record.window for day, record in closed.items()}
    return [day for day, (begin, end) in windows.items() if any(begin <= at < end for at in times)]


def events_joined(connection: Connection, came: Mapping[str, datetime]) -> None:
    """Have the closed days looked at on which lines point at events whose callbacks came at last.

    In the caller's transaction, at its end, as `make_due`. `came` says when they did, by the events' ids.
    """
    columns = (_lines.c.source_id, _lines.c.day, _lines.c.event_id)
    rows = connection.execute(select(*columns).where(among(connection, _lines.c.event_id, list(came)))).all()
    for source_id in sorted({row.source_id for row in rows}):
        of_source = [row for row in rows if row.source_id == source_id]
        make_due(connection, source_id, [row.day for row in of_source], max(came[row.event_id] for row in of_source))


def make_due(connection: Connection, source_id: int, days: Sequence[date], now: datetime) -> None:
    """Have the latest versions of some days looked at, where they are closed, once their pauses are over.

    In the caller's transaction, at its end: whoever closes a day has opened what a person has to look at before, and
    no two must ever wait for each other in a circle.

    The time is written even where they are due: by it whoever looks at one just now sees that something came.
    """
    is_other = _versions.c.next_look_at.is_distinct_from(now)
    # In one order for all writers, so that no two ever wait for each other in a circle.
    for day in sorted(set(days)):
        latest = and_(_versions.c.source_id == source_id, _versions.c.day == day, _is_latest())
        # PostgreSQL may have waited for whoever replaced the version by another: the second time that one is seen.
        for _ in range(2):
            connection.execute(update(_versions).where(latest, is_other).values(next_look_at=now))


# Reading


def _all() -> Select[Any]:
    return select(*columns_of(DayRecord, _versions))


def _is_latest() -> Any:
    same = and_(_later.c.source_id == _versions.c.source_id, _later.c.day == _versions.c.day)
    return ~exists().where(same, _later.c.version > _versions.c.version)


def _one(connection: Connection, query: Select[Any]) -> DayRecord:
    found = fetch_one(connection, DayRecord, query)
    assert found is not None  # noqa: S101 - written in this transaction
    return found


def find(connection: Connection, source_id: int, day: date, version: int | None = None) -> DayRecord | None:
    """Return a version of a day: the latest one where none is named."""
    query = _all().where(_versions.c.source_id == source_id, _versions.c.day == day)
    if version is not None:
        return fetch_one(connection, DayRecord, query.where(_versions.c.version == version))
    return fetch_one(connection, DayRecord, query.order_by(_versions.c.version.desc()).limit(1))


def versions(connection: Connection, source_id: int, day: date) -> list[DayRecord]:
    """Return all versions of a day, the first one first."""
    query = _all().where(_versions.c.source_id == source_id, _versions.c.day == day)
    return fetch_all(connection, DayRecord, query.order_by(_versions.c.version))


def before_day(connection: Connection, source_id: int, day: date) -> DayRecord | None:
    """Return the latest version of the last closed day before one."""
    query = _all().where(_versions.c.source_id == source_id, _versions.c.day < day)
    return fetch_one(connection, DayRecord, query.order_by(_versions.c.day.desc(), _versions.c.version.desc()).limit(1))


def latest(connection: Connection, source_id: int, first: date, last: date) -> dict[date, DayRecord]:
    """Return the latest version of each closed day from one day through another."""
    query = _all().where(_versions.c.source_id == source_id, _versions.c.day.between(first, last))
    found = fetch_all(connection, DayRecord, query.order_by(_versions.c.day, _versions.c.version))
    return {record.day: record for record in found}


def having(connection: Connection, source_id: int, category: DayCategory) -> list[DayRecord]:
    """Return the latest version of each closed day that has a line of a category."""
    has_some = exists().where(_chunks.c.version_id == _versions.c.id, _chunks.c.category == category)
    return fetch_all(connection, DayRecord, _all().where(_versions.c.source_id == source_id, _is_latest(), has_some))


def first_day(connection: Connection, source_id: int) -> date | None:
    """Return the earliest closed day."""
    query = select(_versions.c.day).where(_versions.c.source_id == source_id).order_by(_versions.c.day).limit(1)
    found: date | None = connection.execute(query).scalar()
    return found


def closed_between(connection: Connection, source_id: int, first: date, last: date) -> set[date]:
    """Return which days from one through another are closed."""
    query = select(_versions.c.day).where(_versions.c.source_id == source_id, _versions.c.day.between(first, last))
    return set(connection.execute(query.distinct()).scalars())


def due(connection: Connection, source_id: int, now: datetime, longest: timedelta) -> date | None:
    """Return the closed day of a source that is to be looked at first; none where none is, or each has its pause.

    It is the one that nobody has looked at for the longest: one that changes all the time keeps no other waiting. What
    waits for longer than `longest`, or was looked at in the future, was put off by a clock that was wrong, and is due.
    """
    next_at, looked_at = _versions.c.next_look_at, _versions.c.looked_at
    is_due = or_(next_at <= now, next_at > now + longest + SKEW, looked_at > now + SKEW)
    of_source = _all().where(_versions.c.source_id == source_id, is_due, _is_latest())
    found = fetch_all(connection, DayRecord, of_source.order_by(looked_at))
    return next((each.day for each in found if not each.is_paused(now)), None)


def chunks(
    connection: Connection, version_id: int, category: DayCategory, *, through: int, limit: int = 20
) -> list[Chunk]:
    """Return chunks of a category, in order, from the one on that has the line `through` (from 0) or begins behind."""
    query = (
        select(*columns_of(Chunk, _chunks))
        .where(
            _chunks.c.version_id == version_id,
            _chunks.c.category == category,
            _chunks.c.first + _chunks.c.number > through,
        )
        .order_by(_chunks.c.first)
        .limit(limit)
    )
    return fetch_all(connection, Chunk, query)


def every_chunk(connection: Connection, version_id: int) -> Iterator[Chunk]:
    """Go through the chunks of a version, category by category, some at a time."""
    for category in DayCategory:
        place = 0
        while found := chunks(connection, version_id, category, through=place):
            yield from found
            place = found[-1].first + found[-1].number


def source_ids(connection: Connection) -> list[int]:
    """Return the numbers of the sources that have closed days, or say that they have."""
    found = (connection.execute(select(table.c.source_id).distinct()).scalars() for table in (_versions, _heads))
    return sorted({source_id for each in found for source_id in each})


def written(connection: Connection, source_id: int) -> list[DayRecord]:
    """Return all versions of a source, in the order in which they were written."""
    query = _all().where(_versions.c.source_id == source_id)
    return fetch_all(connection, DayRecord, query.order_by(_versions.c.id))


def head_is_right(connection: Connection, keys: DigestKeys, source_id: int, found: tuple[int, str]) -> bool:
    """Tell whether the head says the same of a source's versions, and is as it was written.

    Raises:
        DecryptionFailed
    """
    head = fetch_one(connection, Head, select(*columns_of(Head, _heads)).where(_heads.c.source_id == source_id))
    if head is None or (head.versions, head.digest) != found:
        return False
    if head.versions == 0:
        return True
    return keys.knows(head.key) and _head_mac(keys, head.key, source_id, found) == head.mac
