"""Bringing a database to the tables that this release needs, and telling whether it has them."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from receiver.model import ReceiverError
from receiver.store.database import Database

TURN_SECONDS = 600
"""Two that migrate at once take turns, however long the first one's migration takes."""

_MIGRATIONS = Path(__file__).parent / "migrations"


class NotMigrated(ReceiverError):
    """The database does not have the tables of this release; `receiver db upgrade` makes them."""


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    return config


def newest_revision() -> str:
    """Return the revision that this release needs."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    return head or ""


def current_revision(database: Database) -> str | None:
    """Return the revision the database has; none where it is empty.

    Raises:
        StoreUnavailable
    """
    with database.read() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def upgrade(database: Database, revision: str = "head") -> None:
    """Migrate up, in one transaction; does nothing where nothing is left to do. Safe to run in several places at once.

    Raises:
        StoreUnavailable
    """
    config = _config()
    with database.write(turn_seconds=TURN_SECONDS) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def check(database: Database) -> None:
    """Accept a database that has this release's tables.

    Raises:
        NotMigrated: it has older ones, or none; or it is one of PostgreSQL that can't hold every character.
        StoreUnavailable
    """
    with database.read() as connection:
        found = MigrationContext.configure(connection).get_current_revision()
        encoding = "UTF8" if database.is_sqlite else connection.execute(text("SHOW server_encoding")).scalar_one()
    needed = newest_revision()
    if found != needed:
        raise NotMigrated(
            f"the database is at revision {found or 'none'}, {needed} is needed: run `receiver db upgrade`"
        )
    if encoding != "UTF8":
        raise NotMigrated(f"the database's encoding is {encoding}: make it anew with ENCODING 'UTF8'")
