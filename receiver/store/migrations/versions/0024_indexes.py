"""Indexes, and nothing else.

Revision 0024. They are over events about a reference without a payment yet, what a wrong clock has put off, what is due
of a source, and genuine deliveries that brought no event. The index over what is due of all sources stays: a server of
the release before goes by it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the indexes."""
    is_unnamed = sa.text("kind = 'reference' AND payment_id IS NULL")
    is_open = sa.text("due_at IS NOT NULL AND status IN ('pending', 'unknown')")
    is_due = sa.text("due_at IS NOT NULL")
    brought_none = sa.text("verdict IN ('duplicate', 'late')")
    for name, table, columns, rows in (
        ("ix_events_unnamed", "events", ["source_id", "subject", "id"], is_unnamed),
        ("ix_subjects_put_off", "subjects", ["source_id", "due_at"], is_open),
        ("ix_deliveries_without_event", "deliveries", ["source_id", "id"], brought_none),
        ("ix_subjects_source_plan", "subjects", ["source_id", "purpose", "due_at", "id"], is_due),
    ):
        op.create_index(name, table, columns, sqlite_where=rows, postgresql_where=rows)
