"""The lines of banks' own lists: written down once, however often and in whatever order they are read.

Lines that are equal in all that makes them one line (`_base`) are told apart by their times: the first one is the first
of its kind for good, the next one the second. So a reading that begins in the middle of them doubles and loses none.

What the list names neither by an id nor by a reference has nothing else to be known by: lines of it that are equal are
as many payments as any one reading has of a business day. One of another day is another payment; so is one without a
time of which the bank says anything else, or that was read in a window which began on another day. Thus one payment may
be told twice, which a person sees; two are not taken for one unless the bank puts one in the other's place on a day.
"""

import hashlib
import json
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import Connection, func, select, update

from receiver.model import Status
from receiver.store import pagination
from receiver.store.bulk_insert import BulkInsert
from receiver.store.records import columns_of, fetch_all
from receiver.store.tables import BankLine, table_of

_lines = table_of(BankLine)

WRITTEN_AT_ONCE = 250
"""Lines in one transaction: on SQLite callbacks wait for it."""


class NewLine(NamedTuple):
    """A line as the bank gave it, in the columns of the table; times are UTC, amounts have no sign."""

    list_name: str
    day: date
    type: str
    payment_id: str | None
    reference: str | None
    account: str | None
    direction: str | None
    amount: str | None
    currency: str | None
    bank_status: str | None
    status: str
    at: datetime | None
    detail: Mapping[str, Any]
    named_day: date | None = None

    @property
    def is_nameless(self) -> bool:
        """Whether nothing but its worth and its time tells it from others; without a time, what the bank says of it."""
        return self.payment_id is None and self.reference is None

    @property
    def base(self) -> str:
        """The SHA-256 (hex) of what makes it this line, but for the how manieth it is of lines that are equal so."""
        name = self.payment_id or self.reference
        # However many zeros the bank writes behind the point today.
        worth = None if self.amount is None else f"{Decimal(self.amount).normalize():f}"
        parts = [self.list_name, self.account, name, self.direction, worth, self.currency]
        if name is None:
            parts += [self.day.isoformat(), _written(self.detail) if self.at is None else None]
        if self.detail.get("is_reversal") is True:
            # Banking Circle lists it beside what it reverses, by the same id and worth.
            parts.append("reversal")
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _written(detail: Mapping[str, Any]) -> str:
    return json.dumps(detail, sort_keys=True)


_insert = BulkInsert(
    _lines, ("identity", "source_id", *NewLine._fields, "seen_at"), unique=["source_id", "identity"]
).run_for_new


class _Stored(NamedTuple):
    id: int
    identity: str
    day: date
    type: str
    bank_status: str | None
    status: Status
    at: datetime | None
    detail: Mapping[str, Any]
    named_day: date | None


_CHANGING = ("type", "bank_status", "status", "at", "detail", "named_day")
"""What a line may say otherwise the next time that it is read."""


def in_groups(lines: Iterable[NewLine]) -> list[dict[str, list[NewLine]]]:
    """Return the lines of a reading by their base, in parts that each are written in a transaction of its own."""
    by_base: dict[str, list[NewLine]] = {}
    for line in lines:
        by_base.setdefault(line.base, []).append(line)
    parts: list[dict[str, list[NewLine]]] = [{}]
    number = 0
    # In one order for all writers, so that no two ever wait for each other in a circle.
    for base in sorted(by_base):
        if number and number + len(by_base[base]) > WRITTEN_AT_ONCE:
            parts.append({})
            number = 0
        parts[-1][base] = by_base[base]
        number += len(by_base[base])
    return parts


class Written(NamedTuple):
    """What came of writing lines down."""

    new: int
    """How many were not known before."""
    days: set[date]
    """On which a line is new, says something else, or was until now."""


def write(
    connection: Connection,
    source_id: int,
    groups: Mapping[str, Sequence[NewLine]],
    window: tuple[datetime, datetime],
    now: datetime,
) -> Written:
    """Write down all lines of a base that a reading of a window found, in the caller's transaction.

    What was there before says afterwards what the bank says now.
    """
    stored = _stored(connection, source_id, {base: len(lines) for base, lines in groups.items()})
    rows = []
    days: set[date] = set()
    for base, lines in groups.items():
        known = stored[base]
        new = _known_before(connection, known, lines, window, days)
        days |= {line.day for line in new}
        rows += [(_identity(base, number), source_id, *line, now) for number, line in enumerate(new, len(known) + 1)]
    return Written(len(_insert(connection, rows)), days)


def _identity(base: str, number: int) -> str:
    return hashlib.sha256(f"{base}:{number}".encode()).hexdigest()


