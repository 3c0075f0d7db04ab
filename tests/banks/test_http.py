"""Calling a bank's API: an answer or one of the bank errors comes out, in time and without secrets."""

import gzip
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from requests import Response
from tiny_bank import TinyBank, answer, gives, serving

from receiver.banks import http
from receiver.banks.errors import (
    AnswerUnreadable,
    BankError,
    Conflict,
    Forbidden,
    NotKnown,
    RateLimited,
    RefusedForNow,
    RequestRefused,
    ServerFailed,
    TokenRefused,
    Unreachable,
)
from receiver.banks.http import ANSWER_BYTES_MAX, WAIT_DEFAULT, WAIT_MAX, HttpClient

NOW = datetime(2026, 3, 4, 12, 0, 0, tzinfo=UTC)
TOKEN = "eyJhbGciOiJub25lIn0.secret-token"
SECRET = "very-secret-client-secret"
READ_SECONDS = 0.5
"""Of a caller that is to give up; all others wait for as long as a busy machine takes."""


@pytest.fixture
def bank() -> Iterator[TinyBank]:
    with serving() as server:
        yield server


@pytest.fixture
def api(bank: TinyBank) -> Iterator[HttpClient]:
    made = HttpClient(bank.url + "/", clock=lambda: NOW, token=TOKEN, read_seconds=60)
    yield made
    made.close()


@pytest.fixture
def hasty(bank: TinyBank) -> Iterator[HttpClient]:
    made = HttpClient(bank.url + "/", clock=lambda: NOW, token=TOKEN, read_seconds=READ_SECONDS)
    yield made
    made.close()


# What goes out


def test_a_get_carries_the_token_and_asks_for_json(bank: TinyBank, api: HttpClient) -> None:
    assert api.get("/v1/accounts") == {}
    ((method, path, headers, body),) = bank.asked
    assert (method, path, body) == ("GET", "/v1/accounts", b"")
    assert (headers["Authorization"], headers["Accept"]) == (f"Bearer {TOKEN}", "application/json")


def test_a_post_carries_its_body_as_json(bank: TinyBank, api: HttpClient) -> None:
    api.post("/auth/token", {"clientId": "é"})
    ((method, _, headers, body),) = bank.asked
    assert (method, headers["Content-Type"], json.loads(body)) == ("POST", "application/json", {"clientId": "é"})


def test_without_a_token_no_authorisation_is_sent(bank: TinyBank) -> None:
    tokenless = HttpClient(bank.url, clock=lambda: NOW)
    tokenless.get("/")
    tokenless.close()
    assert "Authorization" not in bank.asked[0][2]


def test_a_spent_budget_keeps_the_request_back(bank: TinyBank) -> None:
    def refuse() -> None:
        raise RateLimited("budget spent", timedelta(seconds=5))

    frugal = HttpClient(bank.url, clock=lambda: NOW, before_request=refuse)
    with pytest.raises(RateLimited, match="budget spent"):
        frugal.get("/")
    frugal.close()
    assert bank.asked == []


@pytest.mark.parametrize("token", ["a\nb", "a\r\nX: y", "é\u20ac", "\0"])
def test_a_token_that_no_header_can_hold_is_a_bank_error_without_it(bank: TinyBank, token: str) -> None:
    broken = HttpClient(bank.url, clock=lambda: NOW, token=token)
    with suppress(BankError):
        broken.get("/")
    broken.close()


# Answers


@pytest.mark.parametrize("status", [200, 201, 202])
def test_a_good_answer_is_parsed(bank: TinyBank, api: HttpClient, status: int) -> None:
    gives(bank, status, {"status": "Completed", "amount": 1.10})
    assert api.get("/")["status"] == "Completed"


def test_a_packed_answer_is_unpacked(bank: TinyBank, api: HttpClient) -> None:
    gives(bank, 200, gzip.compress(b'{"a":1}'), Content_Encoding="gzip")
    assert api.get("/") == {"a": 1}


def test_a_chunked_answer_is_put_together(bank: TinyBank, api: HttpClient) -> None:
    bank.answer = lambda handler: raw(handler, CHUNKED_HEAD + b'4\r\n{"a"\r\n3\r\n:1}\r\n0\r\n\r\n')
    assert api.get("/") == {"a": 1}


