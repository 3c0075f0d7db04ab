"""When to ask the bank again: pauses that double (exponential backoff), with jitter."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from receiver.banks.protocol import Pauses
from receiver.model import Status

JITTER = 0.1
"""A tenth either way, so that payments that came together are not asked for together for ever."""


@dataclass(frozen=True)
class Schedule:
    """Doubling pauses from `first` to `longest`, both in seconds."""

    first: float
    longest: float
    least: float = 0
    """No pause is shorter, chance included."""

    def at_least(self, pauses: Pauses) -> "Schedule":
        """Return the same with no shorter pauses than a bank wants."""
        return Schedule(max(self.first, pauses.first), max(self.longest, pauses.longest), pauses.first)

    def next_check(
        self, status: Status, attempts: int, now: datetime, later: Sequence[datetime] = ()
    ) -> datetime | None:
        """Return when to ask again after `attempts` earlier checks.

        Where the status is final that is the next of `later`, the times at which the bank's package wants another
        look; none where there is none.
        """
        if status.is_final:
            return next((at for at in later if at > now), None)
        pause = min(self.first * 2.0 ** min(attempts, 30), self.longest)
        chance = random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - no secret
        return now + timedelta(seconds=max(pause * chance, self.least))
