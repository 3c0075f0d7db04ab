"""A database is copied into an empty one of the other kind: the same rows, and everything goes on working there."""

from collections.abc import Iterator

import pytest
from conftest import ENCRYPTION, KEY, StandingClock, make_token
from sqlalchemy import text
from store.made import delivery, event, record
from store.plenty import fill, index

from receiver import runtime
from receiver.admin import database as acts
from receiver.admin.audit import note, verify
from receiver.projection.projector import catch_up
from receiver.runtime import Runtime
from receiver.settings import Settings
from receiver.store import audit, consumers, copying, figures, holds, schema, signing_secrets
from receiver.store.copying import Copied, CopyRefused
from receiver.store.database import Database, StoreUnavailable
from receiver.store.sources import SourceRecord
from receiver.store.tables import metadata
from receiver.web import create_app


@pytest.fixture
def other(parts: Runtime, request: pytest.FixtureRequest) -> Iterator[Runtime]:
    """The parts over an empty database of the other kind, with the same keys."""
    if parts.database.is_sqlite:
        url = request.getfixturevalue("empty_postgres_url")
    else:
        url = f"sqlite:///{request.getfixturevalue('tmp_path')}/other/receiver.db"
    started = runtime.start(Settings(_env_file=None, secret_keys=KEY, database_url=url), parts.clock)
    yield started
    started.database.close()


def copied(parts: Runtime, to: Database) -> dict[str, Copied]:
    """Copy everything; return what was copied of each table."""
    return {each.table: each for each in acts.copy(parts, "cli:ann", to)}


def test_everything_goes_on_in_the_copy(
    parts: Runtime, other: Runtime, source: SourceRecord, clock: StandingClock
) -> None:
    token = make_token(parts)
    first = delivery(parts, source, headers={"x": "ü \U0001f600", "y": ""}, body=bytes(range(256)))
    event_ids = [event(parts, f"FT{number}", facts={"text": "ß", "number": 1.10}) for number in range(3)]
    record(parts, first, *event_ids)
    catch_up(parts.database)
    client = create_app(parts).test_client()
    page = client.get("/api/v1/feed?limit=2", headers=token).get_json()
    ack = client.get("/api/v1/consumers/ledger/feed?limit=1", headers=token).get_json()["next"]
    client.post("/api/v1/consumers/ledger/ack", headers=token, json={"cursor": ack})
    with parts.database.write() as connection:
        holds.put(connection, event_ids[0].id, "a court asks", "cli:ann", clock())
        # A consumer as an earlier release made it: it has no list of whom it is shared with.
        connection.execute(text("UPDATE consumers SET shared_with = NULL"))
    rows = copied(parts, other.database)
    assert rows["events"].rows == 3
    assert copying.later(parts.database, rows) == {}

    there = create_app(other).test_client()
    behind = there.get(f"/api/v1/feed?after={page['next']}", headers=token).get_json()
    assert [entry["position"] for entry in behind["data"]] == [3]
    following = there.get("/api/v1/consumers/ledger/feed", headers=token).get_json()
    assert [entry["position"] for entry in following["data"]] == [2, 3]
    assert there.get(f"/api/v1/events/{event_ids[0].id}/raw", headers=token).data == bytes(range(256))
    shown = there.get(f"/api/v1/events/{event_ids[0].id}", headers=token).get_json()
    assert (shown["on_hold"], shown["facts"]) == (True, {"text": "ß", "number": 1.10})
    with other.database.read() as connection:
        (secret,) = signing_secrets.every(connection, other.encryption, source.id)
        assert consumers.position_of(connection, "ledger") == 1
        assert {each.what for each in audit.oldest(connection, 0, 10)} >= {"database.copied"}
    assert secret.version == 1
    assert verify(other).entries >= 1
    # Numbers go on where they were, and what is known is known.
    assert not record(other, first, *event_ids).is_new
    record(other, delivery(other, source), event(other, "FT9"))
    assert catch_up(other.database) == 4
    note(other, "cli:ann", "payload.read", {"event": "evt_1"})
    assert [checked.faults for checked in acts.check(other)] == [()] * len(acts.CHECKS)


def test_a_thousand_events_are_the_same_there(parts: Runtime, other: Runtime) -> None:
    fill(parts, 1000)
    index(parts)
    rows = copied(parts, other.database)
    assert {name for name, each in rows.items() if each.rows} >= {"events", "feed_entries", "search_keys", "checks"}
    assert set(rows) == set(metadata().tables) - {"tallies"}
    with parts.database.read() as here, other.database.read() as there:
        numbers = figures.numbers(here, "subjects")
        assert numbers
        assert sorted(figures.numbers(there, "subjects")) == sorted(numbers)
    assert copying.later(other.database, rows) == {}
    assert [checked.faults for checked in acts.check(other)] == [()] * len(acts.CHECKS)


