"""Signatures are checked here with the standard library and `cryptography` alone, not with what made them."""

import base64
import gzip
import hashlib
import hmac
import json
import zlib
from datetime import UTC, datetime

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from receiver.simulator import HmacSigner, RsaSigner, Sender, SendOptions, Stamp
from receiver.simulator.courier import Courier

SECRET = "HtYp2oJm5DwQ1xL8bSeRgUkN4vZc3PhYtLwSxV2N9Cs="
BODY = b'{"topic":"Deposits","transactionId":"FT2384654NXF6"}'
KEY = base64.b64decode(SECRET)


def signed_text(received, body=None, path=None):
    head = received.headers["Bcb-Timestamp"] + received.headers["Bcb-Nonce"] + "POST" + (path or "/webhooks/bcb")
    return head.encode() + (received.body if body is None else body)


def code(key, text):
    return base64.b64encode(hmac.new(key, text, hashlib.sha256).digest()).decode()


@pytest.fixture
def waits():
    return []


@pytest.fixture
def make(receiver, clock, waits):
    """Makes senders whose waits between tries move the clock and take no time."""

    def sleep(seconds):
        waits.append(seconds)
        clock.advance(seconds)

    def maker(signer=None, url=None, **more):
        return Sender(url or receiver.url, signer or HmacSigner(SECRET), courier=Courier(clock, sleep), **more)

    return maker


def test_it_signs_with_the_bytes_of_the_secret(make, receiver, clock):
    delivery = make().send(BODY)

    [received] = receiver.received
    assert received.headers["Bcb-Signature"] == code(KEY, signed_text(received))
    assert received.headers["Bcb-Timestamp"] == str(int(clock().timestamp()))
    assert "Bcb-Signature-Version" not in received.headers
    assert received.body == BODY
    assert (delivery.accepted, delivery.status, delivery.answer) == (True, 200, b'{"status":"seen"}')


def test_it_signs_with_the_text_of_the_secret(make, receiver):
    make(HmacSigner(SECRET, "utf8")).send(BODY)

    [received] = receiver.received
    assert received.headers["Bcb-Signature"] == code(SECRET.encode(), signed_text(received))


def test_it_signs_with_rsa_pss(make, receiver):
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    make(RsaSigner(key)).send(BODY)

    [received] = receiver.received
    assert received.headers["Bcb-Signature-Version"] == "rsa-v1"
    key.public_key().verify(
        base64.b64decode(received.headers["Bcb-Signature"], validate=True),
        signed_text(received),
        padding.PSS(padding.MGF1(SHA256()), 32),
        SHA256(),
    )


def test_it_signs_the_path_without_the_query_string(make, receiver):
    make(url=f"{receiver.url}/deposits?tenant=1").send(BODY)

    [received] = receiver.received
    assert received.path == "/webhooks/bcb/deposits?tenant=1"
    assert received.headers["Bcb-Signature"] == code(KEY, signed_text(received, path="/webhooks/bcb/deposits"))


def test_it_signs_another_path_where_a_proxy_rewrites_it(make, receiver):
    make(signed_path="/public/webhooks/bcb").send(BODY)

    [received] = receiver.received
    assert received.headers["Bcb-Signature"] == code(KEY, signed_text(received, path="/public/webhooks/bcb"))


@pytest.mark.parametrize(("encoding", "unpack"), [("gzip", gzip.decompress), ("deflate", zlib.decompress)])
def test_it_signs_the_body_before_it_packs_it(make, receiver, encoding, unpack):
    make().send(BODY, options=SendOptions(content_encoding=encoding))

    [received] = receiver.received
    assert received.headers["Content-Encoding"] == encoding
    assert unpack(received.body) == BODY
    assert received.headers["Bcb-Signature"] == code(KEY, signed_text(received, BODY))


def test_it_signs_an_empty_body(make, receiver):
    make().send(b"")

    [received] = receiver.received
    assert received.headers["Bcb-Signature"] == code(KEY, signed_text(received, b""))


def test_it_tries_again_until_it_is_answered_2xx(make, receiver, waits):
    receiver.statuses = [500, 302, None, 404, 204]
    delivery = make().send(BODY)

    assert [attempt.status for attempt in delivery.attempts] == [500, 302, None, 404, 204]
    assert delivery.attempts[2].error
    assert waits == [1, 2, 5, 10]
    assert {received.body for received in receiver.received} == {BODY}
    assert len({received.port for received in receiver.received}) == 5
    assert len({received.headers["Bcb-Nonce"] for received in receiver.received}) == 1


