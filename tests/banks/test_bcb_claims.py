"""What BCB's callbacks are read into, whatever stands in them."""

import json
from decimal import Decimal
from typing import Any

import pytest
from bank import DEPOSIT, deposit, job
from hypothesis import example, given
from hypothesis import strategies as st

from receiver import banks
from receiver.banks.callback import Claim, Proof, unrecognised
from receiver.banks.json_values import NotUnderstood, decimal_text
from receiver.store.payments import STATUSES

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.sampled_from(["Deposits", "Completed", "CompletedWithErrors", "a\0b", "\ud800", "x" * 300, 10**40, "1e40"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["amount", "currency", "total", "failed"]), inner, max_size=3)
    ),
    max_leaves=8,
)
NAMES = [*DEPOSIT, "jobId", "JobId", "jobStatus", "JobStatus", "status", "eventType", "summary", "Summary"]


def read_bytes(body: bytes) -> list[Claim]:
    return list(banks.named("bcb").read(Proof("signature", "secret:1", body)))


def read(fields: Any) -> Claim:
    (claim,) = read_bytes(json.dumps(fields).encode())
    return claim


def storable(value: str | None) -> bool:
    """Nothing that PostgreSQL refuses, nothing too long for an index."""
    return value is None or (
        "\0" not in value and len(value) <= 200 and value.encode("utf-8", "ignore").decode() == value
    )


def assert_storable(claim: Claim) -> None:
    for text in (
        claim.type,
        claim.subject,
        claim.payment_id,
        claim.currency,
        decimal_text(claim.amount),
        *claim.identity,
    ):
        assert storable(text), text
    assert claim.type.startswith("bcb.")
    assert claim.status is None or claim.status in STATUSES
    assert claim.amount is None or type(claim.amount) is Decimal
    assert claim.content.isascii()
    for fact in claim.facts.values():
        assert storable(fact) if isinstance(fact, str) else all(type(count) is int for count in fact.values())


@given(st.binary())
@example(b"[" * 100_000)
@example(b"7")
@example(b"null")
@example(b"\xff\x00")
def test_any_bytes_are_claims_or_not_understood(body: bytes) -> None:
    try:
        found = read_bytes(body)
    except NotUnderstood:
        return
    assert found


@given(st.dictionaries(st.sampled_from(NAMES), VALUES))
def test_any_fields_are_storable_claims_or_not_understood(fields: dict[str, Any]) -> None:
    try:
        claim = read(fields)
    except NotUnderstood:
        return
    assert_storable(claim)


@given(st.dictionaries(st.sampled_from(sorted(set(DEPOSIT) - {"topic", "transactionId"})), VALUES))
def test_a_deposit_with_any_other_fields_is_still_a_deposit(changes: dict[str, Any]) -> None:
    claim = read(deposit(**changes))
    assert (claim.type, claim.payment_id, claim.status) == ("bcb.deposit", "FT2384654NXF6", "completed")
    assert_storable(claim)


@pytest.mark.parametrize("direction", ["Debit", "debit", "DEBIT"])
def test_a_debit_has_a_type_of_its_own_and_an_identity_of_the_same_form(direction: str) -> None:
    claim = read(deposit(type=direction))
    assert (claim.type, claim.status, claim.facts["direction"]) == ("bcb.debit", "completed", direction)
    assert claim.identity == tuple(direction if part == "Credit" else part for part in read(DEPOSIT).identity)


@given(st.dictionaries(st.sampled_from(["eventType", "summary", "Summary", "more"]), VALUES), st.text(max_size=60))
@example({}, "İ")
@example({}, "A" * 200)
def test_a_job_with_any_other_fields_is_storable_or_not_understood(changes: dict[str, Any], status: str) -> None:
    try:
        claim = read(job(status=status, **changes))
    except NotUnderstood:
        return
    assert (claim.kind, claim.subject) == ("job", "7f1b")
    assert_storable(claim)


@given(st.dictionaries(st.sampled_from(NAMES), VALUES, min_size=2))
def test_the_order_of_fields_changes_neither_identity_nor_content(fields: dict[str, Any]) -> None:
    whole = {**DEPOSIT, **fields, "topic": "Deposits", "transactionId": "FT1"}
    one, other = read(whole), read({name: whole[name] for name in reversed(whole)})
    assert one.content == other.content
    # Where not all of the identity can be read, the bytes are part of it.
    assert (one.identity == other.identity) == (len(one.identity) == len(read(DEPOSIT).identity))


