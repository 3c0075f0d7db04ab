"""An index over the events about a reference whose payment is not known yet.

Revision 0024. Nothing but the index is added.
"""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the index."""
    is_unnamed = sa.text("kind = 'reference' AND payment_id IS NULL")
    columns = ["source_id", "subject", "id"]
    op.create_index("ix_events_unnamed", "events", columns, sqlite_where=is_unnamed, postgresql_where=is_unnamed)
