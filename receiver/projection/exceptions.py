"""What a person has to look at among deliveries: refused ones that look like the bank's, and late ones.

Nothing is written down of it on a callback's way. Whoever looks, and the worker, looks through them all anew: the
refused ones are bounded in number, and the late ones are those that wait.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from receiver.model import ExceptionState
from receiver.projection.indexer import index_all, index_some
from receiver.store import exceptions
from receiver.store.database import Database
from receiver.store.exceptions import AT_ONCE, Known, Opened


def derive_all(database: Database, now: datetime) -> None:
    """Have everything opened that a person has to look at by now, conflicts too, and resolved what is no longer so.

    Raises:
        StoreUnavailable
    """
    index_all(database)
    # Conflicts of events that were indexed just now.
    index_some(database)
    while derive_some(database, now) == AT_ONCE:
        pass


def derive_some(database: Database, now: datetime) -> int:
    """Open and resolve what has changed among deliveries; return how many late ones were opened, up to `AT_ONCE`.

    It writes only what it must. What is refused meanwhile, in a flood perhaps, is left to who looks next.

    Raises:
        StoreUnavailable
    """
    with database.read() as connection:
        refused, known = exceptions.refused(connection), exceptions.known_refused(connection)
        late = exceptions.late_unopened(connection)
        opened = [*_anew(refused, known), *late]
        gone = _gone(refused, known)
        is_late_over = exceptions.has_late_over(connection)
    if not (opened or gone or is_late_over):
        return 0
    with database.write() as connection:
        exceptions.open_all(connection, opened, now)
        for each in gone:
            exceptions.resolve_refused(connection, each, now)
        if is_late_over:
            exceptions.resolve_late(connection, now)
    return len(late)


def _anew(refused: Sequence[Opened], known: Mapping[tuple[int, str], Known]) -> Iterator[Opened]:
    """Yield the refused deliveries that nobody was told of, or of which more have come since."""
    for each in refused:
        before = known.get((each.source_id, each.subject))
        if before is None or (before.delivery_id or "") < (each.delivery_id or ""):
            yield each


def _gone(refused: Sequence[Opened], known: Mapping[tuple[int, str], Known]) -> list[Known]:
    """Return what is open about refused deliveries none of which is stored any more: they were accepted, or dropped."""
    there = {(each.source_id, each.subject) for each in refused}
    return [known[key] for key in sorted(known.keys() - there) if known[key].state != ExceptionState.RESOLVED]
