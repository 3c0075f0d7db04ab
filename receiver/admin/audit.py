"""The audit log, for people: list it, verify it, and take a copy that is an anchor for later."""

import json
import re
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from receiver.model import NotPossible, ReceiverError
from receiver.runtime import Runtime
from receiver.store import audit
from receiver.store.audit import READ_AT_ONCE, AuditState
from receiver.store.audit import AuditFilter as AuditFilter
from receiver.store.audit import AuditRecord as AuditRecord
from receiver.store.database import retried
from receiver.store.thread_pool import give_way

_verifying = threading.Lock()

DIGEST = re.compile(r"[0-9a-f]{64}")

REASON_CHARACTERS_MAX = 500


class AnchorWrong(ReceiverError):
    """What was given as an anchor is neither a digest nor a file that an export made."""


def reason_given(why: str) -> str:
    """Return the reason of an act that is to be written down, such as looking at what a bank sent.

    Raises:
        NotPossible: there is none, or it is too long.
    """
    if not why.strip() or len(why) > REASON_CHARACTERS_MAX:
        raise NotPossible(f"give a reason, up to {REASON_CHARACTERS_MAX} characters")
    return why.strip()


@retried
def note(runtime: Runtime, who: str, what: str, about: Mapping[str, Any], why: str | None = None) -> None:
    """Write down an act that changes nothing in the database itself: a read, a copy, a question to a bank.

    Raises:
        DecryptionFailed
        StoreUnavailable
    """
    with runtime.database.write() as connection:
        audit.write(connection, runtime.encryption, at=runtime.clock(), who=who, what=what, about=about, why=why)


def listing(
    runtime: Runtime, *, below: int | None = None, limit: int, only: AuditFilter | None = None
) -> list[AuditRecord]:
    """Return entries, newest first; `below` is the number to go on from.

    Raises:
        StoreUnavailable
    """
    with runtime.database.read() as connection:
        return audit.listing(connection, below=below, limit=limit, only=only)


def all_of(runtime: Runtime, only: AuditFilter) -> Iterator[AuditRecord]:
    """Go through all entries that a filter lets through, newest first; no read transaction is open for long.

    Raises:
        StoreUnavailable
    """
    below: int | None = None
    while rows := listing(runtime, below=below, limit=READ_AT_ONCE, only=only):
        yield from rows
        below = rows[-1].id


def words(runtime: Runtime) -> list[str]:
    """Return all that was ever done, each word once.

    Raises:
        StoreUnavailable
    """
    with runtime.database.read() as connection:
        return audit.words(connection)


def verify(runtime: Runtime, anchor: str | None = None) -> AuditState:
    """Check the whole log, and that it still holds an anchor: a digest, or the path of a file that `export` made.

    Raises:
        AnchorWrong
        AuditBroken: naming the first thing that does not fit.
        DecryptionFailed
        StoreUnavailable
    """
    digest = None if anchor is None else _digest_of(anchor)
    with runtime.database.read() as connection:
        return audit.verify(connection, runtime.encryption, digest)


def verify_within(runtime: Runtime, seconds: float) -> AuditState:
    """Check the whole log beside other requests, one at a time in a process, for so long at most.

    Raises:
        AuditBroken: naming the first thing that does not fit.
        NotPossible: it takes longer, or is under way already; the text names the command for it.
        DecryptionFailed
        StoreUnavailable
    """
    ends = time.monotonic() + seconds

    def pause() -> None:
        give_way()
        if time.monotonic() > ends:
            raise NotPossible(f"the log is too long to be verified within {seconds:.0f} s: run `receiver audit verify`")

    if not _verifying.acquire(blocking=False):
        raise NotPossible("the log is being verified for somebody else: look at it in a moment")
    try:
        with runtime.database.read() as connection:
            return audit.verify(connection, runtime.encryption, pause=pause)
    finally:
        _verifying.release()


def export(runtime: Runtime) -> Iterator[dict[str, Any]]:
    """Go through all entries, oldest first, as values of JSON; the last line is the anchor: number and newest digest.

    It goes as far as the log goes when it begins, however long that takes: no read transaction is open for long.

    Raises:
        StoreUnavailable
    """
    last = next(iter(listing(runtime, limit=1)), None)
    number, after = 0, 0
    while last is not None and after < last.id:
        with runtime.database.read() as connection:
            rows = [row for row in audit.oldest(connection, after, READ_AT_ONCE) if row.id <= last.id]
        for entry in rows:
            yield {**entry._asdict(), "at": entry.at.isoformat()}
        number, after = number + len(rows), rows[-1].id if rows else last.id
    yield {"entries": number, "anchor": last.digest if last is not None else None}


def _digest_of(anchor: str) -> str | None:
    if DIGEST.fullmatch(anchor):
        return anchor
    try:
        lines = Path(anchor).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise AnchorWrong(f"{anchor!r} is neither a digest of 64 hexadecimal digits nor a file to read") from error
    try:
        last = json.loads(lines[-1])
        found = last["anchor"]
    except (IndexError, ValueError, TypeError, KeyError) as error:
        raise AnchorWrong(f"the last line of {anchor} is no anchor: was the export cut short?") from error
    if found is not None and not (isinstance(found, str) and DIGEST.fullmatch(found)):
        raise AnchorWrong(f"the last line of {anchor} holds no digest of 64 hexadecimal digits")
    return found
