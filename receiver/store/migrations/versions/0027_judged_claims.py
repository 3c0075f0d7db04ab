"""Which final claims the bank has confirmed and contradicted, and until when it was asked while nobody claimed any.

Revision 0027.
"""

import sqlalchemy as sa
from alembic import op

from receiver.store.tables.base import BigKey

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

_FINAL = "('completed', 'rejected', 'reversed', 'cancelled', 'returned')"


def upgrade() -> None:
    """Add the columns.

    What was confirmed is filled in where another answer has followed, or may, and the bank was asked since the claim;
    elsewhere the next answer does.
    """
    op.add_column("subjects", sa.Column("unclaimed_check", BigKey, nullable=True))
    op.add_column("subjects", sa.Column("confirmed_status", sa.String(), nullable=True))
    op.add_column("subjects", sa.Column("contradicted_status", sa.String(), nullable=True))
    op.execute(
        "UPDATE subjects SET confirmed_status = claimed_status"  # noqa: S608 - constants
        f" WHERE agreement = 'confirmed' AND claimed_status IN {_FINAL}"
        " AND (due_at IS NULL AND claimed_status <> status OR due_at IS NOT NULL AND purpose = 'recheck')"
    )
