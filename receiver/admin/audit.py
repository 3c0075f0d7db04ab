"""The audit log, for people: list it, verify it, and take a copy that is an anchor for later."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from receiver.model import ReceiverError
from receiver.runtime import Runtime
from receiver.store import audit
from receiver.store.audit import AuditRecord, AuditState
from receiver.store.database import retried

DIGEST = re.compile(r"[0-9a-f]{64}")


class AnchorWrong(ReceiverError):
    """What was given as an anchor is neither a digest nor a file that an export made."""


@retried
def note(runtime: Runtime, who: str, what: str, about: Mapping[str, Any], why: str | None = None) -> None:
    """Write down an act that changes nothing in the database itself: a read, a copy, a question to a bank.

    Raises:
        DecryptionFailed
        StoreUnavailable
    """
    with runtime.database.write() as connection:
        audit.write(connection, runtime.encryption, at=runtime.clock(), who=who, what=what, about=about, why=why)


def listing(runtime: Runtime, *, below: int | None = None, limit: int) -> list[AuditRecord]:
    """Return entries, newest first; `below` is the number to go on from.

    Raises:
        StoreUnavailable
    """
    with runtime.database.read() as connection:
        return audit.listing(connection, below=below, limit=limit)


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


def export(runtime: Runtime) -> Iterator[dict[str, Any]]:
    """Go through all entries, oldest first, as values of JSON; the last line is the anchor: number and newest digest.

    Raises:
        StoreUnavailable
    """
    with runtime.database.read() as connection:
        number, digest = 0, None
        for entry in audit.oldest_first(connection):
            yield {**entry._asdict(), "at": entry.at.isoformat()}
            number, digest = number + 1, entry.digest
    yield {"entries": number, "anchor": digest}


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
