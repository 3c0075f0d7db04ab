"""What the banks tell of persons is for who may read payloads: others neither see it nor find it letter by letter."""

import json

import pytest
from flask import Flask
from flask.testing import FlaskClient
from store.made import delivery, event, record
from web.staff.signed_in import send, signed_in

from receiver.model import Role
from receiver.projection.projector import catch_up
from receiver.runtime import Runtime
from receiver.store import payments
from receiver.store.sources import SourceRecord
from receiver.store.tables import Check, table_of

IBAN, OWN = "DE89370400440532013000", "1046406142"
FACTS = {
    "account_number": OWN,
    "transaction_reference": "010F10322",
    "remittance": "Rent of Ada Lovelace",
    "debtor": {"name": "Ada Lovelace", "account": IBAN},
}
PRIVATE = ("Lovelace", "Rent of", IBAN, OWN)


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Pages are the same on both databases."""
    return sqlite_url


@pytest.fixture
def event_id(parts: Runtime, source: SourceRecord) -> str:
    """An event that tells of a person, and what the bank has answered about its payment."""
    told = event(parts, "FT1", facts=FACTS)
    record(parts, delivery(parts, source), told)
    record(parts, delivery(parts, source), event(parts, "FT2", subject=IBAN, kind="none", payment_id=None, facts=FACTS))
    catch_up(parts.database)
    with parts.database.write() as connection:
        subject = payments.find(connection, "bcb", "payment", "FT1")
        assert subject is not None
        said = {"remittance": FACTS["remittance"], "debtor": FACTS["debtor"]}
        checks = table_of(Check)
        row = {"subject_id": subject.id, "at": parts.clock(), "outcome": "answered", "bank_status": "Completed"}
        connection.execute(checks.insert().values(**row, detail=said))
    return told.id


@pytest.fixture
def operator(app: Flask, parts: Runtime) -> FlaskClient:
    return signed_in(app, parts, Role.OPERATOR)


@pytest.fixture
def reader(app: Flask, parts: Runtime) -> FlaskClient:
    return signed_in(app, parts, Role.VIEWER, payloads=True)


def test_names_and_texts_are_shown_to_who_may_read_payloads_alone(
    operator: FlaskClient, reader: FlaskClient, event_id: str
) -> None:
    for path in (f"/staff/events/{event_id}", "/staff/payments/bcb/FT1", "/staff/events"):
        shown = operator.get(path).text
        assert [text for text in PRIVATE if text in shown] == [], path
    page = operator.get(f"/staff/events/{event_id}").text
    assert "010F10322" in page
    assert "Names and texts are for who may read payloads" in page
    read = reader.get(f"/staff/events/{event_id}").text
    assert [text for text in PRIVATE if text in read] == list(PRIVATE)
    assert "Names and texts are for who" not in read
    assert "Lovelace" in reader.get("/staff/payments/bcb/FT1").text


def test_the_evidence_holds_neither_names_nor_texts_whoever_makes_it(
    operator: FlaskClient, reader: FlaskClient, event_id: str
) -> None:
    for client in (operator, reader):
        for kind in ("json", "md"):
            written = client.get(f"/staff/events/{event_id}/evidence.{kind}").text
            assert [text for text in PRIVATE if text in written] == [], kind
    packed = json.loads(reader.get(f"/staff/events/{event_id}/evidence.json").text)
    assert packed["event"]["facts"] == {
        "account_number": "…6142",
        "transaction_reference": "010F10322",
        "remittance": "…",
        "debtor": {"name": "…", "account": "…3000"},
    }
    assert packed["bank"]["checks"][0]["detail"]["remittance"] == "…"


@pytest.mark.parametrize("asked", ["DE89", "DE89370400440532013", "104640614", "love", "rent o", "ada l", "ren FT1"])
def test_accounts_and_words_are_found_by_their_beginning_by_who_may_read_them_alone(
    operator: FlaskClient, reader: FlaskClient, event_id: str, asked: str
) -> None:
    assert event_id in reader.get("/staff/events", query_string={"q": asked}).text
    for page in ("<td>FT1", "<td>FT2", event_id, "Older"):
        assert page not in operator.get("/staff/events", query_string={"q": asked}).text
    assert "are found as a whole alone" in operator.get("/staff/events", query_string={"q": asked}).text
    plan = send(operator, "/staff/replays/new", "/staff/replays/plan", {"q": asked, "reason": "x"})
    assert "Nothing matches" in plan.text


@pytest.mark.parametrize(
    "asked", [IBAN, "DE89 3704 0044 0532 0130 00", OWN, "lovelace", "ft", "010f", "1.00", "rent ft"]
)
def test_whole_ones_ids_references_and_amounts_are_found_by_everybody(
    operator: FlaskClient, event_id: str, asked: str
) -> None:
    assert event_id in operator.get("/staff/events", query_string={"q": asked}).text
