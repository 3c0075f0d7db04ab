"""Callbacks that never come, come late, twice, or claim what the bank denies; and lists, in which the truth stands."""

import json
from collections import Counter
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
from simulator.callers import BankCaller, Caller, FakeClock, Receiver, Start, StartBank, until

from receiver.simulator.banking_circle import Config as CircleConfig
from receiver.simulator.banking_circle import Simulator as Circle
from receiver.simulator.scripts import SetClock

ACCOUNT = "/v1/accounts/1046406142"


@pytest.fixture
def bank(start: Start[Caller], receiver: Receiver) -> Caller:
    return start(callback_url=receiver.url, sleep=lambda _: False)


def transactions(bank: Caller, query: str = "") -> list[Any]:
    found: list[Any] = bank.bank(f"{ACCOUNT}/transactions{query}").json()["data"]
    return found


def test_a_deposit_that_is_dropped_is_in_the_list_and_never_told(bank: Caller, receiver: Receiver) -> None:
    answer = bank.control("/deposits", {"transactionId": "FT1", "drop": True})
    assert (answer["deliveries"], receiver.received) == ([], [])
    assert [entry["id"] for entry in transactions(bank)] == ["FT1"]


def test_a_deposit_that_is_denied_is_told_and_not_known(bank: Caller, receiver: Receiver) -> None:
    bank.control("/deposits", {"transactionId": "FT1", "deny": True})
    assert len(receiver.received) == 1
    assert (transactions(bank), bank.bank("/v1/payments/FT1/status").status_code) == ([], 404)


def test_a_deposit_may_claim_another_amount_than_the_bank_has(bank: Caller, receiver: Receiver) -> None:
    bank.control("/deposits", {"transactionId": "FT1", "amount": "10.00", "claimedAmount": "12.00"})
    assert b'"12.00"' in receiver.received[0].body
    assert transactions(bank)[0]["details"]["value"]["amount"] == 10.0


def test_a_callback_that_is_postponed_comes_once_its_time_has_come(
    bank: Caller, receiver: Receiver, clock: FakeClock
) -> None:
    answer = bank.control("/deposits", {"transactionId": "FT1", "after": 86400}, status=202)
    assert (answer["subjects"], len(transactions(bank))) == (["FT1"], 1)
    clock.advance(86399)
    bank.control("/deposits", {"transactionId": "FT2"})
    assert len(receiver.received) == 1
    clock.advance(1)
    until(lambda: len(receiver.received) == 2)


def test_postponed_callbacks_that_fall_due_together_come_in_the_order_of_their_times(
    bank: Caller, receiver: Receiver, clock: FakeClock
) -> None:
    for number in reversed(range(1, 21)):
        bank.control("/deposits", {"transactionId": f"FT{number:02}", "after": number}, status=202)
    clock.advance(20)
    until(lambda: len(receiver.received) == 20)
    told = [json.loads(one.body)["transactionId"] for one in receiver.received]
    assert told == [f"FT{number:02}" for number in range(1, 21)]


def test_a_callback_whose_time_comes_while_they_are_switched_off_never_comes(
    bank: Caller, receiver: Receiver, clock: FakeClock
) -> None:
    bank.control("/deposits", {"transactionId": "FT1", "after": 60}, status=202)
    bank.control("/subscription", {"active": False}, "PUT")
    clock.advance(61)
    until(lambda: bank.control("/subscription", method="GET")["missed"] == 1)
    bank.control("/subscription", {"active": True}, "PUT")
    assert receiver.received == []


def test_a_fee_and_any_json_stand_in_the_list_beside_the_payments(bank: Caller) -> None:
    bank.control("/payments/FT1", {"at": "2026-03-01T09:00:00Z"}, "PUT")
    bank.control("/transactions", {"transactionId": "FT1", "amount": "2.50", "direction": "Debit"})
    bank.control("/transactions", {"raw": [1], "at": "2026-03-02T08:00:00+01:00"})
    shown = transactions(bank)
    assert [entry["details"]["value"]["amount"] if isinstance(entry, dict) else entry for entry in shown] == [
        1000.0,
        [1],
        -2.5,
    ]
    assert shown[0]["details"]["posted"] == "2026-03-01T09:00:00Z"
    assert transactions(bank, "?fromDate=2026-03-01&toDate=2026-03-01") == shown[:1]
    bank.change(transactions_order="newest")
    assert transactions(bank) == shown[::-1]


