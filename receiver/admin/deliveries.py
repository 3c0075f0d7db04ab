"""Requests as they came (deliveries): find one, explain how it was signed, verify rejected ones, accept late ones."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from receiver.admin import source_changes
from receiver.admin.audit import note
from receiver.admin.names import Names
from receiver.admin.source_changes import NewSettings
from receiver.inbox import explain as explaining
from receiver.inbox import reverify as reverifying
from receiver.inbox.explain import Report
from receiver.model import Gone, NotFound, NotPossible, Verdict, reason_given
from receiver.runtime import Runtime
from receiver.store import audit, deliveries, events, replay_selection
from receiver.store import late as late_deliveries
from receiver.store.database import retried
from receiver.store.deliveries import DeliveryRecord
from receiver.store.late import HeldRecord
from receiver.store.records import Recorded
from receiver.store.replay_selection import Selection

PART = 500
"""Ids of deliveries that are read at a time."""

AUDITED = 100
"""Ids of accepted deliveries that one entry of the audit log names at most."""


@dataclass(frozen=True)
class Explained:
    """A delivery, and what is known of how it was signed."""

    delivery: DeliveryRecord
    report: Report


@dataclass(frozen=True)
class Reverified:
    """How many rejected deliveries were verified, and the ids, ascending, of those that are something else by now."""

    verified: int
    accepted: Sequence[str]
    late: Sequence[str] = ()
    """Proven but for their age: they wait to be confirmed."""
    cut: Sequence[str] = ()
    """Not to be proven, because the body was not stored whole."""

    @property
    def words(self) -> str:
        """What has come of it, for people."""
        late = f", {len(self.late)} late" if self.late else ""
        rejected = self.verified - len(self.accepted) - len(self.late)
        words = f"Verified {self.verified} again: {len(self.accepted)} accepted{late}, {rejected} rejected."
        if not self.cut:
            return words
        return (
            f"{words} Of {len(self.cut)} body, headers or path were not kept whole, so nothing can be proven of them "
            "any more."
        )


def find(runtime: Runtime, delivery_id: str) -> DeliveryRecord:
    """Return one delivery with its source's name, whatever became of it.

    Raises:
        NotFound
        StoreUnavailable
    """
    with runtime.database.read() as connection:
        return _found(connection, delivery_id)


def _found(connection: Connection, delivery_id: str) -> DeliveryRecord:
    row = deliveries.find(connection, delivery_id)
    if row is None:
        raise NotFound(f"there is no delivery {delivery_id!r}")
    return row


def raw(runtime: Runtime, who: str, delivery_id: str, why: str | None = None) -> tuple[DeliveryRecord, bytes]:
    """Return a delivery and its body as it is stored, whatever became of it; audited as `payload.read`.

    Of a rejected one it may be the beginning alone: `body_bytes` tells how long it was.

    Raises:
        NotFound
        NotPossible: the reason is none, or too long.
        Gone: it is not stored any more.
        StoreUnavailable: the entry can't be written, and nothing is handed out.
    """
    why = None if why is None else reason_given(why)
    row = find(runtime, delivery_id)
    with runtime.database.read() as connection:
        body = deliveries.body_of(connection, row)
    if body is None:
        raise Gone(f"the body of the delivery {delivery_id} is not stored")
    note(runtime, who, "payload.read", {"source": row.source, "delivery": row.id}, why)
    return row, bytes(body)


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
    with runtime.database.read() as connection:
        report = explaining.explain(connection, runtime, row, paths)
    about = {"source": row.source, "delivery": row.id}
    note(runtime, who, "deliveries.explained", about)
    return Explained(row, report)


def reverify(
    runtime: Runtime, who: str, delivery_ids: Sequence[str] = (), source_name: str | None = None
) -> Reverified:
    """Accept rejected deliveries that are proven genuine by now, or hold them as late where only their time is off.

    Audited as `deliveries.reverified` if any are. Without ids, all that are stored, or all of one source. Each is
    written in a transaction of its own, so that no two writers wait for each other in a circle; what was done before a
    failure is in the audit log too.

    Raises:
        NameUnknown: there is no such source; nothing is done.
        NotFound: there is no such rejected delivery; nothing is done.
        StoreUnavailable
    """
    sources_chosen = () if source_name is None else (source_name,)
    Names(runtime.database).check_all("source", sources_chosen)
    with runtime.database.read() as connection:
        chosen = list(_rejected(connection, Selection(sources=sources_chosen, delivery_ids=tuple(delivery_ids))))
    if missing := set(delivery_ids) - set(chosen):
        raise NotFound(f"there is no rejected delivery {min(missing)!r}")
    if delivery_ids:
        chosen = sorted(set(delivery_ids))
    verdicts: dict[str, Verdict | None] = {}

    def those(verdict: Verdict | None) -> list[str]:
        return [known for known in verdicts if verdicts[known] == verdict]

    try:
        for known in chosen:
            verdicts[known] = reverifying.verify_stored(runtime, known)
    finally:
        accepted, late = those(Verdict.ACCEPTED), those(Verdict.LATE)
        if accepted or late:
            _note(runtime, who, source_name, accepted, late)
    return Reverified(len(chosen), accepted, late, cut=those(None))


def put_right(runtime: Runtime, who: str, delivery_id: str) -> Reverified:
    """Set the options by which a source would have taken a refused delivery, and verify all that it refused again.

    What would have taken it is found out anew. Audited as `deliveries.explained`, `source.set` and
    `deliveries.reverified`.

    Raises:
        NotFound
        NotExplained
        NotPossible: it was not refused, no option would have taken it, or it takes a secret that has expired.
        OptionsWrong
        DecryptionFailed
        StoreUnavailable
    """
    found = explain(runtime, who, delivery_id)
    if found.delivery.verdict != Verdict.REJECTED:
        raise NotPossible(f"delivery {delivery_id} is {found.delivery.verdict}: nothing is to be put right")
    if not found.report.commands or not found.report.fits_now:
        raise NotPossible("no option of the source would have taken it by itself: see what was found out about it")
    if found.report.changes:
        source_changes.change(runtime, who, found.delivery.source, NewSettings(options=found.report.changes))
    return reverify(runtime, who, source_name=found.delivery.source)


@retried
def accept(runtime: Runtime, who: str, delivery_id: str, reason: str) -> Recorded:
    """Accept a late delivery that nobody has confirmed: what it tells becomes events; audited as `deliveries.accepted`.

    Only a late one can be: its signature was right. What was rejected was not proven genuine, or told otherwise with a
    nonce that was used.

    Raises:
        NotFound
        NotPossible: there is no reason, or it is not late.
        StoreUnavailable
    """
    reason = reason_given(reason)
    with runtime.database.write() as connection:
        is_late = late_deliveries.lock(connection, delivery_id)
        row = _found(connection, delivery_id)
        if not is_late:
            more = "; see `receiver deliveries reverify`" if row.verdict == Verdict.REJECTED else ""
            raise NotPossible(f"delivery {delivery_id} is {row.verdict}, and only a late one can be accepted{more}")
        now = runtime.clock()
        recorded = late_deliveries.accept(connection, delivery_id, now)
        about = {"delivery": delivery_id, "source": row.source, "events": list(recorded.event_ids)}
        audit.write(
            connection, runtime.encryption, at=now, who=who, what="deliveries.accepted", why=reason, about=about
        )
    return recorded


def tells(runtime: Runtime, delivery_id: str) -> list[HeldRecord]:
    """Return what a late delivery tells, for as long as it waits; nothing of any other.

    Raises:
        StoreUnavailable
    """
    with runtime.database.read() as connection:
        return late_deliveries.held(connection, delivery_id)


def event_ids(runtime: Runtime, delivery_id: str) -> tuple[str, ...]:
    """Return the ids of the events that a delivery told, for the first time or once more.

    Raises:
        StoreUnavailable
    """
    with runtime.database.read() as connection:
        return events.ids_of_delivery(connection, delivery_id)


def _rejected(connection: Connection, selection: Selection) -> Iterator[str]:
    """Go through the ids of rejected deliveries, the oldest first."""
    through = replay_selection.last_rejected(connection)
    behind = ""
    while rows := replay_selection.rejected(connection, selection, behind=behind, through=through, limit=PART):
        yield from (row.id for row in rows)
        behind = rows[-1].id


def _note(runtime: Runtime, who: str, source_name: str | None, accepted: Sequence[str], held: Sequence[str]) -> None:
    about = {"source": source_name, "deliveries": list(accepted[:AUDITED]), "accepted": len(accepted)}
    if held:
        about |= {"late": len(held), "late_deliveries": list(held[:AUDITED])}
    note(runtime, who, "deliveries.reverified", about)
