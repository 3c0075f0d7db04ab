"""Banqup's package: what messages tell, what must be set, how long a token lives."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from answering import Answering, answering

from receiver import banks
from receiver.banks.callback import Claim, Proof, unrecognised
from receiver.banks.errors import AnswerUnreadable, NotOffered
from receiver.banks.http import HttpClient
from receiver.banks.json_values import NotUnderstood
from receiver.banks.protocol import OptionsWrong
from receiver.signing.errors import Refusal

BANK = banks.named("banqup")
NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
CREDENTIALS = {"client_id": "app", "client_secret": "secret"}


@pytest.fixture(scope="module")
def api() -> Iterator[Answering]:
    with answering() as listening:
        yield listening


@pytest.fixture
def client(api: Answering) -> HttpClient:
    return HttpClient(api.url, clock=lambda: NOW, token="t")


def read(body: Any) -> Claim:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    (claim,) = BANK.read(Proof("token", "secret:1", content))
    return claim


@pytest.mark.parametrize(
    ("said", "status", "kind"),
    [
        ({"status": {"payment": "RECEIVED"}}, "pending", "banqup.payment.received"),
        ({"data": {"status": {"payment": "PAID"}}}, "completed", "banqup.payment.paid"),
        ({"status": {"payment": "FAILED"}}, "rejected", "banqup.payment.failed"),
        ({"status.payment": "PAID"}, "completed", "banqup.payment.paid"),
        ({"status": {"payment": "PAID"}, "levelOfCertainty": "INFORMATIONAL"}, "pending", "banqup.payment.paid"),
        (
            {"data": {"status": {"payment": "FAILED"}, "levelOfCertainty": "informational"}},
            "pending",
            "banqup.payment.failed",
        ),
        ({"status": {"payment": "PAID"}, "levelOfCertainty": " Informational "}, "pending", "banqup.payment.paid"),
        ({"status": {"payment": "PAID"}, "levelOfCertainty": ["INFORMATIONAL"]}, "pending", "banqup.payment.paid"),
        ({"status": {"payment": "FAILED"}, "levelOfCertainty": ["SURE"]}, "pending", "banqup.payment.failed"),
        ({"status": {"payment": "PAID"}, "levelOfCertainty": {"a": 1}}, "pending", "banqup.payment.paid"),
        ({"status": {"payment": "PAID"}, "levelOfCertainty": 0}, "pending", "banqup.payment.paid"),
        ({"status": {"payment": "PAID"}, "levelOfCertainty": "a\0b"}, "pending", "banqup.payment.paid"),
        (
            {"status": {"payment": "PAID"}, "levelOfCertainty": "SURE", "data": {"LevelOfCertainty": "informational"}},
            "pending",
            "banqup.payment.paid",
        ),
        (
            {"status": {"payment": "PAID"}, "data": [{"levelOfCertainty": "INFORMATIONAL"}]},
            "pending",
            "banqup.payment.paid",
        ),
        ({"status": {"payment": "PAID"}, "levelOfCertainty": "SURE"}, "completed", "banqup.payment.paid"),
        ({"status": {"payment": "PAID"}, "levelOfCertainty": ""}, "completed", "banqup.payment.paid"),
        ({"status": {"payment": "PAID"}, "levelOfCertainty": None}, "completed", "banqup.payment.paid"),
        ({"status": {"payment": "PONDERING"}}, "unknown", "banqup.payment"),
        ({}, None, "banqup.payment"),
    ],
)
def test_a_payment_message_claims_a_status_that_is_final_only_where_it_is_certain(
    said: dict[str, Any], status: str | None, kind: str
) -> None:
    claim = read({"id": "m-1", "category": "payment", "resourceId": "pay-1", **said})
    assert (claim.type, claim.status, claim.payment_id, claim.identity) == (kind, status, "pay-1", ("message", "m-1"))


def test_a_state_under_a_flat_name_hides_nothing_of_what_stands_in_status() -> None:
    within = {"status": {"reason": ["x"], "auth": "PENDING:https://bank.example"}}
    facts = read({"category": "payment", "resourceId": "pay-1", "status.payment": "PAID", "data": within}).facts
    assert (facts["reasons"], facts["auth_state"], facts["auth_url"]) == (["x"], "PENDING", "https://bank.example")


def test_reasons_and_the_state_of_authorization_are_told() -> None:
    status = {"payment": "FAILED", "reason": ["INSUFFICIENT_FUNDS", 7], "auth": "PENDING:https://bank.example/a:b?c"}
    claim = read({"category": "payment", "resourceId": "pay-1", "data": {"spaceId": "s-1", "status": status}})
    assert claim.facts["reasons"] == ["INSUFFICIENT_FUNDS", "7"]
    assert (claim.facts["auth_state"], claim.facts["auth_url"]) == ("PENDING", "https://bank.example/a:b?c")
    assert claim.facts["space_id"] == "s-1"


@pytest.mark.parametrize(
    ("auth", "state", "url"),
    [
        ("PENDING:https://bank.example/" + "a" * 1000, "PENDING", "https://bank.example/" + "a" * 1000),
        ("COMPLETED:https://bank.example/" + "a" * 2000, "COMPLETED", None),
        ("S" * 201 + ":https://bank.example", None, "https://bank.example"),
        ("PENDING:https://bank.example/\0", "PENDING", None),
        ("PENDING:", "PENDING", None),
        ("PENDING", None, None),
        ("", None, None),
        (7, None, None),
        (["PENDING:https://bank.example"], None, None),
    ],
)
def test_a_long_address_for_authorization_is_told_and_a_bad_one_takes_nothing_away(
    auth: Any, state: str | None, url: str | None
) -> None:
    facts = read({"category": "payment", "resourceId": "pay-1", "status": {"payment": "RECEIVED", "auth": auth}}).facts
    assert (facts.get("auth_state"), facts.get("auth_url")) == (state, url)


@pytest.mark.parametrize(
    ("said", "reasons"),
    [
        ({"status": {"reason": "INSUFFICIENT_FUNDS"}}, ["INSUFFICIENT_FUNDS"]),
        ({"data": {"status": {"reason": "INSUFFICIENT_FUNDS"}}}, ["INSUFFICIENT_FUNDS"]),
        ({"status.payment": "FAILED", "status.reason": ["INSUFFICIENT_FUNDS"]}, ["INSUFFICIENT_FUNDS"]),
        ({"status": {"reason": []}}, None),
        ({"status": {"reason": None}}, None),
        ({"status": "FAILED"}, None),
    ],
)
def test_a_reason_comes_alone_or_in_a_list(said: dict[str, Any], reasons: list[str] | None) -> None:
    assert read({"category": "payment", "resourceId": "pay-1", **said}).facts.get("reasons") == reasons


def test_an_envelope_s_own_status_hides_nothing_of_the_payment_s() -> None:
    data = {"status": {"payment": "FAILED", "reason": ["x"], "auth": "PENDING:https://bank.example"}}
    claim = read({"category": "payment", "resourceId": "pay-1", "status": {"code": 200, "reason": None}, "data": data})
    assert (claim.status, claim.facts["reasons"], claim.facts["auth_state"]) == ("rejected", ["x"], "PENDING")


def test_the_state_of_authorization_is_told_under_either_kind_of_name() -> None:
    facts = read({"category": "payment", "status.auth": "COMPLETED:https://bank.example"}).facts
    assert (facts["auth_state"], facts["auth_url"]) == ("COMPLETED", "https://bank.example")


@pytest.mark.parametrize(
    ("category", "kind"),
    [
        ("document", "banqup.document"),
        ("paymentInformation", "banqup.payment_information"),
        ("SPACEASSET", "banqup.space_asset"),
        ("novelty", "banqup.unrecognised"),
        (None, "banqup.unrecognised"),
    ],
)
def test_other_categories_are_events_about_nothing_that_can_be_asked_for(category: str | None, kind: str) -> None:
    claim = read({"id": "m-1", "category": category, "resourceId": "r-1"})
    assert (claim.type, claim.kind, claim.subject, claim.payment_id) == (kind, "none", "r-1", None)


def test_a_category_that_is_not_known_keeps_amounts_and_the_payment_that_it_names_is_asked_for() -> None:
    data = {"paymentId": 10**19, "amount": "5.50", "currency": "EUR"}
    claim = read({"id": "m-1", "category": "novelty", "resourceId": "r-1", "data": data})
    assert (claim.type, claim.kind, claim.status) == ("banqup.unrecognised", "payment", None)
    assert (claim.subject, claim.payment_id) == (str(10**19), str(10**19))
    assert (str(claim.amount), claim.currency) == ("5.50", "EUR")
    costs = {"costs": {"amount": "0.50", "currency": "EUR"}}
    beside = read({"id": "m-1", "category": "novelty", "data": {**costs, "payment": data}})
    assert (str(beside.amount), beside.currency) == ("5.50", "EUR")
    of_two = read({"id": "m-1", "category": "payment", "resourceId": "r-1", "data": {**costs, "payment": data}})
    assert (of_two.amount, of_two.currency) == (None, None)


@pytest.mark.parametrize(
    ("payments", "payment_id"), [([{"paymentId": "p-1"}], "p-1"), ([{"paymentId": "p-1"}, {"paymentId": "p-2"}], None)]
)
def test_of_the_payments_in_a_list_the_only_one_is_asked_for(payments: list[Any], payment_id: str | None) -> None:
    assert read({"id": "m-1", "category": "novelty", "data": {"payments": payments}}).payment_id == payment_id


def test_without_an_id_a_message_is_its_body_byte_for_byte() -> None:
    assert read({"category": "space"}).identity == read({"category": "space"}).identity
    assert read({"category": "space"}).identity != read(b'{ "category" : "space" }').identity
    assert read({"category": "space"}).identity != read({"category": "space", "scope": "x"}).identity


PAID: dict[str, Any] = {"id": "m-1", "category": "payment", "resourceId": "p-1", "status": {"payment": "PAID"}}


@pytest.mark.parametrize(
    ("body", "payment_id", "space_id"),
    [
        ([PAID], "p-1", None),
        ([{**PAID, "spaceId": "s-1"}, {"id": "m-2", "category": "Space", "resourceId": "r-1"}], "p-1", "s-1"),
        ([PAID, {**PAID, "id": "m-2"}], "p-1", None),
        ([{**PAID, "paymentId": None}, {"paymentId": "p-1"}], "p-1", None),
        ([{"paymentId": "p-1", "data": {"spaceId": "s-1"}}, 7], "p-1", "s-1"),
        # Of several nobody can tell which is meant.
        ([PAID, {**PAID, "resourceId": "p-2"}], None, None),
        ([{"id": "m-2", "category": "space", "resourceId": "r-1"}], None, None),
        ([{"id": "m-2", "category": ["payment"], "resourceId": "r-1"}], None, None),
    ],
)
def test_of_a_list_in_place_of_a_message_the_only_payment_is_asked_for_and_the_event_is_the_same(
    body: list[Any], payment_id: str | None, space_id: str | None
) -> None:
    claim = read(body)
    kind = "none" if payment_id is None else "payment"
    assert (claim.type, claim.kind, claim.status) == ("banqup.unrecognised", kind, None)
    assert (claim.subject, claim.payment_id, claim.facts.get("space_id")) == (payment_id, payment_id, space_id)
    plain = unrecognised("banqup", json.dumps(body).encode())
    assert (claim.identity, claim.content) == (plain.identity, plain.content)


def test_what_stands_beside_the_only_payment_in_a_list_is_read_too() -> None:
    payments = [{"paymentId": "p-1", "spaceId": "s-1", "amount": "5.50", "currency": "EUR"}]
    claim = read({"id": "m-1", "category": "novelty", "data": {"payments": payments}})
    assert (claim.facts["space_id"], str(claim.amount), claim.currency) == ("s-1", "5.50", "EUR")
    other = read({**PAID, "data": {"payments": [{**payments[0], "paymentId": "p-2"}]}})
    assert (other.payment_id, other.amount, other.facts.get("space_id")) == ("p-1", None, None)


@pytest.mark.parametrize("body", [b"[]", b"[7]", b"7"])
def test_what_is_no_object_is_not_understood(body: bytes) -> None:
    with pytest.raises(NotUnderstood):
        read(body)


@pytest.mark.parametrize(
    "options",
    [{}, {"space": "s-1"}, {"token_header": "x-secret"}, {"allowed_addresses": "0.0.0.0/0"}, {"token_in": "body"}],
)
def test_a_source_by_which_nothing_would_be_proven_is_refused(options: dict[str, str]) -> None:
    with pytest.raises(OptionsWrong):
        BANK.check_options(options)


@pytest.mark.parametrize("url", ["http://api.uat.btx.eu.banqup.com", "http://127.0.0.1:9900", "ftp://bank", "bank"])
def test_plain_http_is_refused(url: str) -> None:
    with pytest.raises(OptionsWrong, match="HTTPS only"):
        BANK.check_base_url(url)


def test_a_secret_fits_the_place_where_it_is_to_stand() -> None:
    BANK.check_secret("a/b=" + "c" * 20, {"token_in": "header"})
    for options in ({"token_in": "path"}, {"allowed_addresses": ["192.0.2.0/24"]}):
        with pytest.raises(Refusal):
            BANK.check_secret("a/b=" + "c" * 20, options)


@pytest.mark.parametrize(
    ("options", "proofs"),
    [
        ({"token_in": "path"}, ["token"]),
        ({"token_in": "header", "allowed_addresses": ["192.0.2.0/24"]}, ["token", "address"]),
        ({"allowed_addresses": ["192.0.2.0/24"]}, ["address"]),
        ({"token_in": "path", "allowed_addresses": ["::/0"]}, ["token"]),
    ],
)
def test_it_says_by_what_its_messages_are_proven(options: dict[str, Any], proofs: list[str]) -> None:
    assert list(BANK.proofs(options)) == proofs


# `exp` is 13:00, one hour from now.
JWT = jwt.encode({"exp": int((NOW + timedelta(hours=1)).timestamp())}, "k" * 32, algorithm="HS256")


@pytest.mark.parametrize(
    ("fields", "ends"),
    [
        ({"expires_at": "2026-03-04T12:05:00Z", "expires_in": 3600}, NOW + timedelta(minutes=5)),
        ({"expires_at": "soon", "expires_in": "300"}, NOW + timedelta(seconds=300)),
        ({"expires_in": 3600}, NOW + timedelta(hours=1)),
        ({"expires_in": -1, "access_token": JWT}, NOW + timedelta(hours=1)),
        ({"access_token": JWT}, NOW + timedelta(hours=1)),
        ({}, None),
    ],
)
def test_a_token_s_end_is_read_from_the_answer_or_else_from_the_token(
    api: Answering, client: HttpClient, fields: dict[str, Any], ends: datetime | None
) -> None:
    api.answer = {"access_token": "opaque", **fields}
    assert BANK.new_token(client, CREDENTIALS)[1] == ends


@pytest.mark.parametrize("answer", [{}, [], None, {"access_token": ""}, {"access_token": 7}, {"access_token": "a\nb"}])
def test_an_answer_without_a_token_is_unreadable(api: Answering, client: HttpClient, answer: Any) -> None:
    api.answer = answer
    with pytest.raises(AnswerUnreadable):
        BANK.new_token(client, CREDENTIALS)


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ({"status": {"payment": "PAID"}}, "completed"),
        ({"data": {"status": {"payment": "PAID"}}}, "completed"),
        ([{"status": "FAILED"}], "rejected"),
        ({"status": "PAID", "levelOfCertainty": "INFORMATIONAL"}, "pending"),
        ({"status": "PAID", "levelOfCertainty": ["INFORMATIONAL"]}, "pending"),
        ({"status": "ELSE"}, "unknown"),
        ({"status": "OK", "data": {"status": {"payment": "PAID"}}}, "completed"),
        ({"status": 200, "data": {"status.payment": "FAILED"}}, "rejected"),
        ({"status": "OK", "data": {"status": "PAID"}}, "completed"),
        ({"status": {"payment": "PAID"}, "data": {"status": "OK"}}, "completed"),
        ({"status": "PAID", "data": {"id": "pay-1"}}, "completed"),
        ({"status": {"code": 200}, "data": {"status": "FAILED"}}, "rejected"),
    ],
)
def test_the_status_is_read_in_any_of_its_shapes(api: Answering, client: HttpClient, answer: Any, status: str) -> None:
    api.answer = answer
    assert BANK.ask(client, "payment", "pay-1", {"space_id": "s-1"}).status == status
    assert api.asked[-1][:2] == ("GET", "/payments/v1/spaces/s-1/payments/pay-1")


def test_without_a_space_there_is_nothing_to_ask_and_that_is_said(client: HttpClient) -> None:
    with pytest.raises(NotOffered, match="option space"):
        BANK.ask(client, "payment", "pay-1", {})
