"""Closing business days: when one may be, what a person has to look at since, and looking at it later."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from functools import cache
from typing import NamedTuple

from sqlalchemy import Connection

from receiver import banks
from receiver.banks.abilities import ListsPayments
from receiver.banks.business_days import OPTION, BusinessDays, Window
from receiver.model import DayCategory, ExceptionKind, NotPossible
from receiver.reconcile import amounts
from receiver.reconcile.day_comparison import Compared, compare
from receiver.runtime import Runtime
from receiver.store import day_sides, days, exceptions, joining, sources, sweeps
from receiver.store.database import StoreUnavailable, retried
from receiver.store.day_lines import DayLine, read
from receiver.store.days import DayRecord, NewVersion
from receiver.store.encryption import DecryptionFailed
from receiver.store.exceptions import AT_ONCE, Opened
from receiver.store.leases import LeaseLost
from receiver.store.sources import SourceRecord

log = logging.getLogger(__name__)

LEASE = timedelta(minutes=10)
"""How long one worker has the days of a source to itself."""

DAYS_BACK = timedelta(days=370)
"""Days before that many before a source was added are not looked at, whatever a bank lists."""

LOOKED_AT_FOR = timedelta(days=40)
"""How long after its end a day is looked at by itself: beyond the month for which banks take back what was final."""

LOOK_PART, LOOK_LEAST, LOOK_MOST = 20, timedelta(minutes=1), timedelta(days=1)
"""A day is looked at after a twentieth of its age, within these bounds, and so that a twentieth of the time goes."""


class BeingClosed(NotPossible):
    """Another process closes a day of this source just now, or changes which days it has."""


def lists(source: SourceRecord, covered: datetime | None) -> bool:
    """Tell whether a source's bank lists what it knows: by its package, or since a sweep has read its lists."""
    return covered is not None or isinstance(banks.named(source.bank), ListsPayments)


def calendar(source: SourceRecord) -> BusinessDays:
    """Return the business days of a source's bank."""
    return banks.named(source.bank).days(source.options)


def delay(runtime: Runtime) -> timedelta:
    """Return how long after its end a day is closed."""
    return timedelta(seconds=runtime.settings.day_delay_seconds)


def first_day(runtime: Runtime, source: SourceRecord) -> date:
    """Return the first business day of a source: the one it was added on, or an earlier one that the bank lists.

    Raises:
        StoreUnavailable
    """
    with runtime.database.read() as connection:
        known = (day_sides.first_day(connection, source.id), days.first_day(connection, source.id))
        added = day_of(connection, source, source.created_at)
    earliest = calendar(source).day_of(source.created_at - DAYS_BACK)
    return max(earliest, min([added, *(day for day in known if day is not None)]))


def close_due(runtime: Runtime) -> int:
    """Close, of each source, the first day that is due, or look at one that was closed; return how many were.

    The trouble of one source stops no other's days.

    Raises:
        StoreUnavailable
    """
    with runtime.database.read() as connection:
        shown = banks.with_known_banks(sources.shown(connection))
        known = [(source, sweeps.covered(connection, source.id)) for source in shown]
    done = 0
    for source, covered in known:
        if not lists(source, covered):
            continue
        try:
            done += _close_due_of(runtime, source, covered)
        except (BeingClosed, DecryptionFailed) as error:
            log.warning("closing a day of %s: %s", source.name, error)
        except StoreUnavailable:
            raise
        except Exception:
            log.exception("closing a day of %s failed", source.name)
    return done


def _close_due_of(runtime: Runtime, source: SourceRecord, covered: datetime | None) -> bool:
    day = _unclosed(runtime, source, covered)
    if day is None:
        with runtime.database.read() as connection:
            day = days.due(connection, source.id, runtime.clock(), LOOK_MOST)
    if day is None:
        return False
    close(runtime, source, day)
    return True


def _unclosed(runtime: Runtime, source: SourceRecord, covered: datetime | None) -> date | None:
    """Return the first business day that can be closed and is not; none where there is none."""
    if covered is None:
        return None
    business = calendar(source)
    before = min(covered, runtime.clock()) - delay(runtime)
    day = first_day(runtime, source)
    with runtime.database.read() as connection:
        last = day_of(connection, source, before)
        read_whole = sweeps.read_whole(connection, source.id)
        if read_whole.since is not None:
            # What begins before that was not read whole: of many such days none is looked at.
            day = max(day, read_whole.since.date() - timedelta(days=2))
        closed = days.closed_between(connection, source.id, day, last)
        day = business.on_or_after(day)
        while day <= last:
            if day not in closed:
                window = window_of(source, day, closed_around(connection, source.id, day))
                if window.end <= before and read_whole.holds(window.begin, window.end):
                    return day
            day = business.after(day)
    return None


