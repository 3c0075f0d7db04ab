"""Starting the web application, for production and for development."""

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from receiver import logs, runtime
from receiver.admin import bcb_from_environment
from receiver.model import ReceiverError
from receiver.runtime import Runtime
from receiver.server import late_database
from receiver.server.listening import check_listening
from receiver.settings import Settings, load_settings
from receiver.store import schema
from receiver.store.database import StoreUnavailable

if TYPE_CHECKING:
    from flask import Flask

log = logging.getLogger(__name__)

NOT_LOADED = 4
"""The exit code of a process by which gunicorn's master ends as well; after any other it would start the next one."""

AWAY = "starting without a database: %s (RECEIVER_DATABASE_URL)"

PAUSE_SECONDS = 2.0
"""Before a process that takes another one's place is tried anew."""

_replaces = ContextVar("replaces", default=False)
"""Whether this process takes the place of one that has ended, while others of the same server go on."""


@contextmanager
def replacing() -> Iterator[None]:
    """Load in the block what takes the place of a process that has ended; what fails there ends this process alone.

    The others go on, and gunicorn's master starts the next one, until it comes off.
    """
    token = _replaces.set(True)
    try:
        yield
    except Exception as error:
        why = str(error) if isinstance(error, ReceiverError) else f"{type(error).__name__}: {error}"
        log.error("a web process can't be replaced, and is tried anew in %.0f s: %s", PAUSE_SECONDS, why)
        log.debug("what kept it from starting", exc_info=True)
        time.sleep(PAUSE_SECONDS)
        sys.exit(1)
    finally:
        _replaces.reset(token)


def wsgi_app() -> "Flask":
    """Return the application over the settings in the environment.

    An unreachable database does not stop the start: callbacks get 503 until it is back, and the sources that the
    environment sets are there. Ends the process with one line where a setting is wrong or the database is not migrated,
    or raises that amid `replacing`.
    """
    from receiver.web import create_app

    try:
        settings = load_settings()
        logs.configure(settings.log_level, settings.log_format)
        started = runtime.tracing(runtime.counting(_opened(settings)))
        app = create_app(started)
    except ReceiverError as error:
        if _replaces.get():
            raise
        sys.stderr.write(f"receiver: {error}\n")
        sys.exit(NOT_LOADED)
    started.database.checkpoint_aside()
    return app


def _opened(settings: Settings) -> Runtime:
    """Return the parts over a database that was looked at; a SQLite file that goes away later is not made anew.

    Where a file system that was lost left its empty folder, whoever made a file there would go on with that one.

    Raises:
        NotMigrated
        SettingsError
        DecryptionFailed
    """
    started = runtime.start(settings, must_exist=True)
    if _replaces.get() or not started.database.is_sqlite:
        return started if prepare(started) else late_database.over(started)
    try:
        is_there = prepare(runtime.start(settings))
    except StoreUnavailable as error:
        log.error(AWAY, error)
        is_there = False
    return started if is_there else late_database.over(started)


def prepare(started: Runtime) -> bool:
    """Check the database and apply the sources that the environment sets; false where it can't be reached.

    Tables of a newer release are good enough amid `replacing`, as they are for the processes that go on.

    Raises:
        NotMigrated
        SettingsError
        DecryptionFailed: something is to be written down that the keys are needed for, and none of them fits.
    """
    try:
        schema.check(started.database, or_newer=_replaces.get())
        bcb_from_environment.apply(started)
    except StoreUnavailable as error:
        log.error(AWAY, error)
        return False
    else:
        return True
    finally:
        # Connections must not be shared with processes that are forked from this one.
        started.database.close()


def development_server() -> None:
    """Serve on `RECEIVER_BIND` and `PORT` with Flask's own server, the database migrated; not for production."""
    from receiver.web import create_app

    try:
        settings = load_settings()
        logs.configure(settings.log_level, settings.log_format)
        check_listening(settings)
        with runtime.naming_database():
            started = runtime.start(settings)
            schema.upgrade(started.database, started.encryption)
        started = started if prepare(started) else late_database.over(started)
        started = runtime.tracing(runtime.counting(started))
        app = create_app(started)
    except ReceiverError as error:
        sys.exit(f"receiver: {error}")
    started.database.checkpoint_aside()
    # Flask would read `.env` too, by rules of its own.
    host = started.settings.bind.strip("[]").replace("unix:", "unix://")
    app.run(host, started.settings.port, threaded=True, load_dotenv=False)
