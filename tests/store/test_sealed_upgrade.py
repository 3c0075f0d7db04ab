"""The upgrade that binds what is sealed to where it goes: once, all or nothing, and never by the older form again."""

import base64
import json
from collections.abc import Iterator

import pytest
from cli.commands import Cli
from conftest import KEY
from sqlalchemy import text

from receiver.store import bank_tokens, credential_changes, public_keys, schema, signing_secrets, sources
from receiver.store.database import Database
from receiver.store.encryption import DecryptionFailed, Encryption
from receiver.store.sources import SourceRecord

BEFORE = "0004"

OURS = Encryption([KEY])
OTHER = Encryption([base64.urlsafe_b64encode(bytes(32)).decode()])

GIVEN = {"client_id": "the-client", "client_secret": "the-secret"}
JWKS = '{"keys":[]}'
NOW = "2026-01-01 00:00:00+00:00"


@pytest.fixture(params=["sqlite", "postgresql"])
def older(request: pytest.FixtureRequest) -> Iterator[Database]:
    """A database as the release before has left it: two sources, all that can be sealed, in the older form."""
    if request.param == "sqlite":
        url = f"sqlite:///{request.getfixturevalue('tmp_path')}/new/receiver.db"
    else:
        url = request.getfixturevalue("empty_postgres_url")
    database = Database(url)
    schema.upgrade(database, OURS, BEFORE)
    for number, options in ((7, {"encoding": "utf8"}), (8, {})):
        fill(database, number, json.dumps(options))
    yield database
    database.close()


def fill(database: Database, number: int, options: str) -> None:
    given = {
        "id": number,
        "name": f"bcb{number}",
        "options": options,
        "now": NOW.removesuffix("+00:00") if database.is_sqlite else NOW,
        "credentials": OURS.encrypt(f"credentials of source {number}", json.dumps(GIVEN)),
        "secret": OURS.encrypt(f"signing secret 1 of source {number}", "signing"),
        "token": OURS.encrypt(f"bank token of source {number}", "the token"),
        "change": OURS.encrypt(f"token for the change key-{number}", "the change's token"),
        "key": f"key-{number}",
        "jwks": JWKS,
    }
    with database.write() as connection:
        for statement in (
            (
                "INSERT INTO sources (id, name, bank, environment, base_url, options, credentials, enabled, created_at)"
                " VALUES (:id, :name, 'bcb', 'sandbox', 'https://bank.example', :options, :credentials, true, :now)"
            ),
            "INSERT INTO signing_secrets (source_id, version, sealed, created_at) VALUES (:id, 1, :secret, :now)",
            "INSERT INTO bank_tokens (source_id, sealed, expires_at) VALUES (:id, :token, :now)",
            "INSERT INTO public_keys (source_id, jwks, fetched_at) VALUES (:id, :jwks, :now)",
            (
                "INSERT INTO credential_changes (source_id, kind, state, client_id, idempotency_key, token,"
                " requested_by, begun_at, attempts, due_at)"
                " VALUES (:id, 'rotate', 'pending', 'the-client', :key, :change, 'x', :now, 1, :now)"
            ),
        ):
            connection.execute(text(statement), given)


def every(database: Database) -> list[SourceRecord]:
    with database.read() as connection:
        return sources.every(connection)


def test_all_that_was_there_opens_afterwards_and_a_second_upgrade_changes_nothing(older: Database) -> None:
    for _ in range(2):
        schema.upgrade(older, OURS)
        with older.read() as connection:
            for source in sources.every(connection):
                change = credential_changes.pending(connection, source.id)
                assert change is not None
                assert sources.credentials(connection, OURS, source) == GIVEN
                assert public_keys.stored(connection, OURS, source).jwks == JWKS
                assert credential_changes.token(OURS, source, change) == "the change's token"
                assert bank_tokens.token(connection, OURS, source) is None
                (secret,) = signing_secrets.every(connection, OURS, source.id)
                assert secret.text == "signing"


def test_with_other_keys_nothing_is_changed(older: Database) -> None:
    before = rows(older)
    with pytest.raises(DecryptionFailed, match="RECEIVER_SECRET_KEYS"):
        schema.upgrade(older, OTHER)
    assert schema.current_revision(older) == BEFORE
    assert rows(older) == before


def test_an_upgrade_that_fails_in_its_middle_leaves_all_as_it_was_and_can_be_made_then(older: Database) -> None:
    with older.write() as connection:
        connection.execute(text("UPDATE sources SET credentials = :junk WHERE id = 8"), {"junk": b"junk"})
    before = rows(older)
    with pytest.raises(DecryptionFailed, match="credentials of source 8"):
        schema.upgrade(older, OURS)
    assert rows(older) == before
    with older.write() as connection:
        connection.execute(text("UPDATE sources SET credentials = NULL WHERE id = 8"))
    schema.upgrade(older, OURS)
    with older.read() as connection:
        assert [sources.credentials(connection, OURS, source) for source in sources.every(connection)] == [GIVEN, None]


def test_what_the_release_before_has_sealed_is_refused_once_it_is_put_back(older: Database) -> None:
    before = rows(older)
    schema.upgrade(older, OURS)
    with older.write() as connection:
        for number, credentials, change in before:
            connection.execute(
                text("UPDATE sources SET credentials = :sealed WHERE id = :id"), {"sealed": credentials, "id": number}
            )
            connection.execute(
                text("UPDATE credential_changes SET token = :sealed WHERE source_id = :id"),
                {"sealed": change, "id": number},
            )
    with older.read() as connection:
        for source in sources.every(connection):
            found = credential_changes.pending(connection, source.id)
            assert found is not None
            with pytest.raises(DecryptionFailed):
                sources.credentials(connection, OURS, source)
            with pytest.raises(DecryptionFailed):
                credential_changes.token(OURS, source, found)


def test_the_release_before_goes_on_taking_callbacks_beside_it(older: Database) -> None:
    """It reads the secrets, the options and the plain public keys as before."""
    schema.upgrade(older, OURS)
    with older.read() as connection:
        secrets = connection.execute(text("SELECT source_id, sealed FROM signing_secrets")).all()
        keys = connection.execute(text("SELECT jwks FROM public_keys")).scalars().all()
    assert {OURS.decrypt(f"signing secret 1 of source {row.source_id}", bytes(row.sealed)) for row in secrets} == {
        "signing"
    }
    assert keys == [JWKS, JWKS]


def rows(database: Database) -> list[tuple[int, bytes, bytes]]:
    with database.read() as connection:
        found = connection.execute(
            text("SELECT s.id, s.credentials, c.token FROM sources s JOIN credential_changes c ON c.source_id = s.id")
        )
        return sorted((row.id, bytes(row.credentials), bytes(row.token)) for row in found)


def test_db_upgrade_says_in_one_line_that_the_key_is_missing(older: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECEIVER_DATABASE_URL", older.url)
    monkeypatch.setenv("RECEIVER_SECRET_KEYS", base64.urlsafe_b64encode(bytes(32)).decode())
    refused = Cli().run("db", "upgrade")
    assert (refused.exit_code, refused.stderr.count("\n")) == (1, 1)
    assert "no key in RECEIVER_SECRET_KEYS opens the stored credentials of source 7" in refused.stderr
    monkeypatch.setenv("RECEIVER_SECRET_KEYS", KEY)
    Cli().done("db", "upgrade")
    assert {source.has_credentials for source in every(older)} == {True}
