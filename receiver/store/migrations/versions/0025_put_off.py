"""An index over what is not final by when the bank is asked for it next: to find what a wrong clock has put off.

Revision 0025. Nothing but the index is added.
"""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the index."""
    is_open = sa.text("due_at IS NOT NULL AND status IN ('pending', 'unknown')")
    columns = ["source_id", "due_at"]
    op.create_index("ix_subjects_put_off", "subjects", columns, sqlite_where=is_open, postgresql_where=is_open)
