"""What Banking Circle's notifications tell."""

import json
from decimal import Decimal
from typing import Any

import pytest
from encrypting_bank import batch, notification, payment

from receiver import banks
from receiver.banks.callback import Claim, Proof
from receiver.banks.json_values import NotUnderstood, decimal_text
from receiver.store import particulars

PAYMENT_ID = "9ffa7024-5536-4b0f-9578-d03171f75182"


def read_bytes(content: bytes) -> list[Claim]:
    return list(banks.named("banking_circle").read(Proof("encryption", "secret:1", content)))


def read(*notifications: Any) -> list[Claim]:
    return read_bytes(batch(list(notifications)).encode())


def only(found: Any) -> Claim:
    (claim,) = read(found)
    return claim


def test_an_incoming_payment_is_told_with_its_amount_and_facts() -> None:
    claim = only(notification(event_id="e1"))
    assert claim.type == "banking_circle.incoming_payment_processed"
    assert claim.identity == ("event", "e1")
    assert (claim.kind, claim.subject, claim.payment_id) == ("payment", PAYMENT_ID, PAYMENT_ID)
    assert (claim.status, claim.amount, claim.currency) == ("completed", Decimal("145.25"), "GBP")
    assert claim.facts == {
        "notification_type": "IncomingPaymentProcessed",
        "told_at": "2023-09-23T14:53:52.8581798Z",
        "subscription_id": "5f0f1d5c-2f0a-4f3e-9a63-0d6a3c8d1b11",
        "transaction_reference": "010F103220030044",
        "classification": "Incoming",
        "bank_status": "Processed",
        "payment_rail": "Internal",
        "processed_at": "2023-09-23T15:33:51.0133333+00:00",
        "remittance": "Rechnung für Bücher\n請求書",
    }


@pytest.mark.parametrize(
    ("kind", "name", "status"),
    [
        ("IncomingPaymentProcessed", "incoming_payment_processed", "completed"),
        ("OutgoingPaymentProcessed", "outgoing_payment_processed", "completed"),
        ("OutgoingPaymentRejected", "outgoing_payment_rejected", "rejected"),
        ("MissingFunding", "missing_funding", "pending"),
        ("Reversed", "reversed", "reversed"),
        ("IncomingPaymentBooked", "incoming_payment_booked", None),
        ("OutgoingPaymentBooked", "outgoing_payment_booked", None),
        ("PaymentRouting", "payment_routing", None),
        ("OutgoingDirectDebitPendingProcessing", "outgoing_direct_debit_pending_processing", None),
        ("AccountHolderVerification", "account_holder_verification", None),
        ("CaseEvents", "case_events", None),
        ("CasesEvents", "case_events", None),
        ("AgencyBankingWhitelistResult", "agency_banking_whitelist_result", None),
        ("MandateStatus", "mandate_status", None),
    ],
)
def test_every_documented_type_has_its_name_and_claim(kind: str, name: str, status: str | None) -> None:
    claim = only(notification(kind))
    assert (claim.type, claim.status) == (f"banking_circle.{name}", status)


def without_transfer(**changes: Any) -> dict[str, Any]:
    return {name: value for name, value in payment(**changes).items() if name != "transfer"}


DEBIT, CREDIT = {"currency": "EUR", "amount": 12.5}, {"currency": "GBP", "amount": 10.75}
BOTH: dict[str, Any] = {"debtorInformation": {"debitAmount": DEBIT}, "creditorInformation": {"creditAmount": CREDIT}}
BOOKED = {"paymentId": PAYMENT_ID, "amount": -12.5, "currency": "EUR", "valueDate": "2023-09-23"}
REFERENCED = {"TransactionReference": {"AccountServicerReference": "REF1"}, "TransactionStatus": "Processed"}
STATUS = {"TransactionReference": {"InstructedAmount": {"Currency": "EUR", "Amount": 12.5}}}


