"""The base of a chore, which the worker does once in a while: how long it pauses between two looks (backoff)."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import ClassVar

from receiver.logs import ids
from receiver.runtime import Runtime
from receiver.store.database import StoreUnavailable
from receiver.store.sources import SourceRecord

log = logging.getLogger(__name__)


def is_within(pause: timedelta, before: datetime | None, now: datetime) -> bool:
    """Tell whether a pause since `before` is not over; it is where the clock was ahead then, and has been put right."""
    return before is not None and timedelta(0) <= now - before < pause


@contextmanager
def apart(what: str, source: SourceRecord) -> Iterator[None]:
    """Do for one source what is done for each: a fault of ours in it is logged, and stops no source behind it."""
    try:
        yield
    except StoreUnavailable:
        raise
    except Exception:
        log.exception("%s of %s failed", what, source.name, extra=ids(source=source.name))


@dataclass
class Chore(ABC):
    """Something that each process of a worker looks at once in a while."""

    every: ClassVar[timedelta]
    """How long after a look the next one is; it is at once where the database had failed it, or more is left."""

    runtime: Runtime
    _looked_at: datetime | None = field(default=None, init=False)
    _is_more_left: bool = field(default=False, init=False)

    def look(self) -> int:
        """Look, where the pause is over; return how much was done that somebody may wait for.

        Raises:
            StoreUnavailable
        """
        now = self.runtime.clock()
        if not self._is_more_left and is_within(self.every, self._looked_at, now):
            return 0
        self._looked_at, self._is_more_left = now, False
        try:
            return self._do(now)
        except StoreUnavailable:
            self._looked_at = None
            raise

    @abstractmethod
    def _do(self, now: datetime, /) -> int:
        """Look. Where more than one transaction takes is left, `_is_more_left` has it gone on with without a pause."""
