"""What every process of the receiver starts from: settings, database, encryption and clock, put together once."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from receiver.credentials.rotation import CredentialChanges
from receiver.credentials.settlement import Settlement
from receiver.inbox.inbox import Inbox
from receiver.inbox.writer import Limits
from receiver.reconcile.schedule import Schedule
from receiver.replay.run import Runner
from receiver.settings import Settings
from receiver.store.database import Database
from receiver.store.encryption import Encryption
from receiver.worker.certificate_expiry import CertificateExpiry
from receiver.worker.loop import Worker
from receiver.worker.quiet_sources import QuietSources

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """Return the time in UTC: the clock of every process, for which tests hand in others."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Runtime:
    """The parts of one process."""

    settings: Settings
    database: Database
    encryption: Encryption
    clock: Clock = utc_now

    def inbox(self) -> Inbox:
        """Return the inbox with this process's limits."""
        settings = self.settings
        limits = Limits(
            body_bytes=settings.max_body_bytes,
            rejected_max=settings.rejected_max,
            rejected_body_bytes=settings.rejected_body_bytes,
            waiting=settings.waiting_max,
        )
        return Inbox(self.database, self.encryption, self.clock, limits)

    def worker(self) -> Worker:
        """Return the worker with this process's schedule; it runs replays and finishes changes of credentials too."""
        settings = self.settings
        schedule = Schedule(settings.recheck_seconds, settings.recheck_max_seconds)
        certificates = CertificateExpiry(self.database, self.encryption, self.clock)
        replays = Runner(self.database, self.encryption, self.clock)
        settling = Settlement(self.database, self.encryption, self.clock)
        chores = (
            replays.run_due,
            self.credential_changes().finish_due,
            settling.settle_due,
            certificates.look,
            QuietSources(self.database, self.clock).look,
        )
        return Worker(self.database, self.encryption, self.clock, schedule, settings.lease_seconds, chores)

    def credential_changes(self) -> CredentialChanges:
        """Return what makes and finishes changes of API credentials."""
        return CredentialChanges(self.database, self.encryption, self.clock, self.settings.secret_grace_seconds)


def start(settings: Settings, clock: Clock = utc_now) -> Runtime:
    """Put the parts together; opens no connection yet."""
    return Runtime(settings, Database(settings.database_url), Encryption(settings.keys), clock)
