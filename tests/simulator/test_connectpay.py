import base64
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from simulator.callers import BankCaller, FakeClock, Receiver, Start, StartBank, until

from receiver.simulator.connectpay import Config, Simulator
from receiver.simulator.connectpay.bank import EXAMPLE_TOKEN, TYPES

KEY = "Q29ubmVjdFBheTpFYXN5QmFua2luZw=="
USERS = "/baas-sca/user-management/partner/users"
SIGN_OUT = "/baas-sca/user-management/client/users/logout"


class ConnectPay(BankCaller[Simulator]):
    """Calls one simulator as its partner, or as a user."""

    def partner(self, path: str, key: str | bytes = KEY) -> requests.Response:
        return self.request("GET", path, headers={"x-connectpay-api-key": key})

    def status(self, order: str) -> requests.Response:
        return self.partner(f"/ob/payments/{order}/status")


@pytest.fixture
def start(start_bank: StartBank) -> Start[ConnectPay]:
    def starter(*, sleep: Any = None, **options: Any) -> ConnectPay:
        return start_bank(ConnectPay, Simulator, Config(**options), sleep=sleep)

    return starter


@pytest.fixture
def bank(start: Start[ConnectPay]) -> ConnectPay:
    return start(requests_per_second=0)


@pytest.fixture
def subscribed(start: Start[ConnectPay], receiver: Receiver) -> ConnectPay:
    receiver.answer = b"OK"
    return start(callback_url=receiver.url, sleep=lambda _: False)


def test_the_example_key_is_that_of_the_documentation() -> None:
    config = Config()
    assert base64.b64encode(f"{config.client_key}:{config.client_secret}".encode()).decode() == KEY


@pytest.mark.parametrize(
    ("taken", "key", "status"),
    [
        ("either", KEY, 200),
        ("either", f"Basic {KEY}", 200),
        ("bare", f"Basic {KEY}", 401),
        ("basic", KEY, 401),
        ("basic", f"Basic {KEY}", 200),
        ("either", "Zm9yZ2VkOmtleQ==", 401),
        ("either", "é", 401),
        ("either", "", 401),
    ],
)
def test_a_partner_shows_its_key_bare_or_behind_basic(bank: ConnectPay, taken: str, key: str, status: int) -> None:
    bank.change(api_key=taken)

    assert bank.partner(USERS, key.encode()).status_code == status


def test_a_user_shows_a_token_and_an_address(bank: ConnectPay, clock: FakeClock) -> None:
    token = {"Authorization": f"Bearer {bank.control('/user-tokens')['token']}"}
    address = {"PSU-IP-Address": "192.0.2.7"}

    assert bank.request("POST", SIGN_OUT, headers=token).status_code == 400
    assert bank.request("POST", SIGN_OUT, headers=address).status_code == 401
    clock.advance(299)
    assert bank.request("POST", SIGN_OUT, headers=token | address).status_code == 200
    assert bank.request("POST", SIGN_OUT, headers=token | address).status_code == 401


def test_a_user_s_token_lives_five_minutes(bank: ConnectPay, clock: FakeClock) -> None:
    token = bank.control("/user-tokens")["token"]
    clock.advance(300)

    headers = {"Authorization": f"Bearer {token}", "PSU-IP-Address": "2001:db8::7"}
    assert bank.request("POST", SIGN_OUT, headers=headers).status_code == 401


def test_it_tells_a_payment_s_status_on_both_paths(bank: ConnectPay, clock: FakeClock) -> None:
    bank.control("/payments/PO1", method="PUT")
    assert bank.status("PO1").json() == {"transactionStatus": "RCVD"}
    clock.advance(1)
    assert bank.status("PO1").json() == {"transactionStatus": "PDNG"}
    clock.advance(1)
    path = Config().status_path.replace("{paymentOrderNo}", "PO1")
    assert bank.partner(path).json() == {"paymentOrderNo": "PO1", "paymentStatus": "ACSC"}


