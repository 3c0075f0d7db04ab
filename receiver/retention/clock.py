"""Whether the clock may be ahead: what is removed by a wrong one never comes back."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

log = logging.getLogger(__name__)

GAP = timedelta(days=1)
"""Retention looks once a minute. After a longer gap either no worker was at work, or the clock is ahead."""

SETTLED = timedelta(hours=6)
"""For how long the clock must run evenly after a gap: time synchronisation, and people, put it right meanwhile."""

WARNED_EVERY = timedelta(hours=1)


@dataclass
class ClockDoubt:
    """What one process has seen of its clock since a gap; `timer` is a clock that nobody sets, in seconds."""

    timer: Callable[[], float] = time.monotonic
    _begun: tuple[datetime, float, datetime] | None = field(default=None, init=False)
    """When the doubt began, by the clock and by the timer, and when retention had been at work last then."""
    _warned_at: float | None = field(default=None, init=False)

    def is_open(self, looked_at: datetime | None, now: datetime) -> bool:
        """Tell whether nothing may be removed at `now`, where retention was at work last at `looked_at` (UTC).

        It ends with the gap, or once the clock has run evenly for long enough: where no worker was at work for a while,
        all goes on by itself. Where another worker is at work meanwhile, by its own clock, this one is wrong.
        """
        if looked_at is None or now - looked_at <= GAP:
            self._begun = self._warned_at = None
            return False
        at = self.timer()
        if self._begun is None or now - self._begun[0] > timedelta(seconds=at - self._begun[1]) + GAP:
            # The gap is new, or has become longer at once.
            self._begun, self._warned_at = (now, at, looked_at), None
        elif looked_at != self._begun[2]:
            self._begun = (now, at, looked_at)
        if at - self._begun[1] >= SETTLED.total_seconds():
            return False
        if self._warned_at is None or at - self._warned_at >= WARNED_EVERY.total_seconds():
            self._warned_at = at
            log.warning(
                "retention waits: it was at work last at %s; by this machine's clock it is %s: no worker was there, "
                "or the clock is wrong. It goes on once it has worked for 6 h, and at once by `receiver retention run`",
                f"{looked_at:%Y-%m-%d %H:%M} UTC",
                f"{now:%Y-%m-%d %H:%M} UTC",
            )
        return True
