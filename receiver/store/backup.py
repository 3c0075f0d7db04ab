"""A copy of a SQLite database while it is written to, by SQLite's own online backup."""

import errno
import os
import secrets
import sqlite3
from contextlib import suppress
from pathlib import Path

from sqlalchemy import make_url

from receiver.model import ReceiverError
from receiver.store.database import Database, StoreUnavailable
from receiver.store.sqlite import open_private

_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
"""What file systems say that know no second name of a file (hard link), such as FAT."""


class BackupRefused(ReceiverError):
    """A copy can't be made here, or not to there."""


def copy(database: Database, to: Path) -> int:
    """Write a consistent copy to a file that does not exist yet, and return its size in bytes.

    The file shows under its name once it is whole and on disk; it is for this user alone, whatever the umask. Nothing
    is written through a link. Until then it is `FILE.<random>.part`: a copy that is killed leaves that behind, and
    nothing removes it, because no other copy can know whether it is still under way. On a file system without hard
    links an empty file has the name for an instant before: a kill just then leaves it, and the next copy to that name
    is refused.

    Raises:
        BackupRefused
        StoreUnavailable
    """
    if not database.is_sqlite:
        raise BackupRefused("this is for SQLite; for PostgreSQL use pg_dump, which copies all that is needed")
    if os.path.lexists(to):
        raise BackupRefused(f"{to} exists already")
    part = to.with_name(f"{to.name}.{secrets.token_hex(8)}.part")
    try:
        made = open_private(part)
    except OSError as error:
        raise StoreUnavailable(str(error)) from error
    try:
        _copy(str(make_url(database.url).database), part, made)
        _give_name(part, to)
        _sync(to.parent)
        return os.fstat(made).st_size
    except (sqlite3.Error, OSError) as error:
        raise StoreUnavailable(str(error)) from error
    finally:
        with suppress(OSError):
            if os.path.samestat(os.fstat(made), os.lstat(part)):
                part.unlink()
        os.close(made)


def _copy(database: str, part: Path, made: int) -> None:
    """Copy into the new file, which is open as `made`, until it is whole and on disk."""
    source = sqlite3.connect(database)
    target = sqlite3.connect(part)
    try:
        source.backup(target)
        if target.execute("PRAGMA integrity_check").fetchone() != ("ok",):
            raise BackupRefused("the copy is not whole: the database itself may be damaged")
    finally:
        target.close()
        source.close()
    if not os.path.samestat(os.fstat(made), os.lstat(part)):
        raise BackupRefused(f"{part} was replaced meanwhile")
    os.fsync(made)


def _give_name(part: Path, to: Path) -> None:
    """Give the whole copy its name, unless something has it by now: a rename would put the copy in its place.

    Where there are no hard links the name is taken by an empty file first, for an instant.

    Raises:
        BackupRefused
        OSError
    """
    try:
        try:
            # The other name goes with what is left over.
            os.link(part, to)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            os.close(open_private(to))
            try:
                part.rename(to)
            except OSError:
                to.unlink()
                raise
    except FileExistsError as error:
        raise BackupRefused(f"{to} exists already") from error


def _sync(path: Path) -> None:
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
