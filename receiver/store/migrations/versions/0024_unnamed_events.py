"""An index over the events about a reference whose payment is not known yet.

Revision 0024. Nothing but the index is added.
"""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the index."""
    _partial("ix_events_unnamed", "events", ["source_id", "subject", "id"], "kind = 'reference' AND payment_id IS NULL")


def _partial(name: str, table: str, columns: list[str], where: str) -> None:
    condition = sa.text(where)
    op.create_index(name, table, columns, sqlite_where=condition, postgresql_where=condition)
