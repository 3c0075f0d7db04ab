"""Which event tells what a line of a bank's list does; what none tells becomes one (recovered).

A line may be recovered once it is old enough that its callback is not on its way any more. That, and whatever else a
worker does here, may be cut short at any time and done once more: each step finds what the one before has left.
"""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlalchemy import Connection

from receiver import banks
from receiver.banks.business_days import BusinessDays
from receiver.projection.projector import catch_up, index_all
from receiver.runtime import Runtime
from receiver.store import bank_lines, days, events, joining, recovered_events, recoveries, search, search_index, sweeps
from receiver.store.bank_lines import LineRecord
from receiver.store.database import retried
from receiver.store.joining import Candidate, Unjoined
from receiver.store.records import SKEW
from receiver.store.sources import SourceRecord

log = logging.getLogger(__name__)

EventLike = events.PaymentEvent | events.EventRecord

LINES_AT_ONCE = 100
"""Lines that are looked at in one transaction: on SQLite callbacks wait for it."""

REFERRED_MAX = 20
"""Events with one reference that are looked at."""

LOOKS, LOOK_SECONDS = 40, 0.05
"""How often, and how long apart, it is looked whether callbacks that were under way have been written down."""


@dataclass(frozen=True)
class Joined:
    """What came of a source's lines: how many were joined to events, and how many became events."""

    joined: int = 0
    recovered: int = 0

    def __add__(self, other: "Joined") -> "Joined":
        """Add two of them up."""
        return Joined(self.joined + other.joined, self.recovered + other.recovered)


class Recoverer:
    """Joins lines to events, and makes events of others; any number of processes may, one at a time for each source."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._database = runtime.database
        self._age = timedelta(seconds=runtime.settings.recover_after_seconds)

    def is_due(self, connection: Connection, source: SourceRecord) -> bool:
        """Tell whether a source has lines without an event that are old enough."""
        return bank_lines.has_unjoined(connection, source.id, self._runtime.clock() - self._age)

    def run(self, source: SourceRecord) -> Joined:
        """Look at all lines of a source that have no event yet.

        Raises:
            StoreUnavailable
        """
        done = Joined()
        behind = 0
        while lines := self._unjoined(source, behind):
            self._have_references_found(lines)
            done += Joined(joined=self._join(source, [line.id for line in lines]))
            behind = lines[-1].id
        return done + self._make_events(source)

    def _unjoined(self, source: SourceRecord, behind: int) -> list[LineRecord]:
        with self._database.read() as connection:
            return bank_lines.unjoined(connection, source.id, behind=behind, limit=LINES_AT_ONCE)

    def _have_references_found(self, lines: Sequence[LineRecord]) -> None:
        """Events are found by their references in the index of searches, so that has to be complete."""
        if any(line.reference is not None for line in lines):
            catch_up(self._database)
            index_all(self._database)

    @retried
    def _join(self, source: SourceRecord, line_ids: Sequence[int]) -> int:
        """Join lines to the events that tell the same, and leave word of those that have none and are old enough."""
        now = self._runtime.clock()
        with self._database.write() as connection:
            sweeps.lock(connection, source.id, now)
            lines = bank_lines.unjoined_like(connection, source.id, line_ids)
            pairs, changed = self._paired(connection, source, lines, now)
            left = [line for line in self._ripe(connection, source, lines, now) if line.id not in pairs]
            recoveries.expect(connection, left, now)
            days.make_due(connection, source.id, sorted(changed), now)
        return len(pairs)

    def _paired(
        self, connection: Connection, source: SourceRecord, lines: Sequence[LineRecord], now: datetime
    ) -> tuple[Mapping[int, str], set[date]]:
        """Join what can be joined, in the caller's transaction; return lines' numbers and events' ids, and the days."""
        found = _candidates(connection, source, lines)
        pairs = joining.exact([_shown(line) for line in lines], found)
        lists = {line.id: line.list_name for line in lines}
        taken = {(event_id, lists[number]) for number, event_id in pairs.items()}
        left = [line for line in self._ripe(connection, source, lines, now) if line.id not in pairs]
        free = {line.id: [each for each in found[line.id] if (each.id, line.list_name) not in taken] for line in left}
        pairs |= joining.but_for_amount([_shown(line) for line in left], free)
        changed: set[date] = set()
        for line_id, event_id in sorted(pairs.items()):
            changed |= bank_lines.join(connection, line_id, lists[line_id], event_id)
        if pairs:
            recoveries.drop_expected(connection, sorted(pairs))
        return pairs, changed

    def _ripe(
        self, connection: Connection, source: SourceRecord, lines: Sequence[LineRecord], now: datetime
    ) -> list[LineRecord]:
        """Return the lines whose callbacks are not on their way any more, by the bank's own time."""
        business = banks.named(source.bank).days(source.options)
        old = [line for line in lines if _is_old(line, business, now - self._age, now)]
        # What is known by its reference alone can't be found among events that are not indexed.
        is_indexed = search_index.older_left(connection) == 0
        return [line for line in old if is_indexed or line.payment_id is not None or line.reference is None]

    def _make_events(self, source: SourceRecord) -> Joined:
        with self._database.read() as connection:
            expected = recoveries.expected(connection, source.id)
        if not expected.ids or not self._have_ended(expected.horizon):
            return Joined()
        with self._database.read() as connection:
            lines = {line.id: line for line in recoveries.lines_of(connection, list(expected.ids))}
        done = Joined()
        # Another list may name by its reference what one names by its id: that is found once it is an event.
        by_reference = {number for number, line in lines.items() if line.payment_id is None and line.reference}
        for numbers in (sorted(lines.keys() - by_reference), sorted(by_reference)):
            self._have_references_found([lines[number] for number in numbers])
            for start in range(0, len(numbers), recoveries.MADE_AT_ONCE):
                done += self._make_some(source, numbers[start : start + recoveries.MADE_AT_ONCE])
        if done.recovered:
            log.warning("source %s: %d payments were found at the bank without a callback", source.name, done.recovered)
        return done

    def _have_ended(self, horizon: int) -> bool:
        """Wait until the transactions have ended that were under way when all was expected that is; not for ever."""
        for _ in range(LOOKS):
            with self._database.read() as connection:
                if recoveries.has_passed(connection, horizon):
                    return True
            time.sleep(LOOK_SECONDS)
        log.info("a transaction has been open for long; what no callback has come for is left to the next time")
        return False

    @retried
    def _make_some(self, source: SourceRecord, line_ids: Sequence[int]) -> Joined:
        now = self._runtime.clock()
        with self._database.write() as connection:
            sweeps.lock(connection, source.id, now)
            lines = [line for line in recoveries.lock_expected(connection, line_ids) if line.event_id is None]
            pairs, changed = self._paired(connection, source, lines, now)
            left = [line for line in lines if line.id not in pairs]
            changed |= recovered_events.make(connection, left, now)
            # A day that is closed already gets another version.
            days.make_due(connection, source.id, sorted(changed), now)
        return Joined(len(pairs), len(left))