def close(
    runtime: Runtime, source: SourceRecord, day: date, note: Callable[[Connection, DayRecord], None] | None = None
) -> DayRecord | None:
    """Write down a business day as it is now; none where its latest version says the same.

    `note` is called in the transaction that writes a version down.

    Raises:
        BeingClosed
        ValueError: it is no business day.
        DecryptionFailed
        StoreUnavailable
    """
    leased_until = _lease(runtime, source)
    if leased_until is None:
        raise BeingClosed(f"a day of {source.name} is being closed: look at it in a moment")
    try:
        return _closed(runtime, source, day, leased_until, note)
    except LeaseLost as error:
        raise BeingClosed(f"closing {day} of {source.name} took too long: another process has taken over") from error
    finally:
        _release(runtime, source, leased_until)


@retried
def _lease(runtime: Runtime, source: SourceRecord) -> datetime | None:
    with runtime.database.write() as connection:
        return days.lease(connection, source.id, runtime.clock(), LEASE)


@retried
def _release(runtime: Runtime, source: SourceRecord, leased_until: datetime) -> None:
    with runtime.database.write() as connection:
        days.release(connection, source.id, leased_until)


def _closed(
    runtime: Runtime,
    source: SourceRecord,
    day: date,
    leased_until: datetime,
    note: Callable[[Connection, DayRecord], None] | None,
) -> DayRecord | None:
    with runtime.database.read() as connection:
        closed = closed_around(connection, source.id, day)
        covered = sweeps.covered(connection, source.id)
    began = time.monotonic()
    latest, window = closed.get(day), window_of(source, day, closed)
    compared = compare(runtime.database, source.id, day, window, window.end + delay(runtime))
    now = runtime.clock()
    next_at = _next_look(window, now, timedelta(seconds=time.monotonic() - began), is_first=latest is None)
    if latest is not None and says_the_same(latest, compared):
        _put_off(runtime, latest, leased_until, now, next_at)
        return None
    amounts_changed = _changed_amounts(runtime, source, day, latest, compared)
    amounts_changed = _many_at_first(runtime, source, leased_until, amounts_changed, now)
    content = {**compared.content, "covered_until": covered.isoformat() if covered else None}
    after, seen = (latest.version, latest.next_look_at) if latest else (0, None)
    new = NewVersion(source.id, source.name, day, now, next_at, content, compared.chunks, after, seen)
    made = _add(runtime, source, new, leased_until, amounts_changed, note)
    # Elsewhere than in the database, as an anchor.
    log.info("%s: %s is closed in version %d; its digest is %s", source.name, day, made.version, made.digest)
    return made


@retried
def _put_off(
    runtime: Runtime, latest: DayRecord, leased_until: datetime, now: datetime, next_at: datetime | None
) -> None:
    with runtime.database.write() as connection:
        days.hold(connection, latest.source_id, leased_until)
        days.put_off(connection, latest, now, next_at)


@retried
def _add(
    runtime: Runtime,
    source: SourceRecord,
    new: NewVersion,
    leased_until: datetime,
    amounts_changed: "_Changed",
    note: Callable[[Connection, DayRecord], None] | None,
) -> DayRecord:
    with runtime.database.write() as connection:
        days.hold(connection, source.id, leased_until)
        if not new.after:
            _check_calendar(connection, source)
        _tell(connection, source, amounts_changed, new.closed_at)
        made = days.add(connection, runtime.encryption, new)
        if note is not None:
            note(connection, made)
    return made


def _check_calendar(connection: Connection, source: SourceRecord) -> None:
    """Close no day as it lasted by a calendar that was replaced meanwhile: the lines that were on it were moved.

    Nor is it replaced before this transaction has ended: who replaces it finds the day closed then.
    """
    sources.lock(connection, source.id)
    found = sources.find(connection, source.name)
    if found is not None and found.options.get(OPTION) != source.options.get(OPTION):
        raise BeingClosed(f"the business days of {source.name} were changed meanwhile: close it once more")


def closed_around(
    connection: Connection, source_id: int, first: date, last: date | None = None
) -> dict[date, DayRecord]:
    """Return the latest versions of the closed days from one day through another, and of those near by."""
    return days.latest(connection, source_id, first - days.BELONGS_WITHIN, (last or first) + days.BELONGS_WITHIN)


def window_of(source: SourceRecord, day: date, closed: Mapping[date, DayRecord]) -> Window:
    """Return from when to when a day lasts: as it did when it was closed, else as the bank's calendar says.

    What belonged to a day when that was `closed` stays there, whatever the calendar says by now: so a day that is not
    closed begins where the one before it ended, and has nothing of a closed one.

    Raises:
        ValueError: it is no business day.
    """
    return _with_closed(source, closed).window(day)


def day_of(connection: Connection, source: SourceRecord, at: datetime) -> date:
    """Return the day that a moment belongs to: events, lines and windows all go by this (`BusinessDays.day_of`)."""
    return days_around(connection, source)(at.date()).day_of(at)


