"""A copy of a SQLite database while it is written to, by SQLite's own online backup."""

import os
import sqlite3
from pathlib import Path

from sqlalchemy import make_url

from receiver.model import ReceiverError
from receiver.store.database import Database, StoreUnavailable


class BackupRefused(ReceiverError):
    """A copy can't be made here, or not to there."""


def copy(database: Database, to: Path) -> int:
    """Write a consistent copy to a file that does not exist yet, and return its size in bytes.

    The file shows under its name once it is whole and on disk.

    Raises:
        BackupRefused
        StoreUnavailable
    """
    if not database.is_sqlite:
        raise BackupRefused("this is for SQLite; for PostgreSQL use pg_dump, which copies all that is needed")
    if to.exists():
        raise BackupRefused(f"{to} exists already")
    part = to.with_name(to.name + ".part")
    try:
        source = sqlite3.connect(str(make_url(database.url).database))
        target = sqlite3.connect(part)
        try:
            source.backup(target)
            if target.execute("PRAGMA integrity_check").fetchone() != ("ok",):
                raise BackupRefused("the copy is not whole: the database itself may be damaged")
        finally:
            target.close()
            source.close()
        _sync(part)
        part.rename(to)
        _sync(to.parent)
    except (sqlite3.Error, OSError) as error:
        raise StoreUnavailable(str(error)) from error
    finally:
        part.unlink(missing_ok=True)
    return to.stat().st_size


def _sync(path: Path) -> None:
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
