"""BCB's callbacks. Signatures are checked here with the standard library and `cryptography` alone.

Not, that is, with what made them.
"""

import base64
import gzip
import hashlib
import hmac
import json
import zlib
from collections.abc import Callable
from typing import Any, Protocol

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.hashes import SHA256
from simulator.callers import Caller, FakeClock, Received, Receiver, Start

from receiver.simulator.bcb.callbacks import SignedMessage, Stamp
from receiver.simulator.outbox import Delivery, Sending

SECRET = "HtYp2oJm5DwQ1xL8bSeRgUkN4vZc3PhYtLwSxV2N9Cs="
BODY = '{"topic":"Deposits","transactionId":"FT2384654NXF6"}'
KEY = base64.b64decode(SECRET)


def signed_text(received: Received, body: bytes | None = None, path: str | None = None) -> bytes:
    head = received.headers["Bcb-Timestamp"] + received.headers["Bcb-Nonce"] + "POST" + (path or "/webhooks/bcb")
    return head.encode() + (received.body if body is None else body)


def code(key: bytes, text: bytes) -> str:
    return base64.b64encode(hmac.new(key, text, hashlib.sha256).digest()).decode()


class Send(Protocol):
    """Sends one callback about FT1."""

    def __call__(
        self, text: str = BODY, variant: str = "genuine", url: str | None = None, **signed: Any
    ) -> Delivery: ...


def sends(bank: Caller) -> Send:
    def send(text: str = BODY, variant: str = "genuine", url: str | None = None, **signed: Any) -> Delivery:
        (delivery,) = bank.simulator.outbox.send(SignedMessage("FT1", text, **signed), Sending(variant, url))
        return delivery

    return send


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def sleep(waits: list[float], clock: FakeClock) -> Callable[[float], None]:
    """Waits between tries move the clock and take no time."""

    def wait(seconds: float) -> None:
        waits.append(seconds)
        clock.advance(seconds)

    return wait


@pytest.fixture
def bank(start: Start[Caller], receiver: Receiver, sleep: Callable[[float], None]) -> Caller:
    return start(callback_url=receiver.url, sleep=sleep)


@pytest.fixture
def send(bank: Caller) -> Send:
    return sends(bank)


def test_it_signs_with_the_bytes_of_the_secret(send: Send, receiver: Receiver, clock: FakeClock) -> None:
    delivery = send()

    [received] = receiver.received
    assert received.headers["Bcb-Signature"] == code(KEY, signed_text(received))
    assert received.headers["Bcb-Timestamp"] == str(int(clock().timestamp()))
    assert "Bcb-Signature-Version" not in received.headers
    assert received.body == BODY.encode()
    assert (delivery.accepted, delivery.status, delivery.answer) == (True, 200, b'{"status":"seen"}')


def test_it_signs_with_the_text_of_the_secret(start: Start[Caller], receiver: Receiver) -> None:
    sends(start(callback_url=receiver.url, secret_encoding="utf8"))()

    [received] = receiver.received
    assert received.headers["Bcb-Signature"] == code(SECRET.encode(), signed_text(received))


def verify(bank: Caller, received: Received) -> None:
    bank.simulator.bank.keys.current().private_key.public_key().verify(
        base64.b64decode(received.headers["Bcb-Signature"], validate=True),
        signed_text(received),
        padding.PSS(padding.MGF1(SHA256()), 32),
        SHA256(),
    )


def test_it_signs_with_rsa_pss(bank: Caller, send: Send, receiver: Receiver) -> None:
    send(method="rsa")

    [received] = receiver.received
    assert received.headers["Bcb-Signature-Version"] == "rsa-v1"
    verify(bank, received)


def test_it_signs_the_path_without_the_query_string(send: Send, receiver: Receiver) -> None:
    send(url=f"{receiver.url}/deposits?tenant=1")

    [received] = receiver.received
    assert received.path == "/webhooks/bcb/deposits?tenant=1"
    assert received.headers["Bcb-Signature"] == code(KEY, signed_text(received, path="/webhooks/bcb/deposits"))


def test_it_signs_another_path_where_a_proxy_rewrites_it(send: Send, receiver: Receiver) -> None:
    send(signed_path="/public/webhooks/bcb")

    [received] = receiver.received
    assert received.headers["Bcb-Signature"] == code(KEY, signed_text(received, path="/public/webhooks/bcb"))


@pytest.mark.parametrize(("encoding", "unpack"), [("gzip", gzip.decompress), ("deflate", zlib.decompress)])
def test_it_signs_the_body_before_it_packs_it(
    send: Send, receiver: Receiver, encoding: str, unpack: Callable[[bytes], bytes]
) -> None:
    send(content_encoding=encoding)

    [received] = receiver.received
    assert received.headers["Content-Encoding"] == encoding
    assert unpack(received.body) == BODY.encode()
    assert received.headers["Bcb-Signature"] == code(KEY, signed_text(received, BODY.encode()))


def test_it_signs_an_empty_body(send: Send, receiver: Receiver) -> None:
    send("")

    [received] = receiver.received
    assert received.headers["Bcb-Signature"] == code(KEY, signed_text(received, b""))


