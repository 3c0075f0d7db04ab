"""A consumer belongs to the token that made it, and what it has read and acknowledged is noted in ranges.

Revision 0013.
"""

import sqlalchemy as sa
from alembic import op

from receiver.store.tables.base import BigKey, UtcDateTime

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add columns and a table; consumers that are there belong to nobody, and so to all."""
    op.add_column("consumers", sa.Column("owner", sa.String(), nullable=True))
    op.add_column("consumers", sa.Column("shared_with", sa.JSON(), nullable=True))
    op.add_column("consumers", sa.Column("read_at", UtcDateTime(), nullable=True))
    op.create_index("ix_consumers_owner", "consumers", ["owner"])
    op.create_table(
        "consumer_ranges",
        sa.Column("id", BigKey, autoincrement=True, nullable=False),
        sa.Column("consumer", sa.String(), nullable=False),
        sa.Column("act", sa.String(), nullable=False),
        sa.Column("token", sa.String(), nullable=False),
        sa.Column("behind", sa.BigInteger(), nullable=False),
        sa.Column("through", sa.BigInteger(), nullable=False),
        sa.Column("first_at", UtcDateTime(), nullable=False),
        sa.Column("last_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_consumer_ranges")),
    )
    op.create_index("ix_consumer_ranges_consumer", "consumer_ranges", ["consumer", "act", "id"])
