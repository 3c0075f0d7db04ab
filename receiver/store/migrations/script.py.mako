"""${message}."""

import sqlalchemy as sa
from alembic import op

from receiver.store.types import UtcDateTime

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what the next release's code needs."""
    ${upgrades if upgrades else "pass"}
