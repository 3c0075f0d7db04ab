"""Group commit: what threads want to write at the same time goes into one transaction, and reaches the disk once.

There is no thread for it. The first that comes to a group leads it: it waits until the group before has been written
and the database is free, and then writes what has come until then, its own among it.
"""

import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolExhausted

from receiver.store.database import ANSWER_SECONDS, Database, StoreUnavailable
from receiver.store.sqlite_write_lock import WriteLockTimeout

Job = TypeVar("Job")
Outcome = TypeVar("Outcome")

GROUP_MAX = 128
"""Jobs in one transaction: enough to share the disk's time, few enough to answer the first of them soon."""

OF_A_JOB = ("40", "54")
"""Classes of PostgreSQL's errors that its driver counts among those of operation, but that come of what was written:
transaction rollback (deadlock, serialization failure) and program limit exceeded (a key too long for its index)."""


class QueueFull(StoreUnavailable):
    """More jobs wait for the database than may."""


class _Group(Generic[Job, Outcome]):
    """Jobs that share a transaction, in the order in which they came; the first one's thread leads, and writes them.

    More may join until its transaction begins: when that of the group before it has ended, and the database is free.
    """

    def __init__(self, before: "_Group[Job, Outcome] | None") -> None:
        self.before = before
        self.jobs: list[Job] = []
        self.outcomes: dict[int, Outcome] = {}
        self.errors: dict[int, BaseException] = {}
        self.outage: BaseException | None = None
        """Why the database was not there for it."""
        self.is_over = threading.Event()

    def fail(self, error: BaseException) -> None:
        """Fail all that is not on disk."""
        for place in range(len(self.jobs)):
            if place not in self.outcomes:
                self.errors.setdefault(place, error)


class GroupCommit(Generic[Job, Outcome]):
    """Runs jobs, several to a transaction; any number of threads may hand them in.

    `work` gets a connection within a transaction and the jobs of a group in the order in which they came, and returns
    their outcomes. Where it fails over one of them, each is run again in a transaction of its own. `waiting_max` jobs
    may wait, and `group_max` share a transaction.
    """

    def __init__(
        self,
        database: Database,
        work: Callable[[Connection, Sequence[Job]], Sequence[Outcome]],
        waiting_max: int,
        group_max: int = GROUP_MAX,
    ) -> None:
        self._database = database
        self._work = work
        self._waiting_max = waiting_max
        self._group_max = group_max
        self._lock = threading.Lock()
        self._waiting = 0
        self._last: _Group[Job, Outcome] | None = None
        self._is_open = False
        """Whether more may join the last group."""

    def run(self, job: Job) -> Outcome:
        """Run a job; return its outcome once it is on disk.

        Raises:
            QueueFull: at once.
            StoreUnavailable
        """
        group, place = self._join(job)
        if place == 0:
            self._lead(group)
        else:
            group.is_over.wait()
        error = group.errors.get(place)
        if isinstance(error, StoreUnavailable):
            # One of its own for each thread that raises it.
            raise StoreUnavailable(str(error)) from error
        if error is not None:
            raise error
        return group.outcomes[place]

    def _join(self, job: Job) -> tuple[_Group[Job, Outcome], int]:
        """Return the group that a job is in now, and its place there; with the first place comes the lead."""
        with self._lock:
            if self._waiting >= self._waiting_max:
                raise QueueFull(f"{self._waiting} deliveries wait for the database")
            self._waiting += 1
            group = self._last
            if group is None or not self._is_open:
                group = self._last = _Group(group)
            group.jobs.append(job)
            self._is_open = len(group.jobs) < self._group_max
            return group, len(group.jobs) - 1

    def _lead(self, group: _Group[Job, Outcome]) -> None:
        try:
            self._wait_for_the_one_before(group)
            if group.outage is None:
                self._commit(group)
            self._close(group)
            if group.outage is not None:
                group.fail(group.outage)
        except BaseException:
            self._close(group)
            group.fail(StoreUnavailable("the thread that wrote it was ended"))
            raise
        finally:
            with self._lock:
                self._waiting -= len(group.jobs)
            # The last group is kept until the next one comes; what it wrote may be large.
            group.jobs = []
            group.is_over.set()

    def _wait_for_the_one_before(self, group: _Group[Job, Outcome]) -> None:
        before, group.before = group.before, None
        if before is None or before.is_over.is_set():
            # Let those who are about to hand in a job do so.
            time.sleep(0)
            return
        before.is_over.wait()
        # Who waited during an outage fails with it: else the last waits for as many time-outs as it has groups before
        # it, and banks hang up.
        group.outage = before.outage

    def _close(self, group: _Group[Job, Outcome]) -> None:
        with self._lock:
            if self._last is group:
                self._is_open = False

    def _commit(self, group: _Group[Job, Outcome]) -> None:
        """Run a group's jobs, or note the outage."""
        try:
            with self._database.write(ANSWER_SECONDS) as connection:
                # Not sooner: to come by a transaction may have taken long enough for many more to join.
                self._close(group)
                outcomes = dict(zip(range(len(group.jobs)), self._work(connection, group.jobs), strict=True))
            group.outcomes = outcomes
        except Exception as error:
            self._close(group)
            if _is_outage(error):
                group.outage = error
            elif len(group.jobs) == 1:
                group.errors[0] = error
            else:
                self._commit_each(group)

    def _commit_each(self, group: _Group[Job, Outcome]) -> None:
        for place, job in enumerate(group.jobs):
            try:
                with self._database.write(ANSWER_SECONDS) as connection:
                    [outcome] = self._work(connection, [job])
                group.outcomes[place] = outcome
            except Exception as error:
                if _is_outage(error):
                    group.outage = error
                    return
                group.errors[place] = error


def _is_outage(error: Exception) -> bool:
    """Whether the database itself failed, rather than over one of the jobs."""
    if not isinstance(error, StoreUnavailable):
        return False
    cause = error.__cause__
    if str(getattr(getattr(cause, "orig", None), "sqlstate", None))[:2] in OF_A_JOB:
        return False
    return cause is None or isinstance(
        cause, OperationalError | InterfaceError | PoolExhausted | sqlite3.OperationalError | WriteLockTimeout
    )
