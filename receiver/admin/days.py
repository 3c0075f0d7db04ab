"""Business days, for people: list and show them, close one by hand."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from receiver import banks
from receiver.admin import sources as source_acts
from receiver.banks.business_days import BusinessDays, Window
from receiver.model import DayCategory, DayState, NotFound, NotPossible
from receiver.reconcile import days as closing
from receiver.reconcile.day_comparison import Compared, compare
from receiver.runtime import Runtime
from receiver.store import audit, day_sides, days, sources, sweeps
from receiver.store.days import DayRecord
from receiver.store.sources import SourceRecord
from receiver.store.sweeps import ReadWhole

YEARS = (1971, 9997)
"""Days that still are days after a few are added or taken away."""

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


OPEN_LINES_MAX = 20_000
"""Lines of an open day, and events of ours, that are held against each other while somebody waits."""

NOT_OFFERED = "this bank lists nothing of what it knows: there is no list to hold events against"


@dataclass(frozen=True)
class Count:
    """How many lines of a category have a currency, and their sums as decimal numbers: the bank's, and ours."""

    category: DayCategory
    currency: str | None
    number: int
    bank_amount: str
    our_amount: str


@dataclass(frozen=True)
class Day:
    """A business day of a source: as it was closed, or as it is just now where it is not closed yet. Times are UTC."""

    source: SourceRecord
    day: date
    state: DayState
    window: Window
    covered_until: datetime | None = None
    """Until when the bank's list was read, when it was closed, or by now."""
    incomplete_until: datetime | None = None
    """When the bank's list of an incomplete day will have been read, as far as that is known."""
    read_since: datetime | None = None
    """Since when it was read, where that is after the day's beginning: no sweep goes further back by itself."""
    record: DayRecord | None = None
    versions: Sequence[DayRecord] = ()
    compared: Compared | None = None
    """What is so by now, of a day that is not closed."""

    @property
    def content(self) -> dict[str, Any]:
        """What is said of the day besides its lines; empty where nothing was held against anything."""
        if self.record is not None:
            return self.record.header
        return dict(self.compared.content) if self.compared is not None else {}

    @property
    def counts(self) -> list[Count]:
        """The numbers of each category by currency, in the order of the categories."""
        return [Count(DayCategory(name), *rest) for name, *rest in self.content.get("numbers", ())]

    @property
    def numbers(self) -> dict[DayCategory, int]:
        """How many lines each category has."""
        found = dict.fromkeys(DayCategory, 0)
        for count in self.counts:
            found[count.category] += count.number
        return found

    @property
    def words(self) -> str:
        """Say how far it has come."""
        match self.state:
            case DayState.NOT_OFFERED:
                return NOT_OFFERED
            case DayState.INCOMPLETE:
                if self.read_since is not None:
                    return f"the day is over, and {_read_from(self.source, self.window, self.read_since)}"
                until = self.incomplete_until
                when = "when is not known yet" if until is None else f"it is to be by {until:%Y-%m-%d %H:%M} UTC"
                return f"the day is over, and the bank's list of it has not been read whole; {when}"
            case DayState.OPEN:
                return "the day is not closed yet"
        return "closed"


def _read_from(source: SourceRecord, window: Window, since: datetime) -> str:
    """Say since when a day's list was read, where that is after its beginning, and how to have the rest read."""
    begin = f"{window.begin:%Y-%m-%dT%H:%M:%SZ}"
    return (
        f"the bank's list was read from {since:%Y-%m-%d %H:%M} UTC on only, after the day's beginning; no sweep reads "
        f"what was before by itself: run `receiver sweep run {source.name} --from {begin}`"
    )


def a_day(text: str) -> date:
    """Read a date such as `2026-01-31`.

    Raises:
        ValueError
    """
    if not _DAY.fullmatch(text) or not YEARS[0] <= int(text[:4]) <= YEARS[1]:
        raise ValueError(text)
    return date.fromisoformat(text)


def find(runtime: Runtime, source_name: str, day: date, version: int | None = None) -> Day:
    """Return a business day: the version asked for, or the latest one; what is so by now where it is not closed.

    Raises:
        NotFound: there is no such source, business day or version; the text names the next business day.
        NotPossible: it is open, and too long to be held against our events while somebody waits; or there is no such
            bank.
        StoreUnavailable
    """
    return _found(runtime, source_name, day, version, OPEN_LINES_MAX)


def find_whole(runtime: Runtime, source_name: str, day: date, version: int | None = None) -> Day:
    """Return a business day as `find` does, however long that takes."""
    return _found(runtime, source_name, day, version, None)


