"""Group commit: what threads want to write at the same time goes into one transaction, and reaches the disk once.

There is no thread for it. The first that comes leads: it writes what has queued up until then, its own among it, and
hands the lead to the first of those that came meanwhile.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar, cast

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from receiver.store.database import Database, StoreUnavailable

Job = TypeVar("Job")
Outcome = TypeVar("Outcome")

GROUP_MAX = 128
"""Jobs in one transaction: enough to share the disk's time, few enough to answer the first of them soon."""

WAIT_SECONDS = 8.0
"""How long a job may wait for its commit: banks give 5 to 10 s."""

DEADLOCK_STATES = ("40001", "40P01")
"""PostgreSQL: serialization failure, deadlock detected."""


class QueueFull(StoreUnavailable):
    """More jobs wait for the database than may."""


class _Waiting(Generic[Job, Outcome]):
    def __init__(self, job: Job) -> None:
        self.job = job
        self.outcome: Outcome | None = None
        self.error: BaseException | None = None
        self.is_done = False
        self.woken = threading.Event()

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
        self._is_led = False

    def run(self, job: Job) -> Outcome:
        """Run a job; return its outcome once it is on disk.

        Raises:
            QueueFull: at once.
            StoreUnavailable
        """
        waiting: _Waiting[Job, Outcome] = _Waiting(job)
        with self._lock:
            if len(self._queue) >= self._waiting_max:
                raise QueueFull(f"{len(self._queue)} deliveries wait for the database")
            self._queue.append(waiting)
            leads, self._is_led = not self._is_led, True
        if leads:
            # Let those who are about to hand in a job do so.
            time.sleep(0)
        else:
            leads = self._is_to_lead(waiting)
        if leads:
            self._lead()
        return waiting.result()

    def _is_to_lead(self, waiting: _Waiting[Job, Outcome]) -> bool:
        """Wait until a job is done, or its thread has been handed the lead.

        Raises:
            StoreUnavailable: neither came in time.
        """
        if not waiting.woken.wait(WAIT_SECONDS):
            with self._lock:
                if not waiting.woken.is_set():
                    # Where it is being written just now, it may yet be: the bank sends it again, and hears that.
                    if waiting in self._queue:
                        self._queue.remove(waiting)
                    raise StoreUnavailable(f"a delivery waited {WAIT_SECONDS:.0f} s for the database")
        return not waiting.is_done

    def _lead(self) -> None:
        with self._lock:
            group = [self._queue.popleft() for _ in range(min(GROUP_MAX, len(self._queue)))]
        try:
            self._commit(group)
        except BaseException as error:
            for waiting in group:
                waiting.error = waiting.error or error
            raise
        finally:
            for waiting in group:
                waiting.is_done = True
            with self._lock:
                self._is_led = bool(self._queue)
                if self._queue:
                    self._queue[0].woken.set()
            for waiting in group:
                waiting.woken.set()

    def _commit(self, group: list[_Waiting[Job, Outcome]]) -> None:
        try:
            self._commit_together(group)
        except Exception as error:
            if len(group) == 1 or _is_outage(error):
                self._fail(group, error)
            else:
                self._commit_each(group)

    def _commit_together(self, group: list[_Waiting[Job, Outcome]]) -> None:
        with self._database.write() as connection:
            outcomes = self._work(connection, [waiting.job for waiting in group])
        for waiting, outcome in zip(group, outcomes, strict=True):
            waiting.outcome = outcome

    def _commit_each(self, group: list[_Waiting[Job, Outcome]]) -> None:
        for number, waiting in enumerate(group):
            try:
                self._commit_together([waiting])
            except Exception as error:
                waiting.error = error
                if _is_outage(error):
                    self._fail(group[number:], error)
                    return

    def _fail(self, group: list[_Waiting[Job, Outcome]], error: Exception) -> None:
        for waiting in group:
            waiting.error = error


def _is_outage(error: Exception) -> bool:
    """Whether the database itself failed, rather than over one of the jobs."""
    cause = error.__cause__
    if not isinstance(error, StoreUnavailable) or cause is None:
        return isinstance(error, StoreUnavailable)
    if isinstance(cause, DBAPIError) and getattr(cause.orig, "sqlstate", None) in DEADLOCK_STATES:
        return False
    return isinstance(cause, OperationalError | InterfaceError) or not isinstance(cause, DBAPIError)
