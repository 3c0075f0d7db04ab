"""Events that were told with other content too: those found in which money is at stake, within bounds."""

import hashlib
import json
from typing import Any

import others
import pytest
from bank import BankSigner, deposit
from conftest import StandingClock, add_encrypting_source
from encrypting_bank import EncryptingBank, notification, payment
from flask.testing import FlaskClient
from others import TOKEN, outgoing
from sqlalchemy import update
from store.made import delivery, event, record
from web.connectpay import send

from receiver.admin import conflicts
from receiver.admin.conflicts import Conflict
from receiver.admin.diagnosis import examine
from receiver.runtime import Runtime
from receiver.store import signing_secrets
from receiver.store.sources import SourceRecord
from receiver.store.tables import Source, table_of


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """One kind of database is enough for all but the query itself, which tests/store has on both."""
    return sqlite_url


def told_as_one(parts: Runtime, source: SourceRecord, *bodies: dict[str, Any]) -> str:
    """What an earlier release made of deposits whose amount it could not read: one event, in conflict."""
    identity = hashlib.sha256(json.dumps(["deposit", "1046406142", "FT2384654NXF6", "Credit", "", "USD"]).encode())
    for body in bodies:
        signed = BankSigner(parts.clock).sign(body)
        headers = {name.lower(): value for name, value in signed.headers.items()}
        arrived = delivery(parts, source, body=signed.body, headers=headers)
        says: dict[str, Any] = {"identity": identity.digest(), "amount": None, "payment": "FT2384654NXF6"}
        recorded = record(parts, arrived, event(parts, "x", says=str(signed.body), **says))
    return recorded.event_ids[0]


def money(amount: Any, **more: Any) -> dict[str, Any]:
    return deposit(value={"amount": amount, "currency": "USD"}, **more)


def words(conflict: Conflict) -> list[str]:
    return [content.money for content in conflict.contents]


def test_deposits_that_were_told_as_one_are_found(parts: Runtime, source: SourceRecord) -> None:
    event_id = told_as_one(parts, source, money("1,000.00"), money("1,250.00"))
    found = conflicts.look(parts)
    (conflict,) = found.in_money
    assert (conflict.event.id, conflict.are_two, found.looked_at, found.unreadable) == (event_id, True, 1, 0)
    assert words(conflict) == ["1000 USD on 1046406142", "1250 USD on 1046406142"]


def test_they_are_found_though_their_amounts_can_t_be_read_to_this_day(parts: Runtime, source: SourceRecord) -> None:
    told_as_one(parts, source, money({"sum": 1}), money({"sum": 2}), money({"sum": 3}))
    (conflict,) = conflicts.look(parts).in_money
    assert words(conflict) == ["no amount that can be read on 1046406142"] * 3


def test_other_words_about_the_same_money_are_no_such_conflict(
    client: FlaskClient, parts: Runtime, bank: BankSigner, source: SourceRecord
) -> None:
    del source
    for details in ("one", "other"):
        signed = bank.sign(deposit(transactionDetails=details))
        assert client.post(signed.path, data=signed.body, headers=signed.headers).status_code == 200
    found = conflicts.look(parts)
    assert (found.looked_at, found.in_money, found.unreadable, found.has_more) == (1, [], 0, False)
    assert [(each.state, each.what) for each in examine(parts)][-1] == ("ok", "conflicts")


def test_another_amount_under_the_same_id_is_found_at_every_bank(client: FlaskClient, parts: Runtime) -> None:
    others.add(parts, "connectpay", TOKEN)
    add_encrypting_source(parts)
    for amount in (12.5, 13):
        send(client, outgoing(amount=amount))
        transfer = {"amount": {"currency": "GBP", "amount": amount}}
        signed = EncryptingBank().sign([notification(event_id="e1", payment=payment(transfer=transfer))])
        assert client.post(signed.path, data=signed.body, headers=signed.headers).status_code == 200
    found = {conflict.event.source: conflict for conflict in conflicts.look(parts).in_money}
    assert words(found["connectpay"]) == ["12.5 EUR", "13 EUR"]
    assert words(found["bc"]) == ["12.5 GBP", "13 GBP"]
    assert [conflict.are_two for conflict in found.values()] == [False, False]


def test_two_contents_in_one_delivery_are_found(client: FlaskClient, parts: Runtime) -> None:
    add_encrypting_source(parts)
    told = [
        notification(event_id="e1", payment=payment(transfer={"amount": {"currency": "GBP", "amount": amount}}))
        for amount in (1, 2)
    ]
    signed = EncryptingBank().sign(told)
    assert client.post(signed.path, data=signed.body, headers=signed.headers).status_code == 200
    (conflict,) = conflicts.look(parts).in_money
    assert words(conflict) == ["1 GBP", "2 GBP"]


def test_what_was_sealed_with_a_key_that_has_expired_is_still_read(
    client: FlaskClient, parts: Runtime, clock: StandingClock
) -> None:
    source = add_encrypting_source(parts)
    for status in ("Processed", "Rejected"):
        signed = EncryptingBank().sign([notification(event_id="e1", payment=payment(status=status))])
        assert client.post(signed.path, data=signed.body, headers=signed.headers).status_code == 200
    with parts.database.write() as connection:
        signing_secrets.put(connection, parts.encryption, source.id, "n" * 32, now=clock(), grace_seconds=0)
    clock.forward(1)
    found = conflicts.look(parts)
    assert (found.looked_at, found.unreadable, found.in_money) == (1, 0, [])


def test_what_no_key_opens_is_said(parts: Runtime) -> None:
    source = add_encrypting_source(parts)
    for body in (b"one", b"other"):
        record(parts, delivery(parts, source, body=body), event(parts, "x", says=str(body)))
    found = conflicts.look(parts)
    assert (found.looked_at, found.unreadable, found.in_money) == (1, 1, [])
    assert "1 could not be looked into: no key, no bank, or too large" in [each.text for each in examine(parts)]


def test_no_more_are_looked_into_than_the_bounds_allow(
    parts: Runtime, source: SourceRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        for says in ("a", "b"):
            record(parts, delivery(parts, source, body=b"x" * 100), event(parts, str(number), says=says))
    monkeypatch.setattr(conflicts, "EVENTS_MAX", 2)
    found = conflicts.look(parts)
    assert (found.looked_at, found.has_more) == (2, True)
    assert [each.text for each in examine(parts)][-1].startswith("only the newest 2 ")
    monkeypatch.setattr(conflicts, "BYTES_MAX", 0)
    assert conflicts.look(parts).unreadable == 2


def test_what_is_of_a_bank_that_there_is_not_any_more_is_said(parts: Runtime, source: SourceRecord) -> None:
    told_as_one(parts, source, money("1.00"), money("2.00"))
    with parts.database.write() as connection:
        connection.execute(update(table_of(Source)).values(bank="moon"))
    found = conflicts.look(parts)
    assert (found.looked_at, found.unreadable, found.in_money) == (1, 1, [])
