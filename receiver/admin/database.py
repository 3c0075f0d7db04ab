"""The database as a whole: copy it to a file (backup) or into another database, look whether it is whole."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from receiver.admin.audit import note
from receiver.admin.day_verification import in_words
from receiver.runtime import Runtime
from receiver.settings.database_url import check_database_url
from receiver.store import audit, copying, day_verification, days, integrity, sources
from receiver.store import backup as backups
from receiver.store.copying import Copied, CopyRefused
from receiver.store.database import Database, StoreUnavailable, words_of
from receiver.store.encryption import DecryptionFailed


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
    size = backups.copy(runtime.database, to)
    about = {"file": to.name, "bytes": size}
    try:
        note(runtime, who, "database.backed_up", about)
    except StoreUnavailable:
        return Backup(to, size, is_audited=False)
    return Backup(to, size, is_audited=True)


class Checked(NamedTuple):
    """One thing that was looked at, and what is wrong with it, in words; nothing where all is well."""

    what: str
    faults: tuple[str, ...]


def _audit_log(connection: Connection, runtime: Runtime) -> Iterator[str]:
    try:
        audit.verify(connection, runtime.encryption)
    except (audit.AuditBroken, DecryptionFailed) as error:
        yield str(error)


def _days(connection: Connection, runtime: Runtime) -> Iterator[str]:
    names = sources.names(connection)
    try:
        for source_id in days.source_ids(connection):
            for fault in day_verification.faults(connection, runtime.encryption, source_id):
                yield in_words(fault, names)
    except DecryptionFailed as error:
        yield str(error)


CHECKS: tuple[tuple[str, Callable[[Connection, Runtime], Iterator[str]]], ...] = (
    ("storage", lambda connection, _: integrity.storage(connection)),
    ("references", lambda connection, _: integrity.references(connection)),
    ("feed", lambda connection, _: integrity.positions(connection)),
    ("audit log", _audit_log),
    ("days", _days),
)
"""What `receiver db check` looks at, in this order; another check is one more line."""


def check(runtime: Runtime) -> Iterator[Checked]:
    """Look whether the database is whole, one thing after the other, each in a snapshot of its own.

    Raises:
        StoreUnavailable
    """
    for what, look in CHECKS:
        with runtime.database.read() as connection:
            integrity.take_time(connection)
            try:
                faults = tuple(look(connection, runtime))
            except SQLAlchemyError as error:
                # A damaged page ends the look at all of them.
                faults = (words_of(error),)
        yield Checked(what, faults)


def target_of(url: str) -> Database:
    """Return the database of a URL, such as RECEIVER_DATABASE_URL takes.

    Raises:
        CopyRefused: it is none.
        StoreUnavailable
    """
    try:
        check_database_url(url)
    except ValueError as error:
        raise CopyRefused(
            f"the target is wrong ({error}); it takes: sqlite:///PATH or postgresql+psycopg://…"
        ) from None
    return Database(url)


SECRET_PARAMETERS = frozenset(
    {"password", "sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key"}
)
"""Of libpq's, in a URL's query: what itself lets somebody in, not the path of it."""


def has_password(url: str) -> bool:
    """Tell whether a password, or what does for one, stands in a URL, in its query too."""
    try:
        parsed = make_url(url)
        return parsed.password is not None or not SECRET_PARAMETERS.isdisjoint(parsed.query)
    except (ArgumentError, ValueError):
        return False


def copy(runtime: Runtime, who: str, target: Database) -> Iterator[Copied]:
    """Copy everything into an empty database, of the other kind too, as it is when this begins.

    Cursors, consumers, tokens and secrets go on working there, with the same keys. Audited as `database.copied` before
    it begins, so that the copy's own log says so too. It is there once this has come to its end.

    Raises:
        CopyRefused: the target is not empty; or what was written is not what was read, and nothing is left of it.
        StoreUnavailable
    """
    copying.prepare(target, runtime.encryption)
    kind = "sqlite" if target.is_sqlite else "postgresql"
    note(runtime, who, "database.copied", {"to": kind, "database": make_url(target.url).database})
    yield from copying.copy(runtime.database, target)
