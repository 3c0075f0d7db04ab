"""What a person has to look at (exceptions), begun with what is so already; what the audit log's entries are about.

Revision 0015. Refused and late deliveries need no beginning: they are looked through anew all the time.
"""

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from alembic import op

from receiver.store import audit
from receiver.store.records import new_id
from receiver.store.tables.base import BigKey, UtcDateTime

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

AT_ONCE = 500

SUBJECTS = """
SELECT source_id, kind AS about, subject, agreement AS kind, last_event_id AS event_id, amount, currency
FROM subjects WHERE kind IN ('payment', 'job') AND status IN ({statuses}) AND agreement = '{agreement}'
AND last_event_id IS NOT NULL
"""

STATUSES = "'pending', 'completed', 'rejected', 'reversed', 'cancelled', 'returned', 'unknown'"

CONFLICTS = """
SELECT source_id, 'event' AS about, id AS subject, 'conflict' AS kind, id AS event_id, amount, currency
FROM events WHERE conflict ORDER BY id
"""


def upgrade() -> None:
    """Make the table, and open what the bank contradicts or does not know, and what came with other content."""
    op.create_table(
        "exceptions",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("source_id", BigKey, nullable=False),
        sa.Column("about", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("event_id", sa.String(), nullable=True),
        sa.Column("delivery_id", sa.String(), nullable=True),
        sa.Column("amount", sa.String(), nullable=True),
        sa.Column("currency", sa.String(), nullable=True),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("detail", sa.String(), nullable=True),
        sa.Column("opened_at", UtcDateTime(), nullable=False),
        sa.Column("changed_at", UtcDateTime(), nullable=False),
        sa.Column("place", sa.String(), nullable=False),
        sa.Column("note", sa.String(), nullable=True),
        sa.Column("handled_by", sa.String(), nullable=True),
        sa.Column("handled_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["source_id"], ["sources.id"], name=op.f("fk_exceptions_source_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_exceptions")),
        sa.UniqueConstraint(
            *("kind", "source_id", "about", "subject"), name=op.f("uq_exceptions_kind_source_id_about_subject")
        ),
    )
    op.create_index("ix_exceptions_state", "exceptions", ["state", "kind", "place"])
    op.create_index("ix_exceptions_source", "exceptions", ["source_id", "state", "kind", "place"])
    op.create_table(
        "audit_subjects",
        sa.Column("id", BigKey, autoincrement=True, nullable=False),
        sa.Column("entry_id", BigKey, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("value", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_subjects")),
    )
    op.create_index("ix_audit_subjects_name", "audit_subjects", ["name", "value", "entry_id"])
    _find_audited()
    for agreement in ("contradicted", "unknown_to_bank"):
        _open(SUBJECTS.format(statuses=STATUSES, agreement=agreement))
    _open(CONFLICTS)


def _open(query: str) -> None:
    connection, now = op.get_bind(), datetime.now(UTC)
    columns = ("source_id", "about", "subject", "kind", "event_id", "amount", "currency")
    rows: list[dict[str, Any]] = [
        {name: getattr(row, name) for name in columns} for row in connection.execute(sa.text(query))
    ]
    always = {"state": "open", "number": 1, "opened_at": now, "changed_at": now}
    names = [*columns, *always, "id", "place"]
    table = sa.table("exceptions", *(_column(name) for name in names))
    for start in range(0, len(rows), AT_ONCE):
        made = [
            row | always | {"id": new_id("exc", now), "place": new_id("chg", now)}
            for row in rows[start : start + AT_ONCE]
        ]
        connection.execute(sa.insert(table), made)


def _find_audited() -> None:
    connection = op.get_bind()
    entries = sa.table("audit_entries", sa.column("id"), sa.column("about", sa.JSON()))
    subjects = sa.table("audit_subjects", sa.column("entry_id"), sa.column("name"), sa.column("value"))
    rows = connection.execute(sa.select(entries.c.id, entries.c.about).order_by(entries.c.id))
    made = [
        {"entry_id": row.id, "name": name, "value": value}
        for row in rows
        for name, value in audit.subjects_of(row.about)
    ]
    for start in range(0, len(made), AT_ONCE):
        connection.execute(sa.insert(subjects), made[start : start + AT_ONCE])


def _column(name: str) -> Any:
    return sa.column(name, UtcDateTime() if name.endswith("_at") else None)
