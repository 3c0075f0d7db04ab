"""Sweeps: have a span of a bank's lists read now, and look at how far they were read."""

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

from receiver import banks
from receiver.admin.audit import note
from receiver.admin.sources import in_use
from receiver.banks.abilities import ListsPayments
from receiver.banks.business_days import BusinessDays, Window
from receiver.banks.errors import BankError
from receiver.banks.listing import EARLIEST, LATEST
from receiver.model import NotPossible
from receiver.reconcile.hindrances import out_of_use
from receiver.reconcile.recovery import Recoverer
from receiver.reconcile.sweep import WINDOW_MAX, Progress, Sweeper, in_words, lease_of
from receiver.runtime import Runtime
from receiver.store import bank_lines, recoveries, sources, sweeps
from receiver.store.database import retried
from receiver.store.encryption import DecryptionFailed
from receiver.store.leases import LeaseLost
from receiver.store.sources import SourceRecord
from receiver.store.sweeps import Claimed, Outcome, SweepRecord

WINDOWS_MAX = 31
"""Into so many windows a span is parted at most: each takes a request of each list at least."""

WAIT_SECONDS = 1.0
"""How long it is waited between two looks whether a worker is done with a list."""


@dataclass(frozen=True)
class Swept:
    """What came of a sweep."""

    lists: int
    lines: int
    """That were read; those that were known before too."""
    new_lines: int
    joined: int
    """Lines whose events were there."""
    recovered: int
    """Lines of which an event was made, because no callback has come."""
    waiting: int
    """Lines without an event that are too young to be recovered."""


@dataclass(frozen=True)
class SourceSweeps:
    """How far the lists of a source were read; times are UTC."""

    source: str
    hindrance: str | None
    """Why they are not read at all, in words."""
    covered_until: datetime | None
    """Until when every list was read whole."""
    lists: Sequence[SweepRecord]
    """By name; the one without a name is the list of them."""
    waiting: int
    recovered: int
    """Events for which no callback has come to this day."""


def moment(days: BusinessDays, given: date | datetime) -> datetime:
    """Return the time (UTC) at which a day begins by a bank's calendar, or the time that was given.

    What is no business day begins where the one behind it does.
    """
    if isinstance(given, datetime):
        return given.astimezone(UTC)
    return days.window(days.before(given)).end


def span(runtime: Runtime, source_name: str, begin: date | datetime, end: date | datetime | None) -> Window:
    """Return a span of time, from the beginning of `begin` to the beginning of `end`, which is now without.

    Raises:
        NotFound: there is no such source.
        NotPossible: it is empty, or beyond the times that banks are asked for.
        StoreUnavailable
    """
    with runtime.database.read() as connection:
        source = in_use(connection, source_name)
    days = banks.named(source.bank).days(source.options)
    found = Window(moment(days, begin), runtime.clock() if end is None else moment(days, end))
    if found.begin >= found.end:
        raise NotPossible("nothing is between the two times: --from is included, --to is not")
    if found.begin < EARLIEST or found.end > LATEST:
        raise NotPossible(f"no bank is asked for what lies outside {EARLIEST:%Y-%m-%d} to {LATEST:%Y-%m-%d}")
    return found


def run(runtime: Runtime, who: str, source_name: str, window: Window, watch: Callable[[Progress], None]) -> Swept:
    """Read a span of all lists of a source's bank now, and recover what no callback came for; audited as `sweep.run`.

    `watch` is called after each request. What was read is stored, also where this ends early: it can be run once more.

    Raises:
        NotFound: there is no such source.
        NotPossible: the bank lists nothing, does not permit it, or takes no request now.
        StoreUnavailable
    """
    with runtime.database.read() as connection:
        source = in_use(connection, source_name)
    if reason := hindrance(source, is_asked_now=True):
        raise NotPossible(reason)
    note(runtime, who, "sweep.run", {"source": source_name, "from": _text(window.begin), "to": _text(window.end)})
    sweeper = Sweeper(runtime, source)
    names = _names(runtime, source, sweeper, watch)
    done = [_read(runtime, source, name, sweeper, window, watch) for name in names]
    joined = Recoverer(runtime).run(source)
    with runtime.database.read() as connection:
        waiting = bank_lines.waiting(connection, source.id)
    lines, new = (sum(getattr(each, what) for each in done) for what in ("lines", "new"))
    return Swept(len(names), lines, new, joined.joined, joined.recovered, waiting)


