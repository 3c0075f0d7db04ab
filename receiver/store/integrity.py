"""Whether a database is whole: what the database itself can tell, references that nothing enforces, and the feed.

Each function yields what is wrong, in words; nothing where all is well. All of them read everything that they look at,
so they take their time; they lock nothing.
"""

from collections.abc import Iterator

from sqlalchemy import Connection, Table, exists, func, select, text

from receiver.store.tables import (
    BankLine,
    Event,
    FeedEntry,
    FeedHead,
    OutboxEntry,
    PendingEvent,
    RetentionTurn,
    SearchProgress,
    Source,
    StaffException,
    metadata,
    table_of,
)

FAULTS_MAX = 20
"""Of each kind that are named."""

_sources, _events, _entries, _head = (table_of(model) for model in (Source, Event, FeedEntry, FeedHead))

_LOOSE = (
    (table_of(FeedEntry), "event_id"),
    (table_of(PendingEvent), "event_id"),
    (table_of(OutboxEntry), "event_id"),
    (table_of(StaffException), "event_id"),
    (table_of(BankLine), "event_id"),
)
"""References to events that have no foreign key, since callbacks would pay for it."""

_SINGLE = tuple(table_of(model) for model in (FeedHead, SearchProgress, RetentionTurn))
"""Tables of one row."""


def take_time(connection: Connection) -> None:
    """Lift the limit on a statement's length for this transaction: to look at millions of rows takes longer."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SET LOCAL statement_timeout = 0"))


def storage(connection: Connection) -> Iterator[str]:
    """Yield what the database finds wrong with how it stores its pages and indexes."""
    if connection.dialect.name == "sqlite":
        found = connection.exec_driver_sql(f"PRAGMA integrity_check({FAULTS_MAX})").scalars().all()
        yield from (str(line) for line in found if line != "ok")
        return
    yield from _invalid_on_postgresql(connection)
    # Each page is read from the table itself, not from an index; the server compares its checksum where it has one.
    connection.execute(text("SET LOCAL enable_indexonlyscan = off"))
    connection.execute(text("SET LOCAL enable_indexscan = off"))
    for table in metadata().sorted_tables:
        connection.execute(select(func.count()).select_from(table)).scalar_one()
    if connection.execute(text("SELECT 1 FROM pg_extension WHERE extname = 'amcheck'")).first() is not None:
        # It raises where an index is not in order.
        connection.execute(
            text(
                "SELECT bt_index_check(c.oid) FROM pg_class c JOIN pg_am a ON a.oid = c.relam"
                " WHERE a.amname = 'btree' AND c.relkind = 'i' AND c.relnamespace = current_schema()::regnamespace"
            )
        ).all()


def _invalid_on_postgresql(connection: Connection) -> Iterator[str]:
    indexes = (
        "SELECT i.indexrelid::regclass::text FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid"
        " WHERE c.relnamespace = current_schema()::regnamespace AND NOT (i.indisvalid AND i.indisready)"
    )
    yield from (f"the index {name} is not valid" for name in connection.execute(text(indexes)).scalars())
    keys = "SELECT conname FROM pg_constraint WHERE connamespace = current_schema()::regnamespace AND NOT convalidated"
    yield from (f"the constraint {name} was never validated" for name in connection.execute(text(keys)).scalars())


def references(connection: Connection) -> Iterator[str]:
    """Yield what refers to something that is not there."""
    if connection.dialect.name == "sqlite":
        for table, row, parent, _ in connection.exec_driver_sql("PRAGMA foreign_key_check").fetchmany(FAULTS_MAX):
            yield f"row {row} of {table} refers to a row of {parent} that is not there"
    for table in metadata().sorted_tables:
        if "source_id" in table.c:
            yield from _without_source(connection, table)
    for table, column in _LOOSE:
        # Not by NOT IN, for which PostgreSQL reads all events anew for each row once they don't fit into its memory.
        is_there = exists().where(_events.c.id == table.c[column])
        lost = select(table.c[column]).where(table.c[column].is_not(None), ~is_there)
        for event_id in connection.execute(lost.limit(FAULTS_MAX)).scalars():
            yield f"{table.name} names the event {event_id}, which is not there"


def _without_source(connection: Connection, table: Table) -> Iterator[str]:
    # 0 stands for the feed as a whole.
    is_there = exists().where(_sources.c.id == table.c.source_id)
    query = select(table.c.source_id).distinct().where(table.c.source_id != 0, ~is_there)
    for source_id in connection.execute(query.limit(FAULTS_MAX)).scalars():
        yield f"{table.name} names the source {source_id}, which is not there"


def positions(connection: Connection) -> Iterator[str]:
    """Yield what is wrong with the feed: holes above what was removed for its age, entries beyond the head."""
    for table in _SINGLE:
        number = connection.execute(select(func.count()).select_from(table)).scalar_one()
        if number != 1:
            yield f"{table.name} has {number} rows, and not one"
            return
    head, removed = connection.execute(select(_head.c.position, _head.c.removed)).one()
    above = select(func.count(), func.max(_entries.c.position)).where(_entries.c.position > removed)
    number, last = connection.execute(above).one()
    if last is not None and last > head:
        yield f"an entry has the position {last}, and the last one that was given is {head}"
    elif number != head - removed:
        missing = head - removed - number
        yield f"{missing} entries are missing above position {removed}: {_holes(connection, removed, head)}"


def _holes(connection: Connection, removed: int, head: int) -> str:
    """Name the first positions that have no entry, as spans."""
    before = func.lag(_entries.c.position, 1, removed).over(order_by=_entries.c.position)
    rows = select(_entries.c.position, before.label("before")).where(_entries.c.position > removed).subquery()
    gaps = select(rows.c.before + 1, rows.c.position - 1).where(rows.c.position > rows.c.before + 1)
    found = [tuple(row) for row in connection.execute(gaps.order_by(rows.c.position).limit(FAULTS_MAX))]
    last = connection.execute(select(func.max(_entries.c.position))).scalar() or removed
    if last < head:
        found.append((max(last, removed) + 1, head))
    return ", ".join(f"{first}" if first == end else f"{first} to {end}" for first, end in found)