def _found(runtime: Runtime, source_name: str, day: date, version: int | None, most: int | None) -> Day:
    with runtime.database.read() as connection:
        source = source_acts.named(connection, source_name)
        versions = days.versions(connection, source.id, day)
    if version is not None and version not in [each.version for each in versions]:
        raise NotFound(f"{day} of {source_name} has no version {version}; it has {len(versions)}")
    if versions:
        record = versions[-1] if version is None else next(each for each in versions if each.version == version)
        return _closed(source, record, versions)
    _check_calendar(source, day)
    found = _states(runtime, source, [day])[0]
    if found.state == DayState.NOT_OFFERED:
        return found
    if most is not None and _is_longer(runtime, source, day, found.window, most):
        raise NotPossible(
            f"{day} is open and has more than {most} lines or events: look at it once it is closed, "
            f"or run `receiver days show {source.name} {day}`"
        )
    late_from = found.window.end + closing.delay(runtime)
    compared = compare(runtime.database, source.id, day, found.window, late_from)
    return replace(found, compared=compared)


def _calendar(source: SourceRecord) -> BusinessDays:
    """Return the business days of a source's bank.

    Raises:
        NotPossible: this release does not know it.
    """
    source_acts.check_bank(source)
    return closing.calendar(source)


def _check_calendar(source: SourceRecord, day: date) -> None:
    business = _calendar(source)
    if not business.is_day(day):
        raise NotFound(f"{day} is no business day of {source.name}; the next one is {business.after(day)}")


def _is_longer(runtime: Runtime, source: SourceRecord, day: date, window: Window, most: int) -> bool:
    """Tell whether a day has more lines, or more events of ours that may belong to it, than somebody can wait for."""
    with runtime.database.read() as connection:
        lines_here = day_sides.number_of_lines(connection, source.id, day, most + 1)
        ours = day_sides.number_claimed(connection, source.id, window.begin, window.end, most + 1)
    return max(lines_here, ours) > most


def _closed(source: SourceRecord, record: DayRecord, versions: Sequence[DayRecord] = ()) -> Day:
    covered = record.header.get("covered_until")
    until = datetime.fromisoformat(covered) if covered else None
    return Day(source, record.day, DayState.CLOSED, Window(*record.window), until, record=record, versions=versions)


def _states(runtime: Runtime, source: SourceRecord, wanted: Sequence[date]) -> list[Day]:
    """Return business days with their state, without looking at what is not closed."""
    now, wait = runtime.clock(), closing.delay(runtime)
    with runtime.database.read() as connection:
        read_whole = sweeps.read_whole(connection, source.id)
        closed = closing.closed_around(connection, source.id, min(wanted), max(wanted)) if wanted else {}
        found = []
        for day in wanted:
            if day in closed:
                found.append(_closed(source, closed[day]))
                continue
            window = closing.window_of(source, day, closed)
            state, until, since = DayState.OPEN, None, None
            needed = Window(window.begin, window.end + wait)
            if not closing.lists(source, read_whole.until):
                state = DayState.NOT_OFFERED
            elif needed.end <= now and not read_whole.holds(needed.begin, needed.end):
                state = DayState.INCOMPLETE
                if read_whole.since is not None and read_whole.since > window.begin:
                    since = read_whole.since
                else:
                    until = sweeps.incomplete_until(connection, source.id, needed)
            found.append(Day(source, day, state, window, read_whole.until, until, since))
    return found


def between(runtime: Runtime, source: SourceRecord, first: date, last: date) -> list[Day]:
    """Return the business days of a source from one day through another with their state, as far as they have begun.

    Raises:
        StoreUnavailable
    """
    business = _calendar(source)
    with runtime.database.read() as connection:
        last = min(last, closing.day_of(connection, source, runtime.clock()))
        wanted = days.closed_between(connection, source.id, first, last)
    day = max(first, closing.first_day(runtime, source))
    day = day if business.is_day(day) else business.after(day)
    while day <= last:
        wanted.add(day)
        day = business.after(day)
    return _states(runtime, source, sorted(wanted))


def listing(
    runtime: Runtime, names: Sequence[str] = (), *, below: tuple[date, str] | None = None, limit: int
) -> list[Day]:
    """Return business days of sources whose bank lists what it knows, the latest first, those of one day by source.

    `below` is the day and the source to go on from; a source of which nothing is known has no days, nor has one whose
    bank this release does not know.

    Raises:
        StoreUnavailable
    """
    found = [day for source in _listing_sources(runtime, names) for day in _latest(runtime, source, below, limit)]
    return sorted(found, key=lambda each: _order(each.day, each.source.name))[:limit]


def _order(day: date, name: str) -> tuple[int, str]:
    return -day.toordinal(), name


def _listing_sources(runtime: Runtime, names: Sequence[str]) -> list[SourceRecord]:
    with runtime.database.read() as connection:
        known = sources.shown(connection) if not names else [sources.find(connection, name) for name in set(names)]
        here = banks.with_known_banks(each for each in known if each)
        return [each for each in here if closing.lists(each, sweeps.covered(connection, each.id))]


