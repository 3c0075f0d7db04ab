"""Writing deliveries down: those that come in together share a transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection

from receiver.banks.protocol import Callback
from receiver.signing.errors import Refusal
from receiver.store import deliveries, intake
from receiver.store.database import Database
from receiver.store.group_commit import GroupCommit
from receiver.store.records import NewDelivery, NewEvent, NonceReused, Recorded


@dataclass(frozen=True)
class Limits:
    """How much is taken in and kept, in bytes, rows and deliveries."""

    body_bytes: int
    rejected_max: int
    rejected_body_bytes: int
    waiting: int


class Genuine(NamedTuple):
    """A delivery that is proven genuine, and what it tells."""

    delivery: NewDelivery
    events: Sequence[NewEvent]


@dataclass(frozen=True)
class Refused:
    """A delivery that is not proven genuine, and why; `callback` is what was looked at, where it got that far."""

    delivery: NewDelivery
    refusal: Refusal
    callback: Callback | None = None


_Outcome = Recorded | NonceReused | None


class Writer:
    """Writes genuine and rejected deliveries; any number of threads may."""

    def __init__(self, database: Database, limits: Limits) -> None:
        self._limits = limits
        self._commits: GroupCommit[Genuine | Refused, _Outcome] = GroupCommit(database, self._write, limits.waiting)

    def record(self, genuine: Genuine) -> Recorded:
        """Write a genuine delivery down; return what became of it once it is on disk.

        Raises:
            NonceReused
            StoreUnavailable
        """
        outcome = self._commits.run(genuine)
        if isinstance(outcome, NonceReused):
            raise outcome
        assert outcome is not None  # noqa: S101 - only a rejected delivery has none
        return outcome

    def reject(self, refused: Refused) -> None:
        """Keep a rejected delivery for staff to look at.

        Raises:
            StoreUnavailable
        """
        self._commits.run(refused)

    def _write(self, connection: Connection, jobs: Sequence[Genuine | Refused]) -> list[_Outcome]:
        genuine = [job for job in jobs if isinstance(job, Genuine)]
        outcomes = iter(intake.record_all(connection, [(job.delivery, job.events) for job in genuine]))
        for job in jobs:
            if isinstance(job, Refused):
                self._keep(connection, job)
        return [next(outcomes) if isinstance(job, Genuine) else None for job in jobs]

    def _keep(self, connection: Connection, job: Refused) -> None:
        deliveries.keep(
            connection,
            job.delivery,
            reason=job.refusal.reason,
            detail=job.refusal.detail,
            proven=job.refusal.proven,
            kept=self._limits.rejected_max,
            body_bytes=self._limits.rejected_body_bytes,
        )
