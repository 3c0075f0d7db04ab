"""The sweep: how far banks' lists were read, what no callback has come for; events without a delivery.

Revision 0018.
"""

import sqlalchemy as sa
from alembic import op

from receiver.store.tables.base import BigKey, UtcDateTime

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

UNJOINED = sa.text("event_id IS NULL")


def upgrade() -> None:
    """Make the tables; let an event have no delivery, and say what found it."""
    op.create_table(
        "sweeps",
        sa.Column("source_id", BigKey, autoincrement=False, nullable=False),
        sa.Column("list_name", sa.String(), nullable=False),
        sa.Column("covered_from", UtcDateTime(), nullable=True),
        sa.Column("covered_until", UtcDateTime(), nullable=True),
        sa.Column("last_read_at", UtcDateTime(), nullable=True),
        sa.Column("error", sa.String(), nullable=True),
        sa.Column("next_at", UtcDateTime(), nullable=False),
        sa.Column("lease", sa.String(), nullable=True),
        sa.Column("leased_until", UtcDateTime(), nullable=True),
        sa.Column("gone_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["source_id"], ["sources.id"], name=op.f("fk_sweeps_source_id")),
        sa.PrimaryKeyConstraint("source_id", "list_name", name=op.f("pk_sweeps")),
    )
    op.create_table(
        "recoveries",
        sa.Column("id", BigKey, autoincrement=True, nullable=False),
        sa.Column("source_id", BigKey, nullable=False),
        sa.Column("line_id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.String(), nullable=True),
        sa.Column("event_id", sa.String(), nullable=True),
        sa.Column("since", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recoveries")),
        sa.UniqueConstraint("line_id", name=op.f("uq_recoveries_line_id")),
    )
    op.create_index("ix_recoveries_name", "recoveries", ["name"])
    op.create_index("ix_recoveries_source", "recoveries", ["source_id", "id"])
    op.create_index(
        "ix_recoveries_expected",
        "recoveries",
        ["source_id", "id"],
        sqlite_where=UNJOINED,
        postgresql_where=UNJOINED,
    )
    op.create_index(
        "ix_bank_lines_unjoined",
        "bank_lines",
        ["source_id", "id"],
        sqlite_where=UNJOINED,
        postgresql_where=UNJOINED,
    )
    op.add_column("events", sa.Column("found_by", sa.String(), nullable=True))
    if op.get_bind().dialect.name == "sqlite":
        _without_delivery_on_sqlite()
    else:
        op.alter_column("events", "delivery_id", nullable=True)


def _without_delivery_on_sqlite() -> None:
    """Change the table's text alone: its rows, a million perhaps, need no copy (sqlite.org/lang_altertable.html).

    What is written with the text is as it was, so that this is safe where a constraint is taken away.
    """
    connection = op.get_bind()
    dbapi = connection.connection.dbapi_connection
    if dbapi is not None and hasattr(dbapi, "setconfig"):
        # Python 3.12 and newer: some builds of SQLite protect the table of tables unless they are asked not to.
        dbapi.setconfig(1010, False)  # SQLITE_DBCONFIG_DEFENSIVE
    version = connection.execute(sa.text("PRAGMA schema_version")).scalar_one()
    connection.execute(sa.text("PRAGMA writable_schema = ON"))
    connection.execute(
        sa.text(
            "UPDATE sqlite_master SET sql = replace(sql, 'delivery_id VARCHAR NOT NULL', 'delivery_id VARCHAR')"
            " WHERE type = 'table' AND name = 'events'"
        )
    )
    # Other connections learn by it that what they know of the tables is old.
    connection.execute(sa.text(f"PRAGMA schema_version = {version + 1}"))
    connection.execute(sa.text("PRAGMA writable_schema = RESET"))
    columns = connection.execute(sa.text("PRAGMA table_info(events)")).all()
    if any(column.notnull for column in columns if column.name == "delivery_id"):
        raise RuntimeError("the table of events is not as this project's own migrations made it")
