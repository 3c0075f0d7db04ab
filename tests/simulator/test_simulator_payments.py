from typing import Any

import pytest
from simulator.callers import Caller, FakeClock


def pay(caller: Caller, payment_id: str = "FT1", **fields: object) -> Any:
    return caller.control(f"/payments/{payment_id}", fields, "PUT")


def status(caller: Caller, payment_id: str = "FT1") -> Any:
    answer = caller.bank(f"/v1/payments/{payment_id}/status")
    return answer.json()["status"] if answer.status_code == 200 else answer.status_code


def test_it_shows_a_payment_with_the_fields_of_the_sheet(caller: Caller) -> None:
    pay(caller, amount="1000.00", currency="USD", script=[["Completed"]])

    assert caller.bank("/v1/payments/FT1/status").json() == {
        "transactionId": "FT1",
        "type": "Swift payment",
        "status": "Completed",
        "externalReference": None,
        "remittanceInformation": "Payment details",
        "debitAmount": None,
        "creditAmount": {"amount": "1000.00", "currency": "USD"},
        "valueDate": "2026-03-02",
        "exchangeRate": None,
    }


def test_it_moves_a_payment_from_pending_to_completed_after_2_seconds(caller: Caller, clock: FakeClock) -> None:
    pay(caller)

    assert status(caller) == "Pending"
    clock.advance(1.9)
    assert status(caller) == "Pending"
    clock.advance(0.1)
    assert status(caller) == "Completed"
    clock.advance(1e6)
    caller.sign_in()
    assert status(caller) == "Completed"


def test_it_follows_a_script_that_starts_unknown_and_ends_reversed(caller: Caller, clock: FakeClock) -> None:
    pay(caller, script=[["unknown", 2], ["Pending", 3], ["Reversed"]])

    seen = []
    for _ in range(6):
        seen.append(status(caller))
        clock.advance(1)
    assert seen == [404, 404, "Pending", "Pending", "Pending", "Reversed"]


def test_it_hides_a_payment_from_its_account_while_it_does_not_know_it(caller: Caller, clock: FakeClock) -> None:
    pay(caller, script=[["unknown", 2], ["Completed"]])
    paths = ("/v1/accounts/1046406142/payments", "/v1/accounts/1046406142/transactions")

    assert [caller.bank(path).json()["data"] for path in paths] == [[], []]
    clock.advance(2)
    assert [len(caller.bank(path).json()["data"]) for path in paths] == [1, 1]


def test_it_answers_404_for_a_payment_that_it_never_heard_of(caller: Caller) -> None:
    assert caller.bank("/v1/payments/FT404/status").status_code == 404


def test_it_restarts_the_script_and_keeps_the_rest_when_a_payment_is_put_again(
    caller: Caller, clock: FakeClock
) -> None:
    pay(caller, amount="12.30", currency="BMD", script=[["Completed"]])
    pay(caller, script=[["Pending", 1], ["Reversed"]])

    assert status(caller) == "Pending"
    clock.advance(1)
    answer = caller.bank("/v1/payments/FT1/status").json()
    assert (answer["status"], answer["creditAmount"]) == ("Reversed", {"amount": "12.30", "currency": "BMD"})


def test_it_shows_transactions_with_a_signed_number_of_exactly_these_digits(caller: Caller) -> None:
    pay(caller, "FT1", amount="500.00", currency="BMD", direction="Debit")
    pay(caller, "FT2", amount="123456789012.10")

    answer = caller.bank("/v1/accounts/1046406142/transactions")
    assert '"amount": -500.00' in answer.text
    assert '"amount": 123456789012.10' in answer.text
    assert answer.json()["data"][0] == {
        "id": "FT1",
        "thisAccount": {"number": "1046406142"},
        "otherAccount": {"number": "9000000001"},
        "details": {
            "type": "Debit",
            "description": "Payment details",
            "value": {"amount": -500.0, "currency": "BMD"},
            "posted": "2026-03-02T12:00:00Z",
        },
    }


def test_it_leaves_out_transactions_outside_the_dates(caller: Caller, clock: FakeClock) -> None:
    pay(caller, "FT1")
    clock.advance(86400)
    caller.token = None
    pay(caller, "FT2")

    def ids(query: str) -> list[str]:
        return [entry["id"] for entry in caller.bank(f"/v1/accounts/1046406142/transactions?{query}").json()["data"]]

    assert ids("") == ["FT1", "FT2"]
    assert ids("fromDate=2026-03-03") == ["FT2"]
    assert ids("toDate=20260302") == ["FT1"]
    assert ids("fromDate=2026-03-02&toDate=2026-03-03") == ["FT1", "FT2"]


@pytest.mark.parametrize(
    "query",
    [
        "fromDate=yesterday",
        "fromDate=2026-W10-1",
        "fromDate=2026-02-30",
        "fromDate=2024-03-01&toDate=2026-03-01",
        "fromDate=2026-03-02&toDate=2026-03-01",
        "pageSize=0",
        "pageSize=1001",
        "pageSize=ten",
        "pageStart=-1",
        "pageToken=abc",
        "pageToken=10,2&pageSize=10",
        "pageToken=,",
        "pageStart=" + "9" * 5000,
    ],
)
def test_it_answers_400_to_a_query_that_it_does_not_take(caller: Caller, query: str) -> None:
    assert caller.bank(f"/v1/accounts/1046406142/transactions?{query}").status_code == 400


def test_it_answers_even_at_the_first_date_there_is(caller: Caller) -> None:
    assert caller.bank("/v1/accounts/1046406142/transactions?toDate=0001-01-01").status_code == 200


def test_it_hands_out_pages_by_token(caller: Caller) -> None:
    for number in range(5):
        pay(caller, f"FT{number}")
    path = "/v1/accounts/1046406142/payments"

    first = caller.bank(path, params={"pageSize": 2}).json()
    token = first["meta"]["pagination"]["page_token"]
    second = caller.bank(path, params={"pageToken": token}).json()
    third = caller.bank(path, params={"pageToken": token, "pageStart": 3}).json()

    assert first["meta"]["pagination"] == {"page_start": 1, "page_size": 2, "total_size": 5, "page_token": token}
    assert "," in token
    assert [[entry["transactionId"] for entry in page["data"]] for page in (first, second, third)] == [
        ["FT0", "FT1"],
        ["FT2", "FT3"],
        ["FT4"],
    ]
    assert third["meta"]["pagination"]["page_token"] is None


def test_it_shows_accounts_with_the_balance_of_what_is_completed(caller: Caller) -> None:
    pay(caller, "FT1", amount="10.50", script=[["Completed"]])
    pay(caller, "FT2", amount="0.25", direction="Debit", script=[["Completed"]])
    pay(caller, "FT3", amount="99.00", script=[["Pending"]])
    pay(caller, "FT4", account="2000000001", currency="BMD", script=[["Completed"]])

    assert caller.bank("/v1/accounts/1046406142").json()["balance"] == {"amount": "10.25", "currency": "USD"}
    listed = caller.bank("/v1/accounts").json()["data"]
    assert [account["number"] for account in listed] == ["1046406142", "2000000001"]
    assert listed[1]["balance"] == {"amount": "1000.00", "currency": "BMD"}


@pytest.mark.parametrize("rest", ["", "/payments", "/transactions"])
def test_it_answers_404_for_an_account_that_is_not_there(caller: Caller, rest: str) -> None:
    assert caller.bank(f"/v1/accounts/9{rest}").status_code == 404
