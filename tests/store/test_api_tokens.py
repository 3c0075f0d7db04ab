"""Tokens of downstream apps: shown once, kept as a digest, ended at once."""

import hashlib
from datetime import timedelta

import pytest
from conftest import StandingClock
from sqlalchemy import select

from receiver.runtime import Runtime
from receiver.store import api_tokens
from receiver.store.api_tokens import TokenExists, TokenRecord
from receiver.store.tables import ApiToken, table_of


def create(parts: Runtime, name: str = "app", lives: timedelta | None = None) -> str:
    with parts.database.write() as connection:
        return api_tokens.create(
            connection,
            name=name,
            scopes=("feed:read",),
            sources=("bcb",),
            now=parts.clock(),
            expires_at=parts.clock() + lives if lives else None,
        )


def find(parts: Runtime, token: str) -> TokenRecord | None:
    with parts.database.read() as connection:
        return api_tokens.find(connection, token, parts.clock())


def test_a_token_is_found_with_what_it_may(parts: Runtime) -> None:
    found = find(parts, create(parts))
    assert found is not None
    assert (found.name, found.scopes, found.sources) == ("app", ("feed:read",), ("bcb",))


def test_a_token_says_whose_it_is_and_cannot_be_guessed(parts: Runtime) -> None:
    tokens = {create(parts, f"app {number}") for number in range(20)}
    assert len(tokens) == 20
    assert all(token.startswith("rcv_") and len(token) == 47 for token in tokens)


def test_only_its_digest_is_stored(parts: Runtime) -> None:
    token = create(parts)
    with parts.database.read() as connection:
        (row,) = connection.execute(select(table_of(ApiToken)))
    assert row.digest == hashlib.sha256(token.encode()).hexdigest()
    assert token not in str(row)
    assert token.removeprefix("rcv_") not in str(row)


@pytest.mark.parametrize("shown", ["", "rcv_", "rcv_unknown", "\ud800", "ü" * 1000, "\0"])
def test_an_unknown_token_is_not_found(parts: Runtime, shown: str) -> None:
    create(parts)
    assert find(parts, shown) is None


def test_its_digest_shown_as_a_token_is_not_found(parts: Runtime) -> None:
    token = create(parts)
    assert find(parts, hashlib.sha256(token.encode()).hexdigest()) is None


def test_it_ends_at_its_expiry(parts: Runtime, clock: StandingClock) -> None:
    token = create(parts, lives=timedelta(days=90))
    clock.forward(90 * 86400 - 1)
    assert find(parts, token) is not None
    clock.forward(1)
    assert find(parts, token) is None


def test_revoking_ends_it_at_once(parts: Runtime) -> None:
    token, other = create(parts), create(parts, "other")
    with parts.database.write() as connection:
        assert api_tokens.revoke(connection, "app", parts.clock())
        assert not api_tokens.revoke(connection, "app", parts.clock())
        assert not api_tokens.revoke(connection, "nobody", parts.clock())
    assert find(parts, token) is None
    assert find(parts, other) is not None


def test_a_second_token_of_the_same_name_is_refused(parts: Runtime) -> None:
    create(parts)
    with pytest.raises(TokenExists, match="'app'"):
        create(parts)


def test_its_use_is_noted_at_most_once_a_minute(parts: Runtime, clock: StandingClock) -> None:
    token = create(parts)
    noted = []
    for _ in range(5):
        found = find(parts, token)
        assert found is not None
        if api_tokens.needs_note_of_use(found, clock()):
            with parts.database.write() as connection:
                api_tokens.note_use(connection, found.id, clock())
            noted.append(clock())
        clock.forward(30)
    assert [(time - noted[0]).total_seconds() for time in noted] == [0, 60, 120]


def test_ended_tokens_are_still_listed(parts: Runtime) -> None:
    create(parts, "b")
    create(parts, "a")
    with parts.database.write() as connection:
        api_tokens.revoke(connection, "b", parts.clock())
        listed = [(record.name, record.revoked_at is not None) for record in api_tokens.every(connection)]
    assert listed == [("a", False), ("b", True)]
