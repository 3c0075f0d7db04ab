"""Runs migrations over the connection that `receiver.store.schema` hands in."""

from alembic import context
from sqlalchemy import text

from receiver.store.sqlite import BUSY_SECONDS
from receiver.store.tables import metadata

connection = context.config.attributes["connection"]
if connection.dialect.name == "postgresql":
    # A migration may take its time, and so may the one that it waits for; locks on tables are waited for as usual.
    connection.execute(text("SET LOCAL statement_timeout = 0"))
    connection.execute(text("SET LOCAL lock_timeout = 0"))
    # Two that start at once take turns; the number is this project's own, for this purpose alone.
    connection.execute(text("SELECT pg_advisory_xact_lock(7236101)"))
    connection.execute(text(f"SET LOCAL lock_timeout = '{BUSY_SECONDS}s'"))

context.configure(
    connection=connection,
    target_metadata=metadata(),
    render_as_batch=connection.dialect.name == "sqlite",
    compare_type=True,
)
context.run_migrations()
