"""What is known of the sources, kept in memory for a second: callbacks look it up thousands of times in one."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from receiver.banks.bank import Profile
from receiver.inbox.profiles import profile_of
from receiver.store import sources
from receiver.store.bank_access import StoredKeys
from receiver.store.database import ANSWER_SECONDS, Database, StoreUnavailable
from receiver.store.sealing import Sealer
from receiver.store.sources import SourceRecord

KEPT_SECONDS = 0.8
"""A change shows in every process within a second, the time to read it anew included."""

_KEPT = timedelta(seconds=KEPT_SECONDS)


class SourceUnknown(Exception):
    """No enabled source has this name."""


@dataclass(frozen=True)
class Known:
    """A source, and what proves its callbacks, as they were read at `read_at`."""

    source: SourceRecord
    profile: Profile
    keys: StoredKeys
    read_at: datetime
    read_when: float
    """By the process's own clock, in seconds."""


class Directory:
    """The sources of a database; any number of threads may ask."""

    def __init__(self, database: Database, sealer: Sealer, timer: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._sealer = sealer
        self._timer = timer
        self._known: dict[str, Known] = {}
        self._names: tuple[frozenset[str], float] = (frozenset(), float("-inf"))
        self._reading = threading.Lock()
        self._failed_when = float("-inf")

    def find(self, name: str, now: datetime) -> Known:
        """Return what is known of an enabled source.

        Raises:
            SourceUnknown
            StoreUnavailable
            SealBroken
        """
        found = self._fresh(name, now)
        if found is None:
            came_when = self._timer()
            # One thread reads, the others find what it has read.
            with self._reading:
                found = self._read_meanwhile(name, came_when) or self._fresh(name, now) or self._read(name, now)
        if not found.source.enabled:
            raise SourceUnknown(name)
        return found

    def forget(self, name: str) -> None:
        """Read a source anew when it is asked for next."""
        self._known.pop(name, None)

    def _fresh(self, name: str, now: datetime) -> Known | None:
        found = self._known.get(name)
        if found is None:
            return None
        # By both clocks: secrets expire by the one that tells the date, and that one can be set.
        is_young = self._timer() - found.read_when < KEPT_SECONDS
        return found if is_young and abs(now - found.read_at) < _KEPT else None

    def _read_meanwhile(self, name: str, came_when: float) -> Known | None:
        """Return what was read since a thread came, however long that took; it shares in the failure too.

        So nobody waits for one slow reading, or one time-out, after the other.

        Raises:
            StoreUnavailable
        """
        if self._failed_when >= came_when:
            raise StoreUnavailable("the sources could not be read")
        found = self._known.get(name)
        return found if found is not None and found.read_when > came_when else None

    def _read(self, name: str, now: datetime) -> Known:
        try:
            return self._read_anew(name, now)
        except StoreUnavailable:
            self._failed_when = self._timer()
            raise

    def _read_anew(self, name: str, now: datetime) -> Known:
        self._check_name(name)
        read_when = self._timer()
        with self._database.read(ANSWER_SECONDS) as connection:
            source = sources.find(connection, name)
            if source is None:
                self._known.pop(name, None)
                raise SourceUnknown(name)
            profile, keys = profile_of(connection, self._sealer, source, now)
        known = Known(source, profile, keys, now, read_when)
        self._known[name] = known
        return known

    def _check_name(self, name: str) -> None:
        """Turn away names that there are not without asking the database for each: anybody can make them up.

        Raises:
            SourceUnknown
            StoreUnavailable
        """
        names, read_when = self._names
        if self._timer() - read_when >= KEPT_SECONDS:
            read_when = self._timer()
            with self._database.read(ANSWER_SECONDS) as connection:
                names = frozenset(sources.names(connection).values())
            self._names = (names, read_when)
        if name not in names:
            raise SourceUnknown(name)