def _stored(connection: Connection, source_id: int, numbers: Mapping[str, int]) -> dict[str, list[_Stored]]:
    """Return all lines that are stored, by their base, the first one first; `numbers` is how many of each were read.

    It asks for twice as many each time, so that a base with many takes few statements. Without a name these are of one
    day; with one they are all that there ever were, such as the rents of one reference.
    """
    found: dict[str, list[_Stored]] = {base: [] for base in numbers}
    asked = {base: number + 1 for base, number in numbers.items()}
    while asked:
        identities = {
            _identity(base, place): base
            for base, more in asked.items()
            for place in range(len(found[base]) + 1, len(found[base]) + more + 1)
        }
        query = select(*columns_of(_Stored, _lines)).where(
            _lines.c.source_id == source_id, pagination.among(connection, _lines.c.identity, list(identities))
        )
        by_identity = {row.identity: row for row in fetch_all(connection, _Stored, query)}
        for identity, base in identities.items():
            if identity in by_identity:
                found[base].append(by_identity[identity])
        # Where the last one that was asked for is there, more may be.
        last = {base: identity for identity, base in identities.items()}
        asked = {base: 2 * more for base, more in asked.items() if last[base] in by_identity}
    return found


_Same = Callable[[NewLine | _Stored], Hashable]


def _when(line: NewLine | _Stored) -> Hashable:
    """Return when the bank says that it was: where it names the day alone, its `at` is made of the calendar."""
    return line.at if line.named_day is None else line.named_day


_PASSES: tuple[_Same, ...] = (
    lambda line: (_when(line), _written(line.detail), line.type, line.bank_status, line.status),
    lambda line: (_when(line), _written(line.detail)),
    _when,
    lambda line: line.at,
)
"""What a line that is stored and one that is read are the same by; those that have more in common come first.

So lines of one base and one time, such as those of a day of which no more is known, never swap what they say."""


def _known_before(
    connection: Connection,
    known: Sequence[_Stored],
    lines: Sequence[NewLine],
    window: tuple[datetime, datetime],
    days: set[date],
) -> list[NewLine]:
    """Have the stored lines say what was read of them now, and return the lines that are new.

    The days on which one says something else are added to `days`.
    """
    rows = list(known)
    left = sorted(lines, key=lambda line: (line.at is None, line.at or window[0]))
    for same in _PASSES:
        rows, left = _matched(connection, rows, left, same, days)
    return _moved(connection, rows, left, window, days)


def _matched(
    connection: Connection, rows: Sequence[_Stored], lines: Sequence[NewLine], same: _Same, days: set[date]
) -> tuple[list[_Stored], list[NewLine]]:
    """Match what is the same, each row with the first line that is left, and return what has found none."""
    if not rows or not lines:
        return list(rows), list(lines)
    places: dict[Hashable, deque[int]] = {}
    for place, line in enumerate(lines):
        places.setdefault(same(line), deque()).append(place)
    rows_left, taken = [], set()
    for row in rows:
        if fitting := places.get(same(row)):
            taken.add(place := fitting.popleft())
            days |= _update(connection, row, lines[place])
        else:
            rows_left.append(row)
    return rows_left, [line for place, line in enumerate(lines) if place not in taken]


def _moved(
    connection: Connection,
    rows: Sequence[_Stored],
    lines: list[NewLine],
    window: tuple[datetime, datetime],
    days: set[date],
) -> list[NewLine]:
    """Match lines with stored ones whose time is another one by now, and return those that are new.

    Where there are several, the one of which the bank says the same.
    """
    if not lines:
        return lines
    read, made = {line.day for line in lines}, {_made(line) for line in lines} - {None}
    are_timed = all(line.at is not None for line in lines)
    left = [
        row
        for row in rows
        # Of a long history, those alone for which it is worth while to look at each of the lines.
        if row.at is None
        or not are_timed
        or window[0] <= row.at < window[1]
        or (row.day in read and (not lines[0].is_nameless or _made(row) in made))
    ]
    for is_said_alike in (True, False):
        for row in list(left):
            fitting = (line for line in lines if not is_said_alike or line.detail == row.detail)
            found = next((line for line in fitting if _has_moved(row, line, window)), None)
            if found is not None:
                left.remove(row)
                lines.remove(found)
                days |= _update(connection, row, found)
    return lines


def _has_moved(row: _Stored, line: NewLine, window: tuple[datetime, datetime]) -> bool:
    """Tell whether a line that is read is a stored one whose time is another one by now, and no further one like it.

    So it is where the stored one belongs to the window that was read; elsewhere where it has got on, or was made at the
    same time, on the same business day. That one has got on is no sign where neither has a name.
    """
    if row.at is None or line.at is None:
        # Of those without a name none is here: what they are known by says whether they have a time.
        return True
    if window[0] <= row.at < window[1]:
        return True
    got_on = (row.type, row.bank_status, row.status) != (line.type, line.bank_status, line.status)
    is_same = _made(line) is not None and _made(line) == _made(row)
    return row.day == line.day and (is_same or (got_on and not line.is_nameless))


def _made(line: NewLine | _Stored) -> Hashable:
    made = line.detail.get("created_at")
    return made if isinstance(made, str) else None


