"""Which final claims the bank has confirmed and contradicted, and which checks were made while nobody claimed anything.

Revision 0027.
"""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

_FINAL = "('completed', 'rejected', 'reversed', 'cancelled', 'returned')"


def upgrade() -> None:
    """Add the columns. Of what no callback has named, no check was made since one had.

    What was confirmed is filled in where another answer has followed, or may, and the bank was asked since the claim;
    elsewhere the next answer does.
    """
    op.add_column("checks", sa.Column("claimed", sa.Boolean(), nullable=True))
    op.execute(
        "UPDATE checks SET claimed = FALSE WHERE subject_id IN (SELECT id FROM subjects WHERE last_event_id IS NULL)"
    )
    op.add_column("subjects", sa.Column("confirmed_status", sa.String(), nullable=True))
    op.add_column("subjects", sa.Column("contradicted_status", sa.String(), nullable=True))
    op.execute(
        "UPDATE subjects SET confirmed_status = claimed_status"  # noqa: S608 - constants
        f" WHERE agreement = 'confirmed' AND claimed_status IN {_FINAL}"
        " AND (due_at IS NULL AND claimed_status <> status OR due_at IS NOT NULL AND purpose = 'recheck')"
    )