def test_a_target_that_holds_anything_is_refused(parts: Runtime, other: Runtime, source: SourceRecord) -> None:
    copied(parts, other.database)
    with pytest.raises(CopyRefused, match="not empty"):
        copied(parts, other.database)
    with pytest.raises(CopyRefused, match="not empty"):
        copied(parts, parts.database)
    assert source.name == "bcb"


def test_a_target_that_was_migrated_and_is_empty_is_taken(parts: Runtime, other: Runtime, source: SourceRecord) -> None:
    schema.upgrade(other.database, ENCRYPTION)
    assert copied(parts, other.database)["sources"].rows == 1
    assert source.name == "bcb"


def test_what_is_not_the_same_there_leaves_nothing(
    parts: Runtime, other: Runtime, source: SourceRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(parts, delivery(parts, source), event(parts, "FT1"))
    put = "_put_into_postgresql" if parts.database.is_sqlite else "_put_into_sqlite"
    whole = getattr(copying, put)

    def lossy(connection: object, which: object, rows: list[tuple[object, ...]]) -> None:
        if str(which) != "events":
            whole(connection, which, rows)

    with monkeypatch.context() as patched:
        patched.setattr(copying, put, lossy)
        with pytest.raises(CopyRefused, match="the copy of events is not what it was made of: 1 rows were read, 0"):
            copied(parts, other.database)
    # As empty as before: the next one is taken.
    assert copied(parts, other.database)["events"].rows == 1


def test_a_server_that_fails_amid_a_copy_is_told_of_without_the_row_and_leaves_nothing(
    parts: Runtime, other: Runtime, source: SourceRecord
) -> None:
    if other.database.is_sqlite:
        pytest.skip("SQLite's rows are inserted by SQLAlchemy")
    record(parts, delivery(parts, source), event(parts, "FT1", facts={"payer": "Jane Roe"}))
    schema.upgrade(other.database, ENCRYPTION)
    with other.database.write() as connection:
        connection.execute(text("ALTER TABLE events ADD CONSTRAINT few CHECK (source_id = 0)"))
    words = 'events can\'t be copied: new row for relation "events" violates check constraint "few"'
    with pytest.raises(StoreUnavailable) as failed:
        copied(parts, other.database)
    assert str(failed.value) == words
    with other.database.write() as connection:
        connection.execute(text("ALTER TABLE events DROP CONSTRAINT few"))
    with parts.database.write() as connection:
        connection.execute(text("UPDATE events SET subject = 'FT' || char(0)"))
    # The driver refuses what no text of PostgreSQL can hold.
    with pytest.raises(StoreUnavailable, match="events can't be copied: PostgreSQL text fields cannot contain NUL"):
        copied(parts, other.database)
    with parts.database.write() as connection:
        connection.execute(text("UPDATE events SET subject = 'FT1'"))
    assert copied(parts, other.database)["events"].rows == 1


def test_what_comes_in_meanwhile_is_no_part_of_it_and_is_named(
    parts: Runtime, other: Runtime, source: SourceRecord
) -> None:
    steps = acts.copy(parts, "cli:ann", other.database)
    begun = next(steps)
    record(parts, delivery(parts, source), event(parts, "FT1"))
    rows = {each.table: each for each in (begun, *steps)}
    assert rows["events"].rows == 0
    assert copying.later(parts.database, rows) == {"deliveries": 1, "events": 1, "pending_events": 1}


def test_what_is_changed_meanwhile_is_named_though_there_are_as_many_rows(
    parts: Runtime, other: Runtime, source: SourceRecord, clock: StandingClock
) -> None:
    record(parts, delivery(parts, source), event(parts, "FT1"))
    with parts.database.write() as connection:
        consumers.seek(connection, "ledger", 0, clock())
    catch_up(parts.database)
    steps = acts.copy(parts, "cli:ann", other.database)
    begun = next(steps)
    with parts.database.write() as connection:
        consumers.seek(connection, "ledger", 1, clock())
    rows = {each.table: each for each in (begun, *steps)}
    assert copying.later(other.database, rows) == {}
    assert copying.later(parts.database, rows) == {"consumers": 0}


@pytest.mark.parametrize(
    "url",
    ["mysql://x/y", "sqlite:///", "sqlite:///:memory:", "sqlite:///x?mode=ro", "postgresql+psycopg://[", "nothing"],
)
def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(CopyRefused):
        acts.target_of(url)
