"""`GET /api/v1/events` with a question: what a callback says is found at once, and accounts are shown in part."""

from typing import Any

import pytest
from bank import BankSigner, deposit, job
from conftest import make_token
from flask.testing import FlaskClient
from sqlalchemy import text
from web.reading import Headers, assert_problem, get, got, send

from receiver.runtime import Runtime
from receiver.store.sources import SourceRecord

pytestmark = pytest.mark.usefixtures("source")

EVENTS = "/api/v1/events"
IBAN = "DE89370400440532013000"


def ids(client: FlaskClient, token: Headers, **query: Any) -> list[str]:
    return [event["id"] for event in got(client, EVENTS, token, **query)["data"]]


@pytest.fixture
def event_id(client: FlaskClient, bank: BankSigner, source: SourceRecord) -> str:  # noqa: ARG001 - it must be there
    """A deposit among others."""
    value = {"amount": "1250.00", "currency": "EUR"}
    body = deposit(transactionId="FT77", accountNumber=IBAN, value=value, transactionDetails="Rent\n2026-0815\tMüller")
    found = send(client, bank.sign(body))
    send(client, bank.sign(deposit()))
    send(client, bank.sign(job("job-1")))
    return found


def test_what_was_answered_for_is_found_at_once_by_whatever_is_known_of_it(
    client: FlaskClient, token: Headers, event_id: str
) -> None:
    as_copied = (
        "1,250.00, rent",
        f"IBAN DE89 3704 0044 0532 0130 00 {IBAN[:4]}",
        f"({event_id}).",
        f"{event_id[:20]},",
    )
    for asked in ("FT77", "1,250.00", "1250 EUR", IBAN, "DE89 3704", "2026-08", "müller rent", event_id, *as_copied):
        assert ids(client, token, q=asked) == [event_id], asked
    for query in (
        {"account": "DE89 3704 0044 0532 0130 00"},
        {"amount_min": "1250", "amount_max": "1250.00"},
        {"currency": ["EUR", "CHF"], "proof": "signature", "status": "completed"},
        {"q": "ft", "currency": "eur", "agreement": "unconfirmed", "conflict": "false"},
    ):
        assert ids(client, token, **query) == [event_id], query
    timeline = got(client, f"{EVENTS}/{event_id}", token)["timeline"]
    delivery = next(step["delivery"] for step in timeline if step["what"] == "delivery")
    assert ids(client, token, q=delivery) == [event_id]
    assert ids(client, token, q="job-1", type=["bcb.job.completed", "bcb.deposit"]) != [event_id]


def test_a_list_shows_the_end_of_an_account_but_to_who_may_read_payloads(
    client: FlaskClient, parts: Runtime, token: Headers, event_id: str
) -> None:
    reader = make_token(parts, "events:read", name="reader")
    for query in ({"q": IBAN}, {"payment_id": "FT77"}):
        assert got(client, EVENTS, reader, **query)["data"][0]["facts"]["account_number"] == "…3000"
        assert got(client, EVENTS, token, **query)["data"][0]["facts"]["account_number"] == IBAN
    assert got(client, f"{EVENTS}/{event_id}", reader)["facts"]["account_number"] == IBAN


def test_a_token_limited_to_a_source_finds_nothing_of_others(
    client: FlaskClient, parts: Runtime, event_id: str
) -> None:
    limited = make_token(parts, sources=("elsewhere",), name="limited")
    for query in ({"q": "FT77"}, {"q": event_id}, {"account": IBAN}, {"event_id": event_id, "currency": "EUR"}):
        assert ids(client, limited, **query) == []


def test_pages_of_a_search_follow_one_another_and_fit_no_other_list(
    client: FlaskClient, bank: BankSigner, token: Headers
) -> None:
    sent = [send(client, bank.sign(deposit(transactionId=f"FT{number}"))) for number in range(5)]
    seen: list[str] = []
    page = got(client, EVENTS, token, q="ft", limit=2)
    cursor = page["next"]
    while True:
        seen += [event["id"] for event in page["data"]]
        if page["next"] is None:
            break
        page = got(client, EVENTS, token, q="ft", limit=2, cursor=page["next"])
    assert seen == sent[::-1]
    assert_problem(get(client, EVENTS, token, cursor=cursor), 400, "cursor")
    listed = got(client, EVENTS, token, limit=2)["next"]
    assert_problem(get(client, EVENTS, token, q="ft", cursor=listed), 400, "cursor")


@pytest.mark.usefixtures("event_id")
def test_an_answer_says_that_older_events_are_not_indexed_yet(
    client: FlaskClient, parts: Runtime, token: Headers
) -> None:
    assert got(client, EVENTS, token, q="FT77")["complete"] is True
    with parts.database.write() as connection:
        connection.execute(text("UPDATE search_progress SET below = 2"))
    assert got(client, EVENTS, token, q="FT77")["complete"] is False
    # The list itself needs no index.
    assert got(client, EVENTS, token, payment_id="FT77")["complete"] is True


BAD = [
    *[("amount_min", value) for value in ("ten", "-1", "1e5", "1,000.00", "NaN", "9" * 40, "\0")],
    *[("amount_max", "1."), ("status", "done"), ("proof", "hope"), ("agreement", "agreed"), ("conflict", "yes")],
    *[(name, "x" * 257) for name in ("q", "account", "reference", "currency")],
    ("q", "a\0b"),
]

ODD = ("%", "_", "' OR 1=1 --", "\\", "🏦", "ß", "\u202e", "0" * 200, "evt_zz", "dlv_", ".", "a " * 128)


def test_a_bad_filter_is_named(client: FlaskClient, token: Headers) -> None:
    for name, value in BAD:
        assert_problem(get(client, EVENTS, token, **{name: value}), 400, f"`{name}`")


@pytest.mark.usefixtures("event_id")
def test_an_odd_question_is_answered(client: FlaskClient, token: Headers) -> None:
    for asked in ODD:
        assert get(client, EVENTS, token, q=asked).status_code == 200, asked
