"""Writing deliveries down: those that come in together share a transaction."""

from collections.abc import Sequence

from sqlalchemy import Connection

from receiver.inbox.verification import Genuine, Refused
from receiver.runtime import Runtime
from receiver.store import deliveries, intake
from receiver.store.group_commit import GroupCommit
from receiver.store.records import NonceReused, Recorded

_Outcome = Recorded | NonceReused | None


class Writer:
    """Writes genuine and rejected deliveries; any number of threads may."""

    def __init__(self, runtime: Runtime) -> None:
        """Take a process's parts; its settings bound how many wait, and what is stored of rejected ones."""
        self._settings = runtime.settings
        self._commits: GroupCommit[Genuine | Refused, _Outcome] = GroupCommit(
            runtime.database, self._write, runtime.settings.waiting_max
        )

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
        """Store a rejected delivery for staff to look at.

        Raises:
            StoreUnavailable
        """
        self._commits.run(refused)

    def _write(self, connection: Connection, jobs: Sequence[Genuine | Refused]) -> list[_Outcome]:
        genuine = [job for job in jobs if isinstance(job, Genuine)]
        outcomes = iter(intake.record_all(connection, [(job.delivery, job.events) for job in genuine]))
        for job in jobs:
            if isinstance(job, Refused):
                self._store_rejected(connection, job)
        return [next(outcomes) if isinstance(job, Genuine) else None for job in jobs]

    def _store_rejected(self, connection: Connection, job: Refused) -> None:
        deliveries.store_rejected(
            connection,
            job.delivery,
            reason=job.refusal.reason,
            detail=job.refusal.detail,
            proven=job.refusal.proven,
            most=self._settings.rejected_max,
            body_bytes=self._settings.rejected_body_bytes,
        )
