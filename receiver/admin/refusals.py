"""Sources that refuse more than they did: whether these were the bank's, and what would have taken them."""

from collections.abc import Iterator
from datetime import timedelta

from sqlalchemy import Connection

from receiver.inbox import explain
from receiver.inbox.explain import NotExplained, Report
from receiver.runtime import Runtime
from receiver.store import deliveries, refusals
from receiver.store.deliveries import DeliveryRecord
from receiver.store.encryption import DecryptionFailed
from receiver.store.refusals import Counts
from receiver.store.sources import SourceRecord

DAY = timedelta(days=1)

RISE_MIN = 0.05
"""Of the share that was refused, from one day to the next: the internet's own noise moves it by less."""

LOOKED_INTO = 5
"""The newest of them: one cause refuses them all."""


def warning(runtime: Runtime, source: SourceRecord) -> str | None:
    """Return in words that a source refused what it would take if set up otherwise, or more than the day before.

    None where neither is so.

    Raises:
        StoreUnavailable
    """
    now = runtime.clock()
    with runtime.database.read() as connection:
        lately = refusals.counts(connection, source.id, now - DAY, now + DAY)
        before = refusals.counts(connection, source.id, now - 2 * DAY, now - DAY)
        if not lately.refused:
            return None
        remedy = next(_remedies(connection, runtime, source), None)
    if remedy is not None:
        row, report = remedy
        return f"{_words(lately, before)}; {row.id} would be taken: {' && '.join(report.commands)}"
    if lately.share - before.share < RISE_MIN:
        return None
    return f"{_words(lately, before)}; see `receiver deliveries list --verdict rejected --source {source.name}`"


def stored(runtime: Runtime, source: SourceRecord) -> int:
    """Return how many refused deliveries of a source are stored, and can be verified again.

    Raises:
        StoreUnavailable
    """
    with runtime.database.read() as connection:
        return refusals.stored(connection, source.id)


def _words(lately: Counts, before: Counts) -> str:
    day_before = f", the day before {before.share:.0%}" if before.refused or before.genuine else ""
    return f"{lately.refused} of the last day's {sum(lately)} were refused ({lately.share:.0%}{day_before})"


def _remedies(
    connection: Connection, runtime: Runtime, source: SourceRecord
) -> Iterator[tuple[DeliveryRecord, Report]]:
    """Yield refused deliveries that were the bank's, by what is known now, and what would have taken each."""
    for row in deliveries.rejected(connection, source.name, below=None, limit=LOOKED_INTO):
        try:
            report = explain.explain(connection, runtime, row)
        except (NotExplained, DecryptionFailed):
            continue
        if report.commands:
            yield row, report