def test_it_tries_again_until_it_is_answered_2xx(send: Send, receiver: Receiver, waits: list[float]) -> None:
    receiver.statuses = [500, 302, None, 404, 204]
    delivery = send()

    assert [attempt.status for attempt in delivery.attempts] == [500, 302, None, 404, 204]
    assert delivery.attempts[2].error
    assert waits == [1, 2, 5, 10]
    assert {received.body for received in receiver.received} == {BODY.encode()}
    assert len({received.port for received in receiver.received}) == 5
    assert len({received.headers["Bcb-Nonce"] for received in receiver.received}) == 1


def test_it_gives_up_after_the_last_delay(send: Send, receiver: Receiver, waits: list[float]) -> None:
    receiver.statuses = [503] * 9
    delivery = send()

    assert waits == [1, 2, 5, 10, 30]
    assert (len(delivery.attempts), delivery.accepted, delivery.status) == (6, False, 503)


@pytest.mark.parametrize(("option", "message"), [(True, None), (False, True)])
def test_it_gives_each_try_a_nonce_and_a_time_of_its_own_where_that_is_asked(
    start: Start[Caller], receiver: Receiver, sleep: Callable[[float], None], option: bool, message: bool | None
) -> None:
    receiver.statuses = [500]
    sends(start(callback_url=receiver.url, fresh_each_try=option, sleep=sleep))(fresh_each_try=message)

    first, second = receiver.received
    assert first.headers["Bcb-Nonce"] != second.headers["Bcb-Nonce"]
    assert int(second.headers["Bcb-Timestamp"]) - int(first.headers["Bcb-Timestamp"]) == 1
    assert first.body == second.body
    assert second.headers["Bcb-Signature"] == code(KEY, signed_text(second))


def test_it_says_that_nobody_listens_at_an_address(bank: Caller, send: Send) -> None:
    bank.change(retry_delays=[1])
    delivery = send(url="http://127.0.0.1:1/")

    assert [attempt.status for attempt in delivery.attempts] == [None, None]
    assert "ConnectionError" in (delivery.attempts[1].error or "")


def test_it_stops_trying_when_it_is_stopped(start: Start[Caller], receiver: Receiver) -> None:
    receiver.statuses = [500] * 6
    bank = start(callback_url=receiver.url, sleep=lambda _: True)

    assert len(sends(bank)().attempts) == 1


def test_it_forges_a_signature_that_looks_right(send: Send, receiver: Receiver) -> None:
    receiver.statuses = [401]
    delivery = send(variant="forged")

    [received] = receiver.received
    assert len(base64.b64decode(received.headers["Bcb-Signature"], validate=True)) == 32
    assert received.headers["Bcb-Signature"] != code(KEY, signed_text(received))
    assert len(delivery.attempts) == 1


def test_it_forges_an_rsa_signature_too(bank: Caller, send: Send, receiver: Receiver) -> None:
    bank.simulator.bank.keys.rotate()
    send(variant="forged", method="rsa")

    [received] = receiver.received
    assert received.headers["Bcb-Signature-Version"] == "rsa-v2"
    with pytest.raises(InvalidSignature):
        verify(bank, received)


def test_it_sends_a_stale_timestamp_rightly_signed(send: Send, receiver: Receiver, clock: FakeClock) -> None:
    send(variant="stale", age_seconds=301)

    [received] = receiver.received
    assert int(received.headers["Bcb-Timestamp"]) == int(clock().timestamp()) - 301
    assert received.headers["Bcb-Signature"] == code(KEY, signed_text(received))


def test_it_sends_exactly_the_same_again(send: Send, receiver: Receiver, clock: FakeClock) -> None:
    send(content_encoding="gzip", custom_headers={"X-Tenant": "blue"})
    clock.advance(100)
    send(variant="again")

    one, two = receiver.received
    assert one.body == two.body
    assert sorted(one.headers.items()) == sorted(two.headers.items())


@pytest.mark.parametrize("method", ["hmac", "rsa"])
def test_it_reuses_a_nonce_with_another_body(
    bank: Caller, send: Send, receiver: Receiver, clock: FakeClock, method: str
) -> None:
    send(method=method)
    clock.advance(100)
    send('{"other":true}', variant="other-body")

    one, two = receiver.received
    assert one.headers["Bcb-Nonce"] == two.headers["Bcb-Nonce"]
    assert one.headers["Bcb-Timestamp"] == two.headers["Bcb-Timestamp"]
    if method == "rsa":
        verify(bank, two)
    else:
        assert two.headers["Bcb-Signature"] == code(KEY, signed_text(two, b'{"other":true}'))


def test_it_sends_without_any_signature(send: Send, receiver: Receiver) -> None:
    send(variant="unsigned")

    assert not [name for name in receiver.received[0].headers if name.lower().startswith("bcb-")]


def test_it_sends_any_stamp_that_it_is_given(send: Send, receiver: Receiver) -> None:
    send(stamp=Stamp("1700000000123", "not-a-guid"))

    [received] = receiver.received
    assert (received.headers["Bcb-Timestamp"], received.headers["Bcb-Nonce"]) == ("1700000000123", "not-a-guid")
    assert received.headers["Bcb-Signature"] == code(KEY, signed_text(received))


def test_it_works_without_any_setting(caller: Caller, receiver: Receiver) -> None:
    assert json.loads(sends(caller)(url=receiver.url).answer) == {"status": "seen"}
