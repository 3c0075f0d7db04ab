"""What was removed for its age, what is held back, and holds of events.

Revision 0022. Nothing is removed before somebody sets for how long to store it.
"""

import sqlalchemy as sa
from alembic import op

from receiver.store.tables.base import BigKey, UtcDateTime

revision = "0022"
down_revision = "0020"
branch_labels = None
depends_on = None

VACUUMED_EARLY = ("deliveries", "feed_entries", "checks")
"""What retention removes from, of which PostgreSQL else lets a fifth be dead before it looks after it."""

EARLY = "autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 1"


def upgrade() -> None:
    """Make the tables; on PostgreSQL have what is removed taken away soon."""
    op.add_column("feed_head", sa.Column("removed", BigKey, nullable=False, server_default=sa.text("0")))
    op.create_table(
        "event_holds",
        sa.Column("event_id", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("held_by", sa.String(), nullable=False),
        sa.Column("held_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["event_id"], ["events.id"], name=op.f("fk_event_holds_event_id")),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_event_holds")),
    )
    op.create_table(
        "retention_turn",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("looked_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_retention_turn")),
    )
    op.create_table(
        "retention_progress",
        sa.Column("source_id", BigKey, autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("through", sa.String(), nullable=False),
        sa.Column("left_through", sa.String(), nullable=False),
        sa.Column("left_at", UtcDateTime(), nullable=True),
        sa.Column("removed", sa.BigInteger(), nullable=False),
        sa.Column("stopped_by", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("source_id", "kind", name=op.f("pk_retention_progress")),
    )
    op.create_table(
        "retention_left",
        sa.Column("source_id", BigKey, autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("place", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("source_id", "kind", "place", name=op.f("pk_retention_left")),
    )
    op.execute("INSERT INTO retention_turn (id) VALUES (1)")
    if op.get_bind().dialect.name == "postgresql":
        for table in VACUUMED_EARLY:
            op.execute(f"ALTER TABLE {table} SET ({EARLY})")
