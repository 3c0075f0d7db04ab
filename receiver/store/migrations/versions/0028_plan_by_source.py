"""What is due of a source for a purpose, in order.

Revision 0028. The index over what is due of all sources stays: a server of the release before goes by it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the index."""
    is_due = sa.text("due_at IS NOT NULL")
    op.create_index(
        "ix_subjects_source_plan",
        "subjects",
        ["source_id", "purpose", "due_at", "id"],
        sqlite_where=is_due,
        postgresql_where=is_due,
    )
