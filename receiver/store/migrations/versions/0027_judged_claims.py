"""Which final claims the bank has confirmed and contradicted, and which checks were made while nobody claimed anything.

Revision 0027.
"""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

_JUDGED = """
    claimed_status IN ('completed', 'rejected', 'reversed', 'cancelled', 'returned') AND claimed_status <> status
    AND (due_at IS NULL OR purpose = 'recheck')
    AND (SELECT outcome FROM checks WHERE subject_id = subjects.id ORDER BY id DESC LIMIT 1) = 'answered'
"""
"""The bank has answered since the claim: by the purpose it was asked since, and the latest question was not in vain."""


def upgrade() -> None:
    """Add the columns, and fill in what is known.

    A check of what no callback has named by now was made while none had. What was confirmed and contradicted is filled
    in where the bank has answered since the claim, and otherwise than claimed: elsewhere the next answer does, since
    `agreement` alone may still be that of the claim before. Where the status is the claimed one, nothing has to be.
    """
    op.add_column("checks", sa.Column("claimed", sa.Boolean(), nullable=True))
    op.execute(
        "UPDATE checks SET claimed = FALSE WHERE subject_id IN (SELECT id FROM subjects WHERE last_event_id IS NULL)"
    )
    for agreement in ("confirmed", "contradicted"):
        op.add_column("subjects", sa.Column(f"{agreement}_status", sa.String(), nullable=True))
        op.execute(
            f"UPDATE subjects SET {agreement}_status = claimed_status"  # noqa: S608 - constants
            f" WHERE agreement = '{agreement}' AND {_JUDGED}"
        )