def _latest(runtime: Runtime, source: SourceRecord, below: tuple[date, str] | None, limit: int) -> list[Day]:
    """Return up to `limit` days of a source, the latest first."""
    with runtime.database.read() as connection:
        last = below[0] if below else closing.day_of(connection, source, runtime.clock())
    first = closing.first_day(runtime, source)
    found: list[Day] = []
    while len(found) < limit and last >= first:
        begin = max(first, last - timedelta(days=2 * limit + 7))
        days_here = reversed(between(runtime, source, begin, last))
        found += [each for each in days_here if below is None or _order(each.day, source.name) > _order(*below)]
        last = begin - timedelta(days=1)
    return found[:limit]


def why_none(runtime: Runtime, source: SourceRecord) -> str | None:
    """Return in words why a source has no days; none where its bank lists what it knows.

    Raises:
        StoreUnavailable
    """
    if missing := banks.missing_bank(source):
        return missing
    with runtime.database.read() as connection:
        return None if closing.lists(source, sweeps.covered(connection, source.id)) else NOT_OFFERED


def beside(found: Day) -> tuple[date, date] | None:
    """Return the business days before and after a day; none where nobody knows them, since the bank is unknown."""
    if banks.missing_bank(found.source):
        return None
    business = _calendar(found.source)
    return business.before(found.day), business.after(found.day)


def month(runtime: Runtime, source: SourceRecord, first: date) -> dict[date, Day]:
    """Return the business days of the month that begins with `first`, as far as they have begun.

    Raises:
        StoreUnavailable
    """
    last = (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)
    return {each.day: each for each in between(runtime, source, first, last)}


# Acts


def close(runtime: Runtime, who: str, source_name: str, day: date) -> tuple[DayRecord, bool]:
    """Close a business day now, without the delay; return its latest version, and whether that is new.

    Of a closed day a version is added where something has changed. Audited as `day.closed`, with the digest.

    Raises:
        NotFound: there is no such source or business day.
        NotPossible: it is not over, its list was not read whole, or the bank lists nothing.
        DecryptionFailed
        StoreUnavailable
    """
    with runtime.database.read() as connection:
        source = source_acts.named(connection, source_name)
        closed = closing.closed_around(connection, source.id, day)
        read_whole = sweeps.read_whole(connection, source.id)
    latest = closed.get(day)
    if latest is None:
        _check_calendar(source, day)
    window = closing.window_of(source, day, closed)
    _check_read(runtime, source, window, read_whole)

    def note(connection: Connection, made: DayRecord) -> None:
        about = {"source": source_name, "day": day.isoformat(), "version": made.version, "digest": made.digest}
        audit.write(connection, runtime.encryption, at=made.closed_at, who=who, what="day.closed", about=about)

    made = closing.close(runtime, source, day, note)
    if made is not None:
        return made, True
    assert latest is not None  # noqa: S101 - what has no version gets one
    return latest, False


def close_short(runtime: Runtime, who: str, source_name: str, day: date) -> tuple[DayRecord, bool]:
    """Close a business day as `close` does, while somebody waits at a page.

    Raises:
        NotFound, NotPossible: as `close` does; or it is too long, and the text names the command for it.
        DecryptionFailed
        StoreUnavailable
    """
    with runtime.database.read() as connection:
        source = source_acts.named(connection, source_name)
        closed = closing.closed_around(connection, source.id, day)
    if day not in closed:
        _check_calendar(source, day)
    if _is_longer(runtime, source, day, closing.window_of(source, day, closed), OPEN_LINES_MAX):
        most = f"{OPEN_LINES_MAX} lines or events"
        raise NotPossible(f"{day} has more than {most}: run `receiver days close {source_name} {day}`")
    return close(runtime, who, source_name, day)


def _check_read(runtime: Runtime, source: SourceRecord, window: Window, read_whole: ReadWhole) -> None:
    """See that a day is over, and that its list was read whole.

    Raises:
        NotPossible
    """
    since, until = read_whole
    if not closing.lists(source, until):
        raise NotPossible(NOT_OFFERED)
    if window.end > runtime.clock():
        raise NotPossible(f"the day lasts until {window.end:%Y-%m-%d %H:%M} UTC")
    if read_whole.holds(window.begin, window.end):
        return
    if until is None or until < window.end:
        so_far = f"{until:%Y-%m-%d %H:%M} UTC" if until else "nowhere"
        raise NotPossible(f"the bank's list was read until {so_far} only, and the day ends at {window.end:%H:%M} UTC")
    raise NotPossible(_read_from(source, window, since or window.end))
