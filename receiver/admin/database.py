"""The database as a whole: copy it to a file (backup)."""

from dataclasses import dataclass
from pathlib import Path

from receiver.admin.audit import note
from receiver.runtime import Runtime
from receiver.store import backup as copying
from receiver.store.database import StoreUnavailable


@dataclass(frozen=True)
class Backup:
    """A copy that is whole and on disk."""

    path: Path
    size: int
    """In bytes."""
    is_audited: bool
    """False where the database can be read but not written: the copy is good, and the audit log says nothing of it."""


def backup(runtime: Runtime, who: str, to: Path) -> Backup:
    """Copy a SQLite database to a file while it is written to; audited as `database.backed_up`.

    A full or read-only disk is when a copy is needed most, so it does not fail for want of the entry.

    Raises:
        BackupRefused: it is no SQLite database, or the file exists already.
        StoreUnavailable: it can't be copied.
    """
    size = copying.copy(runtime.database, to)
    about = {"file": to.name, "bytes": size}
    try:
        note(runtime, who, "database.backed_up", about)
    except StoreUnavailable:
        return Backup(to, size, is_audited=False)
    return Backup(to, size, is_audited=True)
