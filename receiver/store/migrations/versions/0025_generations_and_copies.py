"""The generation of a consumer, which each seek draws anew, and when a replay has written a copy.

Revision 0025.
"""

import sqlalchemy as sa
from alembic import op

from receiver.store.tables.base import UtcDateTime

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; consumers and cursors of before are of generation 0, and copies of before have no such time."""
    op.add_column("consumers", sa.Column("generation", sa.Integer(), server_default=sa.text("0"), nullable=False))
    for table in ("feed_entries", "feed_outbox"):
        op.add_column(table, sa.Column("copied_at", UtcDateTime(), nullable=True))
