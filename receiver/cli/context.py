"""What every command starts from: the process's parts over a migrated database, and who is at the terminal."""

import getpass
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from receiver.runtime import Runtime


def migrated() -> "Runtime":
    """Return the parts, once the database is known to have this release's tables; closed when the command ends.

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


def who() -> str:
    """Return who uses the command line, as the audit log names them: `cli:` and the operating system's user."""
    return f"cli:{getpass.getuser()}"
