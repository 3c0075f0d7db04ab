"""The day that a bank names of a line of its list where it tells no time.

Revision 0026. Of lines that are read no more it is not known: one that stands at the beginning of its day may have had
that time.
"""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    op.add_column("bank_lines", sa.Column("named_day", sa.Date(), nullable=True))
