"""How many payments, jobs and exceptions there are in each state, kept by triggers; how far alarms were told.

Revision 0023. By triggers, so that a server of the release before counts too, which goes on during the upgrade.
"""

import sqlalchemy as sa
from alembic import op

from receiver.store.tables.base import BigKey, UtcDateTime

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

WORDS = ("source_id", "kind", "state", "agreement")

COUNTED = {
    "subjects": ("source_id", "kind", "status", "agreement"),
    "exceptions": ("source_id", "kind", "state", "''"),
}
"""For each table the columns behind `WORDS`."""


def upgrade() -> None:
    """Make the tables and the triggers, and count what there is."""
    op.create_table(
        "tallies",
        sa.Column("id", BigKey, autoincrement=True, nullable=False),
        sa.Column("counted", sa.String(), nullable=False),
        sa.Column("source_id", BigKey, nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("agreement", sa.String(), nullable=False),
        sa.Column("number", BigKey, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tallies")),
    )
    op.create_table(
        "alarm_progress",
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("position", BigKey, nullable=False),
        sa.Column("leased_until", UtcDateTime(), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("retry_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("address", name=op.f("pk_alarm_progress")),
    )
    op.create_index("ix_tallies_words", "tallies", ["counted", *WORDS])
    # The triggers first: on PostgreSQL to make them keeps writers away until all is counted.
    make = _on_sqlite if op.get_bind().dialect.name == "sqlite" else _on_postgresql
    for table, columns in COUNTED.items():
        make(table, columns)
        op.execute(_adding(table, columns, f"{table} GROUP BY 1, 2, 3, 4, 5", "count(*)"))


def _adding(table: str, columns: tuple[str, ...], rows: str, number: str) -> str:
    into = f"INSERT INTO tallies (counted, {', '.join(WORDS)}, number)"
    return f"{into} SELECT '{table}', {', '.join(columns)}, {number} FROM {rows}"  # noqa: S608 - words of our own


def _of(row: str, columns: tuple[str, ...]) -> list[str]:
    return [column if column.startswith("'") else f"{row}.{column}" for column in columns]


def _is_other(columns: tuple[str, ...], differs: str) -> str:
    real = [column for column in columns if not column.startswith("'")]
    return " OR ".join(f"OLD.{column} {differs} NEW.{column}" for column in real)


def _on_sqlite(table: str, columns: tuple[str, ...]) -> None:
    def counting(row: str, change: str) -> str:
        values = _of(row, columns)
        which = " AND ".join(f"{word} = {value}" for word, value in zip(WORDS, values, strict=True))
        which = f"counted = '{table}' AND {which}"
        named = f"'{table}', {', '.join(values)}, 0"
        absent = f"WHERE NOT EXISTS (SELECT 1 FROM tallies WHERE {which})"  # noqa: S608 - words of our own
        insert = f"INSERT INTO tallies (counted, {', '.join(WORDS)}, number) SELECT {named} {absent};"
        return f"{insert} UPDATE tallies SET number = number {change} WHERE {which};"  # noqa: S608

    up, down = counting("NEW", "+ 1"), counting("OLD", "- 1")
    other = _is_other(columns, "IS NOT")
    op.execute(f"CREATE TRIGGER {table}_tally_insert AFTER INSERT ON {table} BEGIN {up} END")
    op.execute(f"CREATE TRIGGER {table}_tally_delete AFTER DELETE ON {table} BEGIN {down} END")
    op.execute(f"CREATE TRIGGER {table}_tally_update AFTER UPDATE ON {table} WHEN {other} BEGIN {down} {up} END")


def _on_postgresql(table: str, columns: tuple[str, ...]) -> None:
    def function(verb: str, *statements: str) -> None:
        body = "; ".join(statements)
        op.execute(
            f"CREATE FUNCTION {table}_tally_{verb}() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN {body}; RETURN NULL; END $$"
        )

    def one(row: str, number: str) -> str:
        into = f"INSERT INTO tallies (counted, {', '.join(WORDS)}, number)"
        return f"{into} VALUES ('{table}', {', '.join(_of(row, columns))}, {number})"

    # A statement adds one row for all that are alike, however many it writes.
    together = "GROUP BY 1, 2, 3, 4, 5"
    function("insert", _adding(table, columns, f"changed {together}", "count(*)"))
    function("delete", _adding(table, columns, f"changed {together}", "- count(*)"))
    function("update", one("OLD", "-1"), one("NEW", "1"))
    for verb, kind in (("insert", "NEW"), ("delete", "OLD")):
        op.execute(
            f"CREATE TRIGGER {table}_tally_{verb} AFTER {verb.upper()} ON {table} "
            f"REFERENCING {kind} TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION {table}_tally_{verb}()"
        )
    other = _is_other(columns, "IS DISTINCT FROM")
    op.execute(
        f"CREATE TRIGGER {table}_tally_update AFTER UPDATE ON {table} "
        f"FOR EACH ROW WHEN ({other}) EXECUTE FUNCTION {table}_tally_update()"
    )
