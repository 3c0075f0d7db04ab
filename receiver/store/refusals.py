"""How many of a source's deliveries were refused, and how many were genuine."""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, func, literal_column, or_, select

from receiver.model import Verdict
from receiver.store import pagination
from receiver.store.records import lowest_id, moment_of
from receiver.store.tables import Delivery, table_of

_deliveries = table_of(Delivery)

# As text, so that any plan goes by an index over the rejected ones.
_is_rejected = _deliveries.c.verdict == literal_column(f"'{Verdict.REJECTED}'")
_looks_so = or_(_deliveries.c.likely.is_(True), _deliveries.c.proven.is_(True))

COUNTED_MAX = 20_000
"""Deliveries of a day that are counted: of more, the first ones speak for the rest."""


class Counts(NamedTuple):
    """Deliveries of a while, by whether they were proven genuine."""

    refused: int
    genuine: int

    @property
    def share(self) -> float:
        """How much of it was refused, between 0 and 1."""
        return self.refused / (self.refused + self.genuine) if self.refused else 0.0


def counts(connection: Connection, source_id: int, since: datetime, until: datetime) -> Counts:
    """Count a source's deliveries that came from `since` on and before `until` (UTC)."""
    some = (
        select(_deliveries.c.verdict)
        .where(_deliveries.c.id >= lowest_id("dlv", since), _deliveries.c.id < lowest_id("dlv", until))
        # Beside the time, lest SQLite goes through all that ever came from the source.
        .where(*pagination.beside(_deliveries.c.source_id, [source_id], 0))
        .limit(COUNTED_MAX)
        .subquery()
    )
    rows = connection.execute(select(some.c.verdict, func.count()).group_by(some.c.verdict))
    numbers: dict[Verdict, int] = {row[0]: row[1] for row in rows}
    refused = numbers.pop(Verdict.REJECTED, 0)
    return Counts(refused, sum(numbers.values()))


class OfBank(NamedTuple):
    """Refused deliveries that look like the bank's: how many, and when the first of them came (UTC)."""

    number: int
    first_at: datetime | None


def of_bank(connection: Connection, source_id: int, since: datetime, until: datetime) -> OfBank:
    """Count a source's stored refused deliveries from `since` on and before `until` (UTC) that look like the bank's."""
    is_of = (_deliveries.c.source_id == source_id, _is_rejected, _looks_so)
    came = (_deliveries.c.id >= lowest_id("dlv", since), _deliveries.c.id < lowest_id("dlv", until))
    number, first = connection.execute(select(func.count(), func.min(_deliveries.c.id)).where(*is_of, *came)).one()
    return OfBank(number, None if first is None else moment_of(first, "0"))


def latest_of_bank(connection: Connection, source_id: int, until: datetime) -> datetime | None:
    """Return when the latest of a source's stored refused deliveries before `until` came that look like the bank's."""
    # In the order of the index over the rejected ones: a `max()` may go through all that ever came from the source.
    query = (
        select(_deliveries.c.id)
        .where(_is_rejected, _looks_so, *pagination.beside(_deliveries.c.source_id, [source_id], 0))
        .where(_deliveries.c.id < lowest_id("dlv", until))
        .order_by(_deliveries.c.id.desc())
        .limit(1)
    )
    latest: str | None = connection.execute(query).scalar_one_or_none()
    return None if latest is None else moment_of(latest, "0")


def arrived(connection: Connection, since: datetime, *, limit: int) -> list[tuple[datetime, Verdict]]:
    """Return when the newest deliveries came, to the millisecond, and what became of each, newest first.

    Of the rejected ones those that are stored.
    """
    query = (
        select(_deliveries.c.id, _deliveries.c.verdict)
        .where(_deliveries.c.id >= lowest_id("dlv", since))
        .order_by(_deliveries.c.id.desc())
        .limit(limit)
    )
    return [(moment_of(id_, "0"), verdict) for id_, verdict in connection.execute(query)]


def stored(connection: Connection, source_id: int) -> int:
    """Return how many refused deliveries of a source are stored."""
    query = select(func.count()).where(_deliveries.c.source_id == source_id, _is_rejected)
    number: int = connection.execute(query).scalar_one()
    return number
