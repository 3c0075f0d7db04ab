"""A copy that a replay writes has the time at which it was written, beside that of its original.

Revision 0027.
"""

import sqlalchemy as sa
from alembic import op

from receiver.store.tables.base import UtcDateTime

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add a column to the feed and to what waits for a position; copies of before have none."""
    for table in ("feed_entries", "feed_outbox"):
        op.add_column(table, sa.Column("copied_at", UtcDateTime(), nullable=True))