def _text(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


def _names(runtime: Runtime, source: SourceRecord, sweeper: Sweeper, watch: Callable[[Progress], None]) -> list[str]:
    _ensure(runtime, source)
    claimed = _claimed(runtime, source, sweeps.ALL_LISTS, sweeper)
    _driven(runtime, claimed, sweeper.read_names(claimed), watch)
    with runtime.database.read() as connection:
        return [each.list_name for each in sweeps.in_use(connection, source.id)]


@retried
def _ensure(runtime: Runtime, source: SourceRecord) -> None:
    with runtime.database.write() as connection:
        sweeps.ensure(connection, source.id, runtime.clock())


def _read(
    runtime: Runtime,
    source: SourceRecord,
    name: str,
    sweeper: Sweeper,
    window: Window,
    watch: Callable[[Progress], None],
) -> Progress:
    claimed = _claimed(runtime, source, name, sweeper)
    if claimed.gone_at is not None:
        # The bank may not answer about what it does not name any more: that is noted, and stops nothing.
        return _driven(runtime, claimed, sweeper.read_due(claimed), watch)
    most = max(WINDOW_MAX, (min(window.end, max(window.begin, runtime.clock())) - window.begin) / WINDOWS_MAX)
    return _driven(runtime, claimed, sweeper.read(claimed, window, most), watch)


def _claimed(runtime: Runtime, source: SourceRecord, name: str, sweeper: Sweeper) -> Claimed:
    """Lease a list, once the worker that reads it just now is done."""
    ends = time.monotonic() + 2 * lease_of(runtime).total_seconds()
    while True:
        if (found := _claim(runtime, source, name, sweeper)) is not None:
            return found
        if time.monotonic() > ends:
            raise NotPossible(f"a worker has been reading the list {name!r} for too long; try once more")
        time.sleep(WAIT_SECONDS)


@retried
def _claim(runtime: Runtime, source: SourceRecord, name: str, sweeper: Sweeper) -> Claimed | None:
    now, lease = runtime.clock(), secrets.token_hex(8)
    with runtime.database.write() as connection:
        return sweeps.claim(connection, source.id, name, now=now, until=sweeper.until(), lease=lease)


def _driven(
    runtime: Runtime, claimed: Claimed, steps: Iterator[Progress], watch: Callable[[Progress], None]
) -> Progress:
    """Do all steps of a reading; it is due when it was before. What ends before its end says nothing of the list."""
    last = Progress(claimed.list_name)
    outcome: Outcome | None = None
    began = runtime.clock()
    try:
        for last in steps:
            watch(last)
            if last.paused_until is not None:
                at = f"{last.paused_until:%Y-%m-%d %H:%M:%S} UTC"
                raise NotPossible(f"the bank takes no further request of a sweep before {at}; what was read is stored")
        outcome = Outcome(None, began)
    except (BankError, DecryptionFailed) as failed:
        outcome = Outcome(in_words(failed), None)
        raise NotPossible(f"the list {claimed.list_name!r} can't be read: {outcome.error}") from failed
    except LeaseLost as lost:
        raise NotPossible(str(lost)) from lost
    finally:
        _give_back(runtime, claimed, outcome)
    return last


@retried
def _give_back(runtime: Runtime, claimed: Claimed, outcome: Outcome | None) -> None:
    try:
        with runtime.database.write() as connection:
            sweeps.settle(connection, claimed, claimed.next_at, outcome)
    except LeaseLost:
        # Another one reads it by now, and says how that went.
        return


def hindrance(source: SourceRecord, *, is_asked_now: bool = False, is_off: bool = False) -> str | None:
    """Return in words why a source's lists are not read; none where they are."""
    if missing := banks.missing_bank(source):
        return missing
    bank = banks.named(source.bank)
    if not isinstance(bank, ListsPayments):
        return f"the bank of {source.name} can't be asked what it knows: {bank.why_no_lists}"
    if reason := out_of_use(source):
        return reason
    if not source.has_credentials:
        return f"source {source.name} has no API credentials"
    return "sweeps are off (RECEIVER_SWEEP_SECONDS=0)" if is_off and not is_asked_now else None


def status(runtime: Runtime, source_name: str | None = None) -> list[SourceSweeps]:
    """Return how far the lists of all sources, or of the named one, were read.

    Raises:
        NotFound: there is no such source.
        StoreUnavailable
    """
    is_off = not runtime.settings.sweep_seconds
    with runtime.database.read() as connection:
        chosen = sources.shown(connection) if source_name is None else [in_use(connection, source_name)]
        return [
            SourceSweeps(
                source.name,
                hindrance(source, is_off=is_off),
                sweeps.covered(connection, source.id),
                sweeps.of_source(connection, source.id),
                bank_lines.waiting(connection, source.id),
                recoveries.unmet(connection, source.id),
            )
            for source in chosen
        ]


def faults(runtime: Runtime, source: SourceRecord) -> list[str]:
    """Return in words which lists of a source could not be read the last time.

    Raises:
        StoreUnavailable
    """
    with runtime.database.read() as connection:
        known = sweeps.of_source(connection, source.id)
    of_lists = [f"{each.list_name or 'its lists'}: {each.error}" for each in known if each.error and each.is_in_use]
    return of_lists[:FAULTS_MAX] + ([f"and {len(of_lists) - FAULTS_MAX} more"] if len(of_lists) > FAULTS_MAX else [])


FAULTS_MAX = 5