def days_around(connection: Connection, source: SourceRecord) -> Callable[[date], BusinessDays]:
    """Return what gives the business days of a source around a date, the closed ones as they were closed."""
    return cache(lambda day: _with_closed(source, closed_around(connection, source.id, day)))


def _with_closed(source: SourceRecord, closed: Mapping[date, DayRecord]) -> BusinessDays:
    windows = {day: Window(*record.window) for day, record in closed.items()}
    return replace(calendar(source), closed=windows)


def says_the_same(latest: DayRecord, compared: Compared) -> bool:
    """Tell whether a version says what is so now."""
    return all(latest.header.get(name) == value for name, value in compared.content.items())


def _next_look(window: Window, now: datetime, took: timedelta, *, is_first: bool) -> datetime | None:
    age = now - window.end
    if age > LOOKED_AT_FOR:
        # What changed while a day was compared for the first time has found no version to have looked at.
        return now + LOOK_LEAST if is_first else None
    return now + min(max(age / LOOK_PART, LOOK_LEAST, took * LOOK_PART), LOOK_MOST)


# What a person has to look at


class _Changed(NamedTuple):
    """What differs in its amount since the version before, or by another one, and events whose amount did until then.

    No event is in both.
    """

    opened: Sequence[Opened]
    over: Sequence[str]


def _changed_amounts(
    runtime: Runtime, source: SourceRecord, day: date, latest: DayRecord | None, compared: Compared
) -> _Changed:
    before, now = _differing(runtime, latest) if latest is not None else {}, compared.differing
    # The bank moves lines to other days.
    elsewhere = _differing_elsewhere(runtime, source, day) if before.keys() != now.keys() else {}
    known = elsewhere | before
    changed = [each for each in now if each not in known or _amounts(known[each]) != _amounts(now[each])]
    over = before.keys() - now.keys() - elsewhere.keys()
    return _Changed([_opened(source, each, now[each]) for each in changed], sorted(over))


def _amounts(line: DayLine) -> tuple[object, ...]:
    """Return what differs, the same however it is written."""
    currencies = ((currency or "").upper() for currency in (line.currency, line.our_currency))
    return joining.worth(line.amount), joining.worth(line.our_amount), *currencies


def _differing_elsewhere(runtime: Runtime, source: SourceRecord, day: date) -> dict[str, DayLine]:
    """Return the lines of the latest versions of all other days whose amount differs, by the event."""
    with runtime.database.read() as connection:
        others = [each for each in days.having(connection, source.id, DayCategory.AMOUNT_DIFFERS) if each.day != day]
    return {event_id: line for version in others for event_id, line in _differing(runtime, version).items()}


def _many_at_first(
    runtime: Runtime, source: SourceRecord, leased_until: datetime, changed: _Changed, now: datetime
) -> _Changed:
    """Tell of so many that callbacks would wait for them, some at a time; return what is left to be told.

    Of those alone a kill in between may leave one as it was told, though it is otherwise by the next look.
    """
    number = max(len(changed.opened), len(changed.over))
    if number <= AT_ONCE:
        return changed
    for start in range(0, number, AT_ONCE):
        with runtime.database.write() as connection:
            some = slice(start, start + AT_ONCE)
            days.hold(connection, source.id, leased_until)
            _tell(connection, source, _Changed(changed.opened[some], changed.over[some]), now)
    return _Changed((), ())


def _tell(connection: Connection, source: SourceRecord, changed: _Changed, now: datetime) -> None:
    """Open what differs in its amount, or say by which it does now, and resolve what does so no longer.

    In the transaction that writes the version down: the next look compares with that version alone, and would neither
    resolve what was opened without it, nor open what was resolved. Before the version: whoever has checked a payment
    opens first, too, and then has its days looked at.
    """
    exceptions.open_all(connection, changed.opened, now)
    for event_id in changed.over:
        exceptions.resolve_about(connection, ExceptionKind.AMOUNT_DIFFERS, source.id, "event", event_id, now)


def _opened(source: SourceRecord, event_id: str, line: DayLine) -> Opened:
    is_other_currency = joining.differ_in_currency(line.currency, line.our_currency)
    fees = not is_other_currency and amounts.may_be_fees(source.bank, line.direction)
    about = ("event", event_id)
    return amounts.differs(source.id, about, event_id, line.amount, line.currency, line.why or "", fees=fees)


def _differing(runtime: Runtime, version: DayRecord) -> dict[str, DayLine]:
    """Return the lines of a version whose amount differs, by the event."""
    found: dict[str, DayLine] = {}
    place = 0
    while True:
        with runtime.database.read() as connection:
            chunks = days.chunks(connection, version.id, DayCategory.AMOUNT_DIFFERS, through=place)
        if not chunks:
            return found
        lines = (read(content) for chunk in chunks for content in chunk.lines())
        found |= {line.event_id: line for line in lines if line.event_id is not None}
        place = chunks[-1].first + chunks[-1].number
