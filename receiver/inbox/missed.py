"""Callbacks that found no database (503), counted in memory and written down once that is over: for the give-up clock.

Nothing is written while it lasts, and nothing on the way of a callback that is taken. Who sent them is not known then:
they count whether they were the bank's or not.
"""

import logging
import threading
from collections.abc import Callable, Sized
from datetime import datetime, timedelta

from receiver.runtime import Runtime
from receiver.store import outages, sources
from receiver.store.database import StoreUnavailable
from receiver.store.outages import Outage

log = logging.getLogger(__name__)

NAMES_MAX = 1000
"""Names that are counted beside those of sources: anybody may make one up."""

QUIET = timedelta(seconds=5)
"""It is over when a callback is taken, and none was missed for so long: in an overload both take turns."""


class Missed:
    """What one process has missed; any number of threads may count."""

    def __init__(self, runtime: Runtime, is_source: Callable[[str], bool] = lambda _name: False) -> None:
        """Start no thread yet: a process that is forked would not have it.

        `is_source` tells without the database whether a name was that of a source: such a one is counted in any case.
        """
        self._is_source = is_source
        self._database = runtime.database
        self._clock = runtime.clock
        self._lock = threading.Lock()
        self._found: dict[str, Outage] = {}
        self._is_writing = False
        self._failed_at: datetime | None = None

    def __bool__(self) -> bool:
        """Whether anything is to be written down, which costs a callback nothing to see."""
        return bool(self._found)

    def note(self, name: str) -> None:
        """Count a callback for a source of this name, which there may be or not."""
        now = self._clock()
        with self._lock:
            if name in self._found or self._has_room(self._found, name):
                before = self._found.get(name, Outage(now, now, 0))
                self._found[name] = Outage(min(before.began_at, now), now, before.number + 1)

    def write_if_quiet(self) -> None:
        """Have it written down in a thread, now that a callback was taken, once none was missed for a while.

        Where that fails, as it may while all that waited comes at once, it is done after a later callback.
        """
        with self._lock:
            now = self._clock()
            # Either way: a clock that was ahead may have been put right since.
            is_quiet = self._found and abs(now - max(each.ended_at for each in self._found.values())) >= QUIET
            just_failed = self._failed_at is not None and abs(now - self._failed_at) < QUIET
            if self._is_writing or not is_quiet or just_failed:
                return
            found, self._found, self._is_writing = self._found, {}, True
            self._failed_at = None
        try:
            threading.Thread(target=self._write, args=(found,), name="missed", daemon=True).start()
        except RuntimeError as error:
            log.warning("how many callbacks were missed is not written down yet: %s", error)
            self._put_back(found)

    def _write(self, found: dict[str, Outage]) -> None:
        """Write down what was missed, of the sources that there are."""
        try:
            with self._database.write() as connection:
                ids = {name: number for number, name in sources.names(connection).items()}
                known = {ids[name]: each for name, each in found.items() if name in ids}
                outages.note(connection, known, self._clock())
            found = {}
        except StoreUnavailable as error:
            log.warning("how many callbacks were missed is not written down yet: %s", error)
        finally:
            self._put_back(found)

    def _put_back(self, found: dict[str, Outage]) -> None:
        """Put what is not written down to what was counted meanwhile."""
        with self._lock:
            if found:
                self._failed_at = self._clock()
            for name, later in self._found.items():
                if name in found:
                    began_at, ended_at, number = found[name]
                    later = Outage(min(began_at, later.began_at), max(ended_at, later.ended_at), number + later.number)
                elif not self._has_room(found, name):
                    continue
                found[name] = later
            self._found, self._is_writing = found, False

    def _has_room(self, found: Sized, name: str) -> bool:
        return len(found) < NAMES_MAX or self._is_source(name)
