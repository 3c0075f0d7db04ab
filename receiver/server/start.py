"""Starting the web application, for production and for development."""

import logging
import sys
from typing import TYPE_CHECKING

from receiver import logs, runtime
from receiver.admin import bcb_from_environment
from receiver.runtime import Runtime
from receiver.settings import SettingsError, load_settings
from receiver.store import schema
from receiver.store.database import StoreUnavailable
from receiver.store.encryption import DecryptionFailed
from receiver.store.schema import NotMigrated

if TYPE_CHECKING:
    from flask import Flask

log = logging.getLogger(__name__)


def wsgi_app() -> "Flask":
    """Return the application over the settings in the environment.

    An unreachable database does not stop the start: callbacks get 503 until it is back. Ends the process with one
    line where a setting is wrong or the database is not migrated.
    """
    from receiver.web import create_app

    try:
        started = runtime.start(load_settings())
        logs.configure(started.settings.log_level)
        prepare(started)
    except (SettingsError, NotMigrated, DecryptionFailed) as error:
        sys.exit(f"receiver: {error}")
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
        logs.configure(started.settings.log_level)
        schema.upgrade(started.database, started.encryption)
        prepare(started)
    except (SettingsError, NotMigrated, DecryptionFailed, StoreUnavailable) as error:
        sys.exit(f"receiver: {error}")
    create_app(started).run(started.settings.bind, started.settings.port, threaded=True)
