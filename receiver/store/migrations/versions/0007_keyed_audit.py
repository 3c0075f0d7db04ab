"""The audit log's digests are keyed, and one row says which entry is the newest.

Revision 0007. A process of the release before can still take callbacks; what it would write into the audit log is
refused, since an entry without a key could be anybody's.
"""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import context, op

from receiver.store import audit
from receiver.store.tables.base import UtcDateTime

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

REFUSED = "this process is of an older release than the database, and can write nothing to the audit log: restart it"


def upgrade() -> None:
    """Make the tables, and the head over the entries that there are."""
    op.add_column("audit_entries", sa.Column("key", sa.String(), nullable=True))
    op.create_table(
        "audit_head",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("entries", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.String(), nullable=True),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("mac", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_head")),
    )
    op.create_table(
        "audit_keys",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_audit_keys")),
    )
    audit.start(op.get_bind(), context.config.attributes["encryption"], datetime.now(UTC))
    _refuse_entries_without_key()


def _refuse_entries_without_key() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute(
            "CREATE TRIGGER audit_entries_refuse_unkeyed BEFORE INSERT ON audit_entries WHEN NEW.key IS NULL "
            f"BEGIN SELECT RAISE(ABORT, '{REFUSED}'); END"
        )
        return
    op.execute(
        "CREATE FUNCTION audit_entries_refuse_unkeyed() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{REFUSED}'; END $$"
    )
    op.execute(
        "CREATE TRIGGER audit_entries_refuse_unkeyed BEFORE INSERT ON audit_entries "
        "FOR EACH ROW WHEN (NEW.key IS NULL) EXECUTE FUNCTION audit_entries_refuse_unkeyed()"
    )
