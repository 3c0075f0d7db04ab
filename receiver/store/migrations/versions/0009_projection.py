"""What follows from events is derived after the answer: a small row for each event that waits for it.

Revision 0009.
"""

import sqlalchemy as sa
from alembic import op

from receiver.store.tables.base import BigKey, UtcDateTime

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table and the column; of events that are there all was derived when they were written down."""
    op.create_table(
        "pending_events",
        sa.Column("id", BigKey, autoincrement=True, nullable=False),
        sa.Column("event_id", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pending_events")),
    )
    op.add_column("events", sa.Column("claimed_at", UtcDateTime(), nullable=True))
