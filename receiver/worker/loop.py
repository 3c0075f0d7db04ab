"""The worker's loop: check what is due, run replays, finish changes of credentials, look after sources."""

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol

from receiver.credentials.rotation import CredentialChanges
from receiver.projection.projector import catch_up
from receiver.reconcile.bulk import BulkChecks
from receiver.reconcile.checks import Reconciler
from receiver.replay.run import Runner
from receiver.runtime import Runtime
from receiver.store.database import Contended, StoreUnavailable
from receiver.store.encryption import DecryptionFailed
from receiver.worker.alarms import Alarms
from receiver.worker.chore import is_within
from receiver.worker.chores import (
    AuditAnchor,
    CertificateExpiry,
    ClockPutRight,
    ClosedDays,
    Exceptions,
    Presence,
    Retention,
    SearchIndex,
    Tallies,
    refresh_public_keys,
)
from receiver.worker.sweeps import Sweeps
from receiver.worker.watches import GiveUpClock, IdleConsumers, QuietSources, StalledPayments, Subscriptions

log = logging.getLogger(__name__)

IDLE_SECONDS = 0.5
"""How soon a new claim is noticed."""

TROUBLE_SECONDS = 5.0
"""How long to wait after the database failed."""

LEFT_ALONE = timedelta(seconds=30)
"""For how long a chore that failed, though the database is there, has no turn: it keeps all else waiting, and fills the
log."""


class Stop(Protocol):
    """What says that a worker is to end, such as a `threading.Event`."""

    def is_set(self) -> bool:
        """Tell whether it is to end."""

    def wait(self, timeout: float, /) -> bool:
        """Wait until it is to end, for so many seconds at most; false where it is not."""


class Worker:
    """Does all that is due in one database, a little of everything in each round; any number of workers may run."""

    def __init__(self, runtime: Runtime, chores: Sequence[Callable[[], int]] | None = None) -> None:
        """`chores` is what is done in every round besides checks; each returns how much it did."""
        self._runtime = runtime
        self._reconciler = Reconciler(runtime)
        self._alarms = Alarms(runtime)
        self._chores = _usual_chores(runtime, self._reconciler, self._alarms) if chores is None else chores
        self._failed_at: dict[int, datetime] = {}
        """When a chore failed, by its place among them."""

    def run(self, stop: Stop) -> None:
        """Work until `stop` is set; whatever fails is waited out: the web server ends where the worker does."""
        while not stop.is_set():
            try:
                done = self._round()
            except StoreUnavailable as error:
                log.warning("the database is unavailable: %s", error)
                stop.wait(TROUBLE_SECONDS)
                continue
            except Exception:
                log.exception("a round of the worker failed")
                stop.wait(TROUBLE_SECONDS)
                continue
            if not done:
                stop.wait(IDLE_SECONDS)

    def run_once(self) -> int:
        """Do what is due now, tell people of what came of it, and end; return how much was done.

        Raises:
            StoreUnavailable
        """
        done = 0
        while step := self._round():
            done += step
        # What the last round has opened has no position in the feed yet.
        catch_up(self._runtime.database)
        self._alarms.tell_all()
        return done

    def _bring_up_to_date(self) -> Exception | None:
        """Tell what to ask the banks about, and whether the database is there; return what went wrong but for that.

        Raises:
            StoreUnavailable
        """
        try:
            catch_up(self._runtime.database)
        except StoreUnavailable:
            raise
        except Exception as error:
            return error
        return None

    def _round(self) -> int:
        """Do a little of everything, so that nothing waits for something else to end; return how much was done."""
        done, trouble = 0, self._bring_up_to_date()
        for number, chore in enumerate(self._chores):
            if is_within(LEFT_ALONE, self._failed_at.get(number), self._runtime.clock()):
                continue
            try:
                done += chore()
            except StoreUnavailable as error:
                # Where the database is there, it is the chore's own, such as a statement that takes too long.
                unforeseen = self._bring_up_to_date()
                if trouble or unforeseen:
                    log.warning("%s failed: %s", _name(chore), error)
                trouble = trouble or unforeseen or error
                if not isinstance(error, Contended):
                    self._failed_at[number] = self._runtime.clock()
            except Exception as error:
                self._failed_at[number] = self._runtime.clock()
                log.warning("%s failed: %s", _name(chore), error, exc_info=not isinstance(error, DecryptionFailed))
        # Asked, put off or failed: each is dealt with for now, and there may be more.
        try:
            done += self._reconciler.check_due()
        except StoreUnavailable as error:
            if trouble is not None:
                log.warning("checking what is due failed: %s", error)
            trouble = trouble or error
        if trouble is not None:
            raise trouble
        return done


def _name(chore: Callable[[], int]) -> str:
    """Return what a chore is called, such as `CertificateExpiry.look`."""
    function = chore.func if isinstance(chore, partial) else chore
    owner = getattr(function, "__self__", None)
    name: str = getattr(function, "__name__", "a chore")
    return name if owner is None else f"{type(owner).__name__}.{name}"


def _usual_chores(runtime: Runtime, reconciler: Reconciler, alarms: Alarms) -> Sequence[Callable[[], int]]:
    changes = CredentialChanges(runtime)
    return (
        partial(refresh_public_keys, runtime),
        Runner(runtime).run_due,
        changes.finish_due,
        changes.settle_due,
        CertificateExpiry(runtime).look,
        Presence(runtime).look,
        QuietSources(runtime).look,
        AuditAnchor(runtime).look,
        ClockPutRight(runtime, reconciler).look,
        SearchIndex(runtime).index,
        Exceptions(runtime).look,
        BulkChecks(runtime, reconciler).check_due,
        Sweeps(runtime).step,
        ClosedDays(runtime).look,
        StalledPayments(runtime).look,
        GiveUpClock(runtime).look,
        IdleConsumers(runtime).look,
        Subscriptions(runtime).look,
        Retention(runtime).look,
        Tallies(runtime).look,
        alarms.look,
    )
