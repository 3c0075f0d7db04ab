"""When a source's bank stops sending (the give-up clock), because what it sends is refused.

A bank either tries each notification for a set time, or stops after a number of failures in a row. That another try of
the same was taken since is not known here, so the clock shows the earliest time.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from receiver import banks
from receiver.store import events, refusals
from receiver.store.sources import SourceRecord


@dataclass(frozen=True)
class GiveUp:
    """How far a bank is from giving up. It goes by time, or counts failures in a row; times are UTC."""

    at: datetime | None = None
    """When it stops at the earliest; none where it counts failures."""
    failures_left: int | None = None
    """After how many more failures it stops; none where it goes by time."""

    @property
    def words(self) -> str:
        """When it stops, in words."""
        return f"at {self.at:%Y-%m-%d %H:%M} UTC" if self.at else f"after {self.failures_left} more refusals"


def give_up(connection: Connection, source: SourceRecord, now: datetime) -> GiveUp | None:
    """Return how far a source's bank is from giving up at `now` (UTC); none where it is not about to, or never does."""
    bank = banks.named(source.bank)
    if bank.gives_up_after is not None:
        first = refusals.of_bank(connection, source.id, now - bank.gives_up_after).first_at
        return None if first is None else GiveUp(at=first + bank.gives_up_after)
    if bank.gives_up_failures is not None:
        since = events.latest(connection, source.id) or source.created_at
        number = refusals.of_bank(connection, source.id, since).number
        return GiveUp(failures_left=max(bank.gives_up_failures - number, 0)) if number else None
    return None