def test_a_connection_is_used_again(bank: TinyBank, api: HttpClient) -> None:
    peers = set()

    def note_the_peer(handler: BaseHTTPRequestHandler) -> None:
        peers.add(handler.client_address)
        answer(handler, 200, b"{}")

    bank.answer = note_the_peer
    for _ in range(3):
        api.get("/")
    assert len(peers) == 1


@pytest.mark.parametrize(
    "body", [b"", b"<html>Welcome</html>", b'{"a":', b"\xff\xfe", b'{"a":NaN}', b"[" * 100_000, b"1" * 5000]
)
def test_a_good_answer_that_is_not_json_is_unreadable(bank: TinyBank, api: HttpClient, body: bytes) -> None:
    gives(bank, 200, body)
    with pytest.raises(AnswerUnreadable):
        api.get("/")


def test_an_answer_without_content_is_unreadable(bank: TinyBank, api: HttpClient) -> None:
    gives(bank, 204, b"")
    with pytest.raises(AnswerUnreadable):
        api.get("/")


# Errors

KINDS: list[tuple[int, type[BankError]]] = [
    (400, RequestRefused),
    (401, TokenRefused),
    (403, Forbidden),
    (404, NotKnown),
    (408, RefusedForNow),
    (409, Conflict),
    (425, RefusedForNow),
    (429, RateLimited),
    (500, ServerFailed),
    (503, ServerFailed),
    (599, ServerFailed),
]
SHAPES: dict[str, tuple[bytes, str]] = {
    "an object with both": (b'{"error":"bad","message":"Not so"}', "bad: Not so"),
    "an object with an error alone": (b'{"error":"bad"}', "bad"),
    "a bare string": (b'"Not so"', "Not so"),
    "nothing": (b"", ""),
    "HTML": (b"<html><h1>Not so</h1></html>", ""),
    "another object": (b'{"error":{"code":7},"message":null}', ""),
    "a list": (b'["Not so"]', "Not so"),
    "a code with its text": (b'{"errorCode":"E7","errorMessage":"Not so"}', "E7: Not so"),
    "a list of codes with their texts": (b'[{"errorCode":"A1","errorText":"Not so"}]', "A1: Not so"),
    "problem details": (b'{"type":"about:blank","title":"Bad","status":400,"detail":"Not so"}', "Bad: Not so"),
    "errors by field": (b'{"title":"Bad","status":400,"errors":{"Page":["too low","no"]}}', "Bad: Page too low, no"),
    "errors with keys": (b'{"errors":[{"httpStatus":400,"errorCode":"E1","keyOrMessage":"k"}]}', "E1: k"),
    "errors with properties": (
        b'{"errors":[{"propertyName":"Iban","errorCode":"E2","errorDescription":"Not so"},7]}',
        "E2: Iban: Not so",
    ),
    "errors that are none": (b'{"errors":7}', ""),
    "no UTF-8": (b"\xff\xfe", ""),
    "a bare string with control characters": (b'"a\\u0000b"', ""),
    "a bare string with half a surrogate pair": (b'"\\ud800"', ""),
    "nested too deep": (b"[" * 100_000, ""),
}


@pytest.mark.parametrize(("status", "kind"), KINDS)
@pytest.mark.parametrize(("body", "words"), SHAPES.values(), ids=SHAPES)
def test_each_shape_of_an_error_is_read(
    bank: TinyBank, api: HttpClient, status: int, kind: type[BankError], body: bytes, words: str
) -> None:
    gives(bank, status, body)
    with pytest.raises(BankError) as caught:
        api.get("/v1/x")
    assert type(caught.value) is kind
    assert str(caught.value) == f"GET /v1/x: {status} {words}".rstrip()


def test_a_long_error_is_cut(bank: TinyBank, api: HttpClient) -> None:
    gives(bank, 400, "x" * 100_000)
    with pytest.raises(RequestRefused) as caught:
        api.get("/")
    assert 200 <= len(str(caught.value)) < 250


