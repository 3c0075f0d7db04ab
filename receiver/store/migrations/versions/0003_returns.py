"""Payments that return other payments.

Revision 0003.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Let a payment name the one that it returns, and the one that returned it."""
    op.add_column("subjects", sa.Column("returns", sa.String(), nullable=True))
    op.add_column("subjects", sa.Column("returned_by", sa.String(), nullable=True))