def _update(connection: Connection, row: _Stored, line: NewLine) -> set[date]:
    """Have a stored line say what was read of it now, and return the days on which that makes a difference."""
    changed = {name: getattr(line, name) for name in _CHANGING if getattr(line, name) != getattr(row, name)}
    if not changed:
        return set()
    is_of_other_time = _when(line) != _when(row)
    if is_of_other_time and line.at is not None:
        changed["day"] = line.day
    connection.execute(update(_lines).where(_lines.c.id == row.id).values(**changed))
    # Days tell nothing of what else the bank says of a line.
    says_more = is_of_other_time or changed.keys() - {"detail", "at"}
    return {row.day, changed.get("day", row.day)} if says_more else set()


class LineRecord(NamedTuple):
    """A line as it is stored; times are UTC."""

    id: int
    source_id: int
    identity: str
    list_name: str
    type: str
    payment_id: str | None
    reference: str | None
    account: str | None
    direction: str | None
    amount: str | None
    currency: str | None
    bank_status: str | None
    status: Status
    at: datetime | None
    detail: Mapping[str, Any]
    seen_at: datetime
    event_id: str | None
    named_day: date | None

    @property
    def bank_time(self) -> datetime | None:
        """The bank's own time of it; none where it tells none, or no more than the day."""
        return self.at if self.named_day is None else None


def unjoined(connection: Connection, source_id: int, *, behind: int, limit: int) -> list[LineRecord]:
    """Return lines of a source that no event is known for, in their order; `behind` is the number to go on from."""
    query = (
        select(*columns_of(LineRecord, _lines))
        .where(_lines.c.source_id == source_id, _lines.c.event_id.is_(None), _lines.c.id > behind)
        .order_by(_lines.c.id)
        .limit(limit)
    )
    return fetch_all(connection, LineRecord, query)


def has_unjoined(connection: Connection, source_id: int, before: datetime) -> bool:
    """Tell whether no event is known for a line of a source that is from before a time (UTC), or nobody knows when."""
    at = func.coalesce(_lines.c.at, before)
    query = select(_lines.c.id).where(_lines.c.source_id == source_id, _lines.c.event_id.is_(None), at <= before)
    return connection.execute(query.limit(1)).first() is not None


def unjoined_like(connection: Connection, source_id: int, line_ids: Sequence[int]) -> list[LineRecord]:
    """Return those of the lines that have no event, and all others without one that are about the same payments."""
    chosen = [line for line in by_ids(connection, line_ids) if line.event_id is None]
    ids = sorted({line.payment_id for line in chosen if line.payment_id is not None})
    query = select(*columns_of(LineRecord, _lines)).where(
        _lines.c.source_id == source_id, pagination.among(connection, _lines.c.payment_id, ids)
    )
    same = fetch_all(connection, LineRecord, query) if ids else []
    found = {line.id: line for line in (*chosen, *same) if line.event_id is None}
    return [found[number] for number in sorted(found)]


def by_ids(connection: Connection, line_ids: Sequence[int]) -> list[LineRecord]:
    """Return lines in the order of their numbers."""
    query = select(*columns_of(LineRecord, _lines)).where(pagination.among(connection, _lines.c.id, line_ids))
    return fetch_all(connection, LineRecord, query.order_by(_lines.c.id))


def join(connection: Connection, line_id: int, list_name: str, event_id: str) -> set[date]:
    """Write down which event tells what a line does; one of the same list that had it, as the nearest, loses it.

    Return the days of these lines.
    """
    having = (_lines.c.event_id == event_id, _lines.c.list_name == list_name)
    lost = update(_lines).where(*having).values(event_id=None)
    joined = update(_lines).where(_lines.c.id == line_id).values(event_id=event_id)
    return {day for change in (lost, joined) for day in connection.execute(change.returning(_lines.c.day)).scalars()}


def days_of(connection: Connection, source_id: int) -> list[date]:
    """Return the days that a source's lines belong to, the earliest first."""
    found: list[date] = []
    # One after the other: to read them at once looks at every line, of which a day may have many thousands.
    first = select(func.min(_lines.c.day)).where(_lines.c.source_id == source_id)
    query = first
    while (day := connection.execute(query).scalar()) is not None:
        found.append(day)
        query = first.where(_lines.c.day > day)
    return found


def move(connection: Connection, line_ids: Sequence[int], day: date) -> None:
    """Have lines belong to another day."""
    connection.execute(update(_lines).where(pagination.among(connection, _lines.c.id, line_ids)).values(day=day))


def amounts_of(connection: Connection, event_ids: Sequence[str]) -> dict[tuple[str, str], str | None]:
    """Return the amounts of the lines that events have, by the events' ids and the lines' lists.

    Two lists may tell of the same: an event has one line of each at most.
    """
    query = select(_lines.c.event_id, _lines.c.list_name, _lines.c.amount)
    query = query.where(pagination.among(connection, _lines.c.event_id, event_ids))
    return {(row.event_id, row.list_name): row.amount for row in connection.execute(query)}


def waiting(connection: Connection, source_id: int) -> int:
    """Return how many lines of a source no event is known for."""
    query = select(func.count()).where(_lines.c.source_id == source_id, _lines.c.event_id.is_(None))
    number: int = connection.execute(query).scalar_one()
    return number
