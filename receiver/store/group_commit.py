"""Group commit: what threads want to write at the same time goes into one transaction, and reaches the disk once.

There is no thread for it. The first that comes leads: it writes what has queued up until then, its own among it, and
hands the lead to the first of those that came meanwhile.
"""

import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar, cast

from sqlalchemy import Connection
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolExhausted

from receiver.store.database import ANSWER_SECONDS, Database, StoreUnavailable

Job = TypeVar("Job")
Outcome = TypeVar("Outcome")

GROUP_MAX = 128
"""Jobs in one transaction: enough to share the disk's time, few enough to answer the first of them soon."""

OF_A_JOB = ("40", "54")
"""Classes of PostgreSQL's errors that its driver counts among those of operation, but that come of what was written:
transaction rollback (deadlock, serialization failure) and program limit exceeded (a key too long for its index)."""


class QueueFull(StoreUnavailable):
    """More jobs wait for the database than may."""


class _Waiting(Generic[Job, Outcome]):
    def __init__(self, job: Job) -> None:
        self.job = job
        self.outcome: Outcome | None = None
        self.error: BaseException | None = None
        self.is_done = False
        self.leads = False
        # A lock that is taken once more when the job is done, or its thread is to lead: cheaper than an event.
        self.woken = threading.Lock()
        self.woken.acquire()

    def result(self) -> Outcome:
        if isinstance(self.error, StoreUnavailable):
            # One of its own for each thread that raises it.
            raise StoreUnavailable(str(self.error)) from self.error
        if self.error is not None:
            raise self.error
        return cast(Outcome, self.outcome)


class GroupCommit(Generic[Job, Outcome]):
    """Runs jobs, several to a transaction; any number of threads may hand them in.

    `work` gets a connection within a transaction and the jobs of a group in the order in which they came, and returns
    their outcomes. Where it fails over one of them, each is run again in a transaction of its own.
    """

    def __init__(
        self, database: Database, work: Callable[[Connection, Sequence[Job]], Sequence[Outcome]], waiting_max: int
    ) -> None:
        self._database = database
        self._work = work
        self._waiting_max = waiting_max
        self._lock = threading.Lock()
        self._queue: deque[_Waiting[Job, Outcome]] = deque()
        self._unanswered = 0
        self._is_led = False

    def run(self, job: Job) -> Outcome:
        """Run a job; return its outcome once it is on disk.

        Raises:
            QueueFull: at once.
            StoreUnavailable
        """
        waiting: _Waiting[Job, Outcome] = _Waiting(job)
        leads = self._come(waiting)
        try:
            if leads:
                # Let those who are about to hand in a job do so.
                time.sleep(0)
            else:
                waiting.woken.acquire()
        except BaseException:
            self._leave(waiting)
            raise
        if not waiting.is_done:
            self._lead()
        return waiting.result()

    def _come(self, waiting: _Waiting[Job, Outcome]) -> bool:
        """Queue up; return whether it is the first, and leads."""
        with self._lock:
            if self._unanswered >= self._waiting_max:
                raise QueueFull(f"{self._unanswered} deliveries wait for the database")
            self._unanswered += 1
            self._queue.append(waiting)
            waiting.leads = leads = not self._is_led
            self._is_led = True
        return leads

    def _leave(self, waiting: _Waiting[Job, Outcome]) -> None:
        """Its thread was ended while it waited: nobody is to wait for it to lead."""
        with self._lock:
            if waiting in self._queue:
                self._queue.remove(waiting)
                self._unanswered -= 1
                if waiting.leads:
                    self._hand_on()

    def _hand_on(self) -> None:
        """Let the first that waits lead; the caller holds the lock."""
        self._is_led = bool(self._queue)
        if self._queue:
            self._queue[0].leads = True
            self._queue[0].woken.release()

    def _lead(self) -> None:
        group = self._take(GROUP_MAX)
        try:
            if not self._commit(group):
                # Those who came meanwhile waited for the same: else the last waits for as many time-outs as it has
                # groups before it, and banks hang up.
                late = self._take(len(self._queue))
                self._fail(late, group[-1].error)
                group += late
        except BaseException:
            self._fail(group, StoreUnavailable("the thread that wrote it was ended"))
            raise
        finally:
            with self._lock:
                self._unanswered -= len(group)
                self._hand_on()
            for waiting in group:
                waiting.woken.release()

    def _take(self, most: int) -> list[_Waiting[Job, Outcome]]:
        with self._lock:
            return [self._queue.popleft() for _ in range(min(most, len(self._queue)))]

    def _commit(self, group: list[_Waiting[Job, Outcome]]) -> bool:
        """Run a group's jobs; return whether the database was there for them."""
        try:
            self._commit_together(group)
        except Exception as error:
            if not _is_outage(error) and len(group) > 1:
                return self._commit_each(group)
            self._fail(group, error)
            return not _is_outage(error)
        return True

    def _commit_together(self, group: list[_Waiting[Job, Outcome]]) -> None:
        with self._database.write(ANSWER_SECONDS) as connection:
            outcomes = self._work(connection, [waiting.job for waiting in group])
        for waiting, outcome in zip(group, outcomes, strict=True):
            waiting.outcome, waiting.is_done = outcome, True

    def _commit_each(self, group: list[_Waiting[Job, Outcome]]) -> bool:
        for waiting in group:
            try:
                self._commit_together([waiting])
            except Exception as error:
                if _is_outage(error):
                    self._fail(group, error)
                    return False
                self._fail([waiting], error)
        return True

    def _fail(self, group: list[_Waiting[Job, Outcome]], error: BaseException | None) -> None:
        for waiting in group:
            if not waiting.is_done:
                waiting.error, waiting.is_done = error, True


def _is_outage(error: Exception) -> bool:
    """Whether the database itself failed, rather than over one of the jobs."""
    if not isinstance(error, StoreUnavailable):
        return False
    cause = error.__cause__
    if str(getattr(getattr(cause, "orig", None), "sqlstate", None))[:2] in OF_A_JOB:
        return False
    return cause is None or isinstance(
        cause, OperationalError | InterfaceError | PoolExhausted | sqlite3.OperationalError
    )