@pytest.mark.parametrize(
    ("kind", "told", "amount", "currency"),
    [
        ("OutgoingPaymentRejected", without_transfer(classification="Outgoing", **BOTH), "12.5", "EUR"),
        ("IncomingPaymentProcessed", without_transfer(classification="Incoming", **BOTH), "10.75", "GBP"),
        ("IncomingPaymentProcessed", without_transfer(classification=None, **BOTH), "10.75", "GBP"),
        (
            "MissingFunding",
            without_transfer(classification="Outgoing", debtorInformation={"debitAmount": DEBIT}),
            "12.5",
            "EUR",
        ),
        ("MissingFunding", payment(transfer={"amount": {}}, debtorInformation={"debitAmount": DEBIT}), "12.5", "EUR"),
        ("OutgoingPaymentProcessed", payment(classification="Outgoing", **BOTH), "145.25", "GBP"),
        ("OutgoingPaymentBooked", BOOKED, "-12.5", "EUR"),
        ("IncomingPaymentBooked", {**BOOKED, "amount": "12.50"}, "12.50", "EUR"),
        ("PaymentStatus", STATUS, "12.5", "EUR"),
        ("SomethingNew", without_transfer(**BOTH), "10.75", "GBP"),
        ("OutgoingPaymentRejected", without_transfer(), None, None),
    ],
)
def test_the_amount_is_read_from_wherever_the_bank_puts_it(
    kind: str, told: dict[str, Any], amount: str | None, currency: str | None
) -> None:
    made = notification(kind, payment=None if kind == "PaymentStatus" else told, payload=told)
    claim = only(made)
    assert (decimal_text(claim.amount), claim.currency) == (amount, currency)


@pytest.mark.parametrize(
    ("kind", "told", "direction"),
    [
        ("OutgoingPaymentBooked", BOOKED, "outgoing"),
        ("OutgoingPaymentBooked", {**BOOKED, "amount": 12.5}, "outgoing"),
        ("IncomingPaymentBooked", {**BOOKED, "amount": "12.50"}, "incoming"),
        ("PaymentRouting", BOOKED, "outgoing"),
        ("OutgoingPaymentRejected", without_transfer(classification=None), "outgoing"),
        ("IncomingPaymentProcessed", payment(classification="internal"), "incoming"),
        ("IncomingPaymentHeld", without_transfer(classification=None), "incoming"),
        # The payment's own word comes first; where type and sign say different things neither is believed.
        ("OutgoingPaymentBooked", {**BOOKED, "classification": "Incoming"}, "incoming"),
        ("IncomingPaymentBooked", BOOKED, None),
        ("PaymentRouting", {**BOOKED, "amount": 12.5}, None),
        ("OutgoingDirectDebitPendingProcessing", without_transfer(classification=None), None),
        ("MissingFunding", without_transfer(classification=None), None),
        (None, without_transfer(classification=7), None),
    ],
)
def test_the_type_or_the_sign_says_where_the_money_goes_where_the_payment_itself_does_not(
    kind: Any, told: dict[str, Any], direction: str | None
) -> None:
    assert particulars.direction(only(notification(kind, payment=told)).facts) == direction


def test_the_account_of_an_incoming_payment_is_the_creditors_where_only_the_type_says_that_it_comes_in() -> None:
    facts = only(notification(payment=payment(classification=None, **SIDES))).facts
    assert (facts["account_id"], facts["account_number"]) == ("ours", "DK2")


def test_a_rejected_payment_says_why() -> None:
    rejected = without_transfer(errors=[{"errorCode": "E1", "errorMessage": "Not so"}, "plain", 7])
    claim = only(notification("OutgoingPaymentRejected", payment=rejected))
    assert claim.status == "rejected"
    assert claim.facts["errors"] == ["E1: Not so", "plain", "7"]


@pytest.mark.parametrize("errors", ["Not so", ["Not so"], [{"message": "Not so"}]])
def test_errors_come_as_a_text_or_a_list(errors: Any) -> None:
    assert only(notification(payment=payment(errors=errors))).facts["errors"] == ["Not so"]


@pytest.mark.parametrize("errors", [None, [], "", {}])
def test_no_errors_are_none(errors: Any) -> None:
    assert "errors" not in only(notification(payment=payment(errors=errors))).facts