def test_the_path_of_the_sca_api_is_an_option(bank: ConnectPay) -> None:
    bank.control("/payments/PO1", method="PUT")
    bank.change(status_path="/baas-sca/elsewhere/{paymentOrderNo}")

    assert bank.partner("/baas-sca/elsewhere/PO1").json()["paymentStatus"] == "RCVD"
    assert bank.partner("/baas-sca/elsewhere/").status_code == 404


@pytest.mark.parametrize("script", [None, [["unknown", 5], ["ACSC"]]])
def test_a_payment_that_it_does_not_know_is_404(bank: ConnectPay, script: object) -> None:
    if script:
        bank.control("/payments/PO1", {"script": script}, "PUT")

    assert bank.status("PO1").status_code == 404


def test_it_answers_429_to_a_third_request_in_a_second(start: Start[ConnectPay], clock: FakeClock) -> None:
    bank = start()

    assert [bank.partner(USERS).status_code for _ in range(3)] == [200, 200, 429]
    clock.advance(1)
    assert bank.partner(USERS).status_code == 200


def test_each_change_of_status_is_told_with_the_token_and_a_time(
    subscribed: ConnectPay, receiver: Receiver, clock: FakeClock
) -> None:
    subscribed.control("/payments", {"amount": "12.30", "externalReference": "R1", "script": [["RCVD", 1], ["RJCT"]]})
    until(lambda: len(receiver.received) == 1)
    clock.advance(1)
    until(lambda: len(receiver.received) == 2)

    bodies = [json.loads(request.body) for request in receiver.received]
    assert [body["eventType"] for body in bodies] == ["OutgoingPayment.Created", "OutgoingPayment.Rejected"]
    assert {body["externalReference"] for body in bodies} == {"R1"}
    assert receiver.received[0].headers["x-connectpay-token"] == EXAMPLE_TOKEN
    assert len(EXAMPLE_TOKEN) == 36


@pytest.mark.parametrize(
    ("form", "time_told"),
    [("seconds", "1772452800"), ("milliseconds", "1772452800000"), ("iso", "2026-03-02T12:00:00.000Z")],
)
def test_the_time_comes_in_three_forms(subscribed: ConnectPay, receiver: Receiver, form: str, time_told: str) -> None:
    subscribed.change(timestamp=form)
    subscribed.control("/events")

    assert receiver.received[0].headers["x-connectpay-timestamp"] == time_told


@pytest.mark.parametrize("kind", [*TYPES, "Something.New"])
def test_every_type_of_event_can_be_sent(subscribed: ConnectPay, receiver: Receiver, kind: str) -> None:
    subscribed.control("/events", {"type": kind, "fields": {"accountId": "A1"}})

    assert json.loads(receiver.received[0].body) == {"eventType": kind, "accountId": "A1"}


def test_the_type_may_stand_elsewhere_in_other_letters_and_the_ids_deeper(
    subscribed: ConnectPay, receiver: Receiver
) -> None:
    subscribed.change(type_field="type", casing="upper", envelope="data")
    subscribed.control("/payments/PO1", method="PUT")
    subscribed.control("/events", {"paymentOrderNo": "PO1"})

    body = json.loads(receiver.received[0].body)
    assert (body["type"], body["data"]["paymentOrderNo"]) == ("OUTGOINGPAYMENT.COMPLETED", "PO1")


@pytest.mark.parametrize(
    ("status", "answer", "content"),
    [(200, b"OK", True), (200, b"OK\n", False), (200, b'{"status":"OK"}', False), (201, b"OK", False)],
)
def test_it_is_content_with_exactly_200_ok(
    subscribed: ConnectPay, receiver: Receiver, status: int, answer: bytes, content: bool
) -> None:
    receiver.statuses.append(status)
    receiver.answer = answer

    (delivery,) = subscribed.control("/events", {"delays": []})["deliveries"]

    assert delivery["accepted"] is content


def test_it_tries_again_by_its_schedule_with_the_same_headers(start: Start[ConnectPay], receiver: Receiver) -> None:
    waits = []
    bank = start(callback_url=receiver.url, speed=5, sleep=lambda seconds: waits.append(seconds))

    bank.control("/events")

    assert waits == [1, 1, 6, 60, 720, 17280]
    assert len({request.headers["x-connectpay-timestamp"] for request in receiver.received}) == 1


