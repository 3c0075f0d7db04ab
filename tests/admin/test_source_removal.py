"""Removing a source: what goes, what stays, and what a callback that comes at the same time leaves behind."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from admin.looking import WHO, noted
from bank import BankSigner, deposit
from conftest import KEY, StandingClock, add_source
from flask.testing import FlaskClient
from sqlalchemy import func, insert, select
from sqlmodel import SQLModel
from store import made

from receiver import runtime
from receiver.admin import bcb_from_environment, secrets, source_changes, sources
from receiver.admin.source_changes import NewSettings, Removed
from receiver.model import ExceptionKind, HeldBack, NotFound, NotPossible, Purpose, RetentionKind
from receiver.projection.projector import catch_up
from receiver.runtime import Runtime
from receiver.settings import Settings
from receiver.store import exceptions, intake, signing_secrets
from receiver.store import sources as stored
from receiver.store.exceptions import Opened
from receiver.store.sources import SourceRecord
from receiver.store.tables import (
    BankToken,
    Circuit,
    DayHead,
    Delivery,
    Outage,
    PublicKeys,
    RequestBudget,
    RequestSpending,
    RetentionLeft,
    RetentionProgress,
    SourceWatch,
    Sweep,
    table_of,
)

AT = datetime(2026, 1, 2, tzinfo=UTC)


def send(client: FlaskClient, bank: BankSigner, **changes: str) -> int:
    signed = bank.sign(deposit())
    return client.post(signed.path, data=signed.body, headers={**signed.headers, **changes}).status_code


def known(parts: Runtime, name: str) -> SourceRecord | None:
    with parts.database.read() as connection:
        return stored.find(connection, name)


def deliveries(parts: Runtime) -> int:
    with parts.database.read() as connection:
        number: int = connection.execute(select(func.count()).select_from(table_of(Delivery))).scalar_one()
        return number


def test_a_source_that_nothing_came_of_frees_its_name(parts: Runtime, source: SourceRecord) -> None:
    removed = source_changes.remove(parts, WHO, "bcb")
    assert (removed.name, removed.holds) == (f"bcb~{source.id}", [])
    assert known(parts, "bcb") is None
    second = add_source(parts)
    assert second.id != source.id
    about = {"source": "bcb", "bank": "bcb", "hidden": False}
    assert noted(parts) == [(WHO, "source.removed", about)]
    with parts.database.read() as connection:
        assert signing_secrets.versions(connection, source.id) == []
        assert [found.name for found in stored.shown(connection)] == ["bcb"]


ALONE: dict[type[SQLModel], dict[str, object]] = {
    PublicKeys: {"failures": 3},
    BankToken: {},
    RequestBudget: {"window_started_at": AT, "used": 1},
    RequestSpending: {"window_started_at": AT, "used": 1, "purpose": Purpose.OTHER},
    Circuit: {"failures": 9, "probes": 0, "asked": 0},
    SourceWatch: {"what": "keys", "looked_at": AT},
    Outage: {"began_at": AT, "ended_at": AT, "number": 2},
    Sweep: {"list_name": "all", "next_at": AT},
    RetentionProgress: {"kind": RetentionKind.PAYLOAD, "through": "", "left_through": "", "removed": 0},
    RetentionLeft: {"kind": RetentionKind.PAYLOAD, "place": "1", "reason": HeldBack.ON_HOLD},
    DayHead: {"versions": 0, "digest": "", "key": "", "mac": ""},
}
"""What comes to be of a source of which no callback ever came."""


def test_what_comes_to_be_without_any_callback_does_not_keep_the_name(parts: Runtime, source: SourceRecord) -> None:
    silent = Opened(ExceptionKind.SILENCE, source.id, "source", "bcb", detail="no callback has come")
    inactive = silent._replace(kind=ExceptionKind.SUBSCRIPTION_INACTIVE)
    with parts.database.write() as connection:
        for model, values in ALONE.items():
            connection.execute(insert(table_of(model)).values(source_id=source.id, **values))
        exceptions.open_all(connection, [silent], parts.clock())
    catch_up(parts.database)
    with parts.database.write() as connection:
        exceptions.open_all(connection, [inactive], parts.clock())
    assert source_changes.remove(parts, WHO, "bcb") == Removed(f"bcb~{source.id}", [])
    with parts.database.read() as connection:
        left = [
            model.__name__
            for model in ALONE
            if connection.execute(select(table_of(model)).where(table_of(model).c.source_id == source.id)).first()
        ]
    assert left == []
    assert add_source(parts).id != source.id


def test_a_day_that_was_closed_keeps_the_name(parts: Runtime, source: SourceRecord) -> None:
    with parts.database.write() as connection:
        closed = {**ALONE[DayHead], "versions": 1}
        connection.execute(insert(table_of(DayHead)).values(source_id=source.id, **closed))
    assert source_changes.remove(parts, WHO, "bcb").holds == ["day_heads"]


def test_one_with_events_is_hidden_and_its_name_stays_taken(
    parts: Runtime, source: SourceRecord, client: FlaskClient, bank: BankSigner
) -> None:
    assert send(client, bank) == 200
    removed = source_changes.remove(parts, WHO, "bcb")
    assert (removed.name, "events" in removed.holds) == ("bcb", True)
    hidden = known(parts, "bcb")
    assert hidden is not None
    assert (hidden.id, hidden.enabled, hidden.hidden_at) == (source.id, False, parts.clock())
    with pytest.raises(stored.SourceExists):
        add_source(parts)


def test_the_credentials_are_destroyed_and_the_secret_that_opens_what_is_stored_is_not(parts: Runtime) -> None:
    source = add_source(parts, base_url="https://bank.example")
    made.record(parts, made.delivery(parts, source), made.event(parts, "FT1"))
    source_changes.remove(parts, WHO, "bcb")
    with parts.database.read() as connection:
        hidden = stored.find(connection, "bcb")
        assert hidden is not None
        assert not hidden.has_credentials
        assert signing_secrets.valid(connection, parts.encryption, source.id, parts.clock()) == []
        assert len(signing_secrets.every(connection, parts.encryption, source.id)) == 1


@pytest.mark.parametrize(
    ("headers", "holds"),
    [({}, ["deliveries"]), ({"Bcb-Signature": "no"}, [])],
    ids=["it looks like the bank's", "it does not"],
)
def test_of_what_was_refused_only_what_may_be_the_banks_stays(
    parts: Runtime, client: FlaskClient, bank: BankSigner, headers: dict[str, str], holds: list[str]
) -> None:
    add_source(parts, encoding="utf8")
    assert send(client, bank, **headers) == 401
    assert source_changes.remove(parts, WHO, "bcb").holds == holds
    assert deliveries(parts) == len(holds)


@pytest.mark.usefixtures("source")
def test_a_late_delivery_stays(parts: Runtime, client: FlaskClient, bank: BankSigner) -> None:
    signed = bank.sign(deposit(), timestamp=str(int(parts.clock().timestamp()) - 1000))
    assert client.post(signed.path, data=signed.body, headers=signed.headers).status_code == 401
    assert source_changes.remove(parts, WHO, "bcb").holds[0] == "deliveries"


def test_nothing_is_done_any_more_to_one_that_was_removed(
    parts: Runtime, source: SourceRecord, client: FlaskClient, bank: BankSigner
) -> None:
    made.record(parts, made.delivery(parts, source), made.event(parts, "FT1"))
    source_changes.remove(parts, WHO, "bcb")
    for act in (
        lambda: source_changes.remove(parts, WHO, "bcb"),
        lambda: sources.enable(parts, WHO, "bcb"),
        lambda: sources.set_credentials(parts, WHO, "bcb", {"client_id": "a", "client_secret": "b"}),
        lambda: secrets.put(parts, WHO, "bcb", "A" * 43 + "="),
        lambda: source_changes.change(parts, WHO, "bcb", NewSettings({"encoding": "utf8"})),
    ):
        with pytest.raises(NotPossible, match="removed"):
            act()
    assert send(client, bank) == 404
    with pytest.raises(NotFound, match="there is none yet"):
        sources.find(parts, "other")


def test_variables_of_the_environment_do_not_bring_it_back(
    parts: Runtime, source: SourceRecord, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    made.record(parts, made.delivery(parts, source), made.event(parts, "FT1"))
    source_changes.remove(parts, WHO, "bcb")
    monkeypatch.setattr(parts.settings, "bcb_client_id", "a")
    assert bcb_from_environment.apply(parts) is False
    assert "was removed" in caplog.text


def test_a_callback_judged_before_and_written_after_belongs_to_the_source_that_it_came_for(
    parts: Runtime, source: SourceRecord
) -> None:
    arrived, told = made.delivery(parts, source), made.event(parts, "FT1")
    removed = source_changes.remove(parts, WHO, "bcb")
    second = add_source(parts)
    made.record(parts, arrived, told)
    with parts.database.read() as connection:
        assert stored.names(connection)[source.id] == removed.name
    assert second.id != source.id


@pytest.fixture
def on_postgresql(postgresql_url: str) -> Iterator[Runtime]:
    settings = Settings(_env_file=None, secret_keys=KEY, database_url=postgresql_url)
    parts = runtime.start(settings, StandingClock())
    yield parts
    parts.database.close()


def test_a_callback_that_is_being_written_meanwhile_is_not_waited_for_and_stays_with_its_source(
    on_postgresql: Runtime,
) -> None:
    source = add_source(on_postgresql)
    with on_postgresql.database.write() as connection:
        intake.record(connection, made.delivery(on_postgresql, source), [made.event(on_postgresql, "FT1")])
        # In a transaction of its own, beside the one that is open.
        assert source_changes.remove(on_postgresql, WHO, "bcb") == Removed(f"bcb~{source.id}", [])
    assert deliveries(on_postgresql) == 1
    with on_postgresql.database.read() as connection:
        (left,) = stored.every(connection)
    assert (left.id, left.name, left.enabled) == (source.id, f"bcb~{source.id}", False)


def test_a_removal_that_was_cut_short_is_finished_by_the_next(
    parts: Runtime, source: SourceRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_changes, "TRIES", 0)
    assert source_changes.remove(parts, WHO, "bcb").name == "bcb"
    monkeypatch.undo()
    assert source_changes.remove(parts, WHO, "bcb").name == f"bcb~{source.id}"
    assert len(noted(parts)) == 1


def test_of_two_removals_at_once_none_touches_a_source_that_was_added_meanwhile(
    parts: Runtime, source: SourceRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    clear = source_changes._clear

    def clear_late(*given: Any) -> Removed:
        monkeypatch.undo()
        assert source_changes.remove(parts, "cli:other", "bcb").name == f"bcb~{source.id}"
        add_source(parts, base_url="https://bank.example")
        return clear(*given)

    monkeypatch.setattr(source_changes, "_clear", clear_late)
    assert source_changes.remove(parts, WHO, "bcb") == Removed(f"bcb~{source.id}", [])
    second = known(parts, "bcb")
    assert second is not None
    assert (second.enabled, second.has_credentials) == (True, True)
    with parts.database.read() as connection:
        assert len(signing_secrets.versions(connection, second.id)) == 1
