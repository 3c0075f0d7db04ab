"""What every process starts from: settings, database, encryption and clock, put together once."""

import errno
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from receiver.metrics.base import NO_TRACES, NOTHING, Counters, Traces, traces_wanted
from receiver.settings import Settings, SettingsError, wrong
from receiver.store.database import Database, StoreUnavailable
from receiver.store.encryption import Encryption
from receiver.store.severity import Severities

log = logging.getLogger(__name__)

_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)

OF_THE_MACHINE = frozenset((*_DISK, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOLCK))
"""Why a directory that was set can't be written though the setting is right: the disk, or what a process may have.

A process that dies amid this is started anew amid it, and gunicorn's master would end with one that ends at its start.
"""

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
    counters: Counters = NOTHING
    traces: Traces = NO_TRACES

    @property
    def severities(self) -> Severities:
        """From which amount and age on something presses how much."""
        return Severities(self.settings.severity_amounts_read, self.settings.severity_ages_read)


def start(settings: Settings, clock: Clock = utc_now, *, must_exist: bool = False) -> Runtime:
    """Put the parts together; opens no connection yet. If `must_exist`, a SQLite file and its folder are not made.

    Raises:
        StoreUnavailable: the folder for the SQLite file can't be made.
    """
    database = Database(settings.database_url, must_exist=must_exist)
    started = Runtime(settings, database, Encryption(settings.keys), clock)
    started.database.press_by(started.severities)
    return started


@contextmanager
def naming_database() -> Iterator[None]:
    """Name the setting in what is raised in the block because the database can't be reached.

    Raises:
        StoreUnavailable
    """
    try:
        yield
    except StoreUnavailable as error:
        raise StoreUnavailable(f"{error} (RECEIVER_DATABASE_URL)") from error


def counting(started: Runtime) -> Runtime:
    """Return the same parts for a process that `/metrics` tells of: it counts together with all on this machine.

    Where no directory can be made for that it counts for itself alone, and says so: callbacks are taken all the same.

    Raises:
        SettingsError: one was set, and can't be made or written; not for what is `OF_THE_MACHINE`, such as a full disk.
    """
    from receiver.metrics.counters import Counted

    given = started.settings.metrics_directory
    error: OSError | None = None
    for directory in started.settings.metrics_directories:
        try:
            return replace(started, counters=Counted(directory))
        except OSError as found:
            error = found
    if given is not None and (error is None or error.errno not in OF_THE_MACHINE):
        raise SettingsError(wrong("metrics_directory", str(error)))
    log.warning("the counters of /metrics are those of one process, as there is no place to share them: %s", error)
    return replace(started, counters=Counted())


def tracing(started: Runtime) -> Runtime:
    """Return the same parts for a process that is traced, where `OTEL_…` in the environment asks for that."""
    if not traces_wanted(os.environ):
        return started
    try:
        from receiver.metrics.traces import OpenTelemetry
    except ImportError as error:
        # They are set for all programs of a machine, so that they are no reason not to start.
        log.warning("OTEL_… asks for traces, and the extra tracing is not installed, so there are none: %s", error)
        return started
    try:
        traces = OpenTelemetry()
    except Exception as error:
        # Nor is one of them that is wrong: the library raises whatever it likes then.
        log.error("OTEL_… asks for traces in a way that can't be, so there are none: %s", error)
        return started
    started.database.watch_statements(traces.begin_statement, traces.end_statement)
    return replace(started, counters=traces.counters(started.counters), traces=traces)
