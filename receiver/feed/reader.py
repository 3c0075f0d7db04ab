"""Reading the feed for requests, some of which wait until something comes.

However many wait, they leave callbacks their time: all of a process look for news together, and those for whom there is
some read it one after the other. Whoever reads (a token) has a share: one page at a time, and of the places for those
who wait no more than are left to the others.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from receiver.model import ReceiverError
from receiver.projection import projector
from receiver.store import feed
from receiver.store.database import Database, StoreUnavailable
from receiver.store.feed import Page, Wanted

POLL_SECONDS = 0.08
"""How soon a waiting reader notices what other processes write; what its own process commits wakes it at once."""

PAUSE_SECONDS = 0.03
"""How long a reader that was woken lets more come, at first: each time that there was nothing for it, twice as long."""

PAUSE_SECONDS_MAX = 0.25

TURN_SECONDS = 0.01
"""How far apart readers that were woken read on."""


SLICE = 100
"""Entries that are read before others have their turn: a page of a thousand takes as long as dozens of callbacks."""

SLICE_PAUSE_SECONDS = 1e-6
"""Above 0, so that under gevent the event loop looks who else has sent something; it is over by then."""


class PositionUnknown(ReceiverError):
    """A position was not given out by this database: it stems from a later state, before a backup was restored."""

    def __init__(self) -> None:
        super().__init__("The cursor points behind the end of the feed: it was not given out by this database.")


class Reader:
    """Reads pages of the feed; any number of threads may, of which `waiting_max` may wait.

    `who` is the reader who asks, such as a token's number: each has a share.
    """

    def __init__(self, database: Database, waiting_max: int) -> None:
        self._database = database
        self._seats = Seats(waiting_max)
        self._pages = OneAtATime()
        self._look = Look(database)
        self._spacing = Spacing()

    def read(self, who: int, after: int | None, wanted: Wanted, limit: int, wait: float) -> Page:
        """Return up to `limit` entries behind `after`; where there is none, wait for one for `wait` seconds.

        Without a place to go on from it begins with the oldest entry that is stored.

        Raises:
            PositionUnknown
            EntriesRemoved
            StoreUnavailable
        """
        # Before the look: what is committed during it must not be slept over.
        seen = self._database.commits
        # Who does not wait must see what any process has committed by now; who waits may hear of it soon.
        last = self._look.at(seen) if wait else self._look.now()
        if after is not None and after > last:
            check_given_out(after, self._look.now())
        if after is None or after < last or not wait:
            page = self._read_now(who, after, limit, wanted)
        else:
            page = Page([], after, has_more=False)
        if page.entries or page.has_more or not wait or not self._seats.take(who):
            return page
        try:
            return self._wait(who, page, seen, time.monotonic() + wait, limit, wanted)
        finally:
            self._seats.give_back(who)

    def _wait(self, who: int, page: Page, seen: int, ends: float, limit: int, wanted: Wanted) -> Page:
        pause = PAUSE_SECONDS
        while not page.entries and (left := ends - time.monotonic()) > 0:
            if self._database.wait_for_commit(seen, min(POLL_SECONDS, left)):
                time.sleep(pause)
                pause = min(2 * pause, PAUSE_SECONDS_MAX)
            seen = self._database.commits
            if self._look.at(seen) > page.through:
                self._spacing.wait()
                page = self._read_now(who, page.through, limit, wanted)
        return page

    def _read_now(self, who: int, after: int | None, limit: int, wanted: Wanted) -> Page:
        with self._pages.of(who):
            page = self._slice(after, limit, wanted)
            while page.has_more and len(page.entries) < limit:
                time.sleep(SLICE_PAUSE_SECONDS)
                more = self._slice(page.through, limit - len(page.entries), wanted)
                page = Page([*page.entries, *more.entries], more.through, more.has_more)
        return page

    def _slice(self, after: int | None, limit: int, wanted: Wanted) -> Page:
        with self._database.read() as connection:
            return feed.read(connection, after=after, limit=min(SLICE, limit), wanted=wanted)


def check_given_out(position: int, last: int) -> None:
    """Refuse a position beyond the last one that was given.

    Raises:
        PositionUnknown
    """
    if position > last:
        raise PositionUnknown


class Seats:
    """Places for those who wait; of those that are free, one reader may take one as long as more are left than it has.

    So one alone has half of them, and leaves some to whoever comes next, however many there are.
    """

    def __init__(self, number: int) -> None:
        self._free = number
        self._taken: Counter[int] = Counter()
        self._lock = threading.Lock()

    def take(self, who: int) -> bool:
        """Take a place; false where the reader may have no more."""
        with self._lock:
            if self._taken[who] >= self._free:
                return False
            self._free -= 1
            self._taken[who] += 1
            return True

    def give_back(self, who: int) -> None:
        """Leave a place."""
        with self._lock:
            self._free += 1
            self._taken[who] -= 1
            if not self._taken[who]:
                del self._taken[who]


class OneAtATime:
    """Lets one thing at a time be done for each who asks, such as a token; different ones go beside one another."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._turns: dict[int, threading.Lock] = {}
        self._asking: Counter[int] = Counter()

    @contextmanager
    def of(self, who: int) -> Iterator[None]:
        """Wait for what else is under way for this one."""
        with self._lock:
            self._asking[who] += 1
            turn = self._turns.setdefault(who, threading.Lock())
        try:
            with turn:
                yield
        finally:
            with self._lock:
                self._asking[who] -= 1
                if not self._asking[who]:
                    del self._asking[who], self._turns[who]


class Look:
    """The last position given, looked up once for all who ask at the same time."""

    def __init__(self, database: Database, timer: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._timer = timer
        self._looking = threading.Lock()
        self._last = 0
        self._commits = -1
        self._looked_when = float("-inf")
        self._failed_when = float("-inf")

    def at(self, commits: int) -> int:
        """Return the last position, all that this process had committed by `commits` included.

        What others have written shows within `POLL_SECONDS`.

        Raises:
            StoreUnavailable
        """
        came_when = self._timer()
        with self._looking:
            self._check_not_failed_since(came_when)
            is_young = self._timer() - self._looked_when < POLL_SECONDS
            return self._last if is_young and self._commits >= commits else self._look()

    def now(self) -> int:
        """Return the last position, all that is committed anywhere included.

        Raises:
            StoreUnavailable
        """
        came_when = self._timer()
        with self._looking:
            self._check_not_failed_since(came_when)
            return self._last if self._looked_when > came_when else self._look()

    def _check_not_failed_since(self, came_when: float) -> None:
        """Let those who waited for a look that failed fail with it, not wait for one time-out after the other.

        Raises:
            StoreUnavailable
        """
        if self._failed_when > came_when:
            raise StoreUnavailable("the feed could not be read")

    def _look(self) -> int:
        commits, looked_when = self._database.commits, self._timer()
        try:
            self._last = projector.catch_up(self._database)
        except StoreUnavailable:
            self._failed_when = self._timer()
            raise
        self._commits, self._looked_when = commits, looked_when
        return self._last


class Spacing:
    """Lets those who ask go on one after the other, `TURN_SECONDS` apart."""

    def __init__(
        self, timer: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._timer = timer
        self._sleep = sleep
        self._lock = threading.Lock()
        self._last = float("-inf")

    def wait(self) -> None:
        """Wait for one's turn."""
        with self._lock:
            now = self._timer()
            self._last = turn = max(now, self._last + TURN_SECONDS)
        if turn > now:
            self._sleep(turn - now)