def test_a_return_is_marked() -> None:
    assert only(notification(payment=payment() | {"return": True})).facts["is_return"] is True
    assert "is_return" not in only(notification()).facts


@pytest.mark.parametrize(
    ("status", "claimed"), [("Processed", "completed"), ("Rejected", "rejected"), ("Hold", "pending"), ("New", None)]
)
def test_a_payment_status_is_about_a_reference(status: str, claimed: str | None) -> None:
    payload = {"TransactionStatus": status, "AccountServicerReference": "010F103220030044"}
    told = notification("PaymentStatus", payload=payload)
    del told["payment"]
    claim = only(told)
    assert claim.type == "banking_circle.payment_status"
    assert (claim.kind, claim.subject, claim.payment_id) == ("reference", "010F103220030044", None)
    assert claim.status == claimed


def test_a_reference_inside_that_of_the_transaction_is_found_too() -> None:
    payload = {"TransactionStatus": "Processed", "TransactionReference": {"AccountServicerReference": "010F1"}}
    claim = only(notification("PaymentStatus", payment=None, payload=payload))
    assert (claim.kind, claim.subject, claim.status) == ("reference", "010F1", "completed")


@pytest.mark.parametrize(
    ("payload", "subject"),
    [
        ({"CaseId": 10**19, "Status": "Open"}, str(10**19)),
        ({"mandate": {"mandateId": "m-1"}}, "m-1"),
        ({"caseId": "c-1", "accountId": "a-1"}, None),
        ({"Status": "paid"}, None),
    ],
)
def test_what_is_about_no_payment_is_about_the_only_id_that_is_there(
    payload: dict[str, Any], subject: str | None
) -> None:
    claim = only(notification("CaseEvents", payment=None, payload=payload))
    assert (claim.type, claim.kind, claim.subject) == ("banking_circle.case_events", "none", subject)
    assert claim.facts.get("resource_id") == subject


@pytest.mark.parametrize(
    "more",
    [
        {"payload": {**REFERENCED, "OriginalPayment": {"PaymentId": "another"}}},
        {"payload": REFERENCED, "related": [{"paymentId": "another"}]},
    ],
)
def test_a_payment_status_is_about_its_own_reference_whatever_else_it_names(more: dict[str, Any]) -> None:
    claim = only(notification("PaymentStatus", payment=None, **more))
    assert (claim.kind, claim.subject, claim.payment_id) == ("reference", "REF1", None)
    assert claim.facts["transaction_reference"] == "REF1"


def test_a_payment_status_without_a_reference_is_kept() -> None:
    claim = only(notification("PaymentStatus", payment=None, payload={}))
    assert (claim.type, claim.kind, claim.subject) == ("banking_circle.payment_status", "none", None)


def bare(kind: str, **told: Any) -> dict[str, Any]:
    return {"eventId": "e1", "notificationType": kind, **told}


@pytest.mark.parametrize(
    ("told", "kind", "subject"),
    [
        (bare("NewKind", data={"paymentId": "p-1"}), "payment", "p-1"),
        (bare("NewKind", paymentId="p-1"), "payment", "p-1"),
        (bare("NewKind", Data={"PAYMENTID": 7}), "payment", "7"),
        (bare("NewKind", data={"transactionReference": "010F1"}), "reference", "010F1"),
        (bare("NewKind", data={"x": {"AccountServicerReference": "010F1"}}), "reference", "010F1"),
        (bare("CaseEvents", payload={"payment": {"paymentId": "p-1"}}), "payment", "p-1"),
        (bare("CaseEvents", payload={"caseId": "c-1"}, payment=None, paymentId="p-1"), "payment", "p-1"),
        (bare("PaymentStatus", payload={}, payment={"paymentId": "p-1"}), "payment", "p-1"),
        (bare("IncomingPaymentProcessed", payload={"paymentId": "p-1"}, payment={}), "payment", "p-1"),
        (bare("IncomingPaymentProcessed", payment={"paymentId": "p-1"}, data={"paymentId": "p-2"}), "payment", "p-1"),
        (bare("NewKind", payments=[{"paymentId": "p-1"}]), "payment", "p-1"),
        (bare("NewKind", payload={"Payments": [{"PaymentId": "p-1"}, {"PaymentId": "p-1"}]}), "payment", "p-1"),
        (bare("NewKind", payments=[{"paymentId": "p-1"}, {"paymentId": "p-2"}]), "none", None),
        (bare("NewKind", payments=[{"transactionReference": "010F1"}]), "reference", "010F1"),
        (bare("NewKind", data={"mandateId": "m-1"}), "none", "m-1"),
        (bare("NewKind", mandateId="m-1"), "none", "m-1"),
        (bare("NewKind", data={"mandateId": "m-1", "accountId": "a-1"}), "none", None),
        ({"NotificationType": "NewKind", "data": {"paymentId": "p-1"}}, "payment", "p-1"),
    ],
)
def test_a_payment_is_asked_for_wherever_it_is_named(told: dict[str, Any], kind: str, subject: str | None) -> None:
    claim = only(told)
    assert (claim.kind, claim.subject) == (kind, subject)
    assert claim.payment_id == (subject if kind == "payment" else None)