def test_it_gives_up_after_the_last_delay(make, receiver, waits):
    receiver.statuses = [503] * 9
    delivery = make().send(BODY)

    assert waits == [1, 2, 5, 10, 30]
    assert (len(delivery.attempts), delivery.accepted, delivery.status) == (6, False, 503)


def test_it_gives_each_try_a_nonce_and_a_time_of_its_own_when_told_to(make, receiver):
    receiver.statuses = [500]
    make(options=SendOptions(fresh_each_try=True)).send(BODY)

    first, second = receiver.received
    assert first.headers["Bcb-Nonce"] != second.headers["Bcb-Nonce"]
    assert int(second.headers["Bcb-Timestamp"]) - int(first.headers["Bcb-Timestamp"]) == 1
    assert first.body == second.body
    assert second.headers["Bcb-Signature"] == code(KEY, signed_text(second))


def test_it_tells_of_an_address_where_nobody_listens(make):
    delivery = make(url="http://127.0.0.1:1/").send(BODY, options=SendOptions(delays=(1,)))

    assert [attempt.status for attempt in delivery.attempts] == [None, None]
    assert "ConnectionError" in delivery.attempts[1].error


def test_it_stops_trying_when_it_is_told_to_stop(receiver):
    receiver.statuses = [500] * 6
    sender = Sender(
        receiver.url, HmacSigner(SECRET), courier=Courier(lambda: datetime(2026, 3, 2, tzinfo=UTC), lambda _: True)
    )

    assert len(sender.send(BODY).attempts) == 1


def test_it_forges_a_signature_that_looks_right(make, receiver):
    receiver.statuses = [401]
    delivery = make().send_forged(BODY)

    [received] = receiver.received
    assert len(base64.b64decode(received.headers["Bcb-Signature"], validate=True)) == 32
    assert received.headers["Bcb-Signature"] != code(KEY, signed_text(received))
    assert len(delivery.attempts) == 1


def test_it_forges_an_rsa_signature_too(make, receiver):
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    make(RsaSigner(key, "rsa-v2")).send_forged(BODY)

    [received] = receiver.received
    assert received.headers["Bcb-Signature-Version"] == "rsa-v2"
    with pytest.raises(InvalidSignature):
        key.public_key().verify(
            base64.b64decode(received.headers["Bcb-Signature"]),
            signed_text(received),
            padding.PSS(padding.MGF1(SHA256()), 32),
            SHA256(),
        )


def test_it_sends_a_stale_timestamp_rightly_signed(make, receiver, clock):
    make().send_stale(BODY, age_seconds=301)

    [received] = receiver.received
    assert int(received.headers["Bcb-Timestamp"]) == int(clock().timestamp()) - 301
    assert received.headers["Bcb-Signature"] == code(KEY, signed_text(received))


def test_it_sends_exactly_the_same_again(make, receiver, clock):
    sender = make(options=SendOptions(content_encoding="gzip", custom_headers={"X-Tenant": "blue"}))
    first = sender.send(BODY)
    clock.advance(100)
    sender.send_again(first)

    one, two = receiver.received
    assert one.body == two.body
    assert sorted(one.headers.items()) == sorted(two.headers.items())


def test_it_reuses_a_nonce_with_another_body(make, receiver, clock):
    sender = make()
    first = sender.send(BODY)
    clock.advance(100)
    sender.send_reusing_nonce(first, b'{"other":true}')

    one, two = receiver.received
    assert one.headers["Bcb-Nonce"] == two.headers["Bcb-Nonce"]
    assert one.headers["Bcb-Timestamp"] == two.headers["Bcb-Timestamp"]
    assert two.headers["Bcb-Signature"] == code(KEY, signed_text(two, b'{"other":true}'))


def test_it_sends_without_any_signature(make, receiver):
    make().send_unsigned(BODY)

    assert not [name for name in receiver.received[0].headers if name.lower().startswith("bcb-")]


def test_it_sends_any_stamp_that_it_is_given(make, receiver):
    make().send(BODY, stamp=Stamp("1700000000123", "not-a-guid"))

    [received] = receiver.received
    assert (received.headers["Bcb-Timestamp"], received.headers["Bcb-Nonce"]) == ("1700000000123", "not-a-guid")
    assert received.headers["Bcb-Signature"] == code(KEY, signed_text(received))


def test_it_works_without_any_setting(receiver):
    assert json.loads(Sender(receiver.url, HmacSigner(SECRET)).send(BODY).answer) == {"status": "seen"}
