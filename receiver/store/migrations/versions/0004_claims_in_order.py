"""When a bank told its latest claim, for banks whose callbacks say it and come in any order.

Revision 0004.
"""

import sqlalchemy as sa
from alembic import op

from receiver.store.tables.base import UtcDateTime

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; what is there has no such time, and is ordered by receipt as before."""
    op.add_column("subjects", sa.Column("claimed_at", UtcDateTime(), nullable=True))