@pytest.mark.parametrize(
    ("data", "amount", "currency"),
    [
        ({"paymentId": "p", "amount": -5, "currency": "EUR"}, "-5", "EUR"),
        ({"paymentId": "p", "transfer": {"amount": {"amount": 5.5, "currency": "EUR"}}}, "5.5", "EUR"),
        ({"amount": {"amount": "5.50", "currency": "EUR"}}, "5.50", "EUR"),
        ({"Payment": {"Amount": 5, "Currency": "EUR"}}, "5", "EUR"),
        ({"Fee": {"Amount": 1}, "Payment": {"Amount": 5, "Currency": "EUR"}}, "5", "EUR"),
        ({"costs": {"amount": 1}, "payment": {"paymentId": "p", "amount": 5}}, "5", None),
        ({"costs": {"amount": 1}, "payment": {"amount": 5}}, None, None),
        ({}, None, None),
    ],
)
def test_of_a_type_that_is_not_known_amount_and_facts_are_kept(
    data: dict[str, Any], amount: str | None, currency: str | None
) -> None:
    claim = only(bare("NewKind", data={"paymentRail": "SCT", "status": "Held", **data}))
    assert (claim.type, claim.status) == ("banking_circle.unrecognised", None)
    assert (decimal_text(claim.amount), claim.currency) == (amount, currency)
    assert claim.facts.get("payment_rail") == ("SCT" if "paymentId" in data else None)


def test_a_case_about_a_payment_keeps_what_is_told_of_the_case() -> None:
    case = {"caseId": "c-1", "status": "Open", "payment": {"paymentId": "p-1", "status": "Processed"}}
    claim = only(bare("CaseEvents", payload=case))
    assert (claim.facts["case_id"], claim.facts["case_status"], claim.facts["bank_status"]) == ("c-1", "Open", "Open")


