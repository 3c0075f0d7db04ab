"""A consumer that is moved begins a new generation, so that what was read before it can't be acknowledged any more.

Revision 0026.
"""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add a column; what was given out before is of generation 0, as the consumers are that were there."""
    op.add_column("consumers", sa.Column("generation", sa.Integer(), server_default=sa.text("0"), nullable=False))
