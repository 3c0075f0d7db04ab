"""ConnectPay's package: what callbacks tell, the partner's key, and calls that need a user."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from answering import answering

from receiver import banks
from receiver.banks.callback import Claim, Proof, unrecognised
from receiver.banks.connectpay import User, UserNeeded, call
from receiver.banks.errors import NotKnown, TokenRefused
from receiver.banks.http import HttpClient
from receiver.banks.json_values import NotUnderstood
from receiver.banks.protocol import OptionsWrong
from receiver.model import Status
from receiver.reconcile.plan import Schedule
from receiver.simulator.connectpay import Config, Simulator
from receiver.simulator.connectpay.bank import TYPES
from receiver.store import particulars
from receiver.store.search_terms import accounts_in

BANK = banks.named("connectpay")
NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
SIGN_OUT = "/baas-sca/user-management/client/users/logout"
USERS = "/baas-sca/user-management/partner/users"


def read(body: Any, sent_at: str = "") -> Claim:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    (claim,) = BANK.read(Proof("token", "secret:1", content, headers={"x-connectpay-timestamp": sent_at}))
    return claim


@pytest.mark.parametrize("written", [str, str.lower, str.upper])
@pytest.mark.parametrize("event", TYPES)
def test_every_documented_type_is_known_however_it_is_cased(event: str, written: Any) -> None:
    claim = read({"eventType": written(event)})
    assert claim.type.startswith("connectpay.")
    assert claim.type == read({"eventType": event}).type


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        ("BaaSCard.Transaction.Authorized", "connectpay.card.transaction.authorized"),
        ("baascard.PIN-changed", "connectpay.card.pin-changed"),
        ("BaaSCardApplication.Step_2.Sent-Back", "connectpay.card_application.step_2.sent-back"),
        ("BaaSCard." + "x" * 80, "connectpay.card." + "x" * 80),
    ],
)
def test_whatever_stands_behind_a_family_is_part_of_the_type(event: str, kind: str) -> None:
    assert read({"eventType": event}).type == kind


@pytest.mark.parametrize(
    ("event", "status"),
    [("Created", "pending"), ("Processing", "pending"), ("Completed", "completed"), ("Rejected", "rejected")],
)
def test_an_outgoing_payment_claims_its_status(event: str, status: str) -> None:
    claim = read({"event": f"OutgoingPayment.{event}", "paymentOrderNo": 4711})
    assert (claim.status, claim.kind, claim.subject, claim.payment_id) == (status, "payment", "4711", "4711")


@pytest.mark.parametrize(
    "body",
    [
        {"eventType": "OutgoingPayment.Completed", "data": {"paymentOrderNo": "PO-1"}},
        {"type": "OutgoingPayment.Completed", "payload": {"payment": {"PaymentOrderNo": "PO-1", "type": "SEPA"}}},
        {"event": "OutgoingPayment.Completed", "payment": {"type": "SEPA"}, "paymentOrderNo": "PO-1"},
        {"header": {"type": "outgoingpayment.completed"}, "paymentorderno": "PO-1"},
    ],
)
def test_type_and_id_are_found_wherever_they_stand(body: dict[str, Any]) -> None:
    claim = read(body)
    assert (claim.type, claim.payment_id) == ("connectpay.outgoing_payment.completed", "PO-1")


def test_an_incoming_payment_without_an_order_can_t_be_asked_for() -> None:
    claim = read({"eventType": "IncomingPayment.Completed", "transactionId": "TX-1"})
    assert (claim.kind, claim.payment_id, claim.status) == ("none", "TX-1", "completed")


def test_a_payer_s_reference_names_no_payment() -> None:
    body = {"eventType": "IncomingPayment.Completed", "externalReference": "rent", "amount": 5}
    claim = read(body, "1700000000")
    assert (claim.kind, claim.subject, claim.payment_id) == ("none", "rent", None)
    assert claim.facts["external_reference"] == "rent"
    assert read({**body, "amount": 7}, "1700000000").identity != claim.identity
    assert read(body, "1700000009").identity != claim.identity
    assert read(body, "1700000000").identity == claim.identity


@pytest.mark.parametrize(
    ("body", "subject", "facts"),
    [
        ({"eventType": "BaaSCard.Activated", "cardId": "c-1"}, "c-1", {"card_id": "c-1"}),
        (
            {"eventType": "BaaSCard.Activated", "data": {"personId": "p-1", "cardId": 10**19}},
            str(10**19),
            {"card_id": str(10**19), "person_id": "p-1"},
        ),
        ({"eventType": "BaaSCard.Blocked", "personId": "p-1"}, "p-1", {"person_id": "p-1"}),
        ({"eventType": "BaaSCard.Transaction.Authorized", "cardId": "c-1"}, "c-1", {"card_id": "c-1"}),
        ({"eventType": "BaaSCardApplication.Approved", "applicationId": "a-1"}, "a-1", {"application_id": "a-1"}),
        ({"eventType": "Account.BalanceChanged", "accountNo": "LT1"}, "LT1", {"account_id": "LT1"}),
        (
            {"eventType": "Account.BalanceChanged", "accountId": "a-1", "iban": "LT1"},
            "a-1",
            {"account_id": "a-1", "iban": "LT1"},
        ),
        ({"eventType": "Account.BalanceChanged", "data": {"IBAN": "LT1"}}, "LT1", {"account_id": "LT1"}),
        ({"eventType": "BaaSPersonIdv.Approved", "personId": "p-1"}, "p-1", {"person_id": "p-1"}),
        ({"eventType": "BaaSPerson.DocExpiry", "userId": 7}, "7", {"person_id": "7"}),
        ({"eventType": "BaaSPerson.DocExpiry", "person": {"id": "p-1"}, "id": "evt-1"}, "p-1", {"person_id": "p-1"}),
        ({"eventType": "BaaSCard.Blocked", "data": {"Card": {"id": "c-1"}}, "id": "e"}, "c-1", {"card_id": "c-1"}),
        ({"eventType": "BaasApplication.ApplicationApproved", "id": "a-1"}, "a-1", {"resource_id": "a-1"}),
        ({"eventType": "BaaSPerson.DocExpiry", "data": {"documentNo": "d-1"}}, "d-1", {"resource_id": "d-1"}),
        ({"eventType": "BaaSPerson.DocExpiry", "documentNo": "d-1", "deviceId": "e-1"}, None, {}),
        ({"eventType": "BaaSCard.Activated", "cardNumber": "4111111111111111"}, None, {}),
        ({"eventType": "BaaSCard.Activated", "cardNo": "4111111111111111", "eventId": "e-1"}, None, {}),
    ],
)
def test_what_is_no_payment_is_about_the_id_that_is_there(
    body: dict[str, Any], subject: str | None, facts: dict[str, str]
) -> None:
    claim = read(body)
    assert (claim.kind, claim.subject, claim.payment_id, claim.facts) == ("none", subject, None, facts)


@pytest.mark.parametrize(
    ("body", "kind", "subject", "payment_id"),
    [
        ({"eventType": "New.Kind", "paymentOrderNo": 10**19}, "payment", str(10**19), str(10**19)),
        ({"data": {"paymentOrderNo": "PO-1"}}, "payment", "PO-1", "PO-1"),
        ({"eventType": "New.Kind", "transactionId": "TX-1"}, "none", "TX-1", "TX-1"),
        ({"eventType": "New.Kind", "externalReference": "rent"}, "none", "rent", None),
        ({"eventType": "New.Kind", "accountId": "a-1"}, "none", "a-1", None),
        ({"eventType": "New.Kind", "payments": [{"paymentOrderNo": "PO-1"}]}, "payment", "PO-1", "PO-1"),
        ({"payments": [{"x": {"PaymentOrderNo": 7, "transactionId": "TX-1"}}]}, "payment", "7", "7"),
        ({"payments": [{"paymentOrderNo": "PO-1"}, {"paymentOrderNo": "PO-2"}]}, "none", None, None),
        ({"payments": [{"transactionId": "TX-1"}]}, "none", "TX-1", "TX-1"),
        ({"transactionId": "TX-1", "payments": [{"paymentOrderNo": "PO-1"}]}, "payment", "PO-1", "PO-1"),
        ({"paymentOrderNo": None, "payments": [{"paymentOrderNo": "PO-1"}]}, "payment", "PO-1", "PO-1"),
        ({"person": {"id": "p-1"}, "id": "evt-1"}, "none", "p-1", None),
        ({"id": "evt-1", "data": {"baasCard": {"ID": 7}}}, "none", "7", None),
        ({"id": "evt-1", "accountId": "a-1"}, "none", "a-1", None),
        ({"id": "evt-1", "resourceId": "r-1", "accountId": "a-1"}, "none", "r-1", None),
        ({"id": "r-1"}, "none", "r-1", None),
        ({"eventType": "BaaSCard."}, "none", None, None),
        ({"eventType": "BaaSCard..Blocked"}, "none", None, None),
        ({"eventType": "BaaSCard.Blocked."}, "none", None, None),
        ({"eventType": "BaaSCard." + "x" * 81}, "none", None, None),
        ({"type": None}, "none", None, None),
    ],
)
def test_a_type_that_is_not_known_keeps_its_ids_and_the_order_that_it_names_is_asked_for(
    body: dict[str, Any], kind: str, subject: str | None, payment_id: str | None
) -> None:
    claim = read({**body, "amount": "12.50", "currency": "EUR"})
    assert (claim.type, claim.kind, claim.status) == ("connectpay.unrecognised", kind, None)
    assert (claim.subject, claim.payment_id, str(claim.amount), claim.currency) == (subject, payment_id, "12.50", "EUR")
    assert claim.facts.get("event_type") == body.get("eventType")


IN, OUT = "IncomingPayment.Completed", "OutgoingPayment.Created"


@pytest.mark.parametrize(
    ("body", "account", "direction"),
    [
        ({"eventType": IN, "paymentOrderNo": "P1", "iban": "LT1"}, "LT1", "incoming"),
        ({"eventType": OUT.upper(), "data": {"paymentOrderNo": "P1", "AccountNo": "LT1"}}, "LT1", "outgoing"),
        ({"type": OUT, "payload": {"payment": {"transactionId": "T1", "accountNumber": 7}}}, "7", "outgoing"),
        ({"eventType": OUT, "paymentOrderNo": "P1", "account": {"iban": "LT1"}}, "LT1", "outgoing"),
        ({"eventType": IN, "paymentOrderNo": "P1", "accountId": "a-1", "iban": "LT1"}, "LT1", "incoming"),
        ({"eventType": IN, "externalReference": "rent", "iban": "LT1"}, "LT1", "incoming"),
        ({"eventType": IN, "iban": "LT1"}, "LT1", "incoming"),
        # Of a type that is not known, or of several, only what is sure.
        ({"eventType": "IncomingPayment.Refunded", "paymentOrderNo": "P1", "iban": "LT1"}, "LT1", "incoming"),
        ({"eventType": "New.Kind", "paymentOrderNo": "P1", "iban": "LT1"}, "LT1", None),
        ({"eventType": IN, "event": OUT, "paymentOrderNo": "P1"}, None, None),
        # The other side's account may not be taken for our own.
        ({"eventType": IN, "paymentOrderNo": "P1", "debtor": {"iban": "LT9"}}, None, "incoming"),
        ({"eventType": IN, "paymentOrderNo": "P1", "iban": "LT1", "debtor": {"accountId": "LT9"}}, "LT1", "incoming"),
        ({"eventType": "New.Kind", "paymentOrderNo": "P1", "debtor": {"iban": "LT9"}}, None, None),
    ],
)
def test_a_payment_tells_its_account_and_where_the_money_goes(
    body: dict[str, Any], account: str | None, direction: str | None
) -> None:
    known = particulars.of_facts(read(body).facts)
    assert (known["account"], known["direction"]) == (account, direction)


@pytest.mark.parametrize("event", [IN, "New.Kind"])
def test_an_account_that_may_be_the_other_side_s_is_found_all_the_same(event: str) -> None:
    claim = read({"eventType": event, "paymentOrderNo": "P1", "debtor": {"iban": "LT9"}, "personId": "p-1"})
    assert (claim.facts["named_account"], claim.facts["person_id"]) == ("LT9", "p-1")
    assert accounts_in(claim.facts) == {"LT9"}


def test_what_else_a_payment_tells_changes_neither_its_identity_nor_its_content() -> None:
    claim = read({"eventType": IN, "paymentOrderNo": "P1", "iban": "LT1"})
    assert claim.identity == ("payment", "incoming_payment.completed", "P1", "ACSC")
    assert claim.content == '{"eventType":"IncomingPayment.Completed","iban":"LT1","paymentOrderNo":"P1"}'


@pytest.mark.parametrize(
    ("body", "amount", "currency"),
    [
        ({"Amount": "5.00", "Currency": "EUR"}, "5.00", "EUR"),
        ({"data": {"AMOUNT": 5, "currency": "EUR"}}, "5", "EUR"),
        ({"amount": "5.00 EUR"}, "5.00", "EUR"),
        ({"Amount": "EUR 5.00"}, "5.00", "EUR"),
        ({"amount": {"Amount": "5.00", "Currency": "EUR"}}, "5.00", "EUR"),
        ({"amount": None, "Amount": "5.00 EUR"}, "5.00", "EUR"),
        ({"payments": [{"paymentOrderNo": "PO-1", "amount": "5.00", "currency": "EUR"}]}, "5.00", "EUR"),
        ({"amount": "five EUR"}, None, None),
        ({"amount": "1,000 EUR"}, None, None),
        ({"amount": "1,000 EUR", "costs": {"amount": "0.50"}}, None, None),
        ({"fee": {"amount": "0.50"}, "payment": {"amount": "100.00 EUR"}}, "100.00", "EUR"),
        ({"costs": {"amount": "0.50"}, "a": {"transactionId": "T1", "amount": "100.00 EUR"}}, "100.00", "EUR"),
    ],
)
def test_an_amount_is_read_however_its_name_is_cased_and_with_its_currency_in_one_text(
    body: dict[str, Any], amount: str | None, currency: str | None
) -> None:
    claim = read({"eventType": "New.Kind", **body})
    assert (None if claim.amount is None else str(claim.amount), claim.currency) == (amount, currency)


def test_a_payment_is_in_each_state_once_whatever_else_is_said() -> None:
    body = {"eventType": "OutgoingPayment.Completed", "paymentOrderNo": "PO-1"}
    assert read(body, "1700000000").identity == read({**body, "more": 1}, "1700000009").identity
    assert read(body).identity != read({**body, "eventType": "OutgoingPayment.Rejected"}).identity


@pytest.mark.parametrize(
    ("body", "kind", "payment_id", "amount"),
    [
        ({"details": [{"paymentOrderNo": "PO-1", "amount": "5.00 EUR"}]}, "payment", "PO-1", "5.00"),
        ({"paymentOrderNo": None, "details": [{"paymentOrderNo": "PO-1"}]}, "payment", "PO-1", None),
        ({"data": {"batch": [[{"PaymentOrderNo": 7}], {"x": {"paymentOrderNo": "7"}}]}}, "payment", "7", None),
        ({"transactionId": "TX-1", "details": [{"paymentOrderNo": "PO-1"}]}, "payment", "PO-1", None),
        # What stands beside the order is its own; what stands elsewhere may be that of all of them.
        ({"amount": 9, "details": [{"paymentOrderNo": "PO-1", "amount": 5}]}, "payment", "PO-1", "5"),
        # Of several nobody can tell which is meant.
        ({"details": [{"paymentOrderNo": f"PO-{number}", "amount": 5} for number in range(3)]}, "none", None, None),
        ({"transactionId": "TX-1", "x": [{"paymentOrderNo": "1"}, {"paymentOrderNo": "2"}]}, "none", "TX-1", None),
        ({"paymentOrderNo": "PO-1", "details": [{"paymentOrderNo": "PO-2", "amount": 5}]}, "payment", "PO-1", None),
        ({"details": [{"transactionId": "TX-1"}]}, "none", "TX-1", None),
    ],
)
def test_of_the_orders_in_a_payment_s_lists_the_only_one_is_asked_for(
    body: dict[str, Any], kind: str, payment_id: str | None, amount: str | None
) -> None:
    body = {"eventType": "OutgoingPayment.Completed", **body}
    claim = read(body)
    assert (claim.type, claim.status) == ("connectpay.outgoing_payment.completed", "completed")
    assert (claim.kind, claim.subject, claim.payment_id) == (kind, payment_id, payment_id)
    assert (None if claim.amount is None else str(claim.amount)) == amount
    # It is one event, whatever else the list has, and no other one whose bytes differ.
    assert claim.identity == read(body).identity != read({**body, "more": 1}).identity


@pytest.mark.parametrize(
    ("body", "identity"),
    [
        (
            {"transactionId": "TX-1", "details": [{"paymentOrderNo": "PO-1"}]},
            (
                *("payment", "outgoing_payment.completed", "TX-1", "ACSC", ""),
                "91d2faae6e776a9e147d41575d2198930cbb4662bcc8ad1c8d82360ba68ae3f8",
            ),
        ),
        (
            {"details": [{"paymentOrderNo": "PO-1"}]},
            (
                *("event", "outgoing_payment.completed"),
                "7ab78187b74fb770be8c39842a3b379fddbb42d9adc16e0f0f97a853da5acfea",
                *("2023-11-14T22:13:20+00:00", ""),
                "b361ec0ac0b6192b1002726758e5d6ef2dabe50539a28f795cc12cae09d53b3a",
            ),
        ),
    ],
)
def test_an_order_that_stands_in_a_list_alone_is_no_part_of_the_identity(
    body: dict[str, Any], identity: tuple[str, ...]
) -> None:
    claim = read({"eventType": "OutgoingPayment.Completed", **body}, "1700000000")
    assert (claim.payment_id, claim.identity) == ("PO-1", identity)


def test_an_account_beside_an_order_in_a_list_is_ours_and_one_elsewhere_is_not() -> None:
    body = {"eventType": "OutgoingPayment.Completed", "debtor": {"accountNo": "LT2"}}
    beside = read({**body, "details": [{"paymentOrderNo": "PO-1", "accountNo": "LT1"}]})
    elsewhere = read({**body, "details": [{"paymentOrderNo": "PO-1"}]})
    assert (beside.facts["account_id"], elsewhere.facts["named_account"]) == ("LT1", "LT2")


def test_a_balance_that_changes_in_the_same_words_again_is_another_event() -> None:
    body = {"eventType": "Account.BalanceChanged", "accountNo": "LT1"}
    assert read(body, "1700000000").identity != read(body, "1700000009").identity
    assert read(body, "1700000000").identity == read(body, "1700000000000").identity


def test_of_a_list_in_place_of_an_object_the_only_order_is_asked_for_and_the_event_is_the_same() -> None:
    body = [{"eventType": "OutgoingPayment.Completed", "paymentOrderNo": "PO-1", "amount": "5.00 EUR"}]
    claim = read(body, "1700000000")
    assert (claim.type, claim.kind, claim.payment_id) == ("connectpay.unrecognised", "payment", "PO-1")
    assert (str(claim.amount), claim.currency, claim.status) == ("5.00", "EUR", None)
    plain = unrecognised("connectpay", json.dumps(body).encode(), {"x-connectpay-timestamp": "1700000000"})
    assert (claim.identity, claim.content) == (plain.identity, plain.content)


@pytest.mark.parametrize("body", [b"", b"[]", b"[7]", b"7"])
def test_what_is_no_object_is_not_understood(body: bytes) -> None:
    with pytest.raises(NotUnderstood):
        read(body)


@pytest.mark.parametrize(
    "options",
    [
        {"status_path": "/no/place"},
        {"status_path": "/%zz/{paymentOrderNo}"},
        {"status_path": "https://elsewhere/{paymentOrderNo}"},
        {"status_path": "/{paymentOrderNo}/{other}"},
        {"status_path": "/baas-sca/client/{paymentOrderNo}"},
        {"status_path": "/baas-sca/CLIENT/{paymentOrderNo}"},
        {"status_path": "/baas-sca/%63lient/{paymentOrderNo}"},
        {"status_path": "/baas-sca/%2563lient/{paymentOrderNo}"},
        {"status_path": "/baas-sca%2Fclient%2F{paymentOrderNo}"},
        {"status_path": "/baas-sca%5Cclient%5C{paymentOrderNo}"},
        {"status_path": "/baas-sca/%252525252563lient/{paymentOrderNo}"},
        {"token_header": "two words"},
        {"allowed_addresses": "example.com"},
        {"allowed_addresses": ""},
        {"api_key": "digest"},
        {"quiet_hours": "-1"},
        {"colour": "blue"},
    ],
)
def test_an_option_that_makes_no_sense_is_refused(options: dict[str, str]) -> None:
    with pytest.raises(OptionsWrong, match=r"\w"):
        BANK.check_options(options)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Transfer-Encoding", "of HTTP itself"),
        ("connection", "of HTTP itself"),
        ("expect", "of HTTP itself"),
        ("content-type", "of HTTP itself"),
        ("x-forwarded-for", "written by web servers and proxies"),
        ("x-connectpay-timestamp", "holds the time"),
    ],
)
def test_a_header_that_can_never_hold_the_token_is_refused_by_name(name: str, words: str) -> None:
    with pytest.raises(OptionsWrong, match=f"token_header={name.lower()}: .*{words}"):
        BANK.check_options({"token_header": name})


def test_options_are_stored_as_they_are_read() -> None:
    given = {"token_header": "X-Secret", "allowed_addresses": "192.0.2.7, 198.51.100.0/24", "quiet_hours": "0"}
    stored = BANK.check_options(given)
    assert stored == {
        "token_header": "x-secret",
        "allowed_addresses": ["192.0.2.7/32", "198.51.100.0/24"],
        "quiet_hours": 0,
    }
    assert BANK.check_options(stored) == stored


def test_a_list_that_lets_everybody_in_proves_no_address() -> None:
    assert list(BANK.proofs({})) == ["token", "address"]
    assert list(BANK.proofs({"allowed_addresses": ["0.0.0.0/0", "::/0"]})) == ["token"]


def test_the_pauses_are_never_shorter_than_five_minutes() -> None:
    schedule = Schedule(10, 3600).at_least(BANK.pauses)
    pauses = [schedule.next_check(Status.PENDING, attempts, NOW) for attempts in range(20) for _ in range(20)]
    assert min(at - NOW for at in pauses if at is not None) >= timedelta(minutes=5)
    assert max(at - NOW for at in pauses if at is not None) > timedelta(hours=10)


# The API


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(Config(requests_per_second=0, automatic=False)) as running:
        yield running


def partner(simulator: Simulator, **options: str) -> HttpClient:
    key, _ = BANK.new_token(
        HttpClient("", clock=lambda: NOW), {"client_key": "ConnectPay", "client_secret": "EasyBanking"}
    )
    shown = BANK.authorization(key, options)
    return HttpClient(simulator.url, clock=lambda: NOW, token=key, authorization=shown, options=options)


def test_the_key_is_that_of_the_documentation_bare_or_behind_basic() -> None:
    key, ends = BANK.new_token(
        HttpClient("", clock=lambda: NOW), {"client_key": "ConnectPay", "client_secret": "EasyBanking"}
    )
    assert (key, ends) == ("Q29ubmVjdFBheTpFYXN5QmFua2luZw==", None)
    assert BANK.authorization(key, {}) == {"x-connectpay-api-key": key}
    assert BANK.authorization(key, {"api_key": "basic"}) == {"x-connectpay-api-key": f"Basic {key}"}


@pytest.mark.parametrize("spelling", ["bare", "basic"])
def test_a_partner_call_shows_the_key_as_it_is_set(simulator: Simulator, spelling: str) -> None:
    simulator.options.change({"api_key": spelling})
    assert call(partner(simulator, api_key=spelling), USERS)["users"]


def test_the_sca_path_answers_too_where_it_is_set(simulator: Simulator) -> None:
    path = "/baas-sca/payments/partner/payments/{paymentOrderNo}/status"
    with pytest.raises(NotKnown):
        BANK.ask(partner(simulator, status_path=path), "payment", "PO-0", {})


@pytest.mark.parametrize(
    ("user", "words"),
    [
        (None, "token of a user"),
        (User("", NOW, "203.0.113.7"), "token of a user"),
        (User("token", NOW, ""), "own IP address"),
        (User("token", NOW, "nowhere"), "own IP address"),
        (User("token", NOW - timedelta(minutes=5), "203.0.113.7"), "refreshed"),
    ],
)
def test_a_client_call_without_all_that_it_needs_is_refused_in_words_and_not_sent(
    user: User | None, words: str
) -> None:
    with pytest.raises(UserNeeded, match=words):
        call(HttpClient("http://127.0.0.1:1", clock=lambda: NOW, token="key"), SIGN_OUT, user)


def test_a_client_call_shows_the_user_and_not_the_partner() -> None:
    with answering() as api:
        shown = BANK.authorization("the-key", {})
        client = HttpClient(api.url, clock=lambda: NOW, token="the-key", authorization=shown)
        user = User("the-token", NOW, "203.0.113.7")
        call(client, SIGN_OUT, user)
        call(client, USERS, user)
    of_user, of_partner = (headers for _, _, headers in api.asked)
    assert (of_user["authorization"], of_user["psu-ip-address"]) == ("Bearer the-token", "203.0.113.7")
    assert "x-connectpay-api-key" not in of_user
    assert of_partner["x-connectpay-api-key"] == "the-key"
    assert "authorization" not in of_partner


def test_the_bank_takes_a_client_call_with_both(simulator: Simulator) -> None:
    simulator.options.change({"status_path": "/baas-sca/client/{paymentOrderNo}"})
    token = simulator.bank.tokens.issue("user", 300)
    with pytest.raises(NotKnown):  # let in, and told that there is no such order
        call(partner(simulator), "/baas-sca/client/PO-0", User(token, NOW, "203.0.113.7"))
    with pytest.raises(TokenRefused):
        call(partner(simulator), "/baas-sca/client/PO-0", User("another", NOW, "203.0.113.7"))


def test_a_user_s_token_shows_in_no_repr() -> None:
    assert "secret-token" not in repr(User("secret-token", NOW, "203.0.113.7"))
