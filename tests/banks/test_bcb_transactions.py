"""What BCB knows of a window: the transactions of its accounts, asked for at the simulator."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs

import pytest
from hypothesis import given
from hypothesis import strategies as st
from listed import NOW, MadeUp, read_whole

from receiver import banks
from receiver.banks.abilities import AnswersInBulk, Listed
from receiver.banks.bcb import api, transactions
from receiver.banks.business_days import Window
from receiver.banks.errors import AnswerUnreadable, Forbidden
from receiver.banks.http import HttpClient
from receiver.banks.json_values import parse
from receiver.model import Status
from receiver.simulator.bcb import Config, Simulator
from receiver.simulator.bcb.payments import Entry, Payment
from receiver.simulator.scripts import Script

ACCOUNT, OTHER = "1046406142", "1046406143"
TODAY = Window(datetime(2026, 3, 4, tzinfo=UTC), datetime(2026, 3, 5, tzinfo=UTC))
BCB = banks.named("bcb")


class Books:
    """The simulator's books, and a client that reads them."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        self.client = self.sign_in()

    def sign_in(self) -> HttpClient:
        url = self.simulator.url
        credentials = {"client_id": "simulator-client", "client_secret": "simulator-secret"}
        token, _ = BCB.new_token(HttpClient(url, clock=lambda: NOW), credentials)
        return HttpClient(url, clock=lambda: NOW, token=token)

    def pay(self, payment_id: str, at: datetime = NOW, account: str = ACCOUNT, **more: Any) -> None:
        script = Script.of(("Completed", 0))
        self.simulator.bank.add_payment(Payment(payment_id, account, Decimal("1000.00"), "USD", script, at, **more))

    def enter(self, shown: object, at: datetime = NOW) -> None:
        self.simulator.bank.add_entry(Entry(ACCOUNT, at, shown))

    def read(self, window: Window = TODAY, account: str = ACCOUNT) -> list[Listed]:
        return [line for page in read_whole(BCB, self.client, account, window) for line in page]

    def queries(self) -> list[dict[str, list[str]]]:
        asked = self.simulator.requests.entries()
        return [parse_qs(entry.query) for entry in asked if entry.path.endswith("/transactions")]


@pytest.fixture
def books() -> Iterator[Books]:
    with Simulator(Config(accounts=(ACCOUNT, OTHER), rate_limit=0), clock=lambda: NOW) as running:
        yield Books(running)


def entry(number: float | str | None = "-500.00", **more: Any) -> dict[str, Any]:
    """An entry as in the sheet."""
    value = {"amount": Decimal(number) if isinstance(number, str) else number, "currency": "BMD"}
    details = {"type": "Debit", "description": "Rent", "value": value, "posted": "2026-03-04T10:30:00Z", **more}
    return {"id": "FT1", "thisAccount": {"number": ACCOUNT}, "otherAccount": {"number": "7"}, "details": details}


def read_made_up(*entries: Any) -> list[Listed]:
    """Read entries as the bank might write them."""
    return list(transactions.list_page(MadeUp({"data": list(entries), "meta": {}}, []), ACCOUNT, TODAY, None).lines)


def test_each_account_has_a_list(books: Books) -> None:
    assert list(transactions.lists(books.client)) == [ACCOUNT, OTHER]


def test_a_credit_is_a_deposit_and_a_debit_is_none_each_with_its_amount_unsigned(books: Books) -> None:
    books.pay("FT1")
    books.pay("FT2", NOW - timedelta(hours=1), direction="Debit", details="Rent")
    books.pay("FT3", account=OTHER)
    debit, credit = books.read()
    assert debit == Listed(
        type="bcb.debit",
        payment_id="FT2",
        account=ACCOUNT,
        direction="outgoing",
        amount=Decimal("1000.00"),
        currency="USD",
        status=Status.UNKNOWN,
        at=NOW - timedelta(hours=1),
        detail={
            "direction": "Debit",
            "other_account": "9000000001",
            "remittance": "Rent",
            "posted": "2026-03-04T11:00:00Z",
            "signed_amount": "-1000.00",
        },
    )
    assert (credit.type, credit.direction, credit.amount) == ("bcb.deposit", "incoming", Decimal("1000.00"))
    assert [line.payment_id for line in books.read(account=OTHER)] == ["FT3"]