@pytest.mark.parametrize("status", [400, 401, 500])
@pytest.mark.parametrize("write", [lambda words: {"error": "no", "message": words}, lambda words: words])
def test_secrets_that_a_bank_echoes_are_left_out(
    bank: TinyBank, api: HttpClient, status: int, write: Callable[[str], Any]
) -> None:
    gives(bank, status, write(f"token {TOKEN} and secret {SECRET} are wrong"))
    with pytest.raises(BankError) as caught:
        api.post("/auth/token", {"clientId": "id", "clientSecret": SECRET})
    assert "are wrong" in str(caught.value)
    assert TOKEN not in str(caught.value)
    assert SECRET not in str(caught.value)


# Redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "location", ["/elsewhere", "http://[::1", "//", "", "http://127.0.0.1:1/", "\xff", "javascript:"]
)
def test_a_redirect_is_not_followed(bank: TinyBank, api: HttpClient, status: int, location: str) -> None:
    gives(bank, status, b"moved", Location=location)
    with pytest.raises(RequestRefused):
        api.get("/")
    assert len(bank.asked) == 1


# Answers that do not come, or do not end


def raw(handler: BaseHTTPRequestHandler, *parts: bytes, pause: float = 0) -> None:
    """Write bytes as they are, with a pause between the parts, and hang up."""
    for part in parts:
        handler.wfile.write(part)
        time.sleep(pause)
    handler.close_connection = True


LENGTH_HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
CHUNKED_HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
CUT_SHORT = {
    "at once": b"",
    "in the status line": b"HTTP/1.1 2",
    "not HTTP at all": b"SSH-2.0\r\n\r\n",
    "within its length": LENGTH_HEAD + b"{}",
    "within a chunk": CHUNKED_HEAD + b"5\r\n{}",
    "before the last chunk": CHUNKED_HEAD + b"2\r\n{}\r\n",
    "in a chunk that is none": CHUNKED_HEAD + b"zz\r\n{}\r\n",
    "with a header line of a megabyte": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1_000_000 + b"\r\n\r\n",
    "with a thousand headers": b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * 1000 + b"\r\n",
    "packed and broken": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\njunk",
    "with two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\n{}",
}


@pytest.mark.parametrize("sent", CUT_SHORT.values(), ids=CUT_SHORT)
def test_an_answer_that_is_cut_short_is_none(bank: TinyBank, api: HttpClient, sent: bytes) -> None:
    bank.answer = lambda handler: raw(handler, sent)
    with pytest.raises(Unreachable):
        api.get("/")


def test_an_answer_that_does_not_come_is_waited_for_no_longer_than_is_set(bank: TinyBank, hasty: HttpClient) -> None:
    done = threading.Event()

    def answer_late(handler: BaseHTTPRequestHandler) -> None:
        done.wait(120)
        raw(handler)

    bank.answer = answer_late
    started = time.monotonic()
    with pytest.raises(Unreachable):
        hasty.get("/")
    assert time.monotonic() - started < 60
    done.set()


@pytest.mark.parametrize(
    ("head", "drop"),
    [(LENGTH_HEAD, b" "), (CHUNKED_HEAD, b"1\r\n \r\n"), (CHUNKED_HEAD + b"fff\r\n", b" ")],
    ids=["length", "chunks", "one chunk"],
)
@pytest.mark.parametrize("status", [b"200", b"302", b"500"])
def test_an_answer_that_drips_is_waited_for_no_longer_than_is_set(
    bank: TinyBank, hasty: HttpClient, head: bytes, drop: bytes, status: bytes
) -> None:
    head = head.replace(b"200", status).replace(b"\r\n\r\n", b"\r\nLocation: /\r\n\r\n")
    bank.answer = lambda handler: raw(handler, head, *[drop] * 900, pause=0.1)
    started = time.monotonic()
    with pytest.raises(Unreachable):
        hasty.get("/")
    # It would drip for a minute and a half.
    assert time.monotonic() - started < 60


@pytest.mark.parametrize("status", [200, 302, 500])
@pytest.mark.parametrize("packed", [True, False])
def test_an_answer_that_is_too_long_is_not_taken_in(bank: TinyBank, api: HttpClient, status: int, packed: bool) -> None:
    body = b" " * (ANSWER_BYTES_MAX + 1)
    headers = {"Content_Encoding": "gzip", "Location": "/"} if packed else {"Location": "/"}
    gives(bank, status, gzip.compress(body) if packed else body, **headers)
    with pytest.raises(AnswerUnreadable, match="more than"):
        api.get("/")


