"""Entries of the feed for what a person has to look at: one when it is opened, or opened anew, and one when resolved.

They are written in the transaction in which that happens. They say what it is about, and never a payload.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, func, literal_column, select

from receiver.model import ExceptionKind, ExceptionState, OwnType, Severity, SubjectKind
from receiver.store import outbox
from receiver.store.outbox import NewEntry
from receiver.store.records import columns_of, fetch_all
from receiver.store.severity import severities_of
from receiver.store.tables import FeedEntry, FeedHead, StaffException, table_of

_exceptions, _entries, _head = table_of(StaffException), table_of(FeedEntry), table_of(FeedHead)

SUBJECTS = (SubjectKind.PAYMENT, SubjectKind.JOB)
"""What an entry's `subject` names; all else stands in its data alone."""

ITSELF = "itself"
"""Who has resolved what is no longer so."""


class Shown(NamedTuple):
    """As much of an exception as the feed says."""

    id: str
    place: str
    kind: ExceptionKind
    source_id: int
    about: str
    subject: str
    event_id: str | None
    amount: str | None
    currency: str | None
    number: int
    detail: str | None
    opened_at: datetime
    handled_by: str | None
    presses_at_most: Severity | None


def write_opened(connection: Connection, places: Sequence[str], at: datetime) -> None:
    """Write an entry for each exception that was opened with one of these places, in this transaction."""
    if places:
        _write(connection, OwnType.EXCEPTION_OPENED, opened_at(connection, places), at)


def opened_at(connection: Connection, places: Sequence[str]) -> list[Shown]:
    """Return the exceptions that were opened with one of these places, and nothing was changed of since."""
    # As text, each of them, so that any plan goes by the index over these three.
    is_open = _exceptions.c.state == literal_column(f"'{ExceptionState.OPEN}'")
    kinds = _exceptions.c.kind.in_([literal_column(f"'{kind}'") for kind in ExceptionKind])
    return _found(connection, [is_open, kinds, _exceptions.c.place.in_(places), _is_opening()])


def _is_opening() -> ColumnElement[bool]:
    return _exceptions.c.opening == _exceptions.c.place


def write_resolved(connection: Connection, ids: Sequence[str], at: datetime) -> None:
    """Write an entry for each exception that was resolved in this transaction."""
    if ids:
        _write(connection, OwnType.EXCEPTION_RESOLVED, _found(connection, [_exceptions.c.id.in_(ids)]), at)


def not_before_the_last(connection: Connection, at: datetime) -> datetime:
    """Return `at`, or the time of the feed's last entry where that is later: entries are in the order of time."""
    head = select(_head.c.position).scalar_subquery()
    last: datetime | None = connection.execute(
        select(func.max(_entries.c.time)).where(_entries.c.position == head)
    ).scalar()
    return at if last is None else max(at, last)


def _found(connection: Connection, which: Sequence[ColumnElement[bool]]) -> list[Shown]:
    query = select(*columns_of(Shown, _exceptions)).where(*which)
    return sorted(fetch_all(connection, Shown, query), key=lambda found: (found.place, found.id))


def _write(connection: Connection, type_: OwnType, found: Sequence[Shown], at: datetime) -> None:
    outbox.append_all(connection, [_entry(connection, type_, each, at) for each in found])


def _entry(connection: Connection, type_: OwnType, found: Shown, at: datetime) -> NewEntry:
    data: dict[str, Any] = {
        "exception_id": found.id,
        "kind": found.kind,
        "about": found.about,
        "about_id": found.subject,
        "severity": _severity(connection, found, at),
        "amount": found.amount,
        "currency": found.currency,
        "number": found.number,
        "detail": found.detail,
    }
    if type_ == OwnType.EXCEPTION_RESOLVED:
        data["resolved_by"] = found.handled_by or ITSELF
    subject = found.subject if found.about in SUBJECTS else None
    return NewEntry(type_, found.source_id, subject, found.event_id, data, at)


def _severity(connection: Connection, found: Shown, at: datetime) -> Severity:
    """Return how much it presses, or did until it was resolved."""
    age = at - found.opened_at
    return severities_of(connection).of(found.kind, found.amount, found.currency, age, found.presses_at_most)