def _is_old(line: LineRecord, business: BusinessDays, before: datetime, now: datetime) -> bool:
    """Tell whether a line is from before a time.

    Where the bank tells no more than the day it counts when the line was first seen; so it does of what stands at the
    beginning of a business day, as what tells the day alone does that was read by an earlier release. What is written
    down as seen in the future was so by a clock that was wrong.
    """
    if line.bank_time is None or business.window(business.day_of(line.bank_time)).begin == line.bank_time:
        return line.seen_at <= before or line.seen_at > now + SKEW
    return line.bank_time <= before


def _shown(line: LineRecord) -> Unjoined:
    parts = joining.of_line(line.account, line.direction, line.amount, line.currency)
    return Unjoined(line.id, line.list_name, line.type, parts)


def _candidates(
    connection: Connection, source: SourceRecord, lines: Sequence[LineRecord]
) -> dict[int, list[Candidate]]:
    """Return, by the numbers of lines, the events of the same payments that no line has that tells the very same."""
    ids = sorted({line.payment_id for line in lines if line.payment_id is not None})
    of_payment: dict[str, list[EventLike]] = {}
    for event in events.of_payments(connection, source.id, ids) if ids else ():
        of_payment.setdefault(event.payment_id, []).append(event)
    found = {line.id: of_payment.get(line.payment_id or "", []) for line in lines}
    for line in lines:
        if line.reference is not None and not found[line.id]:
            referring = _referring(connection, source, line.reference)
            # Payments of different ids may have one reference.
            same = {None, line.payment_id}
            found[line.id] = [event for event in referring if line.payment_id is None or event.payment_id in same]
    every = sorted({event.id for listed in found.values() for event in listed})
    taken = bank_lines.amounts_of(connection, every) if every else {}
    return {line.id: list(_free(found[line.id], taken, line.list_name)) for line in lines}


def _referring(connection: Connection, source: SourceRecord, reference: str) -> Sequence[events.EventRecord]:
    wanted = search.Wanted(source=[source.name], reference=[reference])
    return search.page(connection, wanted, below=None, limit=REFERRED_MAX).events


def _free(
    listed: Sequence[EventLike], taken: Mapping[tuple[str, str], str | None], list_name: str
) -> Iterator[Candidate]:
    """Yield the events that no line of the list has that tells the very same."""
    for event in listed:
        has_line = (event.id, list_name) in taken
        if not has_line or joining.differ_in_amount(event.amount, taken[event.id, list_name]):
            parts = joining.of_event(event.amount, event.currency, event.facts)
            yield Candidate(event.id, event.type, parts, is_taken=has_line)