def test_rows_move_between_the_pages_while_they_are_read(bank: Caller) -> None:
    for number in range(5):
        bank.control(f"/payments/FT{number}", {"at": f"2026-03-01T09:0{number}:00Z"}, "PUT")
    bank.change(moving_rows=1)
    first = bank.bank(f"{ACCOUNT}/transactions?pageSize=2").json()
    token = first["meta"]["pagination"]["page_token"]
    assert "," in token
    second = bank.bank(f"{ACCOUNT}/transactions?pageToken={quote(token)}").json()
    assert [entry["id"] for page in (first, second) for entry in page["data"]] == ["FT0", "FT1", "FT3", "FT4"]


def test_a_fault_spoils_a_share_of_the_requests(bank: Caller) -> None:
    bank.control("/faults", {"kind": "500", "count": 0, "share": 0.2, "path": "/v1/system/*"})
    statuses = Counter(bank.bank("/v1/system/time").status_code for _ in range(100))
    assert 10 <= statuses[500] <= 30
    assert statuses[200] == 100 - statuses[500]


def test_the_clock_is_set_moved_and_sped_up(bank: Caller, clock: FakeClock) -> None:
    assert bank.control("/clock", method="GET") == {"now": "2026-03-02T12:00:00+00:00", "speed": 1.0}
    shown = bank.control("/clock", {"now": "2026-03-06T19:00:00+01:00", "forward": 60, "speed": 60}, "PUT")
    assert shown == {"now": "2026-03-06T18:01:00+00:00", "speed": 60.0}
    clock.advance(60)
    bank.control("/payments/FT1", {"script": [["Pending", 3600], ["Completed"]]}, "PUT")
    assert bank.bank("/v1/system/time").json()["timestamp"] == "2026-03-06T19:01:00+00:00"
    clock.advance(60)
    # The token was given by the bank's own time, too.
    bank.sign_in()
    assert bank.bank("/v1/payments/FT1/status").json()["status"] == "Completed"


def test_a_clock_that_is_set_back_goes_on_from_there() -> None:
    base = FakeClock()
    clock = SetClock(base)
    clock.set(base() - timedelta(days=1), speed=0.5)
    base.advance(10)
    assert clock() == base() - timedelta(days=1, seconds=5)
    clock.set(speed=1)
    assert clock() == base() - timedelta(days=1, seconds=5)


class CircleCaller(BankCaller[Circle]):
    """Calls Banking Circle's reports."""

    def get(self, path: str, **query: str) -> Any:
        files = self.simulator.certificates
        how: dict[str, Any] = {"cert": str(files.client_pem), "verify": str(files.ca), "timeout": 60}
        if self.token is None:
            authorize = f"{self.simulator.url}/api/v1/authorizations/authorize"
            signed_in = self.session.get(authorize, auth=("simulator-user", "simulator-password"), **how)
            self.token = signed_in.json()["access_token"]
        shown = {"Authorization": f"Bearer {self.token}"}
        return self.session.get(f"{self.simulator.url}/api/v1/reports{path}", params=query, headers=shown, **how)

    def rows(self, day: str = "2026-03-02", properties: str = "PaymentId,PTxnDate,DebitAmount") -> list[Any]:
        answer = self.get(
            "/intraday-reconciliation-paged-report",
            FromTransactionDate=day,
            ToTransactionDate=day,
            FromCreatedAt="2026-01-01T00:00:00.0000000Z",
            ToCreatedAt="2027-01-01T00:00:00.0000000Z",
            PageNumber="1",
            PageSize="10",
            **({"PropertiesIncluded": properties} if properties else {}),
        )
        assert answer.status_code == 200, answer.text
        found: list[Any] = answer.json()["result"]
        return found


@pytest.fixture
def circle(start_bank: StartBank, receiver: Receiver) -> CircleCaller:
    config = CircleConfig(callback_url=receiver.url, token_lifetime_seconds=1e7)
    return start_bank(CircleCaller, Circle, config, sleep=lambda _: False)


