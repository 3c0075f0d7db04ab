"""PostgreSQL: no foreign keys to sources from the tables that callbacks write to; another guard in their place.

Revision 0010. SQLite keeps its own: there they cost next to nothing, and taking them away would copy these tables.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

TABLES = ("deliveries", "events", "subjects", "feed_entries")

REFUSE = """
CREATE FUNCTION sources_refuse_delete() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF {conditions} THEN
        RAISE EXCEPTION 'source % can''t be removed: callbacks have come for it', OLD.name
            USING ERRCODE = 'foreign_key_violation';
    END IF;
    RETURN NULL;
END $$
"""
"""For who deletes by hand: the receiver itself never deletes the row of a source (`receiver.store.source_removal`)."""


def upgrade() -> None:
    """Drop the keys, each of which was a query and a lock for each row; a trigger refuses to delete what they did."""
    if op.get_bind().dialect.name == "sqlite":
        return
    # By their columns: in a database that was restored they may have other names.
    for table in TABLES:
        for key in sa.inspect(op.get_bind()).get_foreign_keys(table):
            if key["constrained_columns"] == ["source_id"]:
                op.drop_constraint(str(key["name"]), table, type_="foreignkey")
    conditions = " OR ".join(f"EXISTS (SELECT FROM {table} WHERE source_id = OLD.id)" for table in TABLES)
    op.execute(REFUSE.format(conditions=conditions))
    op.execute(
        "CREATE TRIGGER sources_refuse_delete AFTER DELETE ON sources "
        "FOR EACH ROW EXECUTE FUNCTION sources_refuse_delete()"
    )
