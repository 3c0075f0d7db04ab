"""Closed days as evidence: whether they are as they were closed, here and in a file that was exported."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any

from receiver.admin import sources as source_acts
from receiver.admin.day_lines import chunks_of
from receiver.admin.days import Day
from receiver.model import DayCategory, NotFound, NotPossible, ReceiverError
from receiver.runtime import Runtime, start
from receiver.settings import Settings
from receiver.store import day_verification, days, sources
from receiver.store.database import StoreUnavailable
from receiver.store.day_verification import DayFile, DayFileWrong, Fault
from receiver.store.days import PURPOSE
from receiver.store.digest_keys import DigestKeys, mac, name_of
from receiver.store.encryption import Encryption

log = logging.getLogger(__name__)


class DaysBroken(ReceiverError):
    """Closed days are not as they were closed."""

    def __init__(self, found: Sequence[str]) -> None:
        super().__init__("; ".join(found))
        self.found = found


def export(runtime: Runtime, found: Day) -> Iterator[str]:
    """Write a day as one JSON document, each line of it on a line of text; of a closed one it can be verified.

    Raises:
        NotPossible: what is stored is not what was written; so does going through it.
        StoreUnavailable
    """
    stored = (chunk for category in DayCategory for chunk in chunks_of(runtime, found, category, 0))
    header, digest = {"source": found.source.name, "day": found.day.isoformat(), "state": str(found.state)}, None
    if found.record is not None:
        header, digest = found.record.header, found.record.digest
    elif found.compared is not None:
        header |= found.compared.content
    try:
        yield from day_verification.exported(header, digest, stored)
    except ValueError as error:
        raise NotPossible("its lines are not what was written: run `receiver days verify`") from error


def verify(runtime: Runtime, source_name: str | None = None, day: date | None = None) -> int:
    """Check that closed days are as they were closed: all, those of a source, or one day; return how many versions.

    Raises:
        DaysBroken: with all that does not fit.
        NotFound: there is no such source, or the day is not closed.
        DecryptionFailed
        StoreUnavailable
    """
    with runtime.database.read() as connection:
        names = sources.names(connection)
        chosen = days.source_ids(connection)
        if source_name is not None:
            chosen = [source_acts.named(connection, source_name).id]
    number, found = 0, list[Fault]()
    for source_id in chosen:
        with runtime.database.read() as connection:
            stored = days.versions(connection, source_id, day) if day else days.written(connection, source_id)
            found += day_verification.faults(connection, runtime.encryption, source_id, day)
        number += len(stored)
    if found:
        raise DaysBroken([in_words(fault, names) for fault in found])
    if day is not None and not number:
        raise NotFound(f"{day} of {source_name} is not closed")
    return number


def in_words(fault: Fault, names: Mapping[int, str]) -> str:
    """Return what does not fit, and where; `names` are those of the sources."""
    source = names.get(fault.source_id, str(fault.source_id))
    where = f"{source} {fault.day}, version {fault.version}" if fault.day else source
    return f"{where}: {fault.words}"


def verify_file(settings: Settings, text: Iterable[str]) -> Mapping[str, Any]:
    """Check an exported file by the secret keys alone, and return its header.

    Where its key is derived of none of them, for the one that it was has been rotated out since, the database is asked.

    Raises:
        DaysBroken: with all that does not fit.
        DayFileWrong: it is no such file; or its key is not to be had.
        DecryptionFailed
        StoreUnavailable
    """
    try:
        file = day_verification.read_file(text)
        if file.digest is None:
            raise DayFileWrong("it is of a day that was not closed, and has no digest")
        name = str(file.header.get("key"))
        derived = {name_of(key): key for key in (Encryption([key]).derived(PURPOSE) for key in settings.keys)}
        if name in derived:
            found = day_verification.of_file(file, lambda content: mac(derived[name], content))
        else:
            found = _by_stored_key(settings, file, name)
    except UnicodeDecodeError as error:
        raise DayFileWrong("it is no text in UTF-8") from error
    if found:
        raise DaysBroken([f"{file.header.get('source')} {file.header.get('day')}: {words}" for words in found])
    return file.header


def _by_stored_key(settings: Settings, file: DayFile, name: str) -> list[str]:
    parts = start(settings)
    try:
        with parts.database.read() as connection:
            keys = DigestKeys(connection, parts.encryption, PURPOSE)
            if keys.knows(name):
                return day_verification.of_file(file, lambda content: keys.mac(name, content))
    except StoreUnavailable as error:
        log.info("no key from the database: %s", error)
    finally:
        parts.database.close()
    raise DayFileWrong(
        f"its digest is made with the key {name[:16]!r}, which is derived of none of RECEIVER_SECRET_KEYS, and which "
        "the database does not have: put the secret key of that time behind the others"
    )
