import base64
import hashlib
import hmac
import json
from typing import Any

import jwt
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.hashes import SHA256
from simulator.callers import Caller, FakeClock, Received, Receiver, Start

KEY = base64.b64decode("HtYp2oJm5DwQ1xL8bSeRgUkN4vZc3PhYtLwSxV2N9Cs=")
EXAMPLE = {
    "subscriptionId": "e2a55504-3924-4b48-9d7e-540efcd6fa30",
    "topic": "Deposits",
    "accountNumber": "1046406142",
    "transactionId": "FT2384654NXF6",
    "type": "Credit",
    "value": {"amount": "1000.00", "currency": "USD"},
    "transactionType": "Swift payment",
    "transactionDetails": "Payment details",
}


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def bank(start: Start[Caller], receiver: Receiver, waits: list[float]) -> Caller:
    return start(callback_url=receiver.url, sleep=waits.append)


def deposit(bank: Caller, transaction_id: str = "FT2384654NXF6", **fields: object) -> Any:
    (delivery,) = bank.control("/deposits", {"transactionId": transaction_id, **fields})["deliveries"]
    return delivery


def text(received: Received) -> bytes:
    head = f"{received.headers['Bcb-Timestamp']}{received.headers['Bcb-Nonce']}POST/webhooks/bcb"
    return head.encode() + received.body


def genuine(received: Received) -> bool:
    code = base64.b64encode(hmac.new(KEY, text(received), hashlib.sha256).digest()).decode()
    return hmac.compare_digest(code, received.headers["Bcb-Signature"])


def verify_rsa(bank: Caller, received: Received) -> None:
    [key] = bank.bank("/v1/.well-known/jwks.json").json()["keys"]
    jwt.PyJWK(key).key.verify(
        base64.b64decode(received.headers["Bcb-Signature"]),
        text(received),
        padding.PSS(padding.MGF1(SHA256()), 32),
        SHA256(),
    )


def test_it_sends_the_example_of_the_sheet_and_tells_what_was_answered(bank: Caller, receiver: Receiver) -> None:
    sent = deposit(bank)

    [received] = receiver.received
    assert json.loads(received.body) == EXAMPLE
    assert genuine(received)
    assert (sent["accepted"], sent["status"], sent["body"]) == (True, 200, '{"status":"seen"}')
    assert sent["headers"]["Bcb-Nonce"] == received.headers["Bcb-Nonce"]
    assert [attempt["status"] for attempt in sent["tries"]] == [200]


def test_it_knows_the_payment_that_it_told_of(bank: Caller, clock: FakeClock) -> None:
    deposit(bank, script=[["Pending", 5], ["Reversed"]])

    assert bank.bank("/v1/payments/FT2384654NXF6/status").json()["status"] == "Pending"
    clock.advance(5)
    assert bank.bank("/v1/payments/FT2384654NXF6/status").json()["status"] == "Reversed"


def test_it_does_not_restart_a_payment_that_is_told_of_again(
    bank: Caller, clock: FakeClock, receiver: Receiver
) -> None:
    deposit(bank, amount="12.00")
    clock.advance(2)
    deposit(bank)

    assert bank.bank("/v1/payments/FT2384654NXF6/status").json()["status"] == "Completed"
    one, two = receiver.received
    assert one.body == two.body
    assert one.headers["Bcb-Nonce"] != two.headers["Bcb-Nonce"]


def test_a_known_payment_has_all_that_is_given_with_a_script_and_nothing_of_what_is_without(bank: Caller) -> None:
    deposit(bank, amount="12.00", currency="EUR")
    deposit(bank, amount="13.00")
    deposit(bank, amount="14.00", script=[["Reversed"]], deny=True)
    status = bank.bank("/v1/payments/FT2384654NXF6/status").json()
    assert (status["status"], status["creditAmount"]) == ("Pending", {"amount": "12.00", "currency": "EUR"})

    deposit(bank, amount="15.00", details="other", direction="Debit", script=[["Reversed"]])
    status = bank.bank("/v1/payments/FT2384654NXF6/status").json()
    assert (status["status"], status["debitAmount"]) == ("Reversed", {"amount": "15.00", "currency": "EUR"})
    assert status["remittanceInformation"] == "other"


