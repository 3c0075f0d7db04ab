"""What every process of the receiver starts from: settings, database, sealer and clock, put together once."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from receiver.credentials.changes import Changes
from receiver.credentials.settling import Settling
from receiver.inbox.inbox import Inbox
from receiver.inbox.writer import Limits
from receiver.reconcile.certificates import Watch
from receiver.reconcile.schedule import Schedule
from receiver.reconcile.silence import Silence
from receiver.reconcile.worker import Worker
from receiver.replay.run import Runner
from receiver.settings import Settings
from receiver.store.database import Database
from receiver.store.sealing import Sealer

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The clock of every process; tests hand in others."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Runtime:
    """The parts of one process."""

    settings: Settings
    database: Database
    sealer: Sealer
    clock: Clock = utc_now

    def inbox(self) -> Inbox:
        """Return the inbox with this process's limits."""
        settings = self.settings
        limits = Limits(
            body_bytes=settings.max_body_bytes,
            rejected_kept=settings.rejected_kept,
            rejected_body_bytes=settings.rejected_body_bytes,
            waiting=settings.waiting_max,
        )
        return Inbox(self.database, self.sealer, self.clock, limits)

    def worker(self) -> Worker:
        """Return the worker with this process's schedule; it runs replays and finishes changes of credentials too."""
        settings = self.settings
        schedule = Schedule(settings.recheck_seconds, settings.recheck_max_seconds)
        certificates = Watch(self.database, self.sealer, self.clock)
        replays = Runner(self.database, self.sealer, self.clock)
        settling = Settling(self.database, self.sealer, self.clock)
        chores = (
            replays.run_due,
            self.credential_changes().finish_due,
            settling.settle_due,
            certificates.look,
            Silence(self.database, self.clock).look,
        )
        return Worker(self.database, self.sealer, self.clock, schedule, settings.lease_seconds, chores)

    def credential_changes(self) -> Changes:
        """Return what makes and finishes changes of API credentials."""
        return Changes(self.database, self.sealer, self.clock, self.settings.secret_grace_seconds)


def start(settings: Settings, clock: Clock = utc_now) -> Runtime:
    """Put the parts together; opens no connection yet."""
    return Runtime(settings, Database(settings.database_url), Sealer(settings.keys), clock)
