"""What every command starts from: the process's parts over a migrated database, and a source by its name."""

import getpass
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from receiver.runtime import Runtime
    from receiver.store.sources import SourceRecord


def migrated() -> "Runtime":
    """Return the parts, once the database is known to have this release's tables.

    Raises:
        SettingsError
        NotMigrated
        StoreUnavailable
    """
    from receiver import logs, runtime
    from receiver.settings import load_settings
    from receiver.store import schema

    started = runtime.start(load_settings())
    click.get_current_context().call_on_close(started.database.close)
    logs.configure("WARNING")
    schema.check(started.database)
    return started


def source_named(connection: "Connection", name: str) -> "SourceRecord":
    """Return a source.

    Raises:
        ClickException: there is none of this name.
    """
    from receiver.store import sources

    found = sources.find(connection, name)
    if found is None:
        known = ", ".join(source.name for source in sources.every(connection)) or "none"
        raise click.ClickException(f"there is no source {name!r}; known: {known}")
    return found


def who() -> str:
    """Return who uses the command line, for the audit log."""
    return f"cli:{getpass.getuser()}"
