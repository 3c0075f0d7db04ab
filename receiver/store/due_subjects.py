"""What is due, looked at without taking it: what the banks are to be asked for, and of which sources."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import Connection, Integer, Select, bindparam, or_, select, union_all

from receiver.model import Purpose, SubjectKind
from receiver.store.leases import IN_ORDER, Lease, as_text, due_for, is_free
from receiver.store.records import columns_of
from receiver.store.tables import Source, Subject, table_of

_subjects, _sources = table_of(Subject), table_of(Source)


def purposes_due(connection: Connection, now: datetime) -> list[Purpose]:
    """Return what anything is due for; next to nothing where nothing is."""
    # In the index's order: one that only asks whether there is any might be looked for among all that is settled.
    first = [
        select(_subjects.c.due_at)
        .where(_subjects.c.purpose == as_text(purpose), _subjects.c.due_at.is_not(None))
        .order_by(_subjects.c.due_at)
        .limit(1)
        .scalar_subquery()
        for purpose in Purpose
    ]
    row = connection.execute(select(*first)).one()
    return [purpose for purpose, due_at in zip(Purpose, row, strict=True) if due_at is not None and due_at <= now]


def sources_due(
    connection: Connection, purposes: Sequence[Purpose], lease: Lease, source_ids: Sequence[int]
) -> Mapping[Purpose, Sequence[int]]:
    """Return of which of these sources anything is due that `lease` could take, by what for, the longest due first.

    Each is one step into an index, however much is due of all others. What nothing is due for is left out.
    """
    if not purposes or not source_ids:
        return {}
    first = [
        select(_subjects.c.due_at)
        .where(*due_for(_sources.c.id, purpose, lease.now), is_free(lease))
        .order_by(*IN_ORDER)
        .limit(1)
        .scalar_subquery()
        for purpose in purposes
    ]
    rows = connection.execute(select(_sources.c.id, *first).where(_sources.c.id.in_(source_ids))).all()
    found: dict[Purpose, list[int]] = {}
    for place, purpose in enumerate(purposes, 1):
        ids = sorted((row[place], row[0]) for row in rows if row[place] is not None)
        if ids:
            found[purpose] = [source_id for _, source_id in ids]
    return found


class DuePayment(NamedTuple):
    """A payment that is due, and that nobody asks about just now."""

    id: int
    source_id: int
    subject: str


def due_payments(connection: Connection, now: datetime, limit: int, source_ids: Sequence[int]) -> list[DuePayment]:
    """Return, source by source, the payments among the `limit` subjects of each that are longest due."""
    return [
        DuePayment._make(row)
        for source_id in source_ids
        for row in connection.execute(_longest_due(), {"due_of": source_id, "now": now, "most": limit})
    ]


@cache
def _longest_due() -> Select[Any]:
    """Built once: to build it takes longer than to run it where nothing is due."""
    source_id = bindparam("due_of", type_=_subjects.c.source_id.type)
    now, most = bindparam("now", type_=_subjects.c.due_at.type), bindparam("most", type_=Integer())
    columns = [_subjects.c[name] for name in ("id", "source_id", "subject", "kind", "due_at", "leased_until")]
    # What each purpose has is in order in the index, and together it is not.
    each = [
        select(*columns).where(*due_for(source_id, purpose, now)).order_by(*IN_ORDER).limit(most).subquery()
        for purpose in Purpose
    ]
    together = union_all(*(select(part) for part in each)).subquery()
    due = select(together).order_by(together.c.due_at).limit(most).subquery()
    free = or_(due.c.leased_until.is_(None), due.c.leased_until <= now)
    payments = select(*columns_of(DuePayment, due)).where(due.c.kind == SubjectKind.PAYMENT, free)
    return payments.order_by(due.c.due_at)
