"""What Banking Circle knows of a window: its reports, asked for at the simulator."""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs

import pytest
from banking_circle import credentials
from hypothesis import given
from hypothesis import strategies as st
from listed import NOW, MadeUp, read_whole

from receiver import banks
from receiver.banks import tls
from receiver.banks.abilities import Listed
from receiver.banks.banking_circle import callbacks, reports
from receiver.banks.banking_circle.reports import INTRADAY, REJECTIONS
from receiver.banks.business_days import Window, read
from receiver.banks.callback import Proof
from receiver.banks.errors import AnswerUnreadable, Forbidden, NotKnown
from receiver.banks.http import HttpClient
from receiver.banks.json_values import parse
from receiver.model import Status
from receiver.simulator.banking_circle import Config, Simulator
from receiver.simulator.banking_circle.notifications import notification
from receiver.simulator.banking_circle.payments import Payment
from receiver.simulator.scripts import Script

BC = banks.named("banking_circle")
DAYS = read("mon-fri,19:00,Europe/Copenhagen")
TODAY = DAYS.window(date(2026, 3, 4))
FRIDAY_EVENING = datetime(2026, 3, 6, 18, 30, tzinfo=UTC)
"""Half past seven by the bank's clock: that is Monday's business day."""

PROCESSED, REJECTED = Script.of(("Processed", 0)), Script.of(("Rejected", 0))


