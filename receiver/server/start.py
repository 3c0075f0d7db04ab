"""Starting the web application, for production and for development."""

import logging
import sys
from typing import TYPE_CHECKING

from receiver import logs, runtime
from receiver.admin import bcb_from_environment
from receiver.model import ReceiverError
from receiver.runtime import Runtime
from receiver.settings import load_settings
from receiver.store import schema
from receiver.store.database import StoreUnavailable

if TYPE_CHECKING:
    from flask import Flask

log = logging.getLogger(__name__)

NOT_LOADED = 4
"""The exit code of a process by which gunicorn's master ends as well; after any other it would start the next one."""


def wsgi_app() -> "Flask":
    """Return the application over the settings in the environment.

    An unreachable database does not stop the start: callbacks get 503 until it is back. Ends the process with one
    line where a setting is wrong or the database is not migrated.
    """
    from receiver.web import create_app

    try:
        started = runtime.start(load_settings())
        logs.configure(started.settings.log_level, started.settings.log_format)
        prepare(started)
        started = runtime.tracing(runtime.counting(started))
    except ReceiverError as error:
        sys.stderr.write(f"receiver: {error}\n")
        sys.exit(NOT_LOADED)
    started.database.checkpoint_aside()
    return create_app(started)


def prepare(started: Runtime) -> None:
    """Check the database and apply the sources that the environment sets.

    Raises:
        NotMigrated
        SettingsError
        DecryptionFailed: something is to be written down that the keys are needed for, and none of them fits.
    """
    try:
        schema.check(started.database)
        bcb_from_environment.apply(started)
    except StoreUnavailable as error:
        log.error("starting without a database: %s", error)
    finally:
        # Connections must not be shared with processes that are forked from this one.
        started.database.close()


def development_server() -> None:
    """Serve on `RECEIVER_BIND` and `PORT` with Flask's own server, the database migrated; not for production."""
    from receiver.web import create_app

    try:
        started = runtime.start(load_settings())
        logs.configure(started.settings.log_level, started.settings.log_format)
        schema.upgrade(started.database, started.encryption)
        prepare(started)
        started = runtime.tracing(runtime.counting(started))
    except ReceiverError as error:
        sys.exit(f"receiver: {error}")
    started.database.checkpoint_aside()
    # Flask would read `.env` too, by rules of its own.
    host = started.settings.bind.strip("[]").replace("unix:", "unix://")
    create_app(started).run(host, started.settings.port, threaded=True, load_dotenv=False)
