"""What events are found by: keys, facets, and how far they are made.

Revision 0011. The new tables are empty, so nothing waits for them; what is there already is indexed by the worker.
"""

import sqlalchemy as sa
from alembic import op

from receiver.store.tables.base import BigKey, UtcDateTime

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables; entries that have a position by now are left to the worker."""
    op.create_table(
        "search_facets",
        sa.Column("id", BigKey, autoincrement=True, nullable=False),
        sa.Column("source_id", BigKey, nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("proof", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("late", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["source_id"], ["sources.id"], name=op.f("fk_search_facets_source_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_search_facets")),
        sa.UniqueConstraint(
            *("source_id", "type", "currency", "proof", "status", "late"), name="uq_search_facets_combination"
        ),
    )
    op.create_table(
        "search_events",
        sa.Column("position", BigKey, autoincrement=False, nullable=False),
        sa.Column("event_id", sa.String(), nullable=False),
        sa.Column("facets_id", BigKey, nullable=False),
        sa.Column("received_at", UtcDateTime(), nullable=False),
        sa.Column("terms", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["event_id"], ["events.id"], name=op.f("fk_search_events_event_id")),
        sa.ForeignKeyConstraint(["facets_id"], ["search_facets.id"], name=op.f("fk_search_events_facets_id")),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_search_events")),
        sa.UniqueConstraint("event_id", name=op.f("uq_search_events_event_id")),
    )
    op.create_table(
        "search_keys",
        sa.Column("block", BigKey, autoincrement=False, nullable=False),
        sa.Column("facets_id", BigKey, autoincrement=False, nullable=False),
        sa.Column("term", sa.LargeBinary(), nullable=False),
        sa.Column("position", BigKey, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("block", "facets_id", "term", "position", name=op.f("pk_search_keys")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "search_blocks",
        sa.Column("block", BigKey, autoincrement=False, nullable=False),
        sa.Column("first_at", UtcDateTime(), nullable=False),
        sa.Column("last_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("block", name=op.f("pk_search_blocks")),
    )
    op.create_table(
        "search_conflicts",
        sa.Column("event_id", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_search_conflicts")),
    )
    op.create_table(
        "search_progress",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("through", BigKey, nullable=False),
        sa.Column("below", BigKey, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_search_progress")),
    )
    op.execute(
        "INSERT INTO search_progress (id, through, below) "
        "SELECT 1, position, CASE WHEN position > 0 THEN position + 1 ELSE 0 END FROM feed_head"
    )
