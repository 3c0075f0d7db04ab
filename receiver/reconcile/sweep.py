"""The sweep: polling a bank for what it knows, list by list, so that nothing is missed that it never told.

One list is read in windows that overlap with what was read before. A list of several pages may move while it is read:
it is read until two readings agree. The watermark moves with the transaction that stores the last lines of a window,
and not beyond the time at which that was read; so a kill at any instant makes something be read once more, and no more.

All of it is generators that do one request at a time: whoever drives them does what is more urgent in between.
"""

import logging
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from sqlalchemy import Connection

from receiver.bank_client.session import SHARE, BankSession, BudgetSpent, rate_limit
from receiver.banks.abilities import Listed, ListPage, ListsPayments
from receiver.banks.business_days import OPTION, Window
from receiver.banks.errors import AnswerUnreadable, BankError, Forbidden, RateLimited, ServerFailed, Unreachable
from receiver.banks.http import HttpClient
from receiver.model import NotPossible
from receiver.reconcile import list_lines
from receiver.reconcile.days import days_around
from receiver.reconcile.list_lines import Counts
from receiver.runtime import Runtime
from receiver.store import bank_lines, days, search_terms, sources, sweeps
from receiver.store.bank_lines import NewLine
from receiver.store.database import StoreUnavailable, retried
from receiver.store.encryption import DecryptionFailed
from receiver.store.leases import LeaseLost
from receiver.store.records import SKEW
from receiver.store.sources import SourceRecord
from receiver.store.sweeps import Claimed, Outcome

log = logging.getLogger(__name__)

Asked = TypeVar("Asked")

OVERLAP = timedelta(hours=2)
"""How much of what was read before is read once more: what a bank enters late with an earlier time is in it."""

FIRST = timedelta(days=1)
"""How far back a list is read the first time, but not to before the source was added."""

NEW = timedelta(days=2)
"""How far before what all other lists were read to a new one is read, at least."""

CLOCK_AHEAD_MAX = timedelta(days=31)
"""How far back a list is read once more after a clock was far ahead: nobody knows since when it was."""

WINDOW_MAX = timedelta(days=1)
"""After each window the watermark moves."""

READINGS_MAX = 6
"""Of one window: a list that moves more often is left to the next time."""

TRIES = 3
"""For one page, at a bank that fails now and then."""

PAGES_MAX = 10_000
"""A bank that never ends a list must not keep us for ever."""

LEASES = 3
"""Of those that a payment has while it is asked about."""

AFTER_ERROR = timedelta(minutes=5)
"""When a list is tried once more that could not be read, unless it would be sooner anyway."""

NAME_CHARACTERS_MAX = 200


class ListMoves(BankError):
    """A list is another one each time that it is read."""

    outcome = "moving"


class ClockWrong(BankError):
    """This machine's clock is far behind, or was far ahead when the source was added; no bank is asked by it."""

    outcome = "clock_wrong"


@dataclass(frozen=True)
class Progress:
    """How far the reading of a list has come."""

    list_name: str
    pages: int = 0
    """That were asked for, those of an earlier reading of the same window too."""
    lines: int = 0
    """That were read whole and stored, old or new."""
    new: int = 0
    """Of these, those that were not known before."""
    paused_until: datetime | None = None
    """The bank is not asked before this time."""
    error: str | None = None
    """Why the list could not be read."""


