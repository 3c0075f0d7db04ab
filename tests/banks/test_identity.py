"""Which callbacks are one event: what can't be read never makes two one, and what could be read stays as it was."""

import json
from datetime import UTC, datetime
from random import Random
from typing import Any

import others
import pytest
from bank import BankSigner, Signed, deposit
from conftest import add_encrypting_source, add_source
from encrypting_bank import EncryptingBank
from genuine_pairs import MESSAGE_ID, SHAPES, TIMESTAMP, Pair, Told, make_pair
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from others import CONNECTPAY_ADDRESS, TOKEN, WHSEC, webhook
from web.rows import rows

from receiver import banks
from receiver.banks.callback import Callback, Proof
from receiver.inbox.inbox import Inbox
from receiver.inbox.verification import events
from receiver.projection.projector import catch_up
from receiver.runtime import Runtime
from receiver.store import feed
from receiver.store.records import NewEvent
from receiver.store.tables import Event

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)

RANDOMS = st.randoms(use_true_random=False)


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Nothing here depends on the kind of database."""
    return sqlite_url


def read(bank: str, told: Told) -> list[NewEvent]:
    return events(banks.named(bank), Proof("signature", "secret:1", told.text.encode(), headers=told.headers), NOW)


def only(bank: str, text: str, header: str = "") -> NewEvent:
    names = {"connectpay": TIMESTAMP, "standard_webhooks": MESSAGE_ID}
    (event,) = read(bank, Told(text, {names[bank]: header} if bank in names else {}))
    return event


def assert_told_apart(pair: Pair) -> None:
    first = {event.identity: event.content_sha256 for event in read(pair.bank, pair.first)}
    second = {event.identity: event.content_sha256 for event in read(pair.bank, pair.second)}
    assert len(second.keys() - first.keys()) == pair.added
    assert any(first[same] != second[same] for same in first.keys() & second.keys()) == pair.conflict


# Pairs of callbacks


@pytest.mark.parametrize("bank", SHAPES)
@given(random=RANDOMS)
def test_two_callbacks_are_one_event_only_where_they_agree_in_all_that_identifies_it(bank: str, random: Random) -> None:
    assert_told_apart(make_pair(random, bank))


class Sender:
    """Signs as each bank does, and hands in to a real inbox over a real database."""

    def __init__(self, parts: Runtime) -> None:
        self._clock = parts.clock
        self._inbox = Inbox(parts)
        add_source(parts)
        add_encrypting_source(parts, "banking_circle")
        others.add(parts, "connectpay", TOKEN)
        others.add(parts, "banqup", TOKEN, token_in="header")
        others.add(parts, "standard_webhooks", WHSEC)

    def send(self, bank: str, told: Told) -> set[str]:
        """Return the ids of the events that it told, for the first time or once more."""
        signed = self._signed(bank, told)
        channel = "messages" if bank == "banqup" else None
        headers = {name.lower(): value.encode() for name, value in signed.headers.items()}
        callback = Callback(b"POST", signed.path.encode(), channel, headers, signed.body, CONNECTPAY_ADDRESS)
        outcome = self._inbox.accept(bank, callback)
        assert outcome.verdict in ("accepted", "duplicate")
        return set(outcome.event_ids)

    def _signed(self, bank: str, told: Told) -> Signed:
        path, body = f"/webhooks/{bank}", told.text.encode()
        if bank == "bcb":
            return BankSigner(self._clock).sign(body)
        if bank == "banking_circle":
            return EncryptingBank(path=path).sign(told.text)
        if bank == "connectpay":
            return Signed(path, body, {"x-connectpay-token": TOKEN, TIMESTAMP: told.headers[TIMESTAMP]})
        if bank == "banqup":
            return Signed(f"{path}/messages", body, {"x-banqup-token": TOKEN})
        return Signed(path, *webhook(body, at=self._clock().timestamp(), message_id=told.headers[MESSAGE_ID]))


@pytest.fixture
def sender(parts: Runtime) -> Sender:
    return Sender(parts)


@pytest.mark.parametrize("bank", SHAPES)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(random=RANDOMS)
def test_it_holds_from_the_signature_to_the_database(sender: Sender, parts: Runtime, bank: str, random: Random) -> None:
    pair = make_pair(random, bank)
    first, second = sender.send(bank, pair.first), sender.send(bank, pair.second)
    assert len(second - first) == pair.added
    if pair.conflict:
        assert any(row.conflict for row in rows(parts, Event) if row.id in first & second)


# Deposits as they came from the field


def money(amount: Any, **more: Any) -> dict[str, Any]:
    return deposit(value={"amount": amount, "currency": "USD"}, **more)


def without_value(**more: Any) -> dict[str, Any]:
    return {name: value for name, value in deposit(**more).items() if name != "value"}


FROM_THE_FIELD = [
    (money("1,000.00"), money("1,250.00")),
    (money("1000,50"), money("7,25")),
    (without_value(amount="5.00", currency="USD"), without_value(amount="7.00", currency="USD")),
    (
        deposit(value={"Amount": "5.01", "currency": "USD"}),
        deposit(value={"Amount": "7.01", "currency": "USD"}),
    ),
    (deposit(value="5.02 USD"), deposit(value="7.02 USD")),
    (deposit(accountNumber=10**19 + 1), deposit(accountNumber=10**19 + 2)),
]


def test_twelve_deposits_in_forms_that_are_not_documented_are_twelve_events_and_twelve_entries(
    sender: Sender, parts: Runtime
) -> None:
    told = [Told(json.dumps(fields)) for pair in FROM_THE_FIELD for fields in pair]
    ids = [sender.send("bcb", each) for each in told]
    assert len(set.union(*ids)) == 12
    assert [sender.send("bcb", each) for each in told] == ids
    assert [row.conflict for row in rows(parts, Event)] == [False] * 12
    catch_up(parts.database)
    with parts.database.read() as connection:
        assert len(feed.read(connection, after=0, limit=100).entries) == 12


@pytest.mark.parametrize(
    ("value", "beside", "amount", "currency"),
    [
        ({"amount": "1,000.00", "currency": "USD"}, {}, "1000.00", "USD"),
        ({"amount": "1.000,50", "currency": "USD"}, {}, "1000.50", "USD"),
        ({"amount": "1000,50", "currency": "USD"}, {}, "1000.50", "USD"),
        ({"Amount": 5, "CURRENCY": "USD"}, {}, "5", "USD"),
        ("5.00 USD", {}, "5.00", "USD"),
        ("USD 1,250.00", {}, "1250.00", "USD"),
        ("5.00", {"currency": "USD"}, "5.00", "USD"),
        ({"currency": "USD"}, {"amount": "5.00"}, "5.00", "USD"),
        (None, {"amount": "5.00", "currency": "USD"}, "5.00", "USD"),
        # Here nobody can tell.
        ({"amount": "1,000", "currency": "USD"}, {}, None, "USD"),
        ({"amount": "5", "currency": "USD"}, {"amount": "7"}, "5", "USD"),
        ({"Amount": "5", "AMOUNT": "7", "currency": "USD"}, {}, None, "USD"),
        ({"Amount": "5", "currency": "USD"}, {"amount": "7"}, None, "USD"),
        ({"total": "5", "currency": "USD"}, {"amount": "7"}, None, "USD"),
        ({"amount": ["5"], "currency": "USD"}, {"amount": "7"}, None, "USD"),
        ("five dollars", {"amount": "7", "currency": "USD"}, None, "USD"),
        (["5.00", "USD"], {}, None, None),
    ],
)
def test_an_amount_is_read_in_every_form_that_can_mean_one_thing_only(
    value: Any, beside: dict[str, Any], amount: str | None, currency: str | None
) -> None:
    event = only("bcb", json.dumps({**without_value(), "value": value, **beside}))
    assert (event.type, event.amount, event.currency) == ("bcb.deposit", amount, currency)


@pytest.mark.parametrize("digits", [19, 20, 40, 200])
@pytest.mark.parametrize(
    ("bank", "text"),
    [
        ("bcb", '{"topic":"Deposits","transactionId":%s,"type":"Credit"}'),
        ("bcb", '{"jobId":%s,"jobStatus":"Completed"}'),
        ("bcb", '{"topic":"Withdrawals","transactionId":%s}'),
        ("banking_circle", '[{"eventId":"e1","notificationType":"Reversed","payment":{"paymentId":%s}}]'),
        ("connectpay", '{"eventType":"OutgoingPayment.Completed","paymentOrderNo":%s}'),
        ("connectpay", '{"eventType":"BaaSCard.Activated","cardId":%s}'),
        ("banqup", '{"id":"m-1","category":"payment","resourceId":%s}'),
    ],
)
def test_a_whole_number_of_any_length_is_an_id_to_its_last_digit(bank: str, text: str, digits: int) -> None:
    number = "1" + "0" * (digits - 2) + "7"
    assert only(bank, text % number).subject == number
    assert only(bank, text % f"{number}0000000"[: digits + 7]).subject == (f"{number}0000000" if digits < 194 else None)


WITH_NUMBERS = [
    (
        "bcb",
        '{"topic":"Deposits","accountNumber":%s,"transactionId":%s,"type":"Credit","value":{"amount":"5","currency":"USD"}}',
    ),
    ("bcb", '{"jobId":%s,"jobStatus":"Completed","x":%s}'),
    ("banking_circle", '[{"eventId":%s,"notificationType":"Reversed","payment":{"paymentId":%s}}]'),
    ("connectpay", '{"eventType":"OutgoingPayment.Completed","paymentOrderNo":%s,"x":%s}'),
    ("banqup", '{"id":%s,"category":"payment","resourceId":%s}'),
]


@pytest.mark.parametrize("form", ["%d.0", "%d.000", "%de0"])
@pytest.mark.parametrize("number", [7, 10**18])
@pytest.mark.parametrize(("bank", "text"), WITH_NUMBERS)
def test_a_whole_number_is_the_same_id_in_every_form_that_json_has_for_it(
    bank: str, text: str, number: int, form: str
) -> None:
    plain = only(bank, text % (number, number))
    other = only(bank, text % (form % number, form % number))
    assert (other.type, other.subject, other.identity) == (plain.type, plain.subject, plain.identity)


@pytest.mark.parametrize(("bank", "text"), WITH_NUMBERS)
def test_a_number_with_a_fraction_is_no_id(bank: str, text: str) -> None:
    assert only(bank, text % ("1.5", "1.5")).subject is None
    assert only(bank, text % ("1.5", "1.5")).identity != only(bank, text % ("1.5 ", "1.5")).identity


@pytest.mark.parametrize(
    ("bank", "text"),
    [
        ("banking_circle", '[{"eventId":%s,"notificationType":"Reversed"}]'),
        ("banqup", '{"id":%s,"category":"document"}'),
    ],
)
def test_two_long_numbers_that_are_one_as_floats_are_two_ids(bank: str, text: str) -> None:
    assert only(bank, text % (10**19 + 1)).identity != only(bank, text % (10**19 + 2)).identity


# What came before this release

BEFORE = [
    (
        "bcb",
        '{"topic":"Deposits","accountNumber":"1046406142","transactionId":"FT2384654NXF6","type":"Credit","value":{"amount":"1000.00","currency":"USD"},"transactionDetails":"x"}',
        "",
        "376e7caa69f41708377febcaf51c82e3",
        "6a4d481613da81b3a55306530fbefab5",
    ),
    (
        "bcb",
        '{"topic":"DEPOSITS","accountNumber":1046406142,"transactionId":77,"type":"Debit","value":{"amount":-7.5,"currency":"BMD"},"subscriptionId":"s"}',
        "",
        "2d1b4ad94f18ee1a5353bcbcd5d3c838",
        "c383c5cb23b528bad43f8fd5958264b5",
    ),
    (
        "bcb",
        '{"jobId":"7f1b","jobStatus":"Completed","summary":{"total":3}}',
        "",
        "fab1e72d525438f36d4d10fec4db548b",
        "779e831cef3ec878e001d02da186a4ee",
    ),
    (
        "bcb",
        '{"JobId":12,"Status":"CompletedWithErrors"}',
        "",
        "279835e8108f55a7efb5f806833f9195",
        "90134513d34ac1531d7aa13d9e9327a0",
    ),
    (
        "bcb",
        '{"topic":"Withdrawals","transactionId":"FT1"}',
        "",
        "b16a2a2970a76fa1a7aefe4fb8ec417d",
        "8e339b39a938478db98ba0d0b7869767",
    ),
    ("bcb", "no JSON", "", "cd43ca6f447f95ec177eb22c80382746", "8210a9f0382d6bc38c5d8d2b25c56aaa"),
    (
        "banking_circle",
        '{"notifications":[{"eventId":"e1","subscriptionId":"s","notificationType":"Reversed","payment":{"paymentId":"p","transfer":{"amount":{"currency":"GBP","amount":145.25}}}}]}',
        "",
        "1171763f1b0652a90f567a8c663c059f",
        "d8e067e4ffcc41e4b88cd7cac0b7c561",
    ),
    (
        "banking_circle",
        '[{"eventId":17,"notificationType":"SomethingNew"}]',
        "",
        "d43b4dadbf310dce7c6d19392159da9a",
        "570d3c690cbcbcc1c9fafae54f9c40a1",
    ),
    (
        "connectpay",
        '{"eventType":"OutgoingPayment.Completed","paymentOrderNo":"PO-1","amount":12.5}',
        "1700000000",
        "b5aa23f749a43086c4212f67b5925738",
        "839616b8e75ab7776046aa4f74a409ba",
    ),
    (
        "connectpay",
        '{"eventType":"outgoingpayment.rejected","paymentOrderNo":4711,"paymentStatus":"rjct"}',
        "1700000000.25",
        "e65e2a4cb2cff0f755984c60d103d626",
        "a3d92f56ee799a55035574d55cf65042",
    ),
    (
        "connectpay",
        '{"type":"IncomingPayment.Completed","data":{"transactionId":"TX-1","payment":{"type":"SEPA"}}}',
        "",
        "73c380b392a74ac189fd9fe6a98c15a4",
        "3f7954efb5ceae286558d457692602d9",
    ),
    (
        "connectpay",
        '{"eventType":"Account.BalanceChanged","accountNo":"LT1","balance":12.5}',
        "1700000000.25",
        "fe86434bb7d4029a933683709e129d4e",
        "5d3bdb9206e23c6505df03ebf943794a",
    ),
    (
        "connectpay",
        '{"event":"baascard.ACTIVATED","cardId":"c-1"}',
        "2023-11-14T23:13:20+01:00",
        "14a5562eece9401b08355bcae56b6532",
        "3853b735a1c2ffb16ed49ce2564f704f",
    ),
    (
        "connectpay",
        '{"eventType":"New.Kind"}',
        "",
        "7ec116110baaa06a8c0c2b8f7954424e",
        "e67d572f54aaff5f77679448036d1beb",
    ),
    (
        "banqup",
        '{"id":"m-1","category":"payment","resourceId":"pay-1","data":{"status":{"payment":"PAID"}}}',
        "",
        "7e598d798541a7f93f8074e25743fc33",
        "432c141e14c94000f1b420d65b26587f",
    ),
    (
        "banqup",
        '{"id":7,"category":"document"}',
        "",
        "6c14c43782f4e00843595d52427b809a",
        "78c0786054fedbc69cad60333a85a52c",
    ),
    (
        "standard_webhooks",
        '{"type":"invoice.paid","data":{"amount":1.5}}',
        "msg_1",
        "f00652358e950cabfd7f2c9cee92968c",
        "9478b3a2cd4d4326e5c7870982c99970",
    ),
    ("standard_webhooks", "no JSON", "msg_2", "192507e8403bae89c49de7bf3b5ed5f0", "8210a9f0382d6bc38c5d8d2b25c56aaa"),
]
"""Callbacks of each bank with the first 16 bytes of what the first release stored of them: identity and content."""


@pytest.mark.parametrize(("bank", "text", "header", "identity", "content"), BEFORE)
def test_what_could_be_read_whole_is_the_same_event_as_before(
    bank: str, text: str, header: str, identity: str, content: str
) -> None:
    event = only(bank, text, header)
    assert (event.identity.hex()[:32], event.content_sha256[:32]) == (identity, content)


# Names that stand twice, and ids that stand at several places


@pytest.mark.parametrize(
    ("bank", "first", "second"),
    [
        (
            "bcb",
            '{"topic":"Deposits","transactionId":"FT1","transactionId":"FT2","type":"Credit"}',
            '{"topic":"Deposits","transactionId":"FT3","transactionId":"FT2","type":"Credit"}',
        ),
        ("bcb", '{"jobId":"1","jobStatus":{"a":1},"status":"ok"}', '{"jobId":"1","jobStatus":{"a":2},"status":"ok"}'),
        ("banking_circle", '[{"eventId":{"a":1},"EventId":"1"}]', '[{"eventId":{"a":2},"EventId":"1"}]'),
        ("banking_circle", '[{"eventId":null}]', '[ {"eventId": null} ]'),
        ("banqup", '{"id":"1","id":"2"}', '{"id":"3","id":"2"}'),
        ("banqup", '{"category":"space"}', '{ "category": "space" }'),
        *(
            (
                "connectpay",
                f'{{"eventType":"OutgoingPayment.Completed",{one}}}',
                f'{{"eventType":"OutgoingPayment.Completed",{other}}}',
            )
            for one, other in (
                (
                    '"transactionId":"T","x":[{"paymentOrderNo":"A"}]',
                    '"transactionId":"T","x":[{"paymentOrderNo":"B"}]',
                ),
                ('"paymentOrderNo":"A","x":{"paymentOrderNo":"B"}', '"paymentOrderNo":"A","x":{"paymentOrderNo":"C"}'),
                ('"paymentOrderNo":"A","paymentStatus":["X"]', '"paymentOrderNo":"A","paymentStatus":["Y"]'),
                ('"paymentOrderNo":[1],"transactionId":"T"', '"paymentOrderNo":[2],"transactionId":"T"'),
                ('"externalReference":"rent","amount":5', '"externalReference":"rent","amount":7'),
                ('"externalReference":"rent","amount":1.5', '"externalReference":"rent","amount":"1.5"'),
            )
        ),
    ],
)
def test_what_is_named_in_more_than_one_way_is_told_apart_by_its_bytes(bank: str, first: str, second: str) -> None:
    assert only(bank, first).identity != only(bank, second).identity
    assert only(bank, first).identity == only(bank, first).identity


def test_a_name_that_stands_twice_with_one_value_is_read() -> None:
    text = '{"topic":"Deposits","transactionId":"FT1","transactionId":"FT1","type":"Credit"}'
    assert only("bcb", text).payment_id == "FT1"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1700000000.1234561", "1700000000.1234562"),
        ("2023-09-23T14:53:52.8581798Z", "2023-09-23T14:53:52.8581799Z"),
        ("soon", "later"),
        ("", "soon"),
    ],
)
@pytest.mark.parametrize("kind", ["Account.BalanceChanged", "Something.New"])
def test_the_same_words_at_another_time_are_another_event_however_fine_the_time(
    kind: str, one: str, other: str
) -> None:
    text = json.dumps({"eventType": kind, "accountNo": "LT1"})
    assert only("connectpay", text, one).identity != only("connectpay", text, other).identity
    assert only("connectpay", text, one).identity == only("connectpay", text, one).identity


@pytest.mark.parametrize("text", ["", "no JSON", "[]", "7"])
def test_what_is_no_json_object_is_told_apart_by_its_time_too_where_there_is_one(text: str) -> None:
    first, again, later = (only("connectpay", text, time) for time in ("1700000000", "1700000000", "1700000009"))
    assert first.type == "connectpay.unrecognised"
    assert first.identity == again.identity != later.identity
    assert only("connectpay", text).identity != only("connectpay", f"{text} ").identity
