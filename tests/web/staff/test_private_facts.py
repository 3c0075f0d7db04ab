"""What the banks tell of persons is for who may read payloads: others neither see it nor find it letter by letter."""

import json
import re
from datetime import timedelta

import pytest
from conftest import StandingClock, make_token
from flask import Flask
from flask.testing import FlaskClient
from reconcile.test_late_deliveries import tell_late
from reconcile.test_recovery_races import new_lines, state
from store.made import delivery, event, record
from web.reading import got
from web.staff.signed_in import send, signed_in

from receiver.banks import listing
from receiver.model import Role
from receiver.projection.projector import catch_up
from receiver.reconcile.recovery import Recoverer
from receiver.runtime import Runtime
from receiver.store import bank_lines, payments
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
    assert "References are shown" in reader.get(f"/staff/events/{event_id}/evidence.md").text


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


def test_what_the_bank_answered_is_whole_for_who_may_read_payloads(
    operator: FlaskClient, reader: FlaskClient, event_id: str
) -> None:
    for client, shown in ((operator, ["…", "…3000", "…"]), (reader, ["Ada Lovelace", IBAN, "Rent of Ada Lovelace"])):
        part = client.get(f"/staff/events/{event_id}").text.partition('id="bank-says"')[2].partition("</section>")[0]
        assert set(shown) <= set(re.findall(r"<dd>\s*([^<]*?)\s*</dd>", part))


def test_the_sample_of_a_plan_masks_an_account_that_an_event_is_about(
    app: Flask, operator: FlaskClient, parts: Runtime, source: SourceRecord
) -> None:
    account = event(parts, "FT2", subject=IBAN, kind="none", payment_id=None, facts={"account": {"iban": IBAN}})
    case = event(parts, "FT3", subject="C-1234567", kind="none", payment_id=None, facts={"case_id": "C-1234567"})
    record(parts, delivery(parts, source), event(parts, "FT1", facts=FACTS), account, case)
    page = send(operator, "/staff/replays/new", "/staff/replays/plan", {"reason": "x"}).text
    assert [text for text in PRIVATE if text in page] == []
    assert all(f"<code>{shown}</code>" in page for shown in ("FT1", "…3000", "C-1234567"))
    asked = {"dry_run": True, "reason": "x"}
    answer = app.test_client().post("/api/v1/replays", json=asked, headers=make_token(parts, "replays:write"))
    assert [each["subject"] for each in answer.get_json()["sample"]] == ["FT1", "…3000", "C-1234567"]


def test_a_late_delivery_masks_an_account_that_it_is_about(
    operator: FlaskClient,
    reader: FlaskClient,
    parts: Runtime,
    source: SourceRecord,  # noqa: ARG001 - there is a source
) -> None:
    tell_late(parts, {"topic": "Balances", "accountNumber": IBAN})
    (page,) = re.findall(r'class="open"[^>]* href="([^"]*)"', operator.get("/staff/deliveries").text)
    shown = operator.get(page).text
    assert IBAN not in shown
    assert "<code>…3000</code>" in shown
    assert f"<code>{IBAN}</code>" in reader.get(page).text


SAID = f"Account {IBAN} of Ada Lovelace is closed"


def check_of(parts: Runtime, kind: str, subject: str, detail: dict[str, object]) -> None:
    """Write down that the bank answered about something."""
    catch_up(parts.database)
    with parts.database.write() as connection:
        found = payments.find(connection, "bcb", kind, subject)
        assert found is not None
        row = {"subject_id": found.id, "at": parts.clock(), "outcome": "answered", "bank_status": "Completed"}
        connection.execute(table_of(Check).insert().values(**row, detail=detail))


def test_what_a_bank_listed_and_nobody_could_read_is_shown_to_who_may_read_payloads_alone(
    app: Flask, operator: FlaskClient, reader: FlaskClient, parts: Runtime, source: SourceRecord, clock: StandingClock
) -> None:
    (line,) = new_lines(clock, ["FT3"])
    detail = listing.unreadable("bcb.unrecognised", {"otherAccount": {"number": IBAN, "name": "Ada Lovelace"}}).detail
    (group,) = bank_lines.in_groups([line._replace(payment_id=None, detail=detail)])
    with parts.database.write() as connection:
        bank_lines.write(connection, source.id, group, (clock() - timedelta(hours=1), clock()), clock())
    Recoverer(parts).run(source)
    ((_, _, _, event_id),) = state(parts)[0]
    page = f"/staff/events/{event_id}"
    for path in (page, f"{page}/evidence.json", f"{page}/evidence.md"):
        shown = operator.get(path).text
        assert [text for text in PRIVATE if text in shown] == [], path
        assert "unreadable" in shown
    assert IBAN in reader.get(page).text
    # Who reads lists without that right sees texts, and of accounts the end.
    listed = got(app.test_client(), "/api/v1/events", make_token(parts, "events:read"))
    assert [each["facts"]["unreadable"] for each in listed["data"]] == ["…"]


def test_a_bank_s_own_words_are_shown_to_who_may_read_payloads_alone(
    operator: FlaskClient, reader: FlaskClient, parts: Runtime, source: SourceRecord
) -> None:
    facts = {"errors": [f"E7: {SAID}"], "reasons": [SAID], "reason": SAID, "account_holder": "Ada Lovelace"}
    told = event(parts, "FT4", facts=facts)
    job = event(parts, "job-1", kind="job", payment_id=None, type="bcb.job.completed")
    record(parts, delivery(parts, source), told, job)
    failure = {"index": 0, "http_status": 400, "error": f'{{"iban":"{IBAN}"}}'}
    items = [{**failure, "status": "failed", "result": None}]
    check_of(parts, "job", "job-1", {"items": 1, "failed": 1, "failures": [failure], "each_item": items})
    pages = (f"/staff/events/{told.id}", f"/staff/events/{job.id}", "/staff/jobs/bcb/job-1")
    for path in (*pages, f"/staff/events/{job.id}/evidence.json"):
        shown = operator.get(path).text
        assert [text for text in PRIVATE if text in shown] == [], path
    assert "400" in operator.get("/staff/jobs/bcb/job-1").text
    for path in (pages[0], pages[2]):
        assert IBAN in reader.get(path).text, path
