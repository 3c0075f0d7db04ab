"""`GET /api/v1/payments`: what is known of each payment, and every check made."""

from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
from bank import BankSigner, deposit, job
from conftest import StandingClock, add_source, make_token
from flask.testing import FlaskClient
from sqlalchemy import event
from web.reading import Headers, assert_problem, get, got, send, send_deposits, spoilt

from receiver.projection.projector import catch_up
from receiver.runtime import Runtime
from receiver.store import circuits, leases, payments, sources
from receiver.store.leases import Lease
from receiver.store.sources import SourceRecord
from receiver.web.schemas.times import rfc3339

pytestmark = pytest.mark.usefixtures("source")


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """One kind: the queries are tested on each in `tests/store/test_payments.py`."""
    return sqlite_url


PAYMENTS = "/api/v1/payments"


def listed(client: FlaskClient, token: Headers, **query: Any) -> list[str]:
    return [payment["payment_id"] for payment in got(client, PAYMENTS, token, **query)["data"]]


def reconcile(parts: Runtime, payment_id: str, status: str, agreement: str) -> None:
    """Write down an answer of the bank."""
    now = parts.clock()
    catch_up(parts.database)
    with parts.database.write() as connection:
        row = payments.find(connection, "bcb", "payment", payment_id)
        assert row is not None
        due = leases.claim_one(connection, row.id, Lease(now, now + timedelta(minutes=1), payment_id))
        assert due is not None
        leases.locked_state(connection, due)
        leases.add_check(
            connection, due.id, at=now, outcome="answered", bank_status=status.title(), detail={"fee": "0.10"}
        )
        values = {"status": status, "bank_status": status.title(), "agreement": agreement, "updated_at": now}
        leases.settle(connection, due, now=now, next_at=None, values=values)


def test_a_payment_is_shown_to_the_letter(
    client: FlaskClient, bank: BankSigner, token: Headers, parts: Runtime, clock: StandingClock
) -> None:
    send(client, bank.sign(deposit()))
    clock.forward(3)
    reconcile(parts, "FT2384654NXF6", "completed", "confirmed")
    payment = got(client, f"{PAYMENTS}/bcb/FT2384654NXF6", token)
    assert payment == {
        "source": "bcb",
        "payment_id": "FT2384654NXF6",
        "status": "completed",
        "bank_status": "Completed",
        "agreement": "confirmed",
        "claimed_status": "completed",
        "amount": "1000.00",
        "currency": "USD",
        "returns": None,
        "returned_by": None,
        "created_at": "2026-03-04T12:00:00.000000Z",
        "updated_at": "2026-03-04T12:00:03.000000Z",
        "next_check_at": None,
        "stalled_at": None,
        "next_check_why": "its state is final",
        "checks": [
            {
                "at": "2026-03-04T12:00:03.000000Z",
                "bank_status": "Completed",
                "outcome": "answered",
                "detail": {"fee": "0.10"},
            }
        ],
    }
    del payment["next_check_why"]
    assert got(client, PAYMENTS, token) == {"data": [payment], "next": None}


def check(parts: Runtime, payment_id: str, number: int) -> None:
    """Write down so many answers of the bank that told nothing new."""
    with parts.database.write() as connection:
        row = payments.find(connection, "bcb", "payment", payment_id)
        assert row is not None
        for one in range(number):
            at = parts.clock() + timedelta(seconds=one)
            leases.add_check(connection, row.id, at=at, outcome="answered", bank_status=f"Pending {one}", detail={})


