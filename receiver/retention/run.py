"""Runs of retention: part by part, with pauses in which callbacks have the database to themselves.

Nothing is remembered between two parts but what is in the database, so a kill at any instant costs nothing, and any
number of workers may run this: one of them removes at a time.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Connection

from receiver.model import RetentionKind
from receiver.retention import policy
from receiver.retention.clock import GAP
from receiver.runtime import Runtime
from receiver.store import retention, retention_parts, sources
from receiver.store.database import Contended, retried
from receiver.store.retention import Limits, Part, Progress, Rule, Taken

log = logging.getLogger(__name__)

LEFT_EVERY = timedelta(hours=1)
"""How often what was held back is looked at once more."""

REST = 2.0
"""How long to pause after a part, as a multiple of how long it took to look it up and do it: of the processor, and of
the database, callbacks have two thirds at least."""

REST_SECONDS_MAX = 0.5

PASSED_MAX = 50
"""Parts in a row with nothing to do after which how far it is is written down all the same."""

Rest = Callable[[float], None]


class Step(NamedTuple):
    """What a part came to; `left` were held back, and is none of those that were before."""

    source_id: int
    kind: RetentionKind
    removed: int
    left: int


@dataclass
class Run:
    """Removes all that is due at one time, one part after the other."""

    runtime: Runtime
    now: datetime
    names: Sequence[str] = ()
    """The sources whose own things are removed; none for all, and the feed."""
    counts_only: bool = False
    looks_at_left: bool = False
    """Whether what was held back is looked at once more however soon that is."""
    rest: Rest = time.sleep
    timer: Callable[[], float] = time.monotonic
    """A clock that nobody sets, in seconds."""
    begun_at: float | None = None
    """What the timer said at `now`; none where that is just now."""
    _is_busy: bool = field(default=False, init=False)
    _is_clock_set: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        if self.begun_at is None:
            self.begun_at = self.timer()

    def steps(self) -> Iterator[Step]:
        """Do one part after the other, until nothing is left to do, another worker is at it, or the clock was set.

        Raises:
            StoreUnavailable
        """
        with self.runtime.database.read() as connection:
            known = sources.every(connection)
        rules = policy.rules(self.runtime.settings, known, self.now, self.names)
        for rule in rules:
            yield from self._of_rule(rule)
            if self._is_busy or self._is_clock_set:
                return
        if rules and not self.counts_only:
            yield from self._give_back()
            self._note_end()

    @retried
    def _note_end(self) -> None:
        at = self._time()
        if at is not None and not self.names:
            with self.runtime.database.write() as connection:
                retention.note_at_work(connection, at)

    def _time(self) -> datetime | None:
        """Return what time it is; none where the clock was set meanwhile, so that it was wrong or is now.

        Written down as the last work of retention, such a time would leave the next run in no doubt of its clock.
        """
        now, begun_at = self.runtime.clock(), self.begun_at
        assert begun_at is not None  # noqa: S101 - see `__post_init__`
        expected = self.now + timedelta(seconds=self.timer() - begun_at)
        if not self._is_clock_set and abs(now - expected) > GAP:
            self._is_clock_set = True
            log.warning(
                "retention stops: this machine's clock was set from %s to %s while it was at work",
                f"{expected:%Y-%m-%d %H:%M} UTC",
                f"{now:%Y-%m-%d %H:%M} UTC",
            )
        return None if self._is_clock_set else now

    @property
    def is_busy(self) -> bool:
        """Whether it ended because another worker removes just now."""
        return self._is_busy

    @property
    def is_clock_set(self) -> bool:
        """Whether it ended because this machine's clock was set meanwhile."""
        return self._is_clock_set

    def _of_rule(self, rule: Rule) -> Iterator[Step]:
        at = self._progress(rule)
        if self._wants_left(at):
            begins = at._replace(left_through="") if self.counts_only else at
            yield from self._parts(rule, begins, retention_parts.look_left)
        if not self._is_busy and not self._is_clock_set:
            yield from self._parts(rule, self._progress(rule), retention_parts.look)

    def _wants_left(self, at: Progress) -> bool:
        if not at.through or at.kind == RetentionKind.REJECTED:
            return False
        is_long_ago = at.left_at is None or not timedelta(0) <= self.now - at.left_at < LEFT_EVERY
        return self.looks_at_left or bool(at.left_through) or is_long_ago

    def _progress(self, rule: Rule) -> Progress:
        with self.runtime.database.read() as connection:
            return retention.progress(connection, rule.source_id, rule.kind)

    def _parts(self, rule: Rule, stored: Progress, look: "Look") -> Iterator[Step]:
        """Do one part after the other, from how far it is stored to be."""
        at, passed, is_last, began = stored, 0, False, time.monotonic()
        while not is_last and (time_now := self._time()) is not None:
            with self.runtime.database.read() as connection:
                limits = policy.limits(connection, self.runtime.settings, self.now, counts_only=self.counts_only)
                part = look(connection, rule, limits, at)
            at, is_last = _behind(part), part.is_last
            if self.counts_only:
                yield Step(rule.source_id, rule.kind, len(part.remove), len(part.left))
            elif _is_empty(part) and not is_last and passed < PASSED_MAX:
                # What is another source's takes no transaction.
                passed += 1
            elif _changes(part := replace(part, before=stored)):
                taken = self._take(part, time_now, limits)
                self.rest(min(REST_SECONDS_MAX, REST * (time.monotonic() - began)))
                if taken is None:
                    return
                yield Step(rule.source_id, rule.kind, taken.removed, taken.left)
                at, passed = self._progress(rule), 0
                stored, began = at, time.monotonic()

    def _take(self, part: Part, at: datetime, limits: Limits) -> Taken | None:
        """Do a part; none where another worker is at it, or where it is to be looked up anew."""
        try:
            with self.runtime.database.write() as connection:
                idle_since = policy.idle_since(self.runtime.settings, self.now)
                taken = retention.take(connection, part, self.now, idle_since=idle_since, asked=limits.asked)
                if taken is not None and not self.names:
                    retention.note_at_work(connection, at)
        except Contended:
            # Callbacks go first: another time, it is looked up anew.
            taken = None
        self._is_busy = taken is None
        return taken

    def _give_back(self) -> Iterator[Step]:
        """Give back what of the file is not needed any more, where it is one of SQLite."""
        while self.runtime.database.is_sqlite and self.runtime.database.give_back():
            self.rest(REST_SECONDS_MAX / 10)
            yield Step(retention.FEED, RetentionKind.FEED, 0, 0)


Look = Callable[[Connection, Rule, Limits, Progress], Part]


def _behind(part: Part) -> Progress:
    """Return how far it would be, had it been done."""
    if part.is_left:
        return part.before._replace(left_through=part.through)
    return part.before._replace(through=part.through)


def _is_empty(part: Part) -> bool:
    """Tell whether nothing is to be done but to note how far it is."""
    return not (part.remove or part.left or part.cleared)


def _changes(part: Part) -> bool:
    """Tell whether there is anything to write down."""
    at = part.before
    is_elsewhere = (at.through, at.stopped_by) != (part.through, part.stopped_by)
    return part.is_left or is_elsewhere or not _is_empty(part)
