"""The first tables.

Revision 0001; nothing came before it.
"""

import sqlalchemy as sa
from alembic import op

from receiver.store.tables.base import BigKey, UtcDateTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make every table, and the one row that holds the last position given."""
    op.create_table(
        "api_tokens",
        sa.Column("id", BigKey, autoincrement=True, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("sources", sa.JSON(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=True),
        sa.Column("revoked_at", UtcDateTime(), nullable=True),
        sa.Column("last_used_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_tokens")),
        sa.UniqueConstraint("digest", name=op.f("uq_api_tokens_digest")),
        sa.UniqueConstraint("name", name=op.f("uq_api_tokens_name")),
    )
    op.create_table(
        "audit_entries",
        sa.Column("id", BigKey, autoincrement=True, nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("who", sa.String(), nullable=False),
        sa.Column("what", sa.String(), nullable=False),
        sa.Column("why", sa.String(), nullable=True),
        sa.Column("about", sa.JSON(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_entries")),
    )
    op.create_table(
        "consumers",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("position", BigKey, nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("acked_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_consumers")),
    )
    op.create_table(
        "feed_head",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("position", BigKey, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_feed_head")),
    )
    op.create_table(
        "replays",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("plan", sa.String(), nullable=False),
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("filter", sa.JSON(), nullable=False),
        sa.Column("consumer", sa.String(), nullable=True),
        sa.Column("through", sa.String(), nullable=False),
        sa.Column("place", sa.String(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("done", sa.Integer(), nullable=False),
        sa.Column("failed", sa.Integer(), nullable=False),
        sa.Column("per_second", sa.Float(), nullable=True),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("requested_by", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("finished_at", UtcDateTime(), nullable=True),
        sa.Column("due_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_replays")),
        sa.UniqueConstraint("plan", name=op.f("uq_replays_plan")),
    )
    op.create_index("ix_replays_due", "replays", ["state", "due_at"], unique=False)
    op.create_table(
        "sources",
        sa.Column("id", BigKey, autoincrement=True, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("bank", sa.String(), nullable=False),
        sa.Column("environment", sa.String(), nullable=False),
        sa.Column("base_url", sa.String(), nullable=True),
        sa.Column("options", sa.JSON(), nullable=False),
        sa.Column("credentials", sa.LargeBinary(), nullable=True),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("environment_digest", sa.String(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sources")),
        sa.UniqueConstraint("name", name=op.f("uq_sources_name")),
    )
    op.create_table(
        "bank_tokens",
        sa.Column("source_id", BigKey, autoincrement=False, nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=True),
        sa.Column("expires_at", UtcDateTime(), nullable=True),
        sa.Column("fetching_until", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["source_id"], ["sources.id"], name=op.f("fk_bank_tokens_source_id")),
        sa.PrimaryKeyConstraint("source_id", name=op.f("pk_bank_tokens")),
    )
    op.create_table(
        "deliveries",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("source_id", BigKey, nullable=False),
        sa.Column("received_at", UtcDateTime(), nullable=False),
        sa.Column("verdict", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("detail", sa.String(), nullable=True),
        sa.Column("proven", sa.Boolean(), nullable=False),
        sa.Column("peer", sa.String(), nullable=False),
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("channel", sa.String(), nullable=True),
        sa.Column("headers", sa.JSON(), nullable=False),
        sa.Column("nonce", sa.String(), nullable=True),
        sa.Column("signed_at", UtcDateTime(), nullable=True),
        sa.Column("proof_key", sa.String(), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.Column("body_bytes", sa.Integer(), nullable=False),
        sa.Column("body_sha256", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["source_id"], ["sources.id"], name=op.f("fk_deliveries_source_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deliveries")),
        sa.UniqueConstraint("source_id", "nonce", name=op.f("uq_deliveries_source_id_nonce")),
    )
    op.create_index(
        "ix_deliveries_rejected",
        "deliveries",
        ["source_id", "proven", "peer", "id"],
        unique=False,
        sqlite_where=sa.text("verdict = 'rejected'"),
        postgresql_where=sa.text("verdict = 'rejected'"),
    )
    op.create_index(
        "ix_deliveries_rejected_id",
        "deliveries",
        ["id"],
        unique=False,
        sqlite_where=sa.text("verdict = 'rejected'"),
        postgresql_where=sa.text("verdict = 'rejected'"),
    )
    op.create_table(
        "feed_entries",
        sa.Column("position", BigKey, autoincrement=False, nullable=False),
        sa.Column("outbox_id", BigKey, nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("source_id", BigKey, nullable=False),
        sa.Column("subject", sa.String(), nullable=True),
        sa.Column("time", UtcDateTime(), nullable=False),
        sa.Column("event_id", sa.String(), nullable=True),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.Column("replay_id", sa.String(), nullable=True),
        sa.Column("consumer", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["source_id"], ["sources.id"], name=op.f("fk_feed_entries_source_id")),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_feed_entries")),
    )
    op.create_index("ix_feed_entries_event", "feed_entries", ["event_id", "position"], unique=False)
    op.create_index("ix_feed_entries_source", "feed_entries", ["source_id", "position"], unique=False)
    op.create_index("ix_feed_entries_source_type", "feed_entries", ["source_id", "type", "position"], unique=False)
    op.create_index("ix_feed_entries_subject", "feed_entries", ["subject", "position"], unique=False)
    op.create_index("ix_feed_entries_type", "feed_entries", ["type", "position"], unique=False)
    op.create_table(
        "feed_outbox",
        sa.Column("id", BigKey, autoincrement=True, nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("source_id", BigKey, nullable=False),
        sa.Column("subject", sa.String(), nullable=True),
        sa.Column("time", UtcDateTime(), nullable=False),
        sa.Column("event_id", sa.String(), nullable=True),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.Column("replay_id", sa.String(), nullable=True),
        sa.Column("consumer", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["source_id"], ["sources.id"], name=op.f("fk_feed_outbox_source_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_feed_outbox")),
    )
    op.create_table(
        "public_keys",
        sa.Column("source_id", BigKey, autoincrement=False, nullable=False),
        sa.Column("jwks", sa.String(), nullable=True),
        sa.Column("fetched_at", UtcDateTime(), nullable=True),
        sa.Column("tried_at", UtcDateTime(), nullable=True),
        sa.Column("wanted_at", UtcDateTime(), nullable=True),
        sa.Column("error", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["source_id"], ["sources.id"], name=op.f("fk_public_keys_source_id")),
        sa.PrimaryKeyConstraint("source_id", name=op.f("pk_public_keys")),
    )
    op.create_table(
        "request_budgets",
        sa.Column("source_id", BigKey, autoincrement=False, nullable=False),
        sa.Column("window_started_at", UtcDateTime(), nullable=False),
        sa.Column("used", sa.Integer(), nullable=False),
        sa.Column("blocked_until", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["source_id"], ["sources.id"], name=op.f("fk_request_budgets_source_id")),
        sa.PrimaryKeyConstraint("source_id", name=op.f("pk_request_budgets")),
    )
    op.create_table(
        "signing_secrets",
        sa.Column("id", BigKey, autoincrement=True, nullable=False),
        sa.Column("source_id", BigKey, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["source_id"], ["sources.id"], name=op.f("fk_signing_secrets_source_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_signing_secrets")),
        sa.UniqueConstraint("source_id", "version", name=op.f("uq_signing_secrets_source_id_version")),
    )
    op.create_table(
        "subjects",
        sa.Column("id", BigKey, autoincrement=True, nullable=False),
        sa.Column("source_id", BigKey, nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("bank_status", sa.String(), nullable=True),
        sa.Column("agreement", sa.String(), nullable=False),
        sa.Column("claimed_status", sa.String(), nullable=True),
        sa.Column("amount", sa.String(), nullable=True),
        sa.Column("currency", sa.String(), nullable=True),
        sa.Column("last_event_id", sa.String(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.Column("due_at", UtcDateTime(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("lease", sa.String(), nullable=True),
        sa.Column("leased_until", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["source_id"], ["sources.id"], name=op.f("fk_subjects_source_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_subjects")),
        sa.UniqueConstraint("source_id", "kind", "subject", name=op.f("uq_subjects_source_id_kind_subject")),
    )
    op.create_index("ix_subjects_due", "subjects", ["due_at"], unique=False)
    op.create_index("ix_subjects_payments", "subjects", ["kind", "id"], unique=False)
    op.create_index("ix_subjects_source", "subjects", ["source_id", "kind", "id"], unique=False)
    op.create_index(
        "ix_subjects_source_state", "subjects", ["source_id", "kind", "status", "agreement", "id"], unique=False
    )
    op.create_index("ix_subjects_state", "subjects", ["kind", "status", "agreement", "id"], unique=False)
    op.create_table(
        "checks",
        sa.Column("id", BigKey, autoincrement=True, nullable=False),
        sa.Column("subject_id", BigKey, nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("bank_status", sa.String(), nullable=True),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["subject_id"], ["subjects.id"], name=op.f("fk_checks_subject_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_checks")),
    )
    op.create_index("ix_checks_subject", "checks", ["subject_id", "id"], unique=False)
    op.create_table(
        "events",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("source_id", BigKey, nullable=False),
        sa.Column("delivery_id", sa.String(), nullable=False),
        sa.Column("identity", sa.LargeBinary(), nullable=False),
        sa.Column("content_sha256", sa.String(), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=True),
        sa.Column("payment_id", sa.String(), nullable=True),
        sa.Column("claimed_status", sa.String(), nullable=True),
        sa.Column("amount", sa.String(), nullable=True),
        sa.Column("currency", sa.String(), nullable=True),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.Column("proof", sa.String(), nullable=False),
        sa.Column("proof_key", sa.String(), nullable=False),
        sa.Column("conflict", sa.Boolean(), nullable=False),
        sa.Column("received_at", UtcDateTime(), nullable=False),
        sa.Column("payload_sha256", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["delivery_id"], ["deliveries.id"], name=op.f("fk_events_delivery_id")),
        sa.ForeignKeyConstraint(["source_id"], ["sources.id"], name=op.f("fk_events_source_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
        sa.UniqueConstraint("source_id", "identity", name=op.f("uq_events_source_id_identity")),
    )
    op.create_index("ix_events_delivery", "events", ["delivery_id"], unique=False)
    op.create_index("ix_events_payment", "events", ["payment_id", "id"], unique=False)
    op.create_index("ix_events_source", "events", ["source_id", "id"], unique=False)
    op.create_index("ix_events_source_type", "events", ["source_id", "type", "id"], unique=False)
    op.create_index("ix_events_type", "events", ["type", "id"], unique=False)
    op.create_table(
        "repeats",
        sa.Column("event_id", sa.String(), nullable=False),
        sa.Column("delivery_id", sa.String(), nullable=False),
        sa.Column("conflict", sa.Boolean(), nullable=False),
        sa.Column("received_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["delivery_id"], ["deliveries.id"], name=op.f("fk_repeats_delivery_id")),
        sa.ForeignKeyConstraint(["event_id"], ["events.id"], name=op.f("fk_repeats_event_id")),
        sa.PrimaryKeyConstraint("event_id", "delivery_id", name=op.f("pk_repeats")),
    )
    op.create_index("ix_repeats_delivery", "repeats", ["delivery_id"], unique=False)
    op.execute("INSERT INTO feed_head (id, position) VALUES (1, 0)")
    refuse_changes("audit_entries")


def refuse_changes(table: str) -> None:
    """Let the database itself refuse to change or delete rows: the audit log is only ever added to."""
    if op.get_bind().dialect.name == "sqlite":
        for verb in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_refuse_{verb.lower()} BEFORE {verb} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} is only ever added to'); END"
            )
        # INSERT OR REPLACE deletes without asking the trigger for deletions.
        op.execute(
            f"CREATE TRIGGER {table}_refuse_replace BEFORE INSERT ON {table} "  # noqa: S608 - a table of our own
            f"WHEN EXISTS (SELECT 1 FROM {table} WHERE id = NEW.id) "
            f"BEGIN SELECT RAISE(ABORT, '{table} is only ever added to'); END"
        )
        return
    op.execute(
        f"CREATE FUNCTION {table}_refuse() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{table} is only ever added to'; END $$"
    )
    op.execute(
        f"CREATE TRIGGER {table}_refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
        f"FOR EACH STATEMENT EXECUTE FUNCTION {table}_refuse()"
    )
