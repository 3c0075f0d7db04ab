"""Late deliveries, which wait until they are confirmed; rejected ones bounded by network, and by how likely they are.

Revision 0005.
"""

from ipaddress import IPv4Address, ip_address, ip_network

import sqlalchemy as sa
from alembic import op

from receiver.store.tables.base import BigKey, UtcDateTime

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

REJECTED = sa.text("verdict = 'rejected'")
LATE = sa.text("verdict = 'late'")


def upgrade() -> None:
    """Add columns, a table and indexes; what is there was never late, and gets the network of its address."""
    op.add_column("deliveries", sa.Column("likely", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("deliveries", sa.Column("network", sa.String(), server_default=sa.text("''"), nullable=False))
    op.add_column("events", sa.Column("late", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.create_table(
        "held_events",
        sa.Column("id", BigKey, autoincrement=True, nullable=False),
        sa.Column("source_id", BigKey, nullable=False),
        sa.Column("delivery_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=True),
        sa.Column("event", sa.JSON(), nullable=False),
        sa.Column("confirmed_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["delivery_id"], ["deliveries.id"], name=op.f("fk_held_events_delivery_id")),
        sa.ForeignKeyConstraint(["source_id"], ["sources.id"], name=op.f("fk_held_events_source_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_held_events")),
    )
    op.create_index("ix_held_events_delivery", "held_events", ["delivery_id", "id"])
    op.create_index("ix_held_events_subject", "held_events", ["source_id", "kind", "subject"])
    _name_networks()
    op.create_index(
        "ix_deliveries_rejected_network",
        "deliveries",
        ["source_id", "proven", "likely", "network", "id"],
        sqlite_where=REJECTED,
        postgresql_where=REJECTED,
    )
    op.drop_index("ix_deliveries_rejected", "deliveries")
    op.create_index(
        "ix_deliveries_rejected_body", "deliveries", ["body_sha256"], sqlite_where=REJECTED, postgresql_where=REJECTED
    )
    op.create_index("ix_deliveries_late", "deliveries", ["id"], sqlite_where=LATE, postgresql_where=LATE)
    op.create_index(
        "ix_events_late",
        "events",
        ["id"],
        sqlite_where=sa.text("late IS 1"),
        postgresql_where=sa.text("late IS true"),
    )


def _name_networks() -> None:
    deliveries = sa.table("deliveries", sa.column("peer"), sa.column("network"), sa.column("verdict"))
    connection = op.get_bind()
    is_rejected = deliveries.c.verdict == "rejected"
    for peer in connection.execute(sa.select(deliveries.c.peer).where(is_rejected).distinct()).scalars().all():
        connection.execute(
            sa.update(deliveries).where(is_rejected, deliveries.c.peer == peer).values(network=_network(peer))
        )


def _network(peer: str) -> str:
    try:
        found = ip_address(peer.partition("%")[0])
    except ValueError:
        return peer[:60]
    found = getattr(found, "ipv4_mapped", None) or found
    return str(ip_network((found, 24 if isinstance(found, IPv4Address) else 64), strict=False))
