"""Removing a source: its secrets go, its row stays, and with it all that a bank ever told.

The row is never deleted. A callback that was judged just before, and is written just after, would else belong to no
source (or, where numbers are used anew, to another one), although its bank was told that it is stored; and to rule that
out, every callback would have to lock its source.
"""

from collections.abc import Iterator
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, Table, delete, or_, select, true

from receiver.model import OwnType, Verdict
from receiver.store import bank_tokens, credential_changes, signing_secrets, sources
from receiver.store.sources import SourceRecord
from receiver.store.tables import (
    BankToken,
    Circuit,
    CredentialChange,
    DayHead,
    Delivery,
    FeedEntry,
    Outage,
    OutboxEntry,
    PublicKeys,
    RequestBudget,
    RequestSpending,
    RetentionLeft,
    RetentionProgress,
    SigningSecret,
    Source,
    SourceWatch,
    StaffException,
    Sweep,
    Tally,
    metadata,
    table_of,
)

_sources, _deliveries, _heads, _exceptions, _entries, _outbox = (
    table_of(model) for model in (Source, Delivery, DayHead, StaffException, FeedEntry, OutboxEntry)
)

_GOES_AT_ONCE = tuple(
    table_of(model) for model in (PublicKeys, RequestBudget, RequestSpending, Circuit, Sweep, SourceWatch)
)
"""What is there to ask the bank by."""

_GOES_LAST = tuple(table_of(model) for model in (SigningSecret, Outage, RetentionProgress, RetentionLeft))
"""What is of use for as long as anything that came is there."""

_OF_THE_SOURCE = frozenset({*_GOES_AT_ONCE, *_GOES_LAST})
_OF_THE_SOURCE |= {table_of(model) for model in (BankToken, CredentialChange, Tally)}
"""What is of no use without the source. Every other table that names a source holds what came of its callbacks."""

_matters = or_(
    _deliveries.c.verdict != Verdict.REJECTED, _deliveries.c.proven.is_(True), _deliveries.c.likely.is_(True)
)
"""A rejected delivery that looks like the bank's may be genuine: it can be verified again."""


def _not_of_the_source_alone(table: Table) -> ColumnElement[bool]:
    """Return the condition for entries of the feed, but those for an exception of the source itself, silence say.

    What needs a person for a delivery or a reason has no event either: its row among the exceptions stands for it.
    """
    is_other = table.c.type.not_in([OwnType.EXCEPTION_OPENED, OwnType.EXCEPTION_RESOLVED])
    return or_(is_other, table.c.subject.is_not(None), table.c.event_id.is_not(None))


_WHERE = {
    _deliveries: _matters,
    # A worker makes the row before there is a day to close.
    _heads: _heads.c.versions > 0,
    _exceptions: _exceptions.c.about != "source",
    _entries: _not_of_the_source_alone(_entries),
    _outbox: _not_of_the_source_alone(_outbox),
}
"""Which rows matter of tables that have others too: those come to be without any callback."""


def remaining(connection: Connection, source_id: int) -> list[str]:
    """Return the names of the tables that hold something of a source that must not go."""
    return [table.name for table, condition in _tables() if _has(connection, table, source_id, condition)]


def _tables() -> Iterator[tuple[Table, ColumnElement[bool]]]:
    for table in metadata().sorted_tables:
        if "source_id" in table.c and table not in _OF_THE_SOURCE:
            yield table, _WHERE.get(table, true())


def _has(connection: Connection, table: Table, source_id: int, condition: ColumnElement[bool]) -> bool:
    rows = select(table.c.source_id).where(table.c.source_id == source_id, condition)
    return connection.execute(rows.limit(1)).first() is not None


def hide(connection: Connection, source: SourceRecord, now: datetime) -> None:
    """End a locked source: disabled for good, its API credentials destroyed, its signing secrets expired.

    The signing secrets stay, sealed: what a bank sent encrypted can't be read without.
    """
    bank_tokens.forget(connection, source.id)
    credential_changes.forget_set_aside(connection, source.id)
    signing_secrets.expire_now(connection, source.id, now)
    for table in _GOES_AT_ONCE:
        connection.execute(delete(table).where(table.c.source_id == source.id))
    sources.change(connection, source.id, enabled=False, credentials=None, environment_digest=None, hidden_at=now)


def clear(connection: Connection, source: SourceRecord) -> str:
    """Drop what is left of a hidden source that nothing belongs to, and free its name; return what it is called now.

    A callback that is being written just then stays with the row, by whatever name. The lock is not waited for: whoever
    else wants it would wait behind; then this fails (`Contended`).
    """
    connection.execute(select(_sources.c.id).where(_sources.c.id == source.id).with_for_update(nowait=True))
    for table in _GOES_LAST:
        connection.execute(delete(table).where(table.c.source_id == source.id))
    connection.execute(delete(_heads).where(_heads.c.source_id == source.id, ~_WHERE[_heads]))
    is_noise = (_deliveries.c.source_id == source.id, _deliveries.c.verdict == Verdict.REJECTED)
    connection.execute(delete(_deliveries).where(*is_noise, ~_matters))
    former = f"{source.name}~{source.id}"
    sources.change(connection, source.id, name=former)
    return former
