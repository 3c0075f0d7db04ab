"""Versions of a signing secret: they overlap while it is changed, and are sealed."""

from datetime import timedelta

import pytest
from bank import SECRET
from conftest import StandingClock, add_source
from sqlalchemy import select, update

from receiver.runtime import Runtime
from receiver.store import signing_secrets
from receiver.store.encryption import DecryptionFailed
from receiver.store.sources import SourceRecord
from receiver.store.tables import SigningSecret, table_of

_secrets = table_of(SigningSecret)


def put(parts: Runtime, source: SourceRecord, secret: str, grace_seconds: int = 60) -> int:
    with parts.database.write() as connection:
        return signing_secrets.put(
            connection, parts.encryption, source.id, secret, now=parts.clock(), grace_seconds=grace_seconds
        ).version


def valid(parts: Runtime, source: SourceRecord) -> list[tuple[int, str]]:
    with parts.database.read() as connection:
        found = signing_secrets.valid(connection, parts.encryption, source.id, parts.clock())
    return [(secret.version, secret.text) for secret in found]


def test_the_newest_version_comes_first_and_the_one_before_it_stays_for_the_grace_period(
    parts: Runtime, source: SourceRecord, clock: StandingClock
) -> None:
    assert put(parts, source, "second") == 2
    clock.forward(59)
    assert valid(parts, source) == [(2, "second"), (1, SECRET)]
    clock.forward(1)
    assert valid(parts, source) == [(2, "second")]


def test_three_versions_may_overlap(parts: Runtime, source: SourceRecord, clock: StandingClock) -> None:
    put(parts, source, "second")
    clock.forward(30)
    put(parts, source, "third")
    assert [version for version, _ in valid(parts, source)] == [3, 2, 1]
    clock.forward(30)
    assert [version for version, _ in valid(parts, source)] == [3, 2]
    clock.forward(30)
    assert [version for version, _ in valid(parts, source)] == [3]


def test_setting_the_current_secret_again_changes_nothing(parts: Runtime, source: SourceRecord) -> None:
    assert put(parts, source, SECRET) == 1
    assert valid(parts, source) == [(1, SECRET)]


def test_going_back_to_an_earlier_secret_makes_a_new_version(
    parts: Runtime, source: SourceRecord, clock: StandingClock
) -> None:
    put(parts, source, "second")
    assert put(parts, source, SECRET) == 3
    clock.forward(3600)
    assert valid(parts, source) == [(3, SECRET)]


def test_no_grace_ends_the_one_before_at_once(parts: Runtime, source: SourceRecord) -> None:
    put(parts, source, "second", grace_seconds=0)
    assert valid(parts, source) == [(2, "second")]


def test_every_version_is_listed_with_its_times_and_without_its_text(
    parts: Runtime, source: SourceRecord, clock: StandingClock
) -> None:
    put(parts, source, "second")
    clock.forward(3600)
    with parts.database.read() as connection:
        listed = signing_secrets.versions(connection, source.id)
    assert [(found.version, found.expires_at is None) for found in listed] == [(2, True), (1, False)]
    assert "second" not in repr(listed)


def test_a_secret_in_the_clear_is_not_in_its_repr(parts: Runtime, source: SourceRecord) -> None:
    with parts.database.read() as connection:
        found = signing_secrets.valid(connection, parts.encryption, source.id, parts.clock())
    assert SECRET not in repr(found)


def test_sources_have_versions_of_their_own(parts: Runtime, source: SourceRecord) -> None:
    other = add_source(parts, "other", secret="of the other")
    assert valid(parts, source) == [(1, SECRET)]
    assert valid(parts, other) == [(1, "of the other")]


def test_a_sealed_secret_moved_to_another_version_or_source_does_not_open(parts: Runtime, source: SourceRecord) -> None:
    other = add_source(parts, "other", secret="of the other")
    with parts.database.write() as connection:
        sealed = connection.execute(select(_secrets.c.sealed).where(_secrets.c.source_id == other.id)).scalar_one()
        connection.execute(update(_secrets).where(_secrets.c.source_id == source.id).values(sealed=sealed))
    with pytest.raises(DecryptionFailed):
        valid(parts, source)


def test_a_version_that_was_expired_is_not_taken_for_the_current_one(
    parts: Runtime, source: SourceRecord, clock: StandingClock
) -> None:
    with parts.database.write() as connection:
        assert signing_secrets.expire(connection, source.id, 1, clock())
        assert not signing_secrets.expire(connection, source.id, 1, clock())
    assert valid(parts, source) == []
    assert put(parts, source, SECRET) == 2
    assert valid(parts, source) == [(2, SECRET)]


def test_one_in_its_grace_period_that_is_set_again_lives_on(
    parts: Runtime, source: SourceRecord, clock: StandingClock
) -> None:
    with parts.database.write() as connection:
        signing_secrets.expire_all(connection, source.id, clock() + timedelta(seconds=60))
    assert put(parts, source, SECRET) == 2
    clock.forward(3600)
    assert valid(parts, source) == [(2, SECRET)]


def test_without_a_grace_period_those_before_end_as_they_would_have(parts: Runtime, source: SourceRecord) -> None:
    with parts.database.write() as connection:
        signing_secrets.put(connection, parts.encryption, source.id, "second", now=parts.clock(), grace_seconds=None)
        versions = signing_secrets.versions(connection, source.id)
    assert [version.expires_at for version in versions] == [None, None]
