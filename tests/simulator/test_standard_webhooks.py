import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from simulator.callers import BankCaller, FakeClock, Received, Receiver, Start, StartBank

from receiver.simulator.standard_webhooks import Config, Simulator
from receiver.simulator.standard_webhooks.bank import EXAMPLE_SECRET, content, secret_bytes, v1

OTHER_SECRET = "whsec_" + base64.b64encode(bytes(range(24))).decode()


@pytest.fixture
def start(start_bank: StartBank) -> Start[BankCaller[Simulator]]:
    def starter(*, sleep: Any = None, **options: Any) -> BankCaller[Simulator]:
        return start_bank(BankCaller[Simulator], Simulator, Config(**options), sleep=sleep)

    return starter


@pytest.fixture
def sender(start: Start[BankCaller[Simulator]], receiver: Receiver) -> BankCaller[Simulator]:
    return start(callback_url=receiver.url, sleep=lambda _: False)


def signed(request: Received) -> tuple[bytes, list[str]]:
    """What the signatures of a received message are over, and the signatures."""
    headers = request.headers
    text = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + request.body
    return text, headers["webhook-signature"].split(" ")


def test_it_signs_as_the_public_vector_has_it() -> None:
    text = content("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", b'{"test": 2432232314}')

    made = v1(secret_bytes(EXAMPLE_SECRET), text)
    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_message_has_an_id_a_time_and_one_signature(sender: BankCaller[Simulator], receiver: Receiver) -> None:
    sender.control("/messages", {"type": "invoice.paid", "data": {"amount": "1.00"}})

    (request,) = receiver.received
    text, made = signed(request)
    assert made == [v1(secret_bytes(EXAMPLE_SECRET), text)]
    assert request.headers["webhook-timestamp"] == "1772452800"
    body = json.loads(request.body)
    assert body == {"type": "invoice.paid", "timestamp": "2026-03-02T12:00:00.000000Z", "data": {"amount": "1.00"}}


def test_while_secrets_are_rotated_both_sign(sender: BankCaller[Simulator], receiver: Receiver) -> None:
    sender.change(secret=OTHER_SECRET, previous_secret=EXAMPLE_SECRET)
    sender.control("/messages")

    text, made = signed(receiver.received[0])
    assert made == [v1(secret_bytes(secret), text) for secret in (OTHER_SECRET, EXAMPLE_SECRET)]


def test_it_signs_with_a_private_key_too(sender: BankCaller[Simulator], receiver: Receiver) -> None:
    sender.change(signatures="both")
    sender.control("/messages")

    text, (shared, asymmetric) = signed(receiver.received[0])
    public = sender.control("/keys", method="GET")["public_key"]
    assert (shared[:3], asymmetric[:4], public[:5]) == ("v1,", "v1a,", "whpk_")
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public[5:]))
    key.verify(base64.b64decode(asymmetric[4:]), text)
    with pytest.raises(InvalidSignature):
        key.verify(base64.b64decode(asymmetric[4:]), text + b" ")


def test_a_private_key_can_be_given(sender: BankCaller[Simulator]) -> None:
    sender.change(private_key="whsk_" + base64.b64encode(bytes(32)).decode())

    # The public half of the key of 32 zero bytes, as OpenSSL has it.
    assert sender.control("/keys", method="GET")["public_key"] == "whpk_O2onvM62pC1io6jQKm8Nc2UyFXcd4kOmOsBIoYtZ2ik="


@pytest.mark.parametrize(("variant", "seconds"), [("stale", -3600), ("future", 3600)])
def test_a_message_can_be_rightly_signed_at_another_time(
    sender: BankCaller[Simulator], receiver: Receiver, variant: str, seconds: float
) -> None:
    sender.control("/messages", {"variant": variant})

    text, made = signed(receiver.received[0])
    assert receiver.received[0].headers["webhook-timestamp"] == str(1772452800 + seconds)
    assert made == [v1(secret_bytes(EXAMPLE_SECRET), text)]


@pytest.mark.parametrize("variant", ["forged", "altered"])
def test_a_message_can_be_wrongly_signed(sender: BankCaller[Simulator], receiver: Receiver, variant: str) -> None:
    sender.control("/messages", {"variant": variant})

    text, made = signed(receiver.received[0])
    assert made != [v1(secret_bytes(EXAMPLE_SECRET), text)]


def test_a_message_can_be_unsigned_or_have_any_header_spoilt(sender: BankCaller[Simulator], receiver: Receiver) -> None:
    sender.control("/messages", {"variant": "unsigned"})
    sender.control("/messages", {"headers": {"webhook-signature": "v1,"}})

    assert "webhook-id" not in receiver.received[0].headers
    assert receiver.received[1].headers.get_all("webhook-signature") == ["v1,"]


def test_each_try_has_the_same_id_and_a_time_of_its_own(
    start: Start[BankCaller[Simulator]], receiver: Receiver, clock: FakeClock
) -> None:
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        clock.advance(seconds)

    sender = start(callback_url=receiver.url, sleep=sleep)
    receiver.statuses += [500, 503, 200]

    sender.control("/messages")

    headers = [request.headers for request in receiver.received]
    assert waits == [5, 300]
    assert len({header["webhook-id"] for header in headers}) == 1
    assert [header["webhook-timestamp"] for header in headers] == ["1772452800", "1772452805", "1772453105"]


def test_an_endpoint_that_is_gone_gets_nothing_more(sender: BankCaller[Simulator], receiver: Receiver) -> None:
    receiver.statuses.append(410)

    assert sender.control("/messages")["active"] is False
    assert sender.control("/messages")["deliveries"] == []
    assert len(receiver.received) == 1


def test_a_body_can_be_sent_as_it_is_and_again(sender: BankCaller[Simulator], receiver: Receiver) -> None:
    sender.control("/messages", {"body": "no JSON ü", "id": "msg_1"})
    sender.control("/messages", {"variant": "again"})

    assert [request.body for request in receiver.received] == ["no JSON ü".encode()] * 2
    assert [request.headers["webhook-id"] for request in receiver.received] == ["msg_1"] * 2


def test_the_headers_may_be_called_svix(sender: BankCaller[Simulator], receiver: Receiver) -> None:
    sender.change(headers="svix")
    sender.control("/messages")

    assert "svix-signature" in receiver.received[0].headers


@pytest.mark.parametrize("option", [{"secret": "whsec_%"}, {"private_key": "whsk_AAAA"}, {"signatures": "v2"}])
def test_it_refuses_keys_that_are_none(sender: BankCaller[Simulator], option: dict[str, str]) -> None:
    sender.control("/options", option, "PATCH", status=400)


NAMES = ["type", "data", "id", "body", "variant", "headers", "delays", "copies", "secret", "private_key", "active"]
JSON = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.lists(st.text(), max_size=2)
ROUTES = [("POST", "/messages"), ("PUT", "/subscription"), ("PATCH", "/options")]


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