def test_it_signs_with_the_key_that_it_publishes(bank: Caller, receiver: Receiver) -> None:
    deposit(bank, method="rsa")

    [key] = bank.bank("/v1/.well-known/jwks.json").json()["keys"]
    assert (key["kid"], key["kty"], key["use"], key["alg"]) == ("rsa-1", "RSA", "sig", "PS256")
    assert receiver.received[0].headers["Bcb-Signature-Version"] == "rsa-v1"
    verify_rsa(bank, receiver.received[0])


@pytest.mark.parametrize(("keep", "kid", "version"), [(False, "rsa-2", "rsa-v2"), (True, "rsa-1", "rsa-v1")])
def test_it_signs_with_another_key_after_a_rotation(
    bank: Caller, receiver: Receiver, keep: bool, kid: str, version: str
) -> None:
    deposit(bank, "FT1", method="rsa")
    assert bank.control("/rsa-key/rotate", {"keepVersion": keep}) == {"kid": kid, "signatureVersion": version}
    deposit(bank, "FT2", method="rsa")

    before, after = receiver.received
    with pytest.raises(InvalidSignature):
        verify_rsa(bank, before)
    verify_rsa(bank, after)
    assert after.headers["Bcb-Signature-Version"] == version


def test_it_forges_a_deposit_that_the_bank_knows_nothing_of(bank: Caller, receiver: Receiver) -> None:
    receiver.statuses = [401]
    sent = deposit(bank, "FT-FORGED", variant="forged")

    assert not genuine(receiver.received[0])
    assert (sent["status"], len(sent["tries"])) == (401, 1)
    assert bank.bank("/v1/payments/FT-FORGED/status").status_code == 404


def test_it_sends_an_old_deposit(bank: Caller, receiver: Receiver, clock: FakeClock) -> None:
    deposit(bank, variant="stale", ageSeconds=400)

    assert genuine(receiver.received[0])
    assert int(receiver.received[0].headers["Bcb-Timestamp"]) == clock().timestamp() - 400


def test_it_sends_the_last_genuine_delivery_again(bank: Caller, receiver: Receiver) -> None:
    deposit(bank)
    deposit(bank, variant="forged")
    deposit(bank, variant="again")

    first, _, repeated = receiver.received
    assert first.body == repeated.body
    assert first.headers["Bcb-Signature"] == repeated.headers["Bcb-Signature"]


@pytest.mark.parametrize("amount", ["1000.00", "9.99"])
def test_it_reuses_the_nonce_with_another_body(bank: Caller, receiver: Receiver, amount: str) -> None:
    deposit(bank)
    deposit(bank, variant="other-body", amount=amount)

    first, other = receiver.received
    assert first.headers["Bcb-Nonce"] == other.headers["Bcb-Nonce"]
    assert first.body != other.body
    assert genuine(other)


@pytest.mark.parametrize("variant", ["again", "other-body"])
def test_it_can_not_repeat_what_it_never_sent(bank: Caller, variant: str) -> None:
    answer = bank.request("POST", "/_simulator/deposits", json={"transactionId": "FT1", "variant": variant})

    assert answer.status_code == 400
    assert "no genuine delivery" in answer.json()["message"]


def test_it_needs_an_address(caller: Caller) -> None:
    answer = caller.request("POST", "/_simulator/deposits", json={})

    assert answer.status_code == 400
    assert "no callback url" in answer.json()["message"]


def test_it_prefers_the_address_given_to_the_subscribed_to_the_configured(
    start: Start[Caller], receiver: Receiver
) -> None:
    bank = start(callback_url="http://127.0.0.1:1/configured")
    subscription = bank.bank(
        "/v1/notifications/subscriptions",
        "POST",
        json={"topic": "Deposits", "callbackUrl": f"{receiver.url}/subscribed"},
    ).json()
    deposit(bank)
    deposit(bank, url=f"{receiver.url}/given")

    subscribed, given = receiver.received
    assert (subscribed.path, given.path) == ("/webhooks/bcb/subscribed", "/webhooks/bcb/given")
    assert json.loads(subscribed.body)["subscriptionId"] == subscription["subscriptionId"]


