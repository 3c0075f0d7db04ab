"""When a source's bank stops sending (the give-up clock), because what it sends is refused or can't be taken.

A bank either tries each notification for a set time, or stops after a number of failures in a row. Both are derived
from what is stored anyway: refused deliveries that look like the bank's, late ones that wait, and outages that were
noted once they were over. A delivery that was refused and accepted since, by being verified again, is stored as refused
no longer. Whether another try of the very same was taken is not known where the bank encrypts each try anew, so the
clock shows the earliest time. What a clock that was ahead has dated counts for nothing: when it came is not known.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from receiver import banks
from receiver.model import ExceptionKind
from receiver.store import deliveries, events, outages, refusals
from receiver.store.exceptions import Opened
from receiver.store.outages import Outage
from receiver.store.records import EPOCH, SKEW
from receiver.store.refusals import OfBank
from receiver.store.sources import SourceRecord

WARNED_BEFORE = timedelta(days=1)
"""How long before it stops a person is told, where it goes by time ..."""

WARNED_AT_FAILURES = 20
"""... and with how many failures left, where it counts them."""


@dataclass(frozen=True)
class GiveUp:
    """How far a bank is from giving up. It goes by time, or counts failures in a row; times are UTC."""

    first_at: datetime
    """When the first of what was not taken came."""
    number: int
    """How much was not taken."""
    at: datetime | None = None
    """When it stops at the earliest; none where it counts failures."""
    failures_left: int | None = None
    """After how many more failures it stops; none where it goes by time."""

    @property
    def words(self) -> str:
        """When it stops, in words."""
        return f"at {self.at:%Y-%m-%d %H:%M} UTC" if self.at else f"after {self.failures_left} more refusals"

    def is_near(self, now: datetime) -> bool:
        """Tell whether a person has to look at it now."""
        if self.at is not None:
            return self.at - now <= WARNED_BEFORE
        return self.failures_left is not None and self.failures_left <= WARNED_AT_FAILURES


def give_up(connection: Connection, source: SourceRecord, now: datetime) -> GiveUp | None:
    """Return how far a source's bank is from giving up at `now` (UTC); none where it is not about to, or never does.

    It reads what is bounded in number alone: refused and late deliveries, and one row of the last outage.
    """
    bank = banks.named(source.bank)
    if bank.gives_up_after is not None:
        return _by_time(connection, source, now, bank.gives_up_after)
    if bank.gives_up_failures is not None:
        return _by_number(connection, source, now, bank.gives_up_failures)
    return None


def _by_time(connection: Connection, source: SourceRecord, now: datetime, after: timedelta) -> GiveUp | None:
    since, until = now - after, now + SKEW
    refused, outage = _not_taken(connection, source, since, until)
    if outage is not None and _is_made_good(outage, events.latest(connection, source.id, until), now):
        outage = None
    first = _first(refused, outage)
    return None if first is None else GiveUp(first, _number(refused, outage), at=first + after)


def _is_made_good(outage: Outage, latest: datetime | None, now: datetime) -> bool:
    """Tell whether all that was sent in an outage must have been sent once more since: pauses at most double."""
    is_taken = latest is not None and latest > outage.ended_at
    return is_taken and now - outage.ended_at > 2 * (outage.ended_at - outage.began_at)


def _by_number(connection: Connection, source: SourceRecord, now: datetime, most: int) -> GiveUp | None:
    until = now + SKEW
    since = events.latest(connection, source.id, until) or EPOCH
    if _first(*_not_taken(connection, source, since, until)) is None:
        return None
    # One that came once more was taken too, and ends the row; of that no new event tells.
    repeated = deliveries.latest_without_event(connection, source.id, since=since, until=until)
    since = max(repeated or since, since)
    refused, outage = _not_taken(connection, source, since, until)
    first, number = _first(refused, outage), _number(refused, outage)
    return None if first is None else GiveUp(first, number, failures_left=max(most - number, 0))


def _not_taken(
    connection: Connection, source: SourceRecord, since: datetime, until: datetime
) -> tuple[OfBank, Outage | None]:
    found = refusals.of_bank(connection, source.id, since, until)
    return found, outages.between(connection, source.id, since, until)


def _first(refused: OfBank, outage: Outage | None) -> datetime | None:
    return min((at for at in (refused.first_at, outage and outage.began_at) if at is not None), default=None)


def _number(refused: OfBank, outage: Outage | None) -> int:
    return refused.number + (0 if outage is None else outage.number)


def warning(source: SourceRecord, found: GiveUp) -> Opened:
    """Return what a person is told a while before a bank gives up."""
    since = f"{found.first_at:%Y-%m-%d %H:%M} UTC"
    words = f"the bank stops sending {found.words}: {found.number} callbacks were not taken since {since}"
    return Opened(ExceptionKind.GIVING_UP, source.id, "source", source.name, detail=words)


def is_undecided(connection: Connection, source: SourceRecord, now: datetime) -> bool:
    """Tell whether refused deliveries are stored, and no callback came since: how the bank stands is not known."""
    refused = refusals.latest_of_bank(connection, source.id, now + SKEW)
    if refused is None:
        return False
    latest = events.latest(connection, source.id, now + SKEW)
    return latest is None or latest < refused
