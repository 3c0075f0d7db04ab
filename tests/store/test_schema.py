"""Migrations: from nothing to this release's tables, on both databases, however many start at once."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from conftest import ENCRYPTION, KEY
from sqlalchemy import inspect, text

from receiver.signing import addresses
from receiver.store import consumers, schema, workers
from receiver.store.database import Database, StoreUnavailable
from receiver.store.schema import NotMigrated
from receiver.store.tables import metadata

UPGRADE = """
import sys
from receiver.store import schema
from receiver.store.database import Database
from receiver.store.encryption import Encryption
database = Database(sys.argv[1])
schema.upgrade(database, Encryption([sys.argv[2]]))
database.close()
"""

SOURCE = (
    "INSERT INTO sources (id, name, bank, environment, options, enabled, created_at)"
    " VALUES (7, 'bcb', 'bcb', 'sandbox', '{}', true, '2026-01-01 00:00:00')"
)


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest) -> Iterator[Database]:
    """A database with nothing in it."""
    if request.param == "sqlite":
        url = f"sqlite:///{request.getfixturevalue('tmp_path')}/new/receiver.db"
    else:
        url = request.getfixturevalue("empty_postgres_url")
    database = Database(url)
    yield database
    database.close()


def test_an_empty_database_gets_every_table(empty: Database) -> None:
    schema.upgrade(empty, ENCRYPTION)
    with empty.read() as connection:
        assert set(inspect(connection).get_table_names()) == {*metadata().tables, "alembic_version"}


PROMISED_SINCE = "0023"
"""Of migrations after this one `/readyz` believes that a server of the release before goes on over their tables."""

TAKES_AWAY = re.compile(r"drop_|alter_column|rename_|batch_alter_table")
"""What a migration calls that takes away, renames or changes what the release before reads or writes."""

TAKES_AWAY_IN_SQL = re.compile(
    r"\b(DROP|RENAME|TRUNCATE)\b|\bALTER\b.*\b(TYPE|SET NOT NULL)\b", re.IGNORECASE | re.DOTALL
)


def broken_promises(code: str) -> list[str]:
    """What the upgrade of a migration does, by its code, that a server of the release before could fail by.

    Everything but `downgrade` is looked at, since helpers of a module are what its upgrade calls.
    """
    found = []
    module = ast.parse(code)
    upgrading = [part for part in module.body if getattr(part, "name", "") != "downgrade"]
    nodes = [node for part in upgrading for node in ast.walk(part)]
    explained = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    for node in (node for node in nodes if id(node) not in explained or isinstance(node, ast.Call)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and TAKES_AWAY_IN_SQL.search(node.value):
            found.append(node.value)
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        called, whole = node.func.attr, ast.unparse(node)
        if TAKES_AWAY.match(called):
            found.append(whole)
        elif called == "add_column":
            column = next((given for given in node.args if isinstance(given, ast.Call)), None)
            given = {} if column is None else {each.arg: ast.unparse(each.value) for each in column.keywords}
            if given.get("nullable") != "True" and given.get("server_default", "None") == "None":
                found.append(whole)
    return found


def test_a_migration_takes_nothing_from_the_release_before() -> None:
    """As `schema.check` takes for granted where it is asked for newer ones too."""
    files = (Path(schema.__file__).parent / "migrations" / "versions").glob("[0-9]*.py")
    later = [file for file in files if file.name.partition("_")[0] > PROMISED_SINCE]
    assert {file.name: broken for file in later if (broken := broken_promises(file.read_text()))} == {}


@pytest.mark.parametrize(
    ("line", "is_broken"),
    [
        ("op.add_column('events', sa.Column('a', sa.String(), nullable=True))", False),
        ("op.add_column('events', sa.Column('a', sa.String(), nullable=False, server_default=''))", False),
        ("op.create_table('new', sa.Column('a', sa.String(), nullable=False))", False),
        ("op.execute('CREATE TRIGGER a AFTER INSERT ON b BEGIN DELETE FROM c; END')", False),
        ("op.add_column('events', sa.Column('a', sa.String(), nullable=False))", True),
        ("op.add_column('events', sa.Column('a', sa.String()))", True),
        ("op.add_column('events', made_elsewhere)", True),
        ("op.drop_column('events', 'a')", True),
        ("op.drop_table('events')", True),
        ("op.rename_table('events', 'event')", True),
        ("op.alter_column('events', 'a', nullable=False)", True),
        ("op.execute('ALTER TABLE events RENAME COLUMN a TO b')", True),
        ("op.execute(f'DROP TABLE {table}')", True),
        ("with op.batch_alter_table('events') as batch:\n        batch.drop_column('a')", True),
    ],
)
def test_what_takes_something_away_is_found_in_a_migration(line: str, is_broken: bool) -> None:
    upgrade = f"def upgrade() -> None:\n    'Drop nothing.'\n    {line}\n"
    code = f"{upgrade}\n\ndef downgrade() -> None:\n    op.drop_table('new')\n"
    assert bool(broken_promises(code)) is is_broken


HOT = ("deliveries", "events", "feed_entries", "subjects")
"""What callbacks write to: only SQLite has foreign keys from there to sources."""


def test_the_migrated_tables_are_those_of_the_models(empty: Database) -> None:
    schema.upgrade(empty, ENCRYPTION)
    with empty.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        found = [(str(change[0]), str(change[1].name)) for change in compare_metadata(context, metadata())]
    assert sorted(found) == [("remove_fk", f"fk_{table}_source_id") for table in HOT if empty.is_sqlite]


def test_the_comparison_with_the_models_can_fail(empty: Database) -> None:
    schema.upgrade(empty, ENCRYPTION)
    with empty.write() as connection:
        connection.execute(text("DROP INDEX ix_events_payment"))
    with empty.read() as connection:
        found = [change[0] for change in compare_metadata(MigrationContext.configure(connection), metadata())]
    assert [what for what in found if what != "remove_fk"] == ["add_index"]


def test_upgrading_twice_changes_nothing(empty: Database) -> None:
    schema.upgrade(empty, ENCRYPTION)
    with empty.write() as connection:
        connection.execute(text("UPDATE feed_head SET position = 7"))
    schema.upgrade(empty, ENCRYPTION)
    with empty.read() as connection:
        assert connection.execute(text("SELECT position FROM feed_head")).scalars().all() == [7]


def test_processes_that_upgrade_at_once_all_end_well(empty: Database) -> None:
    command = [sys.executable, "-c", UPGRADE, empty.url, KEY]
    started = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    ended = [(process.communicate(timeout=60)[1], process.returncode) for process in started]
    assert ended == [("", 0)] * 3
    schema.check(empty)
    with empty.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM feed_head")).scalar_one() == 1


def test_a_migrated_database_passes_the_check(empty: Database) -> None:
    schema.upgrade(empty, ENCRYPTION)
    schema.check(empty)


def test_an_empty_database_does_not_pass_the_check(empty: Database) -> None:
    with pytest.raises(NotMigrated, match=r"revision none, .* is needed: run `receiver db upgrade`"):
        schema.check(empty)
    assert schema.current_revision(empty) is None


def test_the_newest_revision_is_the_one_that_alembic_would_migrate_to() -> None:
    folder = Path(schema.__file__).parent / "migrations"
    assert schema.newest_revision() == ScriptDirectory(str(folder)).get_current_head()


def test_an_older_database_does_not_pass_the_check(empty: Database) -> None:
    schema.upgrade(empty, ENCRYPTION)
    with empty.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0000'"))
    with pytest.raises(NotMigrated, match=f"revision 0000, {schema.newest_revision()} is needed"):
        schema.check(empty)


def test_a_database_of_a_newer_release_is_neither_checked_nor_migrated_and_says_what_helps(empty: Database) -> None:
    schema.upgrade(empty, ENCRYPTION)
    with empty.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    helps = r"revision 9999, .* run the newer release .* or restore the backup of before$"
    with pytest.raises(NotMigrated, match=helps):
        schema.check(empty)
    with pytest.raises(NotMigrated, match=helps):
        schema.upgrade(empty, ENCRYPTION)


def test_a_migration_that_fails_leaves_nothing_behind(empty: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("alembic.op.create_index", fail)
    with pytest.raises(ZeroDivisionError):
        schema.upgrade(empty, ENCRYPTION)
    with empty.read() as connection:
        assert inspect(connection).get_table_names() == []


def test_what_release_0001_has_stored_is_there_after_the_upgrade(empty: Database) -> None:
    schema.upgrade(empty, ENCRYPTION, "0001")
    now = "'2026-03-04 12:00:00'"
    with empty.write() as connection:
        connection.execute(
            text(
                "INSERT INTO sources (name, bank, environment, options, enabled, created_at) "  # noqa: S608 - our own
                f"VALUES ('bcb', 'bcb', 'sandbox', '{{}}', true, {now})"
            )
        )
        connection.execute(
            text(
                "INSERT INTO subjects (source_id, kind, subject, status, agreement, created_at, updated_at, attempts) "  # noqa: S608
                f"SELECT id, 'payment', 'FT1', 'completed', 'confirmed', {now}, {now}, 1 FROM sources"
            )
        )
    schema.upgrade(empty, ENCRYPTION)
    with empty.read() as connection:
        row = connection.execute(text("SELECT subject, status, returns, returned_by FROM subjects")).one()
    assert tuple(row) == ("FT1", "completed", None, None)


def test_a_database_of_the_first_release_keeps_its_rows(empty: Database) -> None:
    schema.upgrade(empty, ENCRYPTION, "0001")
    secret = (
        "INSERT INTO signing_secrets (source_id, version, sealed, created_at)"
        " VALUES (7, 1, 'sealed', '2026-01-01 00:00:00')"
    )
    with empty.write() as connection:
        connection.execute(text(SOURCE))
        connection.execute(text(secret))
    schema.upgrade(empty, ENCRYPTION)
    with empty.read() as connection:
        assert connection.execute(text("SELECT source_id, version FROM signing_secrets")).all() == [(7, 1)]
        assert connection.execute(text("SELECT count(*) FROM credential_changes")).scalar_one() == 0


def test_rejected_deliveries_of_the_release_before_are_counted_by_their_networks(empty: Database) -> None:
    schema.upgrade(empty, ENCRYPTION, "0004")
    delivery = (
        "INSERT INTO deliveries (id, source_id, received_at, verdict, proven, peer, path, headers, body_bytes,"
        " body_sha256) VALUES (:id, 7, '2026-01-01 00:00:00', :verdict, false, :peer, '/webhooks/bcb', '{}', 0, '')"
    )
    peers = {"dlv_1": "192.0.2.77", "dlv_2": "2001:db8:1:2:3::4", "dlv_3": "::ffff:192.0.2.9", "dlv_4": "unix:"}
    with empty.write() as connection:
        connection.execute(text(SOURCE))
        for delivery_id, peer in peers.items():
            connection.execute(text(delivery), {"id": delivery_id, "verdict": "rejected", "peer": peer})
        connection.execute(text(delivery), {"id": "dlv_5", "verdict": "accepted", "peer": "192.0.2.1"})
    schema.upgrade(empty, ENCRYPTION)
    with empty.write() as connection:
        # As the release before goes on writing them until it is stopped.
        connection.execute(text(delivery), {"id": "dlv_6", "verdict": "rejected", "peer": "192.0.2.1"})
        rows = connection.execute(text("SELECT id, network, likely FROM deliveries ORDER BY id")).all()
    networks = ["192.0.2.0/24", "2001:db8:1:2::/64", "192.0.2.0/24", "unix:", "", ""]
    assert [(row.network, bool(row.likely)) for row in rows] == [(network, False) for network in networks]
    for peer, network in zip(peers.values(), networks, strict=False):
        assert addresses.network_of(peer) == network


def test_no_source_of_the_release_before_was_removed_and_no_worker_was_seen(empty: Database) -> None:
    schema.upgrade(empty, ENCRYPTION, "0008")
    with empty.write() as connection:
        connection.execute(text(SOURCE))
    schema.upgrade(empty, ENCRYPTION)
    with empty.read() as connection:
        assert connection.execute(text("SELECT hidden_at FROM sources")).scalars().all() == [None]
        assert workers.last_seen(connection) is None


def test_a_source_has_one_unfinished_change_at_most(empty: Database) -> None:
    schema.upgrade(empty, ENCRYPTION)
    change = (
        "INSERT INTO credential_changes (source_id, kind, state, idempotency_key, requested_by, begun_at, attempts,"
        " due_at) VALUES (7, 'rotate', :state, :key, 'x', '2026-01-01 00:00:00', 1, '2026-01-01 00:00:00')"
    )
    with empty.write() as connection:
        connection.execute(text(SOURCE))
        for number, state in enumerate(("done", "pending", "done")):
            connection.execute(text(change), {"state": state, "key": str(number)})
    with pytest.raises(StoreUnavailable, match=r"(?i)unique"), empty.write() as connection:
        connection.execute(text(change), {"state": "pending", "key": "another"})


def test_a_database_that_can_not_hold_every_character_is_refused(latin_postgres_url: str) -> None:
    database = Database(latin_postgres_url)
    schema.upgrade(database, ENCRYPTION)
    with pytest.raises(NotMigrated, match="encoding is LATIN1"):
        schema.check(database)
    database.close()


def test_consumers_of_the_release_before_belong_to_all(empty: Database) -> None:
    schema.upgrade(empty, ENCRYPTION, "0008")
    consumer = "INSERT INTO consumers (name, position, created_at) VALUES (:name, 7, '2026-01-01 00:00:00')"
    with empty.write() as connection:
        connection.execute(text(consumer), {"name": "ledger"})
    schema.upgrade(empty, ENCRYPTION)
    with empty.write() as connection:
        # As the release before goes on writing them until it is stopped.
        connection.execute(text(consumer), {"name": "other"})
        found = consumers.listing(connection, limit=10)
    assert [(each.name, *each.place, each.owner, each.shared_with) for each in found] == [
        ("ledger", 7, 0, None, []),
        ("other", 7, 0, None, []),
    ]