def test_the_example_is_a_deposit() -> None:
    claim = read(DEPOSIT)
    assert (claim.type, claim.kind, claim.subject) == ("bcb.deposit", "payment", "FT2384654NXF6")
    assert (claim.amount, claim.currency) == (Decimal("1000.00"), "USD")
    assert claim.facts == {
        "account_number": "1046406142",
        "direction": "Credit",
        "transaction_type": "Swift payment",
        "subscription_id": "e2a55504-3924-4b48-9d7e-540efcd6fa30",
        "remittance": "Payment details",
    }


@pytest.mark.parametrize(
    "changes",
    [
        {"accountNumber": "2"},
        {"transactionId": "FT2"},
        {"type": "Debit"},
        {"value": {"amount": "1000.01", "currency": "USD"}},
        {"value": {"amount": "1000.00", "currency": "EUR"}},
        {"value": {}},
    ],
)
def test_what_makes_another_deposit(changes: dict[str, Any]) -> None:
    assert read(deposit(**changes)).identity != read(DEPOSIT).identity


@pytest.mark.parametrize(
    "changes",
    [
        {"subscriptionId": "another"},
        {"transactionDetails": "other words"},
        {"value": {"amount": 1000, "currency": "USD"}},
        {"value": {"amount": "1000.000", "currency": "USD"}},
        {"topic": "DEPOSITS"},
        {"more": [1, 2]},
    ],
)
def test_what_does_not_make_another_deposit(changes: dict[str, Any]) -> None:
    assert read(deposit(**changes)).identity == read(DEPOSIT).identity


@pytest.mark.parametrize(
    ("status", "type_", "ours"),
    [
        ("Pending", "bcb.job.pending", "pending"),
        ("InProgress", "bcb.job.in_progress", "pending"),
        ("Completed", "bcb.job.completed", "completed"),
        ("CompletedWithErrors", "bcb.job.completed_with_errors", "completed"),
        ("Cancelled", "bcb.job.cancelled", "cancelled"),
        ("COMPLETED", "bcb.job.completed", "completed"),
        ("completed", "bcb.job.completed", "completed"),
        ("INPROGRESS", "bcb.job.in_progress", "pending"),
        ("inProgress", "bcb.job.in_progress", "pending"),
        ("COMPLETEDWITHERRORS", "bcb.job.completed_with_errors", "completed"),
        ("completedWithErrors", "bcb.job.completed_with_errors", "completed"),
        ("Vanished", "bcb.job.vanished", "unknown"),
        ("VANISHED", "bcb.job.vanished", "unknown"),
        ("HeldByAML", "bcb.job.held_by_aml", "unknown"),
        ("AMLReview", "bcb.job.aml_review", "unknown"),
        ("gone wrong!", "bcb.job.status_changed", "unknown"),
    ],
)
def test_a_job_is_read_with_its_status(status: str, type_: str, ours: str) -> None:
    claim = read(job(status=status))
    assert (claim.type, claim.status) == (type_, ours)


def test_however_its_status_is_cased_a_job_is_in_it_once() -> None:
    assert len({read(job(status=status)).identity for status in ("Completed", "COMPLETED", "completed")}) == 1


def test_a_job_in_the_apis_own_spelling_is_read() -> None:
    claim = read({"JobId": 12, "JobStatus": "Completed", "Summary": {"Total": 3, "Completed": 2, "Failed": 1}})
    assert (claim.subject, claim.facts["job_status"]) == ("12", "Completed")
    assert claim.facts["summary"] == {"total": 3, "completed": 2, "failed": 1}


def test_what_is_no_count_is_left_out_of_a_job_s_summary() -> None:
    claim = read(job(summary={"total": 3, "completed": None, "failed": "x"}))
    assert claim.facts["summary"] == {"total": 3}


