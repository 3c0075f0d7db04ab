"""What every process starts from: settings, database, encryption and clock, put together once."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from receiver.settings import Settings
from receiver.store.database import Database
from receiver.store.encryption import Encryption
from receiver.store.severity import Severities

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """Return the time in UTC: the clock of every process, for which tests hand in others."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Runtime:
    """The parts of one process; whatever works on the database is made from it."""

    settings: Settings
    database: Database
    encryption: Encryption
    clock: Clock = utc_now

    @property
    def severities(self) -> Severities:
        """From which amount and age on something presses how much."""
        return Severities(self.settings.severity_amounts_read, self.settings.severity_ages_read)


def start(settings: Settings, clock: Clock = utc_now) -> Runtime:
    """Put the parts together; opens no connection yet."""
    started = Runtime(settings, Database(settings.database_url), Encryption(settings.keys), clock)
    started.database.press_by(started.severities)
    return started
