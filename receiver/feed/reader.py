"""Reading the feed for requests, some of which wait until something comes.

However many wait, they leave callbacks their time: all of a process look for news together, and those for whom there is
some read it one after the other.
"""

import threading
import time
from collections.abc import Callable

from receiver.store import feed
from receiver.store.database import Database, StoreUnavailable
from receiver.store.feed import Page, Wanted

POLL_SECONDS = 0.1
"""How soon a waiting reader notices what other processes write; what its own process commits wakes it at once."""

PAUSE_SECONDS = 0.03
"""How long a reader that was woken lets more come, at first: each time that there was nothing for it, twice as long."""

PAUSE_SECONDS_MAX = 0.25

TURN_SECONDS = 0.01
"""How far apart readers that were woken read on."""


class PositionUnknown(Exception):
    """A position was not given out by this database: it stems from a later state, before a backup was restored."""

    def __init__(self) -> None:
        super().__init__("The cursor points behind the end of the feed: it was not given out by this database.")


class Reader:
    """Reads pages of the feed; any number of threads may, of which `waiting_max` may wait."""

    def __init__(self, database: Database, waiting_max: int) -> None:
        self._database = database
        self._seats = threading.BoundedSemaphore(waiting_max)
        self._look = Look(database)
        self._turns = Turns()

    def read(self, after: int, wanted: Wanted, limit: int, wait: float) -> Page:
        """Return up to `limit` entries behind `after`; where there is none, wait for one for `wait` seconds.

        Raises:
            PositionUnknown
            StoreUnavailable
        """
        # Before the look: what is committed during it must not be slept over.
        seen = self._database.commits
        # Who does not wait must see what any process has committed by now; who waits may hear of it soon.
        last = self._look.at(seen) if wait else self._look.now()
        if after > last:
            check_given_out(after, self._look.now())
        is_news = after < last or not wait
        page = self._read_now(after, limit, wanted) if is_news else Page([], after, has_more=False)
        if page.entries or page.has_more or not wait or not self._seats.acquire(blocking=False):
            return page
        try:
            return self._wait(page, seen, time.monotonic() + wait, limit, wanted)
        finally:
            self._seats.release()

    def _wait(self, page: Page, seen: int, ends: float, limit: int, wanted: Wanted) -> Page:
        pause = PAUSE_SECONDS
        while not page.entries and (left := ends - time.monotonic()) > 0:
            if self._database.wait_for_commit(seen, min(POLL_SECONDS, left)):
                time.sleep(pause)
                pause = min(2 * pause, PAUSE_SECONDS_MAX)
            seen = self._database.commits
            if self._look.at(seen) > page.through:
                self._turns.wait()
                page = self._read_now(page.through, limit, wanted)
        return page

    def _read_now(self, after: int, limit: int, wanted: Wanted) -> Page:
        with self._database.read() as connection:
            return feed.read(connection, after=after, limit=limit, wanted=wanted)


def check_given_out(position: int, last: int) -> None:
    """Refuse a position beyond the last one that was given.

    Raises:
        PositionUnknown
    """
    if position > last:
        raise PositionUnknown


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
            self._last = feed.give_positions(self._database)
        except StoreUnavailable:
            self._failed_when = self._timer()
            raise
        self._commits, self._looked_when = commits, looked_when
        return self._last


class Turns:
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