@pytest.mark.parametrize(
    ("fields", "kind", "subject"),
    [
        ({"topic": "Withdrawals", "transactionId": "1"}, "payment", "1"),
        ({"topic": ["Deposits"], "transactionId": "1"}, "payment", "1"),
        ({"Topic": "Deposits", "TransactionId": 10**19}, "payment", str(10**19)),
        ({"event": {"name": "fee", "paymentId": "1"}}, "payment", "1"),
        ({"jobId": "1"}, "job", "1"),
        ({"jobId": "1", "jobStatus": ["Completed"]}, "job", "1"),
        ({"topic": "Deposits", "accountNumber": "7"}, "none", "7"),
        ({"Topic": "Fees", "Data": {"AccountNumber": 7}}, "none", "7"),
        ({"topic": "Cards", "subscriptionId": "s", "data": {"mandateId": "m-1"}}, "none", "m-1"),
        ({"topic": "Deposits", "data": [{"transactionId": "1"}]}, "payment", "1"),
        ({"topic": "Deposits", "data": [{"transactionId": "1"}, {"TransactionId": "1"}]}, "payment", "1"),
        ({"topic": "Deposits", "data": [{"transactionId": "1"}, {"transactionId": "2"}]}, "none", None),
        ({"data": [{"transactionId": "1", "accountNumber": "7"}, {"transactionId": "2"}]}, "none", None),
        ({"batch": {"items": [[{"x": {"paymentId": 1}}]]}}, "payment", "1"),
        ({"jobId": "1", "results": [{"transactionId": "2"}]}, "job", "1"),
        ({"data": {"JOBID": 1}, "results": [{"transactionId": "2"}]}, "job", "1"),
        ({"x": {"transactionId": {}, "TransactionId": "1"}}, "payment", "1"),
        ({"jobs": [{"jobId": "1", "status": "Completed"}]}, "job", "1"),
        ({"topic": "Deposits", "transactionId": "a\0b"}, "none", None),
        ({"topic": "Deposits", "transactionId": "\ud800"}, "none", None),
        ({"topic": "Deposits", "transactionId": "x" * 201}, "none", None),
        ({"jobStatus": "Completed"}, "none", None),
        ({"jobId": None, "jobStatus": "Completed"}, "none", None),
        ({}, "none", None),
    ],
)
def test_another_topic_or_shape_is_about_the_payment_or_job_that_it_names(
    fields: dict[str, Any], kind: str, subject: str | None
) -> None:
    claim = read(fields)
    assert (claim.type, claim.kind, claim.subject, claim.status) == ("bcb.unrecognised", kind, subject, None)
    assert claim.payment_id == (subject if kind == "payment" else None)


def test_of_another_topic_amount_and_facts_are_read() -> None:
    claim = read(deposit(topic="Withdrawals"))
    assert (claim.amount, claim.currency) == (Decimal("1000.00"), "USD")
    assert claim.facts == {**read(DEPOSIT).facts, "topic": "Withdrawals"}


@pytest.mark.parametrize(
    "fields",
    [
        {"data": [DEPOSIT]},
        {"data": {"deposit": DEPOSIT}},
        {
            name[0].upper() + name[1:]: value
            for name, value in deposit(value={"Amount": 1000, "Currency": "USD"}).items()
        },
    ],
)
def test_of_another_shape_amount_and_facts_are_read_from_what_names_the_payment(fields: dict[str, Any]) -> None:
    claim = read(fields)
    assert (claim.type, claim.payment_id) == ("bcb.unrecognised", "FT2384654NXF6")
    assert (claim.amount, claim.currency) == (Decimal("1000.00"), "USD")
    assert claim.facts == {**read(DEPOSIT).facts, "topic": "Deposits"}


def test_of_a_list_in_place_of_an_object_the_only_payment_is_asked_for_and_the_event_is_the_same() -> None:
    claim = read([DEPOSIT])
    assert (claim.type, claim.kind, claim.payment_id) == ("bcb.unrecognised", "payment", "FT2384654NXF6")
    assert (claim.amount, claim.currency) == (Decimal("1000.00"), "USD")
    assert read([DEPOSIT, deposit(transactionId="1")]).kind == "none"
    both_sides = read([DEPOSIT, deposit(type="Debit", value={"amount": "7", "currency": "EUR"})])
    assert (both_sides.payment_id, both_sides.amount, both_sides.facts) == ("FT2384654NXF6", None, {})
    plain = unrecognised("bcb", json.dumps([DEPOSIT]).encode())
    assert (claim.identity, claim.content) == (plain.identity, plain.content)


@pytest.mark.parametrize("fields", [[], [7], "text", 7, None])
def test_what_is_no_object_is_not_understood(fields: Any) -> None:
    with pytest.raises(NotUnderstood):
        read(fields)