def test_a_payment_and_its_fee_with_the_same_id_are_two_lines(books: Books) -> None:
    books.pay("FT1")
    books.enter(entry("-2.50", description="Fee"))
    found = [(line.payment_id, line.direction, line.amount) for line in books.read()]
    assert sorted(found) == [("FT1", "incoming", Decimal("1000.00")), ("FT1", "outgoing", Decimal("2.50"))]


def test_a_list_is_read_page_by_page_until_its_end(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "PAGE_SIZE", 10)
    for number in range(30):
        books.pay(f"FT{number}", NOW - timedelta(minutes=number))
    pages = read_whole(BCB, books.client, ACCOUNT, TODAY)
    assert [len(page) for page in pages] == [10, 10, 10, 0]
    assert {line.payment_id for page in pages for line in page} == {f"FT{number}" for number in range(30)}
    first, second, *_ = books.queries()
    assert (first["pageSize"], "pageToken" in first) == (["10"], False)
    assert (second["pageStart"], second["pageToken"], "pageSize" in second) == (["2"], ["10,2"], False)


def test_rows_that_move_while_they_are_read_are_found_by_reading_once_more(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "PAGE_SIZE", 10)
    for number in range(35):
        books.pay(f"FT{number}", NOW - timedelta(minutes=number))
    books.simulator.options.change({"moving_rows": 1})
    every = {f"FT{number}" for number in range(35)}
    once = {line.payment_id for line in books.read()}
    assert once < every
    assert once | {line.payment_id for line in books.read()} == every


def test_what_was_posted_outside_of_the_window_is_none_of_its_lines(books: Books) -> None:
    for payment_id, at in (
        ("before", TODAY.begin - timedelta(seconds=1)),
        ("first", TODAY.begin),
        ("last", TODAY.end - timedelta(seconds=1)),
        ("after", TODAY.end),
    ):
        books.enter({"id": payment_id, "details": {"posted": at.isoformat()}}, at)
    books.enter({"id": "a day alone", "details": {"posted": "2026-03-04"}})
    books.enter({"id": "no time"})
    noon = Window(NOW, NOW + timedelta(hours=1))
    assert [line.payment_id for line in books.read()] == ["first", "a day alone", "no time", "last"]
    assert [line.payment_id for line in books.read(noon)] == ["a day alone", "no time"]
    assert [line.named_day for line in books.read()] == [None, date(2026, 3, 4), None, None]


def test_a_day_more_is_asked_for_at_both_ends_but_none_that_has_not_come(books: Books) -> None:
    books.read(TODAY)
    books.read(Window(datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 2, 2, tzinfo=UTC)))
    dates = [(query["fromDate"], query["toDate"]) for query in books.queries()]
    assert dates == [(["2026-03-03"], ["2026-03-04"]), (["2026-01-31"], ["2026-02-02"])]


def test_a_window_of_years_is_asked_for_in_parts_of_a_year(books: Books) -> None:
    books.pay("old", datetime(2023, 6, 1, tzinfo=UTC))
    books.pay("new")
    window = Window(datetime(2023, 1, 1, tzinfo=UTC), TODAY.end)
    assert [line.payment_id for line in books.read(window)] == ["old", "new"]
    dates = [(query["fromDate"][0], query["toDate"][0]) for query in books.queries()]
    assert dates == [
        ("2022-12-31", "2023-12-31"),
        ("2024-01-01", "2024-12-31"),
        ("2025-01-01", "2026-01-01"),
        ("2026-01-02", "2026-03-04"),
    ]


QUESTIONS: dict[str, Callable[[HttpClient], object]] = {
    "get-all-accounts": transactions.lists,
    "get-transactions": lambda client: transactions.list_page(client, ACCOUNT, TODAY, None),
    "get-payment-status": lambda client: transactions.answer_page(client, ACCOUNT, None),
}


