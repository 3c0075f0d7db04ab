"""Requests as they came (deliveries): find one, explain how it was signed, verify rejected ones anew."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from receiver.admin import sources
from receiver.inbox import explain as explaining
from receiver.inbox import reverify as reverifying
from receiver.inbox.explain import Report
from receiver.model import NotFound
from receiver.runtime import Runtime
from receiver.store import audit, deliveries, replays
from receiver.store.deliveries import DeliveryRecord
from receiver.store.replays import Selection

PART = 500
"""Deliveries that are read at a time: their bodies come with them."""

AUDITED = 100
"""Ids of accepted deliveries that one entry of the audit log names at most."""


@dataclass(frozen=True)
class Explained:
    """A delivery, and what is known of how it was signed."""

    delivery: DeliveryRecord
    report: Report


@dataclass(frozen=True)
class Reverified:
    """How many rejected deliveries were verified, and the ids of those that were accepted, ascending."""

    verified: int
    accepted: Sequence[str]


def find(runtime: Runtime, delivery_id: str) -> DeliveryRecord:
    """Return one delivery with its source's name, whatever became of it.

    Raises:
        NotFound
        StoreUnavailable
    """
    with runtime.database.read() as connection:
        row = deliveries.find(connection, delivery_id)
    if row is None:
        raise NotFound(f"there is no delivery {delivery_id!r}")
    return row


def explain(runtime: Runtime, who: str, delivery_id: str, paths: Sequence[str] = ()) -> Explained:
    """Find out how a delivery was signed (a dry run of its verification); `paths` are tried besides its own.

    Audited as `deliveries.explained`: it tells what the source's secrets would have accepted.

    Raises:
        NotFound
        NotExplained
        DecryptionFailed
        StoreUnavailable
    """
    row = find(runtime, delivery_id)
    prefix = runtime.settings.public_path_prefix
    with runtime.database.read() as connection:
        report = explaining.explain(connection, runtime.encryption, row, prefix, paths, runtime.clock())
    about = {"source": row.source, "delivery": row.id}
    with runtime.database.write() as connection:
        audit.write(
            connection,
            runtime.encryption,
            at=runtime.clock(),
            who=who,
            what="deliveries.explained",
            why=None,
            about=about,
        )
    return Explained(row, report)


def reverify(
    runtime: Runtime, who: str, delivery_ids: Sequence[str] = (), source_name: str | None = None
) -> Reverified:
    """Accept rejected deliveries that are proven genuine by now; audited as `deliveries.reverified` if any are.

    Without ids, all that are stored, or all of one source. Each is accepted in a transaction of its own, so that no
    two writers wait for each other in a circle; what was accepted before a failure is in the audit log too.

    Raises:
        NotFound: there is no such source or rejected delivery; nothing is done.
        StoreUnavailable
    """
    with runtime.database.read() as connection:
        if source_name is not None:
            sources.named(connection, source_name)
        chosen = list(_rejected(connection, Selection(sources=(source_name,) if source_name else ())))
    if missing := set(delivery_ids) - set(chosen):
        raise NotFound(f"there is no rejected delivery {min(missing)!r}")
    if delivery_ids:
        chosen = sorted(set(delivery_ids))
    accepted: list[str] = []
    try:
        accepted.extend(known for known in chosen if reverifying.verify_stored(runtime, known))
    finally:
        if accepted:
            _note(runtime, who, source_name, accepted)
    return Reverified(len(chosen), accepted)


def _rejected(connection: Connection, selection: Selection) -> Iterator[str]:
    """Go through the ids of rejected deliveries, the oldest first."""
    through = replays.last_rejected(connection)
    behind = ""
    while rows := replays.rejected(connection, selection, behind=behind, through=through, limit=PART):
        yield from (row.id for row in rows)
        behind = rows[-1].id


def _note(runtime: Runtime, who: str, source_name: str | None, accepted: Sequence[str]) -> None:
    about = {"source": source_name, "deliveries": list(accepted[:AUDITED]), "accepted": len(accepted)}
    with runtime.database.write() as connection:
        audit.write(
            connection,
            runtime.encryption,
            at=runtime.clock(),
            who=who,
            what="deliveries.reverified",
            why=None,
            about=about,
        )
