"""When a worker was seen last, and which sources were removed.

Revision 0012.
"""

import sqlalchemy as sa
from alembic import op

from receiver.store.tables.base import UtcDateTime

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add them; no source that is there was removed."""
    op.add_column("sources", sa.Column("hidden_at", UtcDateTime(), nullable=True))
    op.create_table(
        "worker_seen",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("seen_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_worker_seen")),
    )
