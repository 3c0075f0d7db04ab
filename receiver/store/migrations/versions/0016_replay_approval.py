"""A large replay waits for a second person; what a search found is sent again as it was found.

Revision 0016.
"""

import sqlalchemy as sa
from alembic import op

from receiver.store.tables.base import BigKey, UtcDateTime

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add who approved a replay, an index for lists by state, and the positions that a plan chose."""
    op.add_column("replays", sa.Column("approved_by", sa.String(), nullable=True))
    op.add_column("replays", sa.Column("approved_at", UtcDateTime(), nullable=True))
    op.create_index("ix_replays_state", "replays", ["state", "id"])
    op.create_table(
        "replay_positions",
        sa.Column("plan", sa.String(), nullable=False),
        sa.Column("position", BigKey, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("plan", "position", name=op.f("pk_replay_positions")),
    )
