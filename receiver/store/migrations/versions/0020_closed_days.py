"""Closed business days: each version with its lines, and a head for each source that counts them.

Revision 0020.
"""

import sqlalchemy as sa
from alembic import op

from receiver.store.tables.base import BigKey, UtcDateTime

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "day_versions",
        sa.Column("id", BigKey, autoincrement=True, nullable=False),
        sa.Column("source_id", BigKey, nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("closed_at", UtcDateTime(), nullable=False),
        sa.Column("header", sa.JSON(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("looked_at", UtcDateTime(), nullable=False),
        sa.Column("next_look_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["source_id"], ["sources.id"], name=op.f("fk_day_versions_source_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_day_versions")),
        sa.UniqueConstraint("source_id", "day", "version", name=op.f("uq_day_versions_source_id_day_version")),
    )
    op.create_index("ix_day_versions_look", "day_versions", ["next_look_at"])
    op.create_table(
        "day_lines",
        sa.Column("id", BigKey, autoincrement=True, nullable=False),
        sa.Column("version_id", BigKey, nullable=False),
        sa.Column("category", sa.String(), nullable=False),
        sa.Column("first", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["version_id"], ["day_versions.id"], name=op.f("fk_day_lines_version_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_day_lines")),
        sa.UniqueConstraint("version_id", "category", "first", name=op.f("uq_day_lines_version_id_category_first")),
    )
    op.create_table(
        "day_heads",
        sa.Column("source_id", BigKey, autoincrement=False, nullable=False),
        sa.Column("versions", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("mac", sa.String(), nullable=False),
        sa.Column("leased_until", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["source_id"], ["sources.id"], name=op.f("fk_day_heads_source_id")),
        sa.PrimaryKeyConstraint("source_id", name=op.f("pk_day_heads")),
    )