@pytest.mark.parametrize("permission", QUESTIONS)
def test_a_permission_that_is_missing_is_named(books: Books, permission: str) -> None:
    bank = books.simulator.bank
    bank.replace_client(bank.client.with_permissions(bank.client.permissions - {permission}))
    client = books.sign_in()
    with pytest.raises(Forbidden, match=f"lacks the permission {permission}, or this machine's address"):
        QUESTIONS[permission](client)


@pytest.mark.parametrize(
    ("details", "direction", "amount"),
    [
        ({"type": None}, "outgoing", "500.00"),
        ({"type": "debit", "value": {"amount": Decimal("500.00"), "currency": "BMD"}}, "outgoing", "500.00"),
        ({"type": "Credit", "value": {"amount": "1,000.00", "currency": "BMD"}}, "incoming", "1000.00"),
        ({"type": 7, "value": "12.50 BMD"}, "incoming", "12.50"),
    ],
)
def test_a_direction_is_told_by_the_word_and_else_by_the_sign(
    details: dict[str, Any], direction: str, amount: str
) -> None:
    (line,) = read_made_up(entry(**details))
    assert (line.direction, line.amount, line.currency) == (direction, Decimal(amount), "BMD")


def test_a_line_of_which_something_is_missing_is_listed_with_the_rest_and_what_the_bank_gave() -> None:
    no_id = {**entry(), "id": None}
    no_money = entry(value=["-500.00"], type=None)
    first, second, third, fourth = read_made_up(no_id, no_money, "not an entry", {})
    assert (first.payment_id, first.amount, first.at) == (
        None,
        Decimal("500.00"),
        datetime(2026, 3, 4, 10, 30, tzinfo=UTC),
    )
    assert json.loads(first.detail["unreadable"])["details"]["description"] == "Rent"
    assert (second.type, second.payment_id, second.amount, second.direction) == ("bcb.unrecognised", "FT1", None, None)
    assert (third.type, third.account, third.detail) == ("bcb.unrecognised", ACCOUNT, {"unreadable": '"not an entry"'})
    assert (fourth.type, fourth.detail) == ("bcb.unrecognised", {"unreadable": "{}"})


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.sampled_from(["Debit", "2026-03-04", "9999-12-31T23:59:59Z", "0001-01-01", "a\0b", "\ud800", 10**40, "1e40"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*entry(), *entry()["details"], "amount", "currency"]), inner, max_size=6)
    ),
    max_leaves=20,
)


@given(st.lists(VALUES, max_size=5))
def test_no_entry_is_too_strange_to_be_a_line_or_known_to_be_of_another_time(entries: list[Any]) -> None:
    lines = read_made_up(*parse(json.dumps(entries).encode()))
    strange = [entry for entry in entries if not (isinstance(entry, dict) and "details" in entry)]
    assert len(strange) <= len(lines) <= len(entries)
    for line in lines:
        assert line.type in ("bcb.deposit", "bcb.debit", "bcb.unrecognised")
        assert line.amount is None or line.amount >= 0
        assert "\\u0000" not in json.dumps(line.detail).replace("\\\\u0000", "")


@pytest.mark.parametrize("answer", [None, 7, {}, {"data": None}, {"data": {"1": {}}}, "[]"])
def test_an_answer_that_is_no_list_is_unreadable(answer: Any) -> None:
    with pytest.raises(AnswerUnreadable, match="a list is expected"):
        transactions.list_page(MadeUp(answer), ACCOUNT, TODAY, None)


def test_a_bank_that_gives_the_same_page_again_is_not_read_for_ever() -> None:
    same = {"data": [entry()], "meta": {"pagination": {"page_token": "1,2"}}}
    client = MadeUp(same, same, same)
    with pytest.raises(AnswerUnreadable, match="the same page comes again"):
        read_whole(BCB, client, ACCOUNT, TODAY)
    assert len(client.asked) == 2


