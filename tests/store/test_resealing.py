"""Encrypting all that is secret anew, so that an old key can be dropped."""

import base64
from dataclasses import replace
from datetime import timedelta

import pytest
from bank import SECRET
from conftest import KEY, add_source
from sqlalchemy import LargeBinary

from receiver.runtime import Runtime
from receiver.store import bank_access, credential_changes, resealing, signing_secrets, sources
from receiver.store.credential_changes import Intent
from receiver.store.resealing import SEALED
from receiver.store.sealing import SealBroken, Sealer
from receiver.store.tables import metadata

NEWER = base64.urlsafe_b64encode(bytes(32)).decode()

PLAIN = {("deliveries", "body"), ("events", "identity")}
"""Columns of bytes that hold nothing secret."""


def test_every_column_that_can_hold_something_sealed_is_known() -> None:
    of_bytes = {
        (table.name, column.name)
        for table in metadata().tables.values()
        for column in table.columns
        if isinstance(column.type, LargeBinary)
    }
    assert {(table.name, name) for table, name in SEALED} == of_bytes - PLAIN


def test_what_was_encrypted_with_an_old_key_opens_with_the_new_one_alone(parts: Runtime) -> None:
    source = add_source(parts, base_url="http://127.0.0.1:1")
    now = parts.clock()
    intent = Intent("rotate", "c", None, "key", "cli:test", "the kept token")
    with parts.database.write() as connection:
        bank_access.claim_fetching(connection, source.id, now=now, until=now)
        bank_access.put_token(connection, parts.sealer, source.id, "the token", now + timedelta(hours=1))
        credential_changes.begin(connection, parts.sealer, source.id, intent, now=now, due_at=now)
    with parts.database.write() as connection:
        assert resealing.reseal(connection, Sealer([NEWER, KEY])) == 4
    newer = replace(parts, sealer=Sealer([NEWER]))
    with parts.database.read() as connection:
        token = bank_access.token(connection, newer.sealer, source.id)
        change = credential_changes.pending(connection, source.id)
        (secret,) = signing_secrets.valid(connection, newer.sealer, source.id, now)
        credentials = sources.credentials(connection, newer.sealer, source.id)
    assert change is not None
    assert token is not None
    assert (token.text, credential_changes.token(newer.sealer, change)) == ("the token", "the kept token")
    assert (secret.text, credentials) == (
        SECRET,
        {"client_id": "simulator-client", "client_secret": "simulator-secret"},
    )


def test_what_no_key_opens_stops_all_of_it(parts: Runtime) -> None:
    add_source(parts)
    with parts.database.write() as connection, pytest.raises(SealBroken, match="signing_secrets 1"):
        resealing.reseal(connection, Sealer([NEWER]))