def respelt(value: Any, first: Any) -> Any:
    if isinstance(value, dict):
        return {first(name[:1]) + name[1:]: respelt(each, first) for name, each in value.items()}
    return [respelt(each, first) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize("first", [str.upper, str.lower])
@pytest.mark.parametrize(
    "told",
    [
        notification(event_id="e1"),
        notification("OutgoingPaymentRejected", "e1", payment=without_transfer(errors=[{"errorCode": "E1"}], **BOTH)),
        notification("OutgoingPaymentBooked", "e1", payment=BOOKED),
        notification("PaymentStatus", "e1", payment=None, payload={**STATUS, "TransactionStatus": "Processed"}),
        notification(
            "PaymentStatus",
            "e1",
            payment=None,
            payload={"TransactionReference": {"AccountServicerReference": "010F1", **STATUS["TransactionReference"]}},
        ),
        notification("CaseEvents", "e1", payment=None, payload={"case": {"caseId": "c1", "caseStatus": "Open"}}),
    ],
)
def test_names_that_begin_with_a_capital_and_those_that_do_not_are_read_alike(told: dict[str, Any], first: Any) -> None:
    text = json.dumps(respelt({"notifications": [told]}, first))
    (claim,) = read_bytes(text.encode())
    assert claim._replace(content="") == only(told)._replace(content="")


def test_of_a_name_in_both_spellings_the_one_that_holds_something_counts() -> None:
    both = {"paymentId": "small", "PaymentId": "capital"}
    assert only(bare("Reversed", payment=both)).payment_id == "small"
    assert only(bare("Reversed", payment={"PaymentId": "capital", "paymentId": None})).payment_id == "capital"


def test_a_payment_is_found_however_deep_it_stands() -> None:
    nested: Any = {"PaymentId": "p"}
    for _ in range(300):
        nested = {"X": [nested]}
    assert only(bare("NewKind", data=nested)).payment_id == "p"
    assert only(bare("CaseEvents", payload=nested)).payment_id == "p"


@pytest.mark.parametrize("kind", ["SomethingNew", "incomingpaymentprocessed", "", None, 7, "X" * 500])
def test_an_unknown_type_is_kept_under_its_event_id_and_its_payment_is_asked_for(kind: Any) -> None:
    claim = only(notification(kind, event_id="e1"))
    assert (claim.type, claim.identity) == ("banking_circle.unrecognised", ("event", "e1"))
    assert (claim.kind, claim.subject, claim.status) == ("payment", PAYMENT_ID, None)


@pytest.mark.parametrize("found", [7, "text", None, [], {}, {"notificationType": "Reversed"}, {"eventId": ""}])
def test_a_notification_without_an_event_id_is_kept_by_its_content(found: Any) -> None:
    claim = only(found)
    assert claim.type == "banking_circle.unrecognised"
    assert claim.identity[0] == "content"
    assert only(found) == claim


def test_without_an_event_id_a_payment_is_asked_for_all_the_same_and_claims_nothing() -> None:
    claim = only({name: value for name, value in notification("Reversed").items() if name != "eventId"})
    assert (claim.type, claim.kind, claim.subject) == ("banking_circle.unrecognised", "payment", PAYMENT_ID)
    assert (claim.status, claim.amount, claim.currency) == (None, Decimal("145.25"), "GBP")


def test_without_an_event_id_a_notification_is_its_own_text_wherever_it_stands() -> None:
    one, other = '{"eventId":null,"x":1}', '{"eventId":null, "x":1}'
    first = read_bytes(f'[{one},{{"eventId":"e1"}}]'.encode())[0]
    (second,) = read_bytes(f'{{"notifications": [ {one} ]}}'.encode())
    (third,) = read_bytes(f"[{other}]".encode())
    assert first.identity == second.identity != third.identity


def test_a_bare_array_is_a_batch_too() -> None:
    text = json.dumps([notification(event_id="e1"), notification(event_id="e2")])
    assert [claim.identity[1] for claim in read_bytes(text.encode())] == ["e1", "e2"]


@pytest.mark.parametrize("name", ["notifications", "Notifications", "NOTIFICATIONS"])
def test_the_envelope_may_hold_more_and_spell_its_name_otherwise(name: str) -> None:
    text = json.dumps({"before": {"notifications": [1]}, name: [notification()], "after": [1, {"x": "]}"}]})
    assert len(read_bytes(text.encode())) == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "7",
        '"notifications"',
        "{}",
        "[]",
        '{"notifications":[]}',
        '{"notifications":null}',
        '{"notifications":{}}',
        '{"other":[1]}',
        '{"notifications":[1]',
        '{"notifications":[1]}}',
        '{"notifications":[1] "x":1}',
        '{"notifications":[1,]}',
        '{"notifications":[NaN]}',
        '{"notifications":[{"eventId":"e1"},{"eventId"]}',
        "{notifications:[1]}",
        '{"notifications":[1]}x',
        "[1 2]",
        "[" * 100_000,
        '{"notifications":' + "[" * 100_000,
        '{"notifications":[1e999999999999999999999]}',
        '{"notifications":[' + "9" * 5000 + "]}",
        '{"notifications":[01]}',
        '{"notifications":[+1]}',
        '{"notifications":[\x0b1]}',
        '{"notifications":[\xa01]}',
        '{"notifications":["\x1f"]}',
    ],
)
def test_what_is_no_batch_is_not_understood(text: str) -> None:
    with pytest.raises(NotUnderstood):
        read_bytes(text.encode())