def cadence(runtime: Runtime, source: SourceRecord, lists: int) -> timedelta:
    """Return how often each of a source's lists is read.

    Where they are more than a fifth of the bank's budget, they are read in turns over several of its windows.
    """
    limit, window = rate_limit(source)
    return max(timedelta(seconds=runtime.settings.sweep_seconds), window * (lists / max(1, limit // SHARE)))


def lease_of(runtime: Runtime) -> timedelta:
    """Return for how long a list is one worker's, from each request on: what is more urgent is done between two."""
    return LEASES * timedelta(seconds=runtime.settings.lease_seconds)


def longest_wait(runtime: Runtime, source: SourceRecord, lists: int) -> timedelta:
    """Return what no list of a source waits longer for: what does was put off by a clock that was wrong."""
    _, window = rate_limit(source)
    return max(cadence(runtime, source, lists), window, AFTER_ERROR) + SKEW


class Sweeper:
    """Reads the lists of one source's bank."""

    def __init__(self, runtime: Runtime, source: SourceRecord) -> None:
        """Ask nothing yet.

        Raises:
            NotPossible: the bank lists nothing.
        """
        self._database = runtime.database
        self._clock = runtime.clock
        self._runtime = runtime
        self._source = source
        self._session = BankSession(runtime, source, leaves_some=True)
        bank = self._session.bank
        if not isinstance(bank, ListsPayments):
            raise NotPossible(f"{bank.name}: {bank.why_no_lists}")
        self._bank: ListsPayments = bank
        self._days = bank.days(source.options)
        self._lease = lease_of(runtime)

    def until(self) -> datetime:
        """Return when a lease ends that is taken now."""
        return self._clock() + self._lease

    def read_due(self, claimed: Claimed) -> Iterator[Progress]:
        """Read a list that is due, to its end, and say when it is read next; what fails is noted.

        Raises:
            LeaseLost
            StoreUnavailable
            DecryptionFailed
        """
        if claimed.list_name == sweeps.ALL_LISTS:
            yield from self._settled(claimed, self.read_names(claimed))
        else:
            yield from self._settled(claimed, self._read_on(claimed))

    def _settled(self, claimed: Claimed, reading: Iterator[Progress]) -> Iterator[Progress]:
        began, error = self._clock(), None
        try:
            yield from reading
        except (StoreUnavailable, LeaseLost):
            raise
        except (BankError, DecryptionFailed) as failed:
            error = in_words(failed)
            words = error.replace(claimed.list_name, _shown(claimed.list_name))
            log.warning("the list %r of %s: %s", _shown(claimed.list_name), self._source.name, words)
        except Exception as failed:
            # A fault of ours, which whatever the bank has answered has brought to light.
            error = f"it can't be read: {type(failed).__name__}"
            log.exception("the list %r of %s", _shown(claimed.list_name), self._source.name)
        if error is not None:
            yield Progress(claimed.list_name, error=error)
        with self._database.write() as connection:
            pause = cadence(self._runtime, self._source, sweeps.number(connection, self._source.id))
            next_at = self._clock() + (pause if error is None else min(pause, AFTER_ERROR))
            sweeps.settle(connection, claimed, next_at, Outcome(error, began if error is None else None))
        if claimed.gone_at is not None:
            self._tell_of_a_cut(claimed)

    def _tell_of_a_cut(self, claimed: Claimed) -> None:
        """Say so where a list has gone out of use by this reading without its end."""
        with self._database.read() as connection:
            lists = sweeps.of_source(connection, self._source.id)
        found = next((each for each in lists if each.list_name == claimed.list_name), None)
        if found is not None and found.is_cut_off:
            until = "never" if found.covered_until is None else f"until {found.covered_until:%Y-%m-%d %H:%M:%S} UTC"
            words = "the list %r of %s, which the bank names no more, is left without its last reading: read %s"
            log.warning(words, _shown(claimed.list_name), self._source.name, until)

    def read_names(self, claimed: Claimed) -> Iterator[Progress]:
        """Have it known which lists there are.

        Raises:
            BankError
            LeaseLost
        """
        found = yield from self._patiently(claimed, lambda: self._session.ask(self._bank.lists))
        names = [name for name in found if name and len(name) <= NAME_CHARACTERS_MAX and name.isprintable()]
        limit, window = rate_limit(self._source)
        share = max(1, limit // SHARE)
        apart = window / share if len(names) > share else timedelta(0)
        for name in self._name_lists(names, apart):
            log.warning("the list %r of %s is not named by the bank any more", _shown(name), self._source.name)
        yield Progress(claimed.list_name, pages=1, lines=len(names))

    def _read_on(self, claimed: Claimed) -> Iterator[Progress]:
        """Read a list from where it was read to, with an overlap, until now."""
        now = self._clock()
        if self._source.created_at > now + CLOCK_AHEAD_MAX:
            # A machine may have come up in 1970; once that is put right, all since would be read day by day.
            added = f"{self._source.name} was added on {self._source.created_at:%Y-%m-%d}"
            words = f"nothing is read by this machine's clock, which says {now:%Y-%m-%d}: {added}"
            raise ClockWrong(f"{words}; if that was by a wrong clock, remove the source and add it anew")
        # What the bank does not name any more is read once more at least, however late that is, but no further.
        now = min(now, claimed.gone_at or now)
        first = self._first(now)
        mark, since = claimed.covered_until, claimed.covered_from or first
        if sweeps.is_far_ahead(mark, self._clock()):
            begin = self._gone_back(claimed, since, now)
        else:
            begin = first if mark is None else max(min(mark, now) - OVERLAP, since)
        yield from self.read(claimed, Window(min(begin, now), now), WINDOW_MAX)

    @retried
    def _gone_back(self, claimed: Claimed, since: datetime, now: datetime) -> datetime:
        """Take the watermark back, since a clock was hours ahead, or is hours behind, and return to when.

        Nothing tells which. One that was ahead asked for what had not happened, and what happened meanwhile was never
        read. What is older than can be read once more counts as before: it was read by then, or no clock is wrong. By
        the beginning of a day: what has neither name nor time belongs to the day on which its window begins.
        """
        since = since if since < now else self._first(now)
        to = max(self._days.window(self._days.day_of(now - CLOCK_AHEAD_MAX)).begin, since)
        words = (
            "the list %r of %s was read until %s by a clock that was ahead, or this one is behind; it is read once more"
        )
        log.warning(f"{words} from %s on", _shown(claimed.list_name), self._source.name, claimed.covered_until, to)
        with self._database.write() as connection:
            sweeps.go_back(connection, claimed, since, to)
        return to

    def _first(self, now: datetime) -> datetime:
        """Return from when on a list is read the first time: where other lists were read, days wait to be closed.

        So a new one is read from before all of these on, with a day to spare, or they would stay open for good.
        """
        with self._database.read() as connection:
            covered = sweeps.covered_but_for_new(connection, self._source.id)
        first = now - FIRST
        if covered is not None:
            # Days of no business are part of the next one, which begins as much earlier.
            unclosed = self._days.day_of(covered - timedelta(seconds=self._runtime.settings.day_delay_seconds))
            first = min(first, covered - NEW, self._days.window(self._days.before(unclosed)).begin)
        # A source that is to be added only then was added by a clock that was ahead.
        return first if self._source.created_at > now else max(self._source.created_at, first)

    def read(self, claimed: Claimed, span: Window, most: timedelta) -> Iterator[Progress]:
        """Read a list from the beginning of a span to its end, in windows that last for `most`; the future is the last.

        Each window counts as read together with those before it, so that a span which begins before the watermark's
        other end counts whole once it has come there. What fails ends the span.

        Raises:
            BankError
            LeaseLost
            StoreUnavailable
        """
        before = Progress(claimed.list_name)
        begin = since = span.begin
        while begin < span.end:
            # Nothing is to be read often of what has not happened.
            end = span.end if begin >= self._clock() else min(begin + most, span.end)
            before, began = yield from self._read_window(claimed, Window(begin, end), since, before)
            # One that was not over yet when it was asked for has a gap at its end, however late the next one is read.
            since = since if end <= began else end
            begin = end

    def _read_window(
        self, claimed: Claimed, window: Window, since: datetime, before: Progress
    ) -> Generator[Progress, None, tuple[Progress, datetime]]:
        """Read a window until it is known what is in it, and store that; return how far all has come, and as of when.

        All from `since` to its beginning was read whole under the same lease.
        """
        pages = before.pages
        counts: Counts | None = None
        for _ in range(READINGS_MAX):
            began = self._clock()
            reading = self._read_once(claimed, window)
            lines, number = yield from _counted(reading, before, pages)
            pages += number
            # One page is one answer: nothing moves within it.
            if number == 1 or (counts is not None and list_lines.agree(counts, lines)):
                break
            counts = list_lines.counted(lines)
        else:
            raise ListMoves(f"the list moved each of the {READINGS_MAX} times that it was read")
        if number > 1 and counts is not None:
            # What was on two pages at once because it had moved was so in one of the readings alone.
            lines = list_lines.no_more_than(lines, counts)
        new = self._store(claimed, window, lines, Window(since, min(window.end, began)))
        done = Progress(claimed.list_name, pages, before.lines + len(lines), before.new + new)
        yield done
        return done, began

    def _read_once(self, claimed: Claimed, window: Window) -> Generator[Progress, None, tuple[list[NewLine], int]]:
        """Read all pages of a window once; each page is taken whole."""
        lines: list[NewLine] = []
        place: str | None = None
        seen: set[str] = set()
        for number in range(1, PAGES_MAX):
            page = yield from self._page(claimed, window, place)
            lines += self._as_stored(page.lines, claimed.list_name, window)
            yield Progress(claimed.list_name, number)
            if page.next is None:
                return lines, number
            if page.next in seen:
                raise AnswerUnreadable("the bank's list leads back to a page that was read")
            place = page.next
            seen.add(place)
        raise AnswerUnreadable(f"the bank's list has more than {PAGES_MAX} pages")

    def _as_stored(self, lines: Sequence[Listed], list_name: str, window: Window) -> list[NewLine]:
        bank, now = self._source.bank, self._clock()
        with self._database.read() as connection:
            around = days_around(connection, self._source)
            return [list_lines.as_stored(line, list_name, bank, around, now, window.begin) for line in lines]

    def _page(self, claimed: Claimed, window: Window, place: str | None) -> Generator[Progress, None, ListPage]:
        def question(client: HttpClient) -> ListPage:
            return self._bank.list_page(client, claimed.list_name, window, place)

        return (yield from self._patiently(claimed, lambda: self._session.ask(question)))

    def _patiently(self, claimed: Claimed, question: Callable[[], Asked]) -> Generator[Progress, None, Asked]:
        """Ask when the bank takes a request, and more than once where it fails; the lease is renewed each time.

        Raises:
            BankError
            LeaseLost
        """
        tries = 0
        while True:
            self._renew(claimed)
            try:
                return question()
            except (BudgetSpent, RateLimited) as spent:
                until = spent.until if isinstance(spent, BudgetSpent) else self._clock() + spent.wait
                yield Progress(claimed.list_name, paused_until=self._pause(claimed, until))
            except (Unreachable, ServerFailed, AnswerUnreadable):
                tries += 1
                if tries == TRIES:
                    raise
                yield Progress(claimed.list_name)

    @retried
    def _name_lists(self, names: Sequence[str], apart: timedelta) -> list[str]:
        with self._database.write() as connection:
            return sweeps.name_lists(connection, self._source.id, names, self._clock(), apart)

    @retried
    def _renew(self, claimed: Claimed) -> None:
        with self._database.write() as connection:
            sweeps.renew(connection, claimed, self.until())

    @retried
    def _pause(self, claimed: Claimed, until: datetime) -> datetime:
        """Write down until when the bank takes no request, and return it."""
        with self._database.write() as connection:
            # No longer than any wait: what is stored by a clock that is wrong must be told from what is meant.
            longest = longest_wait(self._runtime, self._source, sweeps.number(connection, self._source.id))
            until = min(until, self._clock() + longest)
            # What goes out of use is not to do so because of a pause: it was not asked for.
            sweeps.renew(connection, claimed, self.until(), next_at=until if claimed.gone_at is None else None)
        return until

    def _store(self, claimed: Claimed, window: Window, lines: Sequence[NewLine], read: Window) -> int:
        """Store all lines of a window; what is `read` by that counts with the last of them. Return how many are new."""
        parts = bank_lines.in_groups(lines)
        return sum(self._store_part(claimed, window, part, read if part is parts[-1] else None) for part in parts)

    @retried
    def _store_part(
        self, claimed: Claimed, window: Window, part: Mapping[str, Sequence[NewLine]], read: Window | None
    ) -> int:
        now = self._clock()
        with self._database.write() as connection:
            # Before any line: what joins lines to events locks them in another order.
            sweeps.lock(connection, self._source.id, now)
            self._check_calendar(connection)
            written = bank_lines.write(connection, self._source.id, part, (window.begin, window.end), now)
            if read is not None:
                sweeps.advance(connection, claimed, read.begin, read.end, now)
            else:
                sweeps.renew(connection, claimed, now + self._lease)
            # A day that is closed already gets another version.
            days.make_due(connection, self._source.id, sorted(written.days), now)
        return written.new

    def _check_calendar(self, connection: Connection) -> None:
        """Store nothing by the days of a calendar that was replaced meanwhile: the lines that are there were moved."""
        found = sources.find(connection, self._source.name)
        if found is not None and found.options.get(OPTION) != self._source.options.get(OPTION):
            raise LeaseLost(f"the business days of {self._source.name} were changed; it is read once more")


def _counted(
    reading: Generator[Progress, None, tuple[list[NewLine], int]], before: Progress, pages: int
) -> Generator[Progress, None, tuple[list[NewLine], int]]:
    """Do a reading, and say of each step how far all has come."""
    while True:
        try:
            step = next(reading)
        except StopIteration as ended:
            found: tuple[list[NewLine], int] = ended.value
            return found
        yield Progress(step.list_name, pages + step.pages, before.lines, before.new, step.paused_until)


def _shown(list_name: str) -> str:
    """Return a list's name as logs have it: it may be an account's number."""
    return search_terms.masked_list(list_name)


def in_words(error: Exception) -> str:
    """Return why a list could not be read, for a person."""
    if isinstance(error, Forbidden):
        return f"permission missing: {error}"
    return str(error)