def said(rows: list[Any], *names: str) -> list[tuple[Any, ...]]:
    return [tuple(row[name] for name in names) for row in rows]


def test_the_report_shows_ids_and_times_only_where_they_are_asked_for(circle: CircleCaller) -> None:
    circle.control("/payments/p1", {"script": [["Processed"]]}, "PUT")
    (by_default,) = circle.rows(properties="")
    (asked,) = circle.rows(properties="paymentId,processedTimestamp")
    assert (by_default["paymentId"], by_default["processedTimestamp"]) == (None, None)
    assert by_default["paymentReferenceNumber"].startswith("010F")
    assert (asked["paymentId"], asked["processedTimestamp"]) == ("p1", "2026-03-02T12:00:00.0000000Z")
    assert asked["paymentReferenceNumber"] is None


def test_the_day_of_a_row_ends_at_19_and_a_week_end_is_mondays(circle: CircleCaller) -> None:
    times = {"p1": "2026-03-06T17:59:59Z", "p2": "2026-03-06T18:00:00Z", "p3": "2026-03-08T09:00:00Z"}
    for payment_id, at in times.items():
        circle.control(f"/payments/{payment_id}", {"script": [["Processed"]], "at": at}, "PUT")
    circle.control("/clock", {"now": "2026-03-09T09:00:00Z"}, "PUT")
    assert said(circle.rows("2026-03-06"), "paymentId") == [("p1",)]
    assert said(circle.rows("2026-03-09"), "paymentId", "pTxnDate") == [("p2", "2026-03-09"), ("p3", "2026-03-09")]


def test_a_reversal_is_a_second_row_with_the_amount_negated(circle: CircleCaller, clock: FakeClock) -> None:
    circle.control("/payments/p1", {"amount": "27.00", "script": [["Processed", 86400], ["Reversed"]]}, "PUT")
    clock.advance(86400)
    assert said(circle.rows("2026-03-02"), "paymentId", "debitAmount") == [("p1", 27.0)]
    assert said(circle.rows("2026-03-03"), "paymentId", "debitAmount") == [("p1", -27.0)]


def test_what_was_rejected_is_in_the_other_report_alone_and_without_an_id(circle: CircleCaller) -> None:
    circle.control("/payments/p1", {"script": [["Rejected"]]}, "PUT")
    circle.control("/payments/p2", {"script": [["MissingFunding"]]}, "PUT")
    circle.control("/payments/p3", {"script": [["PendingProcessing"]]}, "PUT")
    assert said(circle.rows(), "paymentId") == [("p3",)]
    shown = circle.get("/rejection-report", TransactionDate="2026-03-02").json()
    assert [row["status"] for row in shown] == ["Rejected", "Insufficient Funds", "Received"]
    assert all("paymentId" not in row and row["paymentReferenceNumber"] for row in shown)
    without = circle.get("/rejection-report", TransactionDate="2026-03-02", IncludeReceived="false").json()
    assert [row["status"] for row in without] == ["Rejected", "Insufficient Funds"]


def test_a_report_wants_its_dates_and_a_user_who_may_have_it(circle: CircleCaller) -> None:
    assert circle.get("/rejection-report").status_code == 400
    assert circle.get("/intraday-reconciliation-paged-report", FromTransactionDate="2026-03-02").status_code == 400
    circle.change(reports="refused")
    assert circle.get("/rejection-report", TransactionDate="2026-03-02").status_code == 403
    circle.token = "x"
    assert circle.get("/rejection-report", TransactionDate="2026-03-02").status_code == 401


def test_a_notification_may_claim_another_amount_or_a_payment_that_is_denied(circle: CircleCaller) -> None:
    circle.control("/payments/p1", {"script": [["Processed"]]}, "PUT")
    told = circle.control("/notifications", {"paymentId": "p1", "claimedAmount": "7.77"})["deliveries"]
    denied = circle.control("/notifications", {"count": 2, "deny": True})["deliveries"]
    assert '"amount": 7.77' in told[0]["sent"]
    assert denied[0]["sent"].count("eventId") == 2
    assert said(circle.rows(), "paymentId", "debitAmount") == [("p1", 100.0)]
    circle.control("/report-rows", {"raw": 7})
    assert circle.rows()[-1] == 7