def test_what_is_no_utf_8_is_not_understood() -> None:
    with pytest.raises(NotUnderstood):
        read_bytes(b"\xff\xfe[]")


def test_half_a_surrogate_pair_is_no_other_character() -> None:
    texts = ('[{"x":"\\ud83d"}]', '[{"x":"\\ud83d\\ud83d"}]', '[{"x":"\\ud83d\\udc3d"}]', '[{"x":"?"}]')
    assert len({claim.content for text in texts for claim in read_bytes(text.encode())}) == len(texts)


def test_the_same_event_of_another_subscription_says_the_same() -> None:
    first, second = notification(event_id="e1"), notification(event_id="e1", subscriptionId="another")
    assert only(first).content == only(second).content


def test_another_content_under_the_same_id_differs() -> None:
    changed = payment(status="Rejected")
    assert only(notification(event_id="e1")).content != only(notification(event_id="e1", payment=changed)).content


def test_amounts_are_read_to_the_digit() -> None:
    text = batch([notification()]).replace("145.25", "12345678901234567.89")
    (claim,) = read_bytes(text.encode())
    assert claim.amount == Decimal("12345678901234567.89")


TRANSFER = {
    "amount": {"currency": "GBP", "amount": 1},
    "remittanceInformation": {"line1": "Invoice 7", "line3": "thank you"},
    "debtorName": "A Payer",
    "debtorAccount": {"account": "DK1189000000000001", "financialInstitution": "SXPYDKKK"},
    "creditorName": "We",
}
SIDES: dict[str, Any] = {
    "debtorInformation": {"accountId": "theirs", "account": {"account": "DK1"}},
    "creditorInformation": {"accountId": "ours", "account": {"account": "DK2"}},
}


def test_remittance_account_and_parties_are_facts() -> None:
    facts = only(notification(payment=payment(transfer=TRANSFER, **SIDES))).facts
    assert facts["remittance"] == "Invoice 7\nthank you"
    assert (facts["account_id"], facts["account_number"]) == ("ours", "DK2")
    assert facts["debtor"] == {"name": "A Payer", "account": "DK1189000000000001"}
    assert facts["creditor"] == {"name": "We"}


def test_the_account_of_an_outgoing_payment_is_the_debtors() -> None:
    facts = only(notification(payment=payment(classification="Outgoing", **SIDES))).facts
    assert (facts["account_id"], facts["account_number"]) == ("theirs", "DK1")


@pytest.mark.parametrize("sides", [None, "x", [], {"account": []}, {"accountId": {}, "account": {"account": 1.5}}])
def test_an_account_that_can_t_be_read_is_left_out(sides: Any) -> None:
    facts = only(
        notification(payment=payment(debtorInformation=sides, creditorInformation=sides, transfer=sides))
    ).facts
    assert not {"account_id", "account_number", "debtor", "creditor", "remittance"} & set(facts)


@pytest.mark.parametrize(
    ("kind", "payload", "facts"),
    [
        ("CaseEvents", {"caseId": "c1", "type": "Recall", "status": "Open"}, ("c1", "Recall", "Open")),
        ("CasesEvents", {"Case": {"CaseId": "c1", "CaseStatus": "Open"}}, ("c1", None, "Open")),
        ("MandateStatus", {"mandate": {"mandateId": "m1", "status": "Active"}}, ("m1", None, "Active")),
    ],
)
def test_a_case_or_mandate_is_told_with_its_state(
    kind: str, payload: dict[str, Any], facts: tuple[str | None, ...]
) -> None:
    word = "mandate" if kind.startswith("Mandate") else "case"
    found = only(notification(kind, payment=None, payload=payload)).facts
    assert tuple(found.get(f"{word}_{name}") for name in ("id", "type", "status")) == facts
