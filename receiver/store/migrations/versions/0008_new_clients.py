"""A new client is tried before it is used, and the one before it can be gone back to.

Revision 0008.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; what is there has neither."""
    op.add_column("credential_changes", sa.Column("made", sa.LargeBinary(), nullable=True))
    op.add_column("credential_changes", sa.Column("previous", sa.LargeBinary(), nullable=True))