def test_a_bank_that_does_not_listen_is_unreachable() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        lonely = HttpClient(f"http://127.0.0.1:{closed.getsockname()[1]}", clock=lambda: NOW, token=TOKEN)
        with pytest.raises(Unreachable) as caught:
            lonely.get("/")
        lonely.close()
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["http://", "http://[::1", "nonsense", "http://127.0.0.1:99999", "ftp://127.0.0.1", "http://a..b"]
)
def test_an_address_that_is_none_is_unreachable(url: str) -> None:
    nowhere = HttpClient(url, clock=lambda: NOW)
    with pytest.raises(Unreachable):
        nowhere.get("/v1")
    nowhere.close()


# Rate limits

HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("header", "body", "wait"),
    [
        ("120", b"", timedelta(minutes=2)),
        ("0", b"", timedelta(0)),
        ("Wed, 04 Mar 2026 13:00:00 GMT", b"", HOUR),
        ("Wed, 04 Mar 2026 11:00:00 GMT", b"", timedelta(0)),
        (None, b'{"retry_after":"60 minute(s)"}', HOUR),
        (None, b'{"retry_after":"1 hour"}', HOUR),
        (None, b'{"retry_after":"90 Seconds"}', timedelta(seconds=90)),
        (None, b'{"retry_after":"2026-03-04T13:00:00Z"}', HOUR),
        (None, b'{"retry_after":"2026-03-04t13:00:00z"}', HOUR),
        (None, b'{"retry_after":"2026-03-04T10:00:00-03:00"}', HOUR),
        (None, b'{"retry_after":"2026-03-04T13:00:00"}', HOUR),
        (None, b'{"retryAfter":30}', timedelta(seconds=30)),
        ("30", b'{"retry_after":"60 minute(s)"}', HOUR),
        ("7200", b'{"retry_after":"60 minute(s)"}', 2 * HOUR),
        (None, b'{"error":"slow down"}', WAIT_DEFAULT),
        (None, b"", WAIT_DEFAULT),
        (None, b'"slow down"', WAIT_DEFAULT),
        ("soon", b'{"retry_after":"later"}', WAIT_DEFAULT),
        ("-5", b"", WAIT_DEFAULT),
        ("1.5", b"", WAIT_DEFAULT),
        ("soon", b'{"retry_after":"60 minute(s)"}', HOUR),
        ("999999999", b"", WAIT_MAX),
        (None, b'{"retry_after":"999999 hours"}', WAIT_MAX),
        (None, b'{"retry_after":"9999-12-31T23:59:59-23:59"}', WAIT_MAX),
        (None, b'{"retry_after":"0001-01-01T00:00:00+23:59"}', timedelta(0)),
    ],
)
def test_a_429_tells_how_long_to_wait(
    bank: TinyBank, api: HttpClient, header: str | None, body: bytes, wait: timedelta
) -> None:
    gives(bank, 429, body, **({} if header is None else {"Retry_After": header}))
    with pytest.raises(RateLimited) as caught:
        api.get("/")
    assert caught.value.wait == wait


DATES = st.datetimes().map(datetime.isoformat) | st.text("0123456789:-+TZ ., MarchWedGMTUTC", max_size=40)


@given(st.text() | DATES, st.binary() | DATES.map(lambda text: json.dumps({"retry_after": text}).encode()))
@example("Wed, 04 Mar 99999999999 13:00:00 GMT", b"")
@example("Wed, 04 Mar 2026 13:00:00 +9999", b"")
@example("Wed, 99 Mar 2026 99:99:99 GMT", b"")
@example("Mon, 1 Jan 0001 00:00:00 +2359", b"")
@example("Fri, 31 Dec 9999 23:59:59 -2359", b"")
@example(",", b"")
def test_whatever_a_429_says_the_wait_is_bounded(header: str, body: bytes) -> None:
    response = Response()
    response.headers["Retry-After"] = header
    assert timedelta(0) <= http._wait(response, body, NOW) <= WAIT_MAX
