"""Bringing a database to the tables that this release needs (migrations), and telling whether it has them.

Alembic is imported where a migration runs: to import it takes longer than to start without it.
"""

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from receiver.model import ReceiverError
from receiver.store.database import Database
from receiver.store.encryption import Encryption

TURN_SECONDS = 600
"""Two that migrate at once take turns, however long the first one's migration takes."""

_MIGRATIONS = Path(__file__).parent / "migrations"


class NotMigrated(ReceiverError):
    """The database does not have the tables of this release; where they are older `receiver db upgrade` makes them."""


def newest_revision() -> str:
    """Return the revision that this release needs: migrations are numbered by their files' names."""
    return max(file.name.partition("_")[0] for file in (_MIGRATIONS / "versions").glob("[0-9]*.py"))


def current_revision(database: Database) -> str | None:
    """Return the revision the database has; none where it is empty.

    Raises:
        StoreUnavailable
    """
    with database.read() as connection:
        return _revision(connection)


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
    return found


def upgrade(database: Database, encryption: Encryption, revision: str = "head") -> None:
    """Migrate up, in one transaction; does nothing where nothing is left to do. Safe to run in several places at once.

    Raises:
        DecryptionFailed: something that has to be encrypted anew opens with none of the keys; nothing is changed then.
        NotMigrated: it is of a newer release.
        StoreUnavailable
    """
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    with database.write(turn_seconds=TURN_SECONDS) as connection:
        config.attributes["connection"] = connection
        config.attributes["encryption"] = encryption
        found = _revision(connection)
        try:
            command.upgrade(config, revision)
        except CommandError as error:
            raise _of_other(found) from error


def check_there(database: Database) -> None:
    """Accept a database that is there, for whoever must not make a SQLite file.

    Raises:
        NotMigrated: there is no such file.
    """
    if database.file is not None and not database.file.exists():
        raise _outdated(None)


def _of_other(found: str | None) -> NotMigrated:
    return NotMigrated(
        f"the database is at revision {found}, which this release does not know ({newest_revision()} is its own): "
        "run the newer release that it is of, or restore the backup of before"
    )


def _outdated(found: str | None) -> NotMigrated:
    needed = newest_revision()
    if found is not None and found > needed:
        return _of_other(found)
    return NotMigrated(f"the database is at revision {found or 'none'}, {needed} is needed: run `receiver db upgrade`")


def check(database: Database, *, or_newer: bool = False, seconds: float | None = None) -> None:
    """Accept a database that has this release's tables; with `or_newer` a newer release's too.

    A migration only adds (a test looks at each), so whoever runs while it does goes on over the new tables; nobody
    starts over them. A PostgreSQL that is silent is given up after `seconds`.

    Raises:
        NotMigrated: it has others, or none; or it is one of PostgreSQL that can't hold every character.
        StoreUnavailable
    """
    with database.read(seconds) as connection:
        found = _revision(connection)
        encoding = "UTF8" if database.is_sqlite else connection.execute(text("SHOW server_encoding")).scalar_one()
    needed = newest_revision()
    is_newer = found is not None and found > needed
    if found != needed and not (or_newer and is_newer):
        raise _outdated(found)
    if encoding != "UTF8":
        raise NotMigrated(f"the database's encoding is {encoding}: make it anew with ENCODING 'UTF8'")