def test_a_deposit_goes_to_the_newest_active_subscription_and_is_missed_where_none_is(
    start: Start[Caller], receiver: Receiver
) -> None:
    bank, path = start(callback_url=f"{receiver.url}/configured"), "/v1/notifications/subscriptions"
    made = [
        bank.bank(path, "POST", json={"topic": "Deposits", "callbackUrl": f"{receiver.url}/{name}"}).json()
        for name in ("old", "new")
    ]
    for subscription in reversed(made):
        bank.bank(f"{path}/{subscription['subscriptionId']}/deactivate", "PATCH")
        answer = bank.control("/deposits")
    assert (answer["deliveries"], answer["missed"]) == ([], 1)
    deposit(bank, url=f"{receiver.url}/given")

    subscribed, given = receiver.received
    assert (subscribed.path, given.path) == ("/webhooks/bcb/old", "/webhooks/bcb/given")
    assert json.loads(subscribed.body)["subscriptionId"] == made[0]["subscriptionId"]


def test_it_tries_again_as_configured_or_as_told(bank: Caller, receiver: Receiver, waits: list[float]) -> None:
    receiver.statuses = [500, 200, 503, 503]
    assert len(deposit(bank, "FT1")["tries"]) == 2
    assert [attempt["status"] for attempt in deposit(bank, "FT2", delays=[0.5])["tries"]] == [503, 503]
    assert waits == [1, 0.5]


def test_it_tells_that_nobody_answered(start: Start[Caller]) -> None:
    sent = deposit(start(callback_url="http://127.0.0.1:1/"), delays=[])

    assert (sent["accepted"], sent["status"], sent["body"]) == (False, None, "")
    assert "ConnectionError" in sent["tries"][0]["error"]


def test_it_need_not_be_waited_for(bank: Caller) -> None:
    answer = bank.request("POST", "/_simulator/deposits", json={"transactionId": "FT1", "wait": False})

    state = {"active": True, "failed": 0, "missed": 0}
    assert (answer.status_code, answer.json()) == (202, {"subjects": ["FT1"], "deliveries": [], **state})
    while not (deliveries := bank.control("/deliveries", method="GET")["deliveries"]):
        pass
    assert [(entry["subject"], entry["status"]) for entry in deliveries] == [("FT1", 200)]
    assert bank.control("/deliveries", method="DELETE") == {"deliveries": []}


def test_it_counts_what_is_given_up_and_sends_nothing_while_it_is_switched_off(
    bank: Caller, receiver: Receiver
) -> None:
    receiver.statuses = [500] * 6
    assert not deposit(bank, "FT1")["accepted"]
    bank.control("/subscription", {"active": False}, "PUT")

    answer = bank.control("/deposits", {"transactionId": "FT2"})
    assert answer == {"deliveries": [], "active": False, "failed": 0, "missed": 2}
    assert len(receiver.received) == 6


def test_it_sends_copies_with_headers_besides(bank: Caller, receiver: Receiver) -> None:
    sending = {"copies": 2, "headers": {"X-Forwarded-For": "192.0.2.1", "bcb-nonce": "mine"}}
    bank.control("/deposits", {"transactionId": "FT1", **sending})

    assert [request.headers["X-Forwarded-For"] for request in receiver.received] == ["192.0.2.1"] * 2
    assert [request.headers.get_all("Bcb-Nonce") for request in receiver.received] == [["mine"]] * 2


def test_it_reuses_a_nonce_with_a_different_body_each_time(bank: Caller, receiver: Receiver) -> None:
    deposit(bank)
    deposit(bank, variant="other-body")
    deposit(bank, variant="other-body", amount="7.00")

    assert len({request.headers["Bcb-Nonce"] for request in receiver.received}) == 1
    assert len({request.body for request in receiver.received}) == 3


def test_it_repeats_a_stale_delivery_but_no_forged_one(bank: Caller, receiver: Receiver) -> None:
    deposit(bank, "FT1", variant="stale")
    deposit(bank, "FT1", variant="forged")
    deposit(bank, "FT1", variant="again")

    stale, _, repeated = receiver.received
    assert repeated.headers["Bcb-Signature"] == stale.headers["Bcb-Signature"]


def test_a_callback_is_signed_as_the_options_say_while_it_runs(bank: Caller, receiver: Receiver) -> None:
    bank.change(signing_method="rsa")
    deposit(bank)

    assert receiver.received[0].headers["Bcb-Signature-Version"] == "rsa-v1"
