"""What the banks are asked for and in which order; whether a bank answers at all; exceptions that are watched.

Revision 0019. What is open by now has no entry in the feed: entries are written for what is opened from now on.
"""

import sqlalchemy as sa
from alembic import op

from receiver.store.tables.base import BigKey, UtcDateTime

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns and tables; what is due is found by what it is due for."""
    op.add_column("exceptions", sa.Column("presses_at_most", sa.String(), nullable=True))
    op.add_column("exceptions", sa.Column("opening", sa.String(), nullable=True))
    op.add_column("exceptions", sa.Column("over_at", UtcDateTime(), nullable=True))
    op.add_column("subjects", sa.Column("purpose", sa.String(), server_default=sa.text("'claim'"), nullable=False))
    op.add_column("subjects", sa.Column("stalled_at", UtcDateTime(), nullable=True))
    _partial("ix_subjects_plan", ["purpose", "due_at", "id"], "due_at IS NOT NULL")
    _partial("ix_subjects_open", ["source_id", "created_at"], "stalled_at IS NULL AND status IN ('pending', 'unknown')")
    _partial("ix_subjects_stalled", ["kind", "id"], "stalled_at IS NOT NULL")
    _of_source(
        "request_spendings",
        sa.Column("purpose", sa.String(), primary_key=True, nullable=False),
        sa.Column("window_started_at", UtcDateTime(), nullable=False),
        sa.Column("used", sa.Integer(), nullable=False),
    )
    _of_source(
        "circuits",
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("opened_at", UtcDateTime(), nullable=True),
        sa.Column("retry_at", UtcDateTime(), nullable=True),
        sa.Column("probes", sa.Integer(), nullable=False),
        sa.Column("probing_until", UtcDateTime(), nullable=True),
        sa.Column("closed_at", UtcDateTime(), nullable=True),
        sa.Column("asked", sa.Integer(), nullable=False),
        sa.Column("error", sa.String(), nullable=True),
    )
    _of_source(
        "source_watches",
        sa.Column("what", sa.String(), primary_key=True, nullable=False),
        sa.Column("looked_at", UtcDateTime(), nullable=False),
    )
    _of_source(
        "outages",
        sa.Column("began_at", UtcDateTime(), nullable=False),
        sa.Column("ended_at", UtcDateTime(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
    )


def _partial(name: str, columns: list[str], where: str) -> None:
    condition = sa.text(where)
    op.create_index(name, "subjects", columns, sqlite_where=condition, postgresql_where=condition)


def _of_source(name: str, *columns: sa.Column[object]) -> None:
    op.create_table(
        name,
        sa.Column("source_id", BigKey, primary_key=True, autoincrement=False, nullable=False),
        *columns,
        sa.ForeignKeyConstraint(["source_id"], ["sources.id"], name=op.f(f"fk_{name}_source_id")),
    )