class Ledger:
    """The simulator's payments, and a client that reads the reports."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        stored = credentials(simulator)
        certificate = tls.certificate_in(stored)
        with_none = HttpClient(simulator.url, clock=self.clock, certificate=certificate)
        token, _ = BC.new_token(with_none, stored)
        self.client = HttpClient(simulator.url, clock=self.clock, certificate=certificate, token=token)

    def clock(self) -> datetime:
        return self.simulator.clock()

    def forward(self, **time: float) -> None:
        self.simulator.clock.set(forward=timedelta(**time).total_seconds())

    def pay(self, payment_id: str, at: datetime = NOW, script: Script = PROCESSED, **more: Any) -> Payment:
        return self.simulator.bank.add_payment(payment_id, at=at, script=script, announced=False, **more)

    def read(self, name: str = INTRADAY, window: Window = TODAY) -> list[Listed]:
        return [line for page in read_whole(BC, self.client, name, window) for line in page]

    def queries(self, end: str) -> list[dict[str, list[str]]]:
        return [parse_qs(each.query) for each in self.simulator.requests.entries() if each.path.endswith(end)]


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with Simulator(Config(token_requests=0, token_lifetime_seconds=1e7), clock=lambda: NOW) as running:
        yield running


@pytest.fixture
def ledger(simulator: Simulator) -> Ledger:
    simulator.clock.set(NOW)
    simulator.bank.payments.clear()
    simulator.bank.rows.clear()
    simulator.requests.clear()
    simulator.options.change({"moving_rows": 0, "reports": "granted", "spelling": "lower", "row_count": True})
    return Ledger(simulator)


def row(**more: Any) -> dict[str, Any]:
    """A row as the report has it."""
    return {
        "paymentId": "p1",
        "paymentReferenceNumber": "010F1",
        "pTxnDate": "2026-03-04",
        "createdAt": "2026-03-04T09:00:00.0000000Z",
        "account": "DK1",
        "accountCurrency": "EUR",
        "debitAmount": Decimal("10.50"),
        "creditDebitIndicator": "DBIT",
        "processedTimestamp": None,
        **more,
    }


def read_made_up(*rows: Any, window: Window = TODAY, name: str = INTRADAY) -> list[Listed]:
    client = MadeUp(*[{"result": list(rows), "pageInfo": {"rowCount": len(rows)}}, *[[]] * 3])
    return list(reports.list_page(client, name, window, None).lines)


def test_there_are_two_lists_and_no_request_is_made_for_their_names() -> None:
    assert list(reports.lists(MadeUp())) == [INTRADAY, REJECTIONS]
    with pytest.raises(NotKnown):
        reports.list_page(MadeUp(), "another", TODAY, None)


def test_a_processed_payment_is_listed_with_its_ids_and_times(ledger: Ledger) -> None:
    payment = ledger.pay("p1", amount=Decimal("145.25"), currency="GBP", classification="Incoming")
    (line,) = ledger.read()
    assert line == Listed(
        type="banking_circle.incoming_payment_processed",
        payment_id="p1",
        reference=payment.transaction_reference,
        account=ledger.simulator.bank.accounts[0].iban,
        direction="incoming",
        amount=Decimal("145.25"),
        currency="GBP",
        status=Status.COMPLETED,
        at=NOW,
        detail={
            "transaction_date": "2026-03-04",
            "created_at": "2026-03-04T12:00:00.0000000Z",
            "processed_at": "2026-03-04T12:00:00.0000000Z",
            "status_changed_at": "2026-03-04T12:00:00.0000000Z",
            "remittance": "Invoice 1",
        },
    )
    (query,) = ledger.queries("paged-report")
    assert {name: query[name][0] for name in query if name not in ("PropertiesIncluded", "PageNumber", "PageSize")} == {
        "FromTransactionDate": "2026-03-03",
        "ToTransactionDate": "2026-03-04",
        "FromCreatedAt": "2026-01-31T18:00:00.0000000Z",
        "ToCreatedAt": "2026-03-04T18:00:00.0000000Z",
    }


def test_a_payment_that_is_listed_is_not_processed_by_that(ledger: Ledger) -> None:
    ledger.pay("p1", script=Script.of(("PendingProcessing", 3600), ("Processed", 0)))
    (pending,) = ledger.read()
    assert (pending.type, pending.status) == ("banking_circle.outgoing_payment_booked", Status.PENDING)
    ledger.forward(hours=2)
    (processed,) = ledger.read()
    assert (processed.type, processed.status) == ("banking_circle.outgoing_payment_processed", Status.COMPLETED)
    # It stays where it was, and the same line.
    assert (processed.at, processed.amount, processed.direction) == (pending.at, pending.amount, pending.direction)


def test_a_reversal_is_a_second_line_on_the_day_of_the_reversal(ledger: Ledger) -> None:
    ledger.pay("p1", script=Script.of(("Processed", 86400), ("Reversed", 0)), amount=Decimal("27.00"))
    ledger.forward(days=1, hours=1)
    (first,) = ledger.read()
    # The payment's own row changed on that day too, and is on its own day all the same.
    changed, second = sorted(ledger.read(window=DAYS.window(date(2026, 3, 5))), key=lambda line: line.at or NOW)
    assert (changed.at, changed.type) == (first.at, first.type)
    assert (first.type, first.status) == ("banking_circle.outgoing_payment_processed", Status.COMPLETED)
    assert (second.type, second.status, second.detail["is_reversal"]) == (
        "banking_circle.reversed",
        Status.REVERSED,
        True,
    )
    assert (second.payment_id, second.direction, second.amount) == ("p1", "outgoing", Decimal("27.00"))


def test_what_came_after_the_end_of_fridays_business_day_is_mondays(ledger: Ledger) -> None:
    ledger.simulator.clock.set(FRIDAY_EVENING + timedelta(minutes=10))
    ledger.pay("p1", FRIDAY_EVENING)
    evening = Window(FRIDAY_EVENING - timedelta(minutes=20), ledger.clock())
    (line,) = ledger.read(window=evening)
    assert line.detail["transaction_date"] == "2026-03-09"
    (query,) = ledger.queries("paged-report")
    assert query["ToTransactionDate"] == ["2026-03-09"]
    assert line.at is not None
    assert DAYS.day_of(line.at) == date(2026, 3, 9)
    assert ledger.read(window=DAYS.window(date(2026, 3, 6))) == []
    assert len(ledger.read(window=DAYS.window(date(2026, 3, 9)))) == 1


@pytest.mark.parametrize(
    ("times", "at", "named_day"),
    [
        ({}, "2026-03-04T09:00:00", None),
        ({"createdAt": "2026-03-02T09:00:00Z"}, None, "2026-03-04"),
        ({"createdAt": "2026-03-04"}, None, "2026-03-04"),
        ({"createdAt": None, "processedTimestamp": "2026-03-04"}, None, "2026-03-04"),
        ({"createdAt": None, "processedTimestamp": "2026-03-04T10:00:00Z"}, "2026-03-04T10:00:00", None),
        ({"createdAt": "2026-03-04", "pTxnDate": None}, "2026-03-04T00:00:00", "2026-03-04"),
    ],
)
def test_a_row_without_a_time_on_its_date_names_the_day_alone(
    times: dict[str, Any], at: str | None, named_day: str | None
) -> None:
    (line,) = read_made_up(row(**times))
    expected = TODAY.begin if at is None else datetime.fromisoformat(at).replace(tzinfo=UTC)
    assert (line.at, line.named_day) == (expected, named_day and date.fromisoformat(named_day))


def test_a_report_that_says_nothing_of_pages_and_is_the_same_at_each_is_read_once() -> None:
    rows = [{"paymentId": "p1"}, {"paymentId": "p2"}]
    pages = read_whole(BC, MadeUp(rows, rows), INTRADAY, TODAY)
    assert [line.payment_id for page in pages for line in page] == ["p1", "p2"]
    paged = [{"result": rows, "pageInfo": {"pageSize": 2}}] * 2
    with pytest.raises(AnswerUnreadable, match="the same page comes again"):
        read_whole(BC, MadeUp(*paged), INTRADAY, TODAY)


@pytest.mark.parametrize("spelling", ["lower", "upper"])
@pytest.mark.parametrize("row_count", [True, False])
def test_the_report_is_read_page_by_page_until_its_end(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, spelling: str, row_count: bool
) -> None:
    monkeypatch.setattr(reports, "PAGE_SIZE", 10)
    ledger.simulator.options.change({"spelling": spelling, "row_count": row_count})
    for number in range(25):
        ledger.pay(f"p{number}", NOW - timedelta(minutes=number))
    pages = read_whole(BC, ledger.client, INTRADAY, TODAY)
    assert [len(page) for page in pages] == [10, 10, 5]
    assert {line.payment_id for page in pages for line in page} == {f"p{number}" for number in range(25)}


def test_rows_that_move_while_they_are_read_are_found_by_reading_once_more(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "PAGE_SIZE", 10)
    for number in range(35):
        ledger.pay(f"p{number}", NOW - timedelta(minutes=number))
    ledger.simulator.options.change({"moving_rows": 1})
    every = {f"p{number}" for number in range(35)}
    once = {line.payment_id for line in ledger.read()}
    assert once < every
    assert once | {line.payment_id for line in ledger.read()} == every


def test_rejected_payments_and_those_without_funds_are_known_by_the_banks_reference(ledger: Ledger) -> None:
    rejected = ledger.pay("p1", script=REJECTED, amount=Decimal("19.00"))
    unfunded = ledger.pay("p2", script=Script.of(("MissingFunding", 0)), amount=Decimal("13.00"))
    ledger.pay("p3", script=Script.of(("PendingProcessing", 0)))
    ledger.pay("p4", script=REJECTED, classification="Incoming")
    first, second = ledger.read(REJECTIONS)
    assert first == Listed(
        type="banking_circle.outgoing_payment_rejected",
        reference=rejected.transaction_reference,
        account=ledger.simulator.bank.accounts[0].iban,
        direction="outgoing",
        amount=Decimal("19.00"),
        currency="EUR",
        bank_status="Rejected",
        status=Status.REJECTED,
        at=TODAY.begin,
        named_day=date(2026, 3, 4),
        detail={"transaction_date": "2026-03-04", "reason": "The payment was rejected"},
    )
    assert (second.type, second.reference, second.bank_status, second.status) == (
        "banking_circle.missing_funding",
        unfunded.transaction_reference,
        "Insufficient Funds",
        Status.PENDING,
    )


def test_a_payment_that_was_rejected_late_is_found_in_the_report_of_its_own_day(ledger: Ledger) -> None:
    ledger.pay("p1", script=Script.of(("MissingFunding", 43200), ("Rejected", 0)))
    ledger.forward(days=1)
    (line,) = ledger.read(REJECTIONS, Window(ledger.clock() - timedelta(hours=1), ledger.clock()))
    assert (line.status, line.at) == (Status.REJECTED, TODAY.begin)
    asked = [query["TransactionDate"][0] for query in ledger.queries("rejection-report")]
    assert asked == ["2026-03-03", "2026-03-04", "2026-03-05"]


@pytest.mark.parametrize("name", [INTRADAY, REJECTIONS])
def test_a_user_without_the_reports_is_told_so_in_words(ledger: Ledger, name: str) -> None:
    ledger.simulator.options.change({"reports": "refused"})
    with pytest.raises(Forbidden, match="the user was not granted the reports of reconciliation"):
        ledger.read(name)


@pytest.mark.parametrize(
    ("more", "at"),
    [
        ({"pTxnDate": "2026-03-04T00:00:00"}, "2026-03-04T09:00:00"),
        ({"pTxnDate": None}, "2026-03-04T09:00:00"),
        # Made for a later day: it is listed on that one, at the time of it that is known.
        ({"createdAt": "2026-02-20T09:00:00Z"}, "2026-03-03T18:00:00"),
        ({"createdAt": "2026-02-20T09:00:00Z", "processedTimestamp": "2026-03-04T07:00:00Z"}, "2026-03-04T07:00:00"),
        ({"createdAt": None}, "2026-03-03T18:00:00"),
        ({"createdAt": None, "pTxnDate": "0001-01-01"}, None),
        ({"createdAt": "0001-01-01T00:00:00", "pTxnDate": None}, None),
        # Made in the window, and put on another day by the bank.
        ({"pTxnDate": "2026-03-05"}, "2026-03-04T18:00:00"),
    ],
)
def test_a_row_is_on_the_banks_own_transaction_date(more: dict[str, Any], at: str | None) -> None:
    (line,) = read_made_up(row(**more))
    assert line.at == (None if at is None else datetime.fromisoformat(at).replace(tzinfo=UTC))


LATE = Window(datetime(2026, 3, 4, 14, tzinfo=UTC), datetime(2026, 3, 4, 16, 15, tzinfo=UTC))


@pytest.mark.parametrize("name", ["processedTimestamp", "latestStatusChangedTimestamp"])
def test_a_row_that_was_booked_hours_after_it_was_made_is_of_the_window_of_that_too(name: str) -> None:
    """Before it was booked the report had no such row: the windows of when it was made have been read without it."""
    assert read_made_up(row(), window=LATE) == []
    (line,) = read_made_up(row(**{name: "2026-03-04T15:30:00Z"}), window=LATE)
    assert line.at == datetime(2026, 3, 4, 9, tzinfo=UTC)
    (line,) = read_made_up(row(**{name: "2026-03-04T15:30:00Z"}, pTxnDate=None), window=LATE)
    assert line.at == datetime(2026, 3, 4, 9, tzinfo=UTC)
    assert read_made_up(row(**{name: "2026-03-04T16:15:00Z"}), window=LATE) == []


@pytest.mark.parametrize(
    "more",
    [
        {"createdAt": "2026-03-03T17:59:59Z", "pTxnDate": "2026-03-03"},
        {"createdAt": "2026-03-04T18:00:00Z", "pTxnDate": "2026-03-05"},
        {"createdAt": "2026-03-03T09:00:00Z", "pTxnDate": None},
    ],
)
def test_a_row_of_another_day_is_none_of_the_windows(more: dict[str, Any]) -> None:
    assert read_made_up(row(**more)) == []


@pytest.mark.parametrize(
    ("more", "direction", "amount", "currency"),
    [
        ({"creditDebitIndicator": None}, "outgoing", "10.50", "EUR"),
        ({"creditDebitIndicator": "crdt", "debitAmount": None, "creditAmount": 5}, "incoming", "5", "EUR"),
        ({"transactionAmount": "7.10", "transactionAmountCurrency": "USD"}, "outgoing", "7.10", "USD"),
        ({"debitAmount": None, "instructedAmount": 3, "instructedAmountCurrency": "SEK"}, "outgoing", "3", "SEK"),
    ],
)
def test_the_amount_is_what_was_transferred_else_debited_else_instructed(
    more: dict[str, Any], direction: str, amount: str, currency: str
) -> None:
    (line,) = read_made_up(row(**more))
    assert (line.direction, line.amount, line.currency) == (direction, Decimal(amount), currency)


def test_a_row_of_which_something_is_missing_is_listed_with_the_rest_and_what_the_bank_gave() -> None:
    first, second, third = read_made_up(row(paymentId=None), row(debitAmount=[]), 7)
    assert (first.payment_id, first.reference, json.loads(first.detail["unreadable"])["account"]) == (
        None,
        "010F1",
        "DK1",
    )
    assert (second.payment_id, second.amount, "unreadable" in second.detail) == ("p1", None, True)
    assert (third.type, third.detail) == ("banking_circle.unrecognised", {"unreadable": "7"})
    (rejection,) = read_made_up(row(paymentReferenceNumber=None, status="Rejected"), name=REJECTIONS)
    assert (rejection.reference, rejection.status, "unreadable" in rejection.detail) == (None, Status.REJECTED, True)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.sampled_from(
        ["DBIT", "2026-03-04", "9999-12-31T23:59:59Z", "0001-01-01", "a\0b", "\ud800", 10**40, "Rejected"]
    ),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*row(), *(name.upper() for name in row()), "status"]), inner, max_size=9)
    ),
    max_leaves=20,
)


@pytest.mark.parametrize("name", [INTRADAY, REJECTIONS])
@given(rows=st.lists(VALUES, max_size=5))
def test_no_row_is_too_strange_to_be_a_line_or_known_to_be_of_another_day(name: str, rows: list[Any]) -> None:
    lines = read_made_up(*parse(json.dumps(rows).encode()), name=name)
    assert len([each for each in rows if not isinstance(each, dict)]) <= len(lines) <= len(rows)
    for line in lines:
        assert line.type in callbacks.EVENT_TYPES
        assert line.amount is None or line.amount >= 0
        assert line.reference is None or "\0" not in line.reference
        json.dumps(line.detail)


@pytest.mark.parametrize("answer", [None, 7, {}, {"result": None}, {"Result": {"1": {}}}])
@pytest.mark.parametrize("name", [INTRADAY, REJECTIONS])
def test_an_answer_that_is_no_list_is_unreadable(name: str, answer: Any) -> None:
    with pytest.raises(AnswerUnreadable, match="a list is expected"):
        reports.list_page(MadeUp(answer), name, TODAY, None)


def test_a_line_and_a_callback_about_the_same_payment_name_the_same_things(ledger: Ledger) -> None:
    payment = ledger.pay("p1", classification="Incoming")
    told = notification(payment, "IncomingPaymentProcessed", ledger.simulator.bank.config, NOW)
    (claim,) = callbacks.read(Proof("encryption", "secret:1", json.dumps([told], default=str).encode()))
    (line,) = ledger.read()
    assert (line.type, line.payment_id, line.amount, line.currency) == (
        claim.type,
        claim.payment_id,
        claim.amount,
        claim.currency,
    )
    assert line.account == claim.facts["account_number"]
    assert line.reference == claim.facts["transaction_reference"]
