"""What goes to a bank opens for the destination that it was sealed for, whatever is changed in the database."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any, NamedTuple

import pytest
from conftest import StandingClock, add_source
from sqlalchemy import update

from receiver.model import CredentialChangeKind
from receiver.runtime import Runtime
from receiver.store import bank_tokens, credential_changes, destinations, public_keys, signing_secrets, sources
from receiver.store.bank_tokens import StoredToken
from receiver.store.credential_changes import Intent
from receiver.store.encryption import DecryptionFailed
from receiver.store.sources import SourceRecord
from receiver.store.tables import BankToken, CredentialChange, PublicKeys, SigningSecret, Source, table_of

GIVEN = {"client_id": "simulator-client", "client_secret": "simulator-secret"}
JWKS = '{"keys":[]}'
HOUR = timedelta(hours=1)


class Held(NamedTuple):
    """All that is stored for a bank and opens."""

    credentials: dict[str, str] | None = None
    token: str | None = None
    keys: str | None = None
    change: str | None = None


ALL = Held(GIVEN, "the token", JWKS, "the change's token")


def furnish(parts: Runtime, name: str = "bcb") -> SourceRecord:
    """A source with all that can be sealed for its bank."""
    source = add_source(parts, name, base_url="https://bank.example", requests_per_window=5)
    now = parts.clock()
    intent = Intent(CredentialChangeKind.ROTATE, "c", None, f"key of {name}", "cli:test", "the change's token")
    with parts.database.write() as connection:
        bank_tokens.claim_fetching(connection, source.id, now=now, until=now)
        bank_tokens.put(connection, parts.encryption, source, StoredToken("the token", now + HOUR), now)
        public_keys.put(connection, parts.encryption, source, now, jwks=JWKS, error=None)
        credential_changes.begin(connection, parts.encryption, source, intent, now=now, due_at=now)
    return source


def find(parts: Runtime, name: str = "bcb") -> SourceRecord:
    with parts.database.read() as connection:
        found = sources.find(connection, name)
    assert found is not None
    return found


def held(parts: Runtime, source: SourceRecord) -> Held:
    """What opens for a source as it stands in the database now."""

    def opened(read: Callable[[], Any]) -> Any:
        try:
            return read()
        except DecryptionFailed:
            return None

    with parts.database.read() as connection:
        change = credential_changes.pending(connection, source.id)
        assert change is not None
        token = opened(lambda: bank_tokens.token(connection, parts.encryption, source))
        return Held(
            opened(lambda: sources.credentials(connection, parts.encryption, source)),
            token.text if token is not None else None,
            public_keys.stored(connection, parts.encryption, source).jwks,
            opened(lambda: credential_changes.token(parts.encryption, source, change)),
        )


TAMPERED: dict[str, dict[str, Any]] = {
    "the address": {"base_url": "https://thief.example"},
    "no address, so that the bank's own counts": {"base_url": None},
    "the environment": {"environment": "production"},
    "the bank": {"bank": "banqup"},
    "an option that is an address": {
        "options": {"requests_per_window": 5, "authorization_url": "https://thief.example"}
    },
    "an option that is a path": {"options": {"requests_per_window": 5, "token_path": "/elsewhere"}},
    "an option that is there already": {"options": {"requests_per_window": 6}},
    "no option": {"options": {}},
}


def test_nothing_opens_for_another_destination_and_all_of_it_once_that_is_put_back(parts: Runtime) -> None:
    source = furnish(parts)
    for what, changed in TAMPERED.items():
        assert held(parts, find(parts)) == ALL, what
        with parts.database.write() as connection:
            sources.change(connection, source.id, **changed)
        assert held(parts, find(parts)) == Held(), what
        back = {name: getattr(source, name) for name in changed}
        with parts.database.write() as connection:
            sources.change(connection, source.id, **back)
    assert held(parts, find(parts)) == ALL


def test_what_does_not_decide_where_it_goes_may_change(parts: Runtime) -> None:
    source = furnish(parts)
    with parts.database.write() as connection:
        sources.change(connection, source.id, enabled=False, name="renamed", environment_digest="x")
    assert held(parts, find(parts, "renamed")) == ALL


def test_nothing_opens_in_another_source_s_row_though_it_goes_to_the_same_place(parts: Runtime) -> None:
    one, other = furnish(parts, "one"), furnish(parts, "other")
    places = ((Source, "credentials", "id"), (BankToken, "sealed", "source_id"), (PublicKeys, "sealed", "source_id"))
    with parts.database.write() as connection:
        for model, column, key in (*places, (CredentialChange, "token", "source_id")):
            table = table_of(model)
            taken = connection.execute(table.select().where(table.c[key] == one.id)).one()._mapping[column]
            connection.execute(update(table).where(table.c[key] == other.id).values({column: taken}))
    assert held(parts, other) == Held()
    assert held(parts, one) == ALL


def test_a_signing_secret_opens_in_no_other_source_s_row_and_as_no_other_version(parts: Runtime) -> None:
    one, other = add_source(parts, "one"), add_source(parts, "other")
    table = table_of(SigningSecret)
    with parts.database.write() as connection:
        taken = connection.execute(table.select().where(table.c.source_id == one.id)).one().sealed
        connection.execute(update(table).where(table.c.source_id == other.id).values(sealed=taken))
        connection.execute(update(table).where(table.c.source_id == one.id).values(version=2))
    for source in (one, other):
        with parts.database.read() as connection, pytest.raises(DecryptionFailed, match="sealed for another place"):
            signing_secrets.valid(connection, parts.encryption, source.id, parts.clock())


def test_what_older_releases_sealed_for_any_destination_opens_nowhere_any_more(parts: Runtime) -> None:
    source = furnish(parts)
    seal = parts.encryption.encrypt
    with parts.database.write() as connection:
        sources.change(connection, source.id, credentials=seal(f"credentials of source {source.id}", json.dumps(GIVEN)))
        connection.execute(update(table_of(BankToken)).values(sealed=seal(f"bank token of source {source.id}", "t")))
        connection.execute(update(table_of(PublicKeys)).values(sealed=None, jwks=JWKS))
        connection.execute(
            update(table_of(CredentialChange)).values(token=seal("token for the change key of bcb", "t"))
        )
    assert held(parts, source) == Held()
    with parts.database.read() as connection, pytest.raises(DecryptionFailed, match=r"see docs/secrets\.md"):
        sources.credentials(connection, parts.encryption, source)


def move(parts: Runtime, **values: Any) -> SourceRecord:
    with parts.database.write() as connection:
        source = destinations.locked(connection, "bcb")
        assert source is not None
        return destinations.move(connection, parts.encryption, source, **values)


def test_a_move_seals_anew_and_forgets_what_another_bank_gave(parts: Runtime) -> None:
    source = furnish(parts)
    moved = move(parts, base_url="https://other.example")
    assert held(parts, moved) == Held(GIVEN, None, None, "the change's token")
    assert held(parts, source) == Held()
    with parts.database.read() as connection:
        wanting = public_keys.sources_in_want(connection, now=parts.clock(), older_than=HOUR, pause=HOUR)
    assert [found.name for found in wanting] == ["bcb"]


def test_the_bank_s_keys_go_on_counting_where_an_option_alone_has_changed(parts: Runtime) -> None:
    furnish(parts)
    assert held(parts, move(parts, options={"requests_per_window": 7})) == ALL._replace(token=None)


def test_what_was_tampered_with_is_not_moved(parts: Runtime) -> None:
    source = furnish(parts)
    with parts.database.write() as connection:
        sources.change(connection, source.id, base_url="https://thief.example")
    with pytest.raises(DecryptionFailed):
        move(parts, options={})
    with pytest.raises(DecryptionFailed):
        move(parts, base_url="https://other.example")
    assert find(parts).base_url == "https://thief.example"


def test_what_was_tampered_with_can_be_set_back(parts: Runtime) -> None:
    source = furnish(parts)
    with parts.database.write() as connection:
        sources.change(connection, source.id, base_url="https://thief.example")
    assert held(parts, move(parts, base_url="https://bank.example")) == ALL


@pytest.mark.parametrize("by_move", [True, False])
def test_new_credentials_follow_a_move_made_meanwhile_but_not_a_change_in_the_database(
    parts: Runtime, by_move: bool
) -> None:
    before = furnish(parts)
    if by_move:
        move(parts, base_url="https://other.example")
    else:
        with parts.database.write() as connection:
            sources.change(connection, before.id, base_url="https://thief.example", credentials=None)
    with parts.database.write() as connection:
        vouched = destinations.vouched(connection, parts.encryption, before)
    assert vouched.base_url == ("https://other.example" if by_move else "https://bank.example")


def test_the_digest_of_a_destination_never_changes() -> None:
    """What is stored would not open any more."""
    known = "77148e70d4481630"
    assert sources.destination("bcb", "sandbox", None, {"b": 1, "a": ["x"]})[:16] == known


def test_fetches_that_fail_are_put_off_for_twice_as_long_each_time_and_for_a_quarter_of_an_hour_at_most(
    parts: Runtime, clock: StandingClock
) -> None:
    source = add_source(parts, base_url="https://bank.example")

    def in_want() -> bool:
        with parts.database.read() as connection:
            found = public_keys.sources_in_want(connection, now=clock(), older_than=HOUR, pause=timedelta(seconds=20))
        return bool(found)

    def waits() -> int:
        seconds = 0
        while not in_want():
            clock.forward(10)
            seconds += 10
        return seconds

    found = []
    for _ in range(9):
        with parts.database.write() as connection:
            public_keys.put(connection, parts.encryption, source, clock(), jwks=None, error="refused")
        found.append(waits())
    assert found == [30, 50, 90, 170, 330, 650, 910, 910, 910]
    with parts.database.write() as connection:
        public_keys.put(connection, parts.encryption, source, clock(), jwks=JWKS, error=None)
        public_keys.want(connection, source.id, clock())
    assert waits() == 30
    clock.forward(-8 * 3600)
    assert in_want(), "a clock that was ahead stops fetching for as long as it was ahead"