@pytest.mark.parametrize("made", [(2, 1, 0), (0, 3, 1), (9, 0, 9), (1, 9, 2), (4, 4, 4), (0, 0, 0)])
def test_a_list_has_every_check_of_each_payment_however_many_those_are_together(
    client: FlaskClient,
    bank: BankSigner,
    token: Headers,
    parts: Runtime,
    monkeypatch: pytest.MonkeyPatch,
    made: tuple[int, int, int],
) -> None:
    monkeypatch.setattr(payments, "CHECKS_AT_ONCE", 4)
    send_deposits(client, bank, 3)
    catch_up(parts.database)
    for payment_id, number in enumerate(made):
        check(parts, f"FT{payment_id}", number)
    seen: list[tuple[str, list[str]]] = []
    cursor: str | None = ""
    while cursor is not None:
        page = got(client, PAYMENTS, token, cursor=cursor)
        assert page["data"]
        assert len(page["data"]) == 1 or sum(len(found["checks"]) for found in page["data"]) <= 4
        seen += [(found["payment_id"], [each["bank_status"] for each in found["checks"]]) for found in page["data"]]
        cursor = page["next"]
    assert seen == [(f"FT{each}", [f"Pending {one}" for one in range(made[each])]) for each in (2, 1, 0)]


@pytest.mark.parametrize("number", [1, 30])
def test_the_checks_of_a_page_are_read_at_once(
    client: FlaskClient, bank: BankSigner, token: Headers, parts: Runtime, number: int
) -> None:
    send_deposits(client, bank, number)
    listed(client, token)
    asked: list[str] = []
    event.listen(parts.database.engine, "before_cursor_execute", lambda *sent: asked.append(sent[2]))
    assert len(listed(client, token)) == number
    assert sum("FROM checks" in statement for statement in asked) == 1


def test_a_payment_that_nobody_can_be_asked_about_says_so(
    client: FlaskClient, bank: BankSigner, token: Headers
) -> None:
    send(client, bank.sign(deposit()))
    payment = got(client, f"{PAYMENTS}/bcb/FT2384654NXF6", token)
    assert (payment["status"], payment["agreement"], payment["checks"]) == ("unknown", "unconfirmed", [])
    assert (payment["bank_status"], payment["next_check_at"]) == (None, None)
    assert payment["next_check_why"].endswith("source bcb has no API credentials to ask with")
    assert [one["next_check_at"] for one in got(client, PAYMENTS, token)["data"]] == [None]


def test_a_list_says_when_the_bank_is_asked_next_as_the_payment_itself_does_with_one_look_at_each_source(
    client: FlaskClient, bank: BankSigner, token: Headers, parts: Runtime, source: SourceRecord, clock: StandingClock
) -> None:
    send_deposits(client, bank, 5)
    pause = timedelta(minutes=5)
    with parts.database.write() as connection:
        sources.set_credentials(connection, parts.encryption, source, {"client_id": "c", "client_secret": "s"})
        circuits.fail(connection, source.id, now=clock(), most=1, pauses=(pause, pause), error="refused")
    listed(client, token)
    asked: list[str] = []
    event.listen(parts.database.engine, "before_cursor_execute", lambda *sent: asked.append(sent[2]))
    found = got(client, PAYMENTS, token)["data"]
    assert sum("FROM circuits" in statement for statement in asked) == 1
    assert {one["next_check_at"] for one in found} == {rfc3339(clock() + pause)}
    with parts.database.write() as connection:
        sources.change(connection, source.id, enabled=False)
    found = got(client, PAYMENTS, token)["data"]
    assert {one["next_check_at"] for one in found} == {None}
    for one in found:
        whole = got(client, f"{PAYMENTS}/bcb/{one['payment_id']}", token)
        assert whole["next_check_why"].endswith("source bcb is not enabled")
        assert whole["next_check_at"] is None


def test_a_job_is_not_a_payment(client: FlaskClient, bank: BankSigner, token: Headers) -> None:
    send(client, bank.sign(job("job-1")))
    assert listed(client, token) == []
    assert_problem(get(client, f"{PAYMENTS}/bcb/job-1", token), 404)


@pytest.mark.parametrize("limit", [1, 2, 5, 6])
def test_following_next_gives_every_payment_once_the_latest_first(
    client: FlaskClient, bank: BankSigner, token: Headers, limit: int
) -> None:
    send_deposits(client, bank, 5)
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = got(client, PAYMENTS, token, limit=limit, cursor=cursor)
        seen += [payment["payment_id"] for payment in page["data"]]
        cursor = page["next"]
    assert seen == ["FT4", "FT3", "FT2", "FT1", "FT0"]