def test_after_100_failed_callbacks_the_service_is_off_until_it_is_switched_on(
    subscribed: ConnectPay, receiver: Receiver
) -> None:
    receiver.answer = b"no"
    subscribed.change(retry_delays=[])
    assert subscribed.control("/events", {"copies": 99})["active"] is True
    assert subscribed.control("/events")["active"] is False
    receiver.answer = b"OK"

    assert subscribed.control("/events") == {"deliveries": [], "active": False, "failed": 100, "missed": 101}
    subscribed.control("/subscription", {"active": True}, "PUT")
    assert subscribed.control("/events")["deliveries"][0]["accepted"] is True
    assert len(receiver.received) == 101


def test_an_answer_that_comes_too_late_is_a_failure(start: Start[ConnectPay], receiver: Receiver) -> None:
    bank = start(callback_url=receiver.url, callback_timeout_seconds=0.05)
    receiver.pause = 0.2

    (delivery,) = bank.control("/events", {"delays": []})["deliveries"]

    assert (delivery["accepted"], delivery["status"]) == (False, None)
    assert "Timeout" in delivery["tries"][0]["error"]
    time.sleep(0.2)


@pytest.mark.parametrize(
    ("variant", "missing"), [("no-token", "x-connectpay-token"), ("no-timestamp", "x-connectpay-timestamp")]
)
def test_a_header_can_be_left_out(subscribed: ConnectPay, receiver: Receiver, variant: str, missing: str) -> None:
    subscribed.control("/events", {"variant": variant})

    assert missing not in receiver.received[0].headers


def test_a_forged_callback_shows_another_token(subscribed: ConnectPay, receiver: Receiver) -> None:
    subscribed.control("/events", {"variant": "forged"})

    assert receiver.received[0].headers["x-connectpay-token"] != EXAMPLE_TOKEN


def test_it_repeats_the_last_genuine_callback(subscribed: ConnectPay, receiver: Receiver, clock: FakeClock) -> None:
    subscribed.control("/events", {"type": "One.Thing"})
    clock.advance(60)
    subscribed.control("/events", {"variant": "again"})

    first, repeated = receiver.received
    assert (repeated.body, repeated.headers["x-connectpay-timestamp"]) == (
        first.body,
        first.headers["x-connectpay-timestamp"],
    )


def test_headers_can_be_added_such_as_a_forged_address(subscribed: ConnectPay, receiver: Receiver) -> None:
    subscribed.control("/events", {"headers": {"X-Forwarded-For": "52.31.71.221"}})

    assert receiver.received[0].headers["X-Forwarded-For"] == "52.31.71.221"


def test_a_rotated_token_is_shown_from_then_on(subscribed: ConnectPay, receiver: Receiver) -> None:
    subscribed.change(token="f" * 36)
    subscribed.control("/events")

    assert receiver.received[0].headers["x-connectpay-token"] == "f" * 36


NAMES = ["amount", "currency", "direction", "script", "tell", "type", "paymentOrderNo", "fields", "variant", "delays"]
NAMES += ["copies", "headers", "active", "status_path", "timestamp", "token"]
JSON = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.lists(st.text(), max_size=2)
ROUTES = [("POST", "/payments"), ("PUT", "/payments/P1"), ("POST", "/events"), ("PUT", "/subscription")]
ROUTES += [("PATCH", "/options"), ("POST", "/user-tokens")]


@pytest.fixture(scope="module")
def client() -> Iterator[FlaskClient]:
    simulator = Simulator(sleep=lambda _: True)
    yield simulator.app.test_client()
    simulator.stop()


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(route=st.sampled_from(ROUTES), body=st.dictionaries(st.sampled_from(NAMES), JSON, max_size=4))
def test_no_control_input_gets_a_500(client: FlaskClient, route: tuple[str, str], body: Any) -> None:
    method, path = route

    assert client.open(f"/_simulator{path}", method=method, data=json.dumps(body)).status_code in (200, 202, 400)