@pytest.mark.parametrize(
    "made", [lambda listed: listed, lambda listed: {"data": listed}, lambda listed: {"data": listed, "meta": {}}]
)
def test_a_bank_that_says_nothing_of_pages_and_gives_all_at_each_is_read_once(made: Callable[[Any], Any]) -> None:
    whole = made([entry(), entry("-2.50")])
    client = MadeUp(whole, whole)
    assert [line.payment_id for page in read_whole(BCB, client, ACCOUNT, TODAY) for line in page] == ["FT1", "FT1"]
    assert [account.id for account in api.accounts(MadeUp(*[made([{"number": ACCOUNT}])] * 2))] == [ACCOUNT]


@pytest.mark.parametrize("meta", [{}, {"page_size": 2}, {"total_size": 3}, {"total_size": 3, "page_size": 2}])
def test_a_full_page_that_comes_twice_is_not_taken_for_the_whole_list(
    meta: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "PAGE_SIZE", 2)
    same = {"data": [entry(), entry("-2.50")], "meta": {"pagination": meta}}
    if meta == {"total_size": 3}:
        assert len(read_whole(BCB, MadeUp(same, {"data": []}), ACCOUNT, TODAY)) == 2
    with pytest.raises(AnswerUnreadable, match="the same page comes again"):
        read_whole(BCB, MadeUp(same, same), ACCOUNT, TODAY)


@pytest.mark.parametrize("meta", [{}, {"page_size": 2}, {"total_size": 3, "page_size": 2}, {"total_size": 3}, "none"])
def test_a_list_ends_where_it_does_whatever_the_bank_says_of_its_pages(meta: Any) -> None:
    entries = [{**entry(), "id": f"FT{number}"} for number in range(3)]
    pages = [{"data": part, "meta": {"pagination": meta}} for part in (entries[:2], entries[2:], [])]
    found = [line.payment_id for page in read_whole(BCB, MadeUp(*pages), ACCOUNT, TODAY) for line in page]
    assert found == ["FT0", "FT1", "FT2"]


def test_a_place_that_is_none_is_an_error_like_any_of_the_banks() -> None:
    for place in ("", "[]", "7", '["x", 1, 0, null, ""]'):
        with pytest.raises(AnswerUnreadable, match="the place in the list"):
            transactions.list_page(MadeUp(), ACCOUNT, TODAY, place)


def test_all_payments_of_an_account_are_answered_for_at_once(books: Books) -> None:
    assert isinstance(BCB, AnswersInBulk)
    books.pay("FT1")
    books.pay("FT2", direction="Debit")
    page = BCB.answer_page(books.client, ACCOUNT, None)
    assert page.next is None
    assert [(payment_id, answer.bank_status, answer.status) for payment_id, answer in page.answers] == [
        ("FT1", "Completed", "completed"),
        ("FT2", "Completed", "completed"),
    ]
    assert page.answers[0][1] == BCB.ask(books.client, "payment", "FT1", {})


def test_an_answer_without_an_id_or_a_status_is_left_out() -> None:
    entries = [{"transactionId": "FT1"}, {"status": "Completed"}, None, {"transactionId": "FT2", "status": "Odd"}]
    page = transactions.answer_page(MadeUp({"data": entries, "meta": {"pagination": {"total_size": 4}}}), ACCOUNT, None)
    assert [(payment_id, answer.status) for payment_id, answer in page.answers] == [("FT2", "unknown")]


def in_capitals(value: Any) -> Any:
    if isinstance(value, dict):
        return {name[:1].upper() + name[1:]: in_capitals(each) for name, each in value.items()}
    return value


def test_entries_and_answers_whose_names_begin_with_a_capital_are_read_alike() -> None:
    assert read_made_up(in_capitals(entry())) == read_made_up(entry())
    told = {
        "transactionId": "FT1",
        "status": "Completed",
        "debitAmount": {"amount": "5.00", "currency": "USD"},
        "valueDate": "2026-03-04",
    }
    paging = {"pagination": {"total_size": 1}}
    first, second = (
        transactions.answer_page(MadeUp({"data": [each], "meta": paging}), ACCOUNT, None).answers
        for each in (told, in_capitals(told))
    )
    assert first == second
    assert [(payment_id, str(answer.amounts[0].amount)) for payment_id, answer in first] == [("FT1", "5.00")]