def test_payments_are_found_by_what_is_asked_for(
    client: FlaskClient, bank: BankSigner, token: Headers, parts: Runtime
) -> None:
    add_source(parts, "other")
    send_deposits(client, bank, 3)
    send(client, bank.sign(deposit(transactionId="elsewhere"), "/webhooks/other"))
    reconcile(parts, "FT0", "completed", "confirmed")
    reconcile(parts, "FT1", "rejected", "contradicted")
    assert listed(client, token, status="completed") == ["FT0"]
    assert listed(client, token, agreement="contradicted") == ["FT1"]
    assert listed(client, token, status="unknown", source="bcb") == ["FT2"]
    assert listed(client, token, source="other") == ["elsewhere"]
    assert listed(client, token, status="completed", agreement="contradicted") == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("limit", value) for value in ("0", "1001", "x")],
        *[("status", value) for value in ("done", "COMPLETED", "\0", "completed,pending")],
        *[("agreement", value) for value in ("agreed", "\0")],
        *[("source", value) for value in ("\0", "x" * 257)],
    ],
)
def test_a_bad_parameter_is_named(client: FlaskClient, token: Headers, name: str, value: str) -> None:
    assert_problem(get(client, PAYMENTS, token, **{name: value}), 400, f"`{name}`")


def test_a_cursor_that_was_not_given_out_by_this_list_is_refused(
    client: FlaskClient, bank: BankSigner, token: Headers
) -> None:
    send_deposits(client, bank, 2)
    cursors = spoilt(got(client, PAYMENTS, token, limit=1)["next"])
    cursors.append(got(client, "/api/v1/feed", token)["next"])
    for cursor in cursors:
        assert_problem(get(client, PAYMENTS, token, cursor=cursor), 400, "cursor")


ODD_IDS = [
    "a/b",
    "a//b",
    "a/",
    "a/../b",
    "a b",
    "Zahlung-Ä",
    "支払い",
    "🏦",
    "50%",
    "%2F",
    "?x=1#y",
    "a;b",
    "'--",
    "a+b",
    ".",
]


@pytest.mark.parametrize("payment_id", ODD_IDS)
def test_a_payment_is_found_whatever_its_id_is_made_of(
    client: FlaskClient, bank: BankSigner, token: Headers, payment_id: str
) -> None:
    send(client, bank.sign(deposit(transactionId=payment_id)))
    assert listed(client, token) == [payment_id]
    found = got(client, f"{PAYMENTS}/bcb/{quote(payment_id, safe='')}", token)
    assert found["payment_id"] == payment_id


def test_a_slash_in_an_id_may_stand_as_it_is(client: FlaskClient, bank: BankSigner, token: Headers) -> None:
    send(client, bank.sign(deposit(transactionId="2026/03/FT1")))
    assert got(client, f"{PAYMENTS}/bcb/2026/03/FT1", token)["payment_id"] == "2026/03/FT1"


@pytest.mark.parametrize(
    "path", ["bcb/none", "nobody/FT0", "bcb/%00", "%00/FT0", "bcb/a%00b", "bcb/%FF", "bcb/" + "x" * 3000, "BCB/FT0"]
)
def test_a_payment_that_is_not_there_is_not_found(
    client: FlaskClient, bank: BankSigner, token: Headers, path: str
) -> None:
    send_deposits(client, bank, 1)
    assert_problem(get(client, f"{PAYMENTS}/{path}", token), 404)


def test_a_token_limited_to_a_source_sees_that_one_alone(client: FlaskClient, bank: BankSigner, parts: Runtime) -> None:
    add_source(parts, "other")
    send(client, bank.sign(deposit(transactionId="mine"), "/webhooks/other"))
    send(client, bank.sign(deposit(transactionId="theirs")))
    limited = make_token(parts, sources=("other",), name="limited")
    assert listed(client, limited) == ["mine"]
    assert got(client, f"{PAYMENTS}/other/mine", limited)["payment_id"] == "mine"
    assert_problem(get(client, f"{PAYMENTS}/bcb/theirs", limited), 404)
    assert_problem(get(client, PAYMENTS, limited, source="bcb"), 403, "bcb")
