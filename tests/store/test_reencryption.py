"""Encrypting all that is secret anew, so that an old key can be dropped."""

import base64
from dataclasses import replace
from datetime import timedelta

import pytest
from bank import SECRET
from conftest import KEY, add_source
from sqlalchemy import LargeBinary

from receiver.model import CredentialChangeKind
from receiver.runtime import Runtime
from receiver.store import bank_tokens, credential_changes, signing_secrets, sources
from receiver.store.bank_tokens import StoredToken
from receiver.store.credential_changes import Intent
from receiver.store.encryption import ENCRYPTED_COLUMNS, DecryptionFailed, Encryption, reencrypt_all
from receiver.store.tables import metadata

NEWER = base64.urlsafe_b64encode(bytes(32)).decode()

PLAIN = {("deliveries", "body"), ("events", "identity"), ("search_events", "terms"), ("search_keys", "term")}
PLAIN |= {("day_lines", "content")}
"""Columns of bytes that hold nothing secret."""


def test_every_column_that_can_hold_something_sealed_is_known() -> None:
    of_bytes = {
        (table.name, column.name)
        for table in metadata().tables.values()
        for column in table.columns
        if isinstance(column.type, LargeBinary)
    }
    assert {(table.name, name) for table, name in ENCRYPTED_COLUMNS} == of_bytes - PLAIN


def test_what_was_encrypted_with_an_old_key_opens_with_the_new_one_alone(parts: Runtime) -> None:
    source = add_source(parts, base_url="http://127.0.0.1:1")
    now = parts.clock()
    intent = Intent(CredentialChangeKind.ROTATE, "c", None, "key", "cli:test", "the kept token")
    with parts.database.write() as connection:
        bank_tokens.claim_fetching(connection, source.id, now=now, until=now)
        bank_tokens.put(connection, parts.encryption, source, StoredToken("the token", now + timedelta(hours=1)), now)
        credential_changes.begin(connection, parts.encryption, source, intent, now=now, due_at=now)
    with parts.database.write() as connection:
        assert reencrypt_all(connection, Encryption([NEWER, KEY])) == 5
    newer = replace(parts, encryption=Encryption([NEWER]))
    with parts.database.read() as connection:
        token = bank_tokens.token(connection, newer.encryption, source)
        change = credential_changes.pending(connection, source.id)
        (secret,) = signing_secrets.valid(connection, newer.encryption, source.id, now)
        credentials = sources.credentials(connection, newer.encryption, source)
    assert change is not None
    assert token is not None
    assert (token.text, credential_changes.token(newer.encryption, source, change)) == ("the token", "the kept token")
    assert (secret.text, credentials) == (
        SECRET,
        {"client_id": "simulator-client", "client_secret": "simulator-secret"},
    )


def test_what_no_key_opens_stops_all_of_it(parts: Runtime) -> None:
    add_source(parts)
    with parts.database.write() as connection, pytest.raises(DecryptionFailed, match="signing_secrets 1"):
        reencrypt_all(connection, Encryption([NEWER]))
