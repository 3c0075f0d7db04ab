"""Locks on rows that others refer to: callbacks, which insert rows that refer to them, never wait."""

import pytest
from conftest import add_source
from store.made import delivery, event, record

from receiver.runtime import Runtime
from receiver.store import encryption, payments, signing_secrets, sources
from receiver.store.database import StoreUnavailable
from receiver.store.sources import SourceRecord


@pytest.fixture
def database_url(request: pytest.FixtureRequest) -> str:
    """PostgreSQL alone: on SQLite all writers wait for each other anyway."""
    url: str = request.getfixturevalue("postgresql_url")
    return url


def receive(parts: Runtime, source: SourceRecord, name: str) -> None:
    """Write a callback down; `StoreUnavailable` once it has waited for a lock as long as any statement may."""
    assert record(parts, delivery(parts, source), event(parts, name)).is_new


def test_a_callback_does_not_wait_for_the_lock_of_its_source(parts: Runtime, source: SourceRecord) -> None:
    with parts.database.write() as connection:
        sources.lock(connection, source.id)
        receive(parts, source, "while it is locked")


def test_a_callback_does_not_wait_while_a_secret_is_set(parts: Runtime, source: SourceRecord) -> None:
    with parts.database.write() as connection:
        signing_secrets.put(connection, parts.encryption, source.id, "another", now=parts.clock(), grace_seconds=60)
        receive(parts, source, "while it is set")


def test_a_callback_does_not_wait_while_everything_is_encrypted_anew(parts: Runtime) -> None:
    source = add_source(parts, base_url="http://127.0.0.1:9")
    with parts.database.write() as connection:
        assert encryption.reencrypt_all(connection, parts.encryption) > 1
        receive(parts, source, "while it is encrypted")


def test_a_check_does_not_wait_for_a_payment_that_is_being_asked_about(parts: Runtime, source: SourceRecord) -> None:
    receive(parts, source, "FT1")
    with parts.database.write() as connection:
        (due,) = payments.claim_due(connection, now=parts.clock(), until=parts.clock(), lease="a", limit=1)
        with parts.database.write() as other:
            payments.add_check(other, due.id, at=parts.clock(), outcome="answered", bank_status=None, detail={})


def test_a_second_writer_about_a_source_does_wait(parts: Runtime, source: SourceRecord) -> None:
    with parts.database.write() as connection:
        sources.lock(connection, source.id)
        with pytest.raises(StoreUnavailable, match="lock"), parts.database.write() as other:
            sources.lock(other, source.id)
