"""What a real gunicorn answers to requests that no bank sends: clearly, never with a 500, and the next is served."""

import gzip
import os
import socket
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import psutil
import pytest
import requests
from bank import BankSigner, Signed, deposit
from conftest import KEY, add_source, make_token
from raw_http import PATH, Request, answer, answers, chunked, exchange, problem, receive, stderr_into
from servers import WebServer, environment
from sqlalchemy import Connection, select

from receiver import runtime
from receiver.runtime import Runtime
from receiver.settings import Settings
from receiver.store import schema
from receiver.store.tables import Delivery, Event, table_of

MAX_BODY_BYTES = 1024 * 1024
READ_SECONDS = 4
"""Instead of 40, so that the tests of slow senders are short."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hostile")


@pytest.fixture(scope="module")
def stored(folder: Path) -> Iterator[Runtime]:
    """The parts over the server's database, with a source `bcb`."""
    settings = Settings(_env_file=None, secret_keys=KEY, database_url=f"sqlite:///{folder}/receiver.db")
    parts = runtime.start(settings)
    schema.upgrade(parts.database, parts.encryption)
    add_source(parts)
    yield parts
    parts.database.close()


@pytest.fixture(scope="module")
def log(folder: Path) -> Path:
    return folder / "log"


@pytest.fixture(scope="module")
def gunicorn(stored: Runtime, log: Path) -> Iterator[WebServer]:
    """One server for all tests of this module."""
    served = environment(
        stored.settings.database_url,
        KEY,
        RECEIVER_LOG_LEVEL="WARNING",
        GUNICORN_CMD_ARGS=f"--timeout {READ_SECONDS}",
    )
    started = WebServer(served)
    with stderr_into(log):
        started.start()
    yield started
    started.stop()


bank = BankSigner(runtime.utc_now)


def signed(body: bytes | None = None, path: str = PATH, **changes: str) -> Signed:
    """A genuine callback that was never sent before."""
    return bank.sign(deposit(transactionId=f"FT{uuid4().hex}") if body is None else body, path, **changes)


@pytest.fixture(autouse=True)
def _unharmed(gunicorn: WebServer, log: Path) -> Iterator[None]:
    """After each test a genuine callback is accepted, and nothing in the log speaks of a fault of ours."""
    yield
    genuine = signed()
    answer = requests.post(gunicorn.url + PATH, data=genuine.body, headers=genuine.headers, timeout=60)
    assert (answer.status_code, answer.json()["status"]) == (200, "accepted")
    assert "Traceback" not in log.read_text()


def read_event(connection: Connection, event_id: str) -> tuple[str, bytes]:
    """The type of an event and the body that told it."""
    events, deliveries = table_of(Event), table_of(Delivery)
    query = select(events.c.type, deliveries.c.body).join(deliveries, deliveries.c.id == events.c.delivery_id)
    row = connection.execute(query.where(events.c.id == event_id)).one()
    return row.type, bytes(row.body)


# Headers

SIGNING_HEADERS = [b"Bcb-Signature", b"Bcb-Timestamp", b"Bcb-Nonce"]


@pytest.mark.parametrize("name", SIGNING_HEADERS)
def test_a_missing_header_is_refused(gunicorn: WebServer, name: bytes) -> None:
    assert problem(gunicorn, Request.of(signed()).without(name)) == 401


@pytest.mark.parametrize("name", SIGNING_HEADERS)
def test_an_empty_header_is_refused(gunicorn: WebServer, name: bytes) -> None:
    assert problem(gunicorn, Request.of(signed()).without(name).plus((name, b""))) == 401


@pytest.mark.parametrize("name", SIGNING_HEADERS)
def test_a_header_that_stands_twice_is_refused(gunicorn: WebServer, name: bytes) -> None:
    request = Request.of(signed())
    assert problem(gunicorn, request.plus((name, request.value(name)))) == 401


@pytest.mark.parametrize("name", SIGNING_HEADERS)
@pytest.mark.parametrize("goes_first", [True, False])
def test_a_header_that_stands_twice_with_different_values_is_refused(
    gunicorn: WebServer, name: bytes, goes_first: bool
) -> None:
    request, other = Request.of(signed()), Request.of(signed(timestamp="1700000000")).value(name)
    both = [(name, other), (name, request.value(name))]
    values = both if goes_first else both[::-1]
    assert problem(gunicorn, request.without(name).plus(*values)) == 401


@pytest.mark.parametrize("name", SIGNING_HEADERS)
@pytest.mark.parametrize("value", [b"\xe9", b"\xff\xfe", "\u0661\u0667".encode(), b"a\tb", b'"', b"{}", b"%00", b"\\0"])
def test_a_header_with_other_bytes_than_its_own_is_refused(gunicorn: WebServer, name: bytes, value: bytes) -> None:
    assert problem(gunicorn, Request.of(signed()).without(name).plus((name, value))) == 401


@pytest.mark.parametrize("name", [*SIGNING_HEADERS, b"Bcb-Signature-Version", b"X-Other"])
@pytest.mark.parametrize("byte", [b"\x00", b"\x01", b"\x0b", b"\x1b", b"\x7f", b"\r", b"\n"])
def test_a_header_with_a_control_character_is_no_http(gunicorn: WebServer, name: bytes, byte: bytes) -> None:
    assert problem(gunicorn, Request.of(signed()).without(name).plus((name, b"a" + byte + b"b"))) == 400


@pytest.mark.parametrize("name", [*SIGNING_HEADERS, b"Bcb-Signature-Version", b"X-Other"])
@pytest.mark.parametrize("size", [8200, 4 * 1024 * 1024])
def test_a_header_that_is_far_too_long_is_refused(gunicorn: WebServer, name: bytes, size: int) -> None:
    assert problem(gunicorn, Request.of(signed()).without(name).plus((name, b"A" * size))) == 431


def test_too_many_headers_are_refused(gunicorn: WebServer) -> None:
    many = [(b"X-%d" % number, b"1") for number in range(200)]
    assert problem(gunicorn, Request.of(signed()).plus(*many)) == 431


@pytest.mark.parametrize("name", SIGNING_HEADERS)
def test_a_long_header_within_the_limit_is_refused(gunicorn: WebServer, name: bytes) -> None:
    assert problem(gunicorn, Request.of(signed()).without(name).plus((name, b"7" * 8000))) == 401


@pytest.mark.parametrize(
    "signature", [b"no Base64!", b"AAA", b"A===", b"AAAA====", b"_-_-", b"0" * 64, b"AAAA,AAAA", b"=", b"A" * 44]
)
def test_a_signature_that_is_none_is_refused(gunicorn: WebServer, signature: bytes) -> None:
    name = b"Bcb-Signature"
    assert problem(gunicorn, Request.of(signed()).without(name).plus((name, signature))) == 401


@pytest.mark.parametrize(
    "timestamp",
    [
        "-1",
        "-1733400000",
        "1e9",
        "0",
        "0000000000",
        "9999999999",
        "9" * 400,
        "0x67519a40",
        "+1733400000",
        "1_733_400_000",
        "2026-03-04T12:00:00Z",
        "NaN",
    ],
)
def test_a_signed_timestamp_that_is_no_time_of_now_is_refused(gunicorn: WebServer, timestamp: str) -> None:
    assert problem(gunicorn, Request.of(signed(timestamp=timestamp))) == 401


@pytest.mark.parametrize("write", ["{:.3f}".format, lambda now: f"{now * 1000:.0f}", lambda now: f"0{now:.0f}"])
def test_the_time_of_now_written_in_another_way_is_refused(gunicorn: WebServer, write: Callable[[float], str]) -> None:
    assert problem(gunicorn, Request.of(signed(timestamp=write(time.time())))) == 401


@pytest.mark.parametrize("nonce", ["x" * 201, "POST/webhooks/bcb", "a b"])
def test_a_signed_nonce_that_could_be_cut_otherwise_is_refused(gunicorn: WebServer, nonce: str) -> None:
    assert problem(gunicorn, Request.of(signed(nonce=nonce))) == 401


@pytest.mark.parametrize("version", [b"", b"hmac-v1", b"none", b"\xff", b"A" * 8000])
def test_an_unknown_signature_version_is_refused(gunicorn: WebServer, version: bytes) -> None:
    assert problem(gunicorn, Request.of(signed()).plus((b"Bcb-Signature-Version", version))) == 401


def test_an_rsa_signature_before_any_public_key_is_known_is_to_come_again(gunicorn: WebServer) -> None:
    found = answer(gunicorn, Request.of(signed()).plus((b"Bcb-Signature-Version", b"rsa-v1")))
    assert (found.status, found.headers["retry-after"].isdigit()) == (503, True)


def test_a_header_written_with_underscores_is_none(gunicorn: WebServer) -> None:
    request = Request.of(signed())
    value = request.value(b"Bcb-Nonce")
    assert problem(gunicorn, request.without(b"Bcb-Nonce").plus((b"Bcb_Nonce", value))) == 401


@pytest.mark.parametrize("line", [b"no colon", b": no name", b"Bad Name: x", b"B\xe4d: x", b" folded: x", b"a : x"])
def test_a_line_that_is_no_header_is_no_http(gunicorn: WebServer, line: bytes) -> None:
    raw = Request.of(signed()).bytes().replace(b"\r\n", b"\r\n" + line + b"\r\n", 1)
    assert problem(gunicorn, raw) == 400


# Bodies


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"\xff\xfe{}", id="not UTF-8"),
        pytest.param(b"<html>", id="not JSON"),
        pytest.param(b"12345", id="a JSON number"),
        pytest.param(b"[" * 100_000, id="arrays nested 100,000 deep, not closed"),
        pytest.param(b"[" * 100_000 + b"]" * 100_000, id="arrays nested 100,000 deep"),
        pytest.param(b'{"a":' * 100_000 + b"1" + b"}" * 100_000, id="objects nested 100,000 deep"),
        pytest.param(b'{"topic":"Deposits","transactionId":"a\x00b"}', id="a NUL inside"),
        pytest.param(b'{"topic":"Deposits","transactionId":"a\\u0000b"}', id="an escaped NUL inside"),
        pytest.param(b'{"topic":"Deposits","transactionId":"\\ud800"}', id="half a surrogate pair"),
        pytest.param(b'{"topic":"Deposits","value":{"amount":Infinity}}', id="Infinity"),
        pytest.param(b'{"topic":"Deposits","value":{"amount":NaN}}', id="NaN"),
        pytest.param(b'{"topic":"Deposits","value":{"amount":1' + b"0" * 5000 + b"}}", id="a number of 5001 digits"),
        pytest.param(b"\x00" * 1000, id="NULs alone"),
        pytest.param(b"", id="empty"),
        pytest.param(b" " * MAX_BODY_BYTES, id="as long as is allowed"),
    ],
)
def test_a_genuine_body_that_is_not_understood_is_stored_as_unrecognised(
    gunicorn: WebServer, stored: Runtime, body: bytes
) -> None:
    found = answer(gunicorn, Request.of(signed(body)))
    assert found.status == 200
    with stored.database.read() as connection:
        types = [read_event(connection, event_id) for event_id in found.json["events"]]
    assert types == [("bcb.unrecognised", body)]


@pytest.mark.parametrize(
    "value",
    [
        b"1e400",
        b"1e-400",
        b"1e999999999",
        b"-1e-999999999",
        b"1e99999999999999999999",
        b"0." + b"1" * 100_000,
        b"1" * 4000,
        b'"' + b"1" * 100_000 + b'"',
        b'"Infinity"',
        b"{}",
        b"null",
    ],
    ids=lambda value: value[:12].decode(),
)
def test_a_deposit_with_an_outrageous_amount_is_stored_once(gunicorn: WebServer, value: bytes) -> None:
    body = b'{"topic":"Deposits","transactionId":"%b","value":{"amount":%b}}' % (uuid4().hex.encode(), value)
    assert answer(gunicorn, Request.of(signed(body))).json["status"] == "accepted"


def test_a_body_over_the_limit_is_refused(gunicorn: WebServer) -> None:
    assert problem(gunicorn, Request.of(signed(b"{" + b" " * MAX_BODY_BYTES))) == 413


def test_a_body_far_over_the_limit_is_refused_before_it_has_come(gunicorn: WebServer) -> None:
    request = Request.of(signed()).plus((b"Content-Length", b"9" * 18))
    assert problem(gunicorn, request, framed=False) == 413


def test_a_chunked_body_over_the_limit_is_refused(gunicorn: WebServer) -> None:
    callback = signed(b"{" + b" " * MAX_BODY_BYTES)
    request = Request.of(callback).plus((b"Transfer-Encoding", b"chunked"))
    request.body = chunked(callback.body, 65536)
    assert problem(gunicorn, request, framed=False) == 413


def test_a_body_in_very_many_small_chunks_is_no_http(gunicorn: WebServer) -> None:
    callback = signed(b"{" + b" " * 2000 + b"}")
    assert problem(gunicorn, as_chunked(callback, chunked(callback.body, 1))) == 400


# Framing


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"zz\r\n{}\r\n0\r\n\r\n", id="a size that is none"),
        pytest.param(b"-2\r\n{}\r\n0\r\n\r\n", id="a negative size"),
        pytest.param(b"+2\r\n{}\r\n0\r\n\r\n", id="a size with a sign"),
        pytest.param(b"0x2\r\n{}\r\n0\r\n\r\n", id="a size with a prefix"),
        pytest.param(b"\r\n{}\r\n0\r\n\r\n", id="no size"),
        pytest.param(b"2;a\rb\r\n{}\r\n0\r\n\r\n", id="a bare CR in an extension"),
        pytest.param(b"1\r\n{}\r\n0\r\n\r\n", id="a size too small"),
        pytest.param(b"3\r\n{}\r\n0\r\n\r\n", id="a size too big"),
        pytest.param(b"2\r\n{", id="it ends within a chunk"),
        pytest.param(b"2\r\n{}", id="it ends behind a chunk"),
        pytest.param(b"2\r\n{}\r\n", id="it ends without the last chunk"),
        pytest.param(b"2\r\n{}\r\n0\r\n", id="it ends before the trailer"),
        pytest.param(b"f" * 16 + b"\r\n{}", id="a huge size"),
        pytest.param(b"1" * 10_000, id="a size of 10,000 digits"),
        pytest.param(b"2\r\n{}\r\n0\r\nContent-Length: 5\r\n\r\n", id="a length in the trailer"),
        pytest.param(b"", id="nothing at all"),
    ],
)
def test_broken_chunks_are_no_http(gunicorn: WebServer, body: bytes) -> None:
    request = Request.of(signed(b"{}")).plus((b"Transfer-Encoding", b"chunked"))
    request.body = body
    assert problem(gunicorn, request, framed=False) == 400


@pytest.mark.parametrize(
    "codings",
    [
        [b"gzip"],
        [b"identity"],
        [b"chunked, chunked"],
        [b"chunked", b"chunked"],
        [b"gzip", b"chunked"],
        [b"chunked, gzip"],
        [b"chunked, identity"],
        [b"xchunked"],
        [b"gzip, chunked"],
        [b"deflate,chunked"],
        [b"identity, chunked"],
        [b"chunked,"],
        [b"chunked;q=1"],
        [b""],
    ],
)
@pytest.mark.parametrize("length", [[], [(b"Content-Length", b"2")]], ids=["no length", "a length"])
def test_a_transfer_coding_other_than_chunks_is_refused(
    gunicorn: WebServer, codings: list[bytes], length: list[tuple[bytes, bytes]]
) -> None:
    request = Request.of(signed(b"{}")).plus(*((b"Transfer-Encoding", coding) for coding in codings), *length)
    # Whatever follows is read by nobody: the connection is closed.
    request.body = chunked(b"{}") + b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    found = answer(gunicorn, request, framed=False)
    assert (found.status, found.headers["connection"]) == (501, "close")


def test_a_control_character_in_a_transfer_coding_is_no_http(gunicorn: WebServer) -> None:
    request = Request.of(signed(b"{}")).plus((b"Transfer-Encoding", b"\x0bchunked"))
    request.body = chunked(b"{}")
    assert problem(gunicorn, request, framed=False) == 400


@pytest.mark.parametrize("coding", [b"Chunked", b"CHUNKED", b" \tchunked\t "])
def test_chunks_are_taken_however_they_are_written(gunicorn: WebServer, coding: bytes) -> None:
    request = Request.of(signed(b"{}")).plus((b"Transfer-Encoding", coding))
    request.body = chunked(b"{}")
    assert answer(gunicorn, request, framed=False).status == 200


@pytest.mark.parametrize("length", [b"2", b"0", b"1000"])
def test_a_length_beside_chunks_is_no_http(gunicorn: WebServer, length: bytes) -> None:
    request = Request.of(signed(b"{}")).plus((b"Content-Length", length), (b"Transfer-Encoding", b"chunked"))
    request.body = chunked(b"{}")
    assert problem(gunicorn, request, framed=False) == 400


@pytest.mark.parametrize(
    "lengths",
    [
        [b"-1"],
        [b"+2"],
        [b"2.0"],
        [b"0x2"],
        [b"2,2"],
        [b"two"],
        [b""],
        [b"\xb2"],
        [b"2", b"2"],
        [b"2", b"3"],
        [b"9" * 5000],
    ],
    ids=lambda lengths: b" and ".join(lengths)[:12].decode("latin-1") or "empty",
)
def test_a_wrong_length_is_no_http(gunicorn: WebServer, lengths: list[bytes]) -> None:
    request = Request.of(signed(b"{}")).plus(*((b"Content-Length", length) for length in lengths))
    assert problem(gunicorn, request, framed=False) == 400


def test_a_length_greater_than_what_is_sent_is_refused_though_the_rest_is_signed(gunicorn: WebServer) -> None:
    request = Request.of(signed()).plus((b"Content-Length", b"5000"))
    assert problem(gunicorn, request, framed=False) == 400


def test_a_length_smaller_than_what_is_sent_is_refused(gunicorn: WebServer) -> None:
    request = Request.of(signed()).plus((b"Content-Length", b"10"))
    assert problem(gunicorn, request, framed=False) == 401


def test_a_body_without_a_length_is_none(gunicorn: WebServer) -> None:
    assert problem(gunicorn, Request.of(signed()), framed=False) == 401


def test_what_follows_a_signed_body_of_full_length_is_not_cut_off(gunicorn: WebServer) -> None:
    callback = signed(b" " * MAX_BODY_BYTES)
    request = Request.of(callback).plus((b"Transfer-Encoding", b"chunked"))
    request.body = chunked(callback.body + b" ", 65536)
    assert problem(gunicorn, request, framed=False) == 413


# Content codings


def coded(callback: Signed, body: bytes, *codings: bytes) -> Request:
    request = Request.of(callback).plus(*((b"Content-Encoding", coding) for coding in codings))
    request.body = body
    return request


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda packed: packed[:-1], id="without its last byte"),
        pytest.param(lambda packed: packed[:-8], id="without its checksum"),
        pytest.param(lambda packed: packed[:20], id="cut short"),
        pytest.param(lambda packed: packed + b"junk", id="with junk behind it"),
        pytest.param(lambda packed: packed + b"\0", id="with a NUL behind it"),
        pytest.param(lambda packed: packed[:-8] + b"\0" * 8, id="with a wrong checksum"),
        pytest.param(lambda packed: packed[10:], id="without its head"),
        pytest.param(lambda _: b"", id="empty"),
        pytest.param(lambda _: b"{}", id="not packed at all"),
    ],
)
@pytest.mark.parametrize("coding", [b"gzip", b"deflate"])
def test_a_broken_packed_body_is_refused(gunicorn: WebServer, coding: bytes, spoil: Callable[[bytes], bytes]) -> None:
    callback = signed(b"[" + os.urandom(100).hex().encode() + b"]")
    packed = gzip.compress(callback.body) if coding == b"gzip" else zlib.compress(callback.body)
    assert problem(gunicorn, coded(callback, spoil(packed), coding)) == 401


@pytest.mark.parametrize(
    "codings",
    [[b"br"], [b"zstd"], [b"compress"], [b"gzip, br"], [b"gzip", b"br"], [b"gzip, gzip"], [b"gzip, " * 50 + b"gzip"]],
)
def test_a_content_coding_that_is_not_undone_is_told_so(gunicorn: WebServer, codings: list[bytes]) -> None:
    callback = signed()
    found = answer(gunicorn, coded(callback, gzip.compress(callback.body), *codings))
    assert (found.status, found.headers["accept-encoding"]) == (415, "gzip, deflate")


@pytest.mark.parametrize("coding", [b"UTF-8", b"none", b"application/json", b"\xff"])
def test_what_is_no_content_coding_is_passed_over(gunicorn: WebServer, coding: bytes) -> None:
    callback = signed()
    once(gunicorn, coded(callback, callback.body, coding).bytes())


def test_a_packed_body_of_two_members_is_accepted_once(gunicorn: WebServer) -> None:
    callback = signed()
    packed = gzip.compress(callback.body[:50]) + gzip.compress(callback.body[50:])
    once(gunicorn, coded(callback, packed, b"gzip").bytes())


def zeros(repeats: int) -> bytes:
    """A gzip stream of `repeats` times 10 MB of zeros; its checksum is wrong, but nobody gets that far."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    piece = packer.compress(bytes(10_000_000)) + packer.flush(zlib.Z_FULL_FLUSH)
    return gzip.compress(b"")[:10] + piece * repeats + b"\x03\x00" + bytes(8)


@pytest.mark.parametrize(
    ("body", "codings", "status"),
    [
        pytest.param(lambda: zeros(100), [b"gzip"], 413, id="gzip of 1 GB"),
        pytest.param(lambda: zeros(1000), [b"gzip"], 413, id="gzip of 10 GB"),
        pytest.param(lambda: gzip.compress(zeros(1000)), [b"gzip, gzip"], 415, id="gzip of gzip of 10 GB"),
        pytest.param(lambda: gzip.compress(gzip.compress(zeros(1000))), [b"gzip"] * 3, 415, id="thrice gzip of 10 GB"),
        pytest.param(lambda: zlib.compress(bytes(200_000_000)), [b"deflate"], 413, id="deflate of 200 MB"),
    ],
)
def test_what_unpacks_to_gigabytes_is_refused_in_little_memory(
    gunicorn: WebServer, body: Callable[[], bytes], codings: list[bytes], status: int
) -> None:
    request = coded(signed(b"{}"), body(), *codings)
    before = memory(gunicorn)
    assert problem(gunicorn, request) == status
    assert memory(gunicorn) - before < 32 * 1024 * 1024


def memory(server: WebServer) -> int:
    assert server.process is not None
    family = psutil.Process(server.process.pid)
    return sum(process.memory_info().rss for process in [family, *family.children(recursive=True)])


# Targets and methods


@pytest.mark.parametrize(
    ("target", "status"),
    [
        (b"/webhooks", 404),
        (b"/webhooks/", 404),
        (b"/webhooks//", 404),
        (b"/webhooks//bcb", 404),
        (b"//webhooks/bcb", 404),
        (b"/webhooks/../webhooks/bcb", 404),
        (b"/webhooks/./bcb", 404),
        (b"/webhooks/bc", 404),
        (b"/webhooks/bcbb", 404),
        (b"/webhooks/BCB", 404),
        (b"/WEBHOOKS/bcb", 404),
        (b"/webhooks/bcb%00", 404),
        (b"/webhooks/bcb%2Fdeposits", 404),
        (b"/webhooks%2Fbcb", 404),
        (b"/%77ebhooks/bcb", 404),
        (b"/webhooks/%ff", 404),
        (b"/webhooks/%", 404),
        (b"/webhooks/%zz", 404),
        (b"/webhooks/bcb;a=b", 404),
        (b"/webhooks/bcb#fragment", 404),
        (b"/webhooks/" + b"b" * 5000, 404),
        (b"/webhooks/bcb/", 401),
        (b"/webhooks/bcb/.", 401),
        (b"/webhooks/bcb/..", 401),
        (b"/webhooks/bcb/../bcb", 401),
        (b"/webhooks/bcb//", 401),
        (b"/webhooks/%62cb", 401),
        (b"/webhooks/bcb/%00", 401),
        (b"/webhooks/bcb/%ff", 401),
        (b"/webhooks/bcb/%2F", 401),
        (b"/webhooks/bcb/#fragment", 401),
        (b"/webhooks/bcb/{}", 401),
        (b"/webhooks/bcb/" + b"b" * 5000, 401),
        (b"/webhooks/bcb/" + b"b" * 20_000, 414),
        (b"/webhooks/bcb?" + b"b" * 20_000, 414),
        (b"/webhooks/bcb\x00", 400),
        (b"/webhooks/bcb\xff", 400),
        (b"/webhooks/bcb\x7f", 400),
        (b"webhooks/bcb", 400),
        (b"http://[::1/webhooks/bcb", 400),
        (b"http://127.0.0.1", 404),
        (b"", 400),
        (b"*", 400),
        (b"/webhooks/bcb /webhooks/bcb", 400),
    ],
    ids=lambda value: str(value)[:40],
)
def test_another_target_than_the_signed_one_is_refused(gunicorn: WebServer, target: bytes, status: int) -> None:
    assert problem(gunicorn, Request.of(signed(), target=target)) == status


@pytest.mark.parametrize(
    "path",
    [
        "/webhooks/bcb/",
        "/webhooks/bcb/a/../b",
        "/webhooks/bcb//a",
        "/webhooks/bcb/%00%2F%ff",
        "/webhooks/bcb/a;b=c,d@e:f!$&'()*+~_-.",
        "/webhooks/bcb/" + "b" * 5000,
    ],
    ids=lambda path: path[:40],
)
def test_a_strange_path_that_is_signed_as_it_is_sent_is_accepted(gunicorn: WebServer, path: str) -> None:
    assert answer(gunicorn, Request.of(signed(path=path))).json["status"] == "accepted"


@pytest.mark.parametrize("query", ["?", "?a=b", "?a=%ff%00", "??", "?/../", "?" + "b" * 5000, "?a#b"])
def test_a_query_is_no_part_of_what_is_signed(gunicorn: WebServer, query: str) -> None:
    target = (PATH + query).encode()
    assert answer(gunicorn, Request.of(signed(), target=target)).json["status"] == "accepted"


@pytest.mark.parametrize("origin", [b"http://127.0.0.1", b"https://receiver.example:8443", b"HTTP://user@[::1]:1"])
def test_a_target_in_absolute_form_is_taken_for_its_path(gunicorn: WebServer, origin: bytes) -> None:
    target = origin + PATH.encode() + b"?a=b"
    assert answer(gunicorn, Request.of(signed(), target=target)).json["status"] == "accepted"


@pytest.mark.parametrize("method", [b"GET", b"PUT", b"DELETE", b"PATCH", b"OPTIONS", b"TRACE", b"PROPFIND", b"FOO-BAR"])
def test_another_method_is_not_allowed(gunicorn: WebServer, method: bytes) -> None:
    found = answer(gunicorn, Request.of(signed(), method=method))
    assert (found.status, found.headers["allow"]) == (405, "POST")
    assert found.headers["content-type"] == "application/problem+json"


def test_a_head_request_is_not_allowed_and_gets_no_body(gunicorn: WebServer) -> None:
    raw = exchange(gunicorn, Request(method=b"HEAD").bytes())
    assert raw.startswith(b"HTTP/1.1 405 ")
    assert raw.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("method", [b"post", b"Post", b"P\xd6ST", b"P\x00ST", b"PO", b"POST" * 10, b""])
def test_a_method_that_is_none_is_no_http(gunicorn: WebServer, method: bytes) -> None:
    assert problem(gunicorn, Request.of(signed(), method=method)) == 400


def test_a_tunnel_is_not_made(gunicorn: WebServer) -> None:
    request = Request(method=b"CONNECT", target=b"127.0.0.1:443")
    assert problem(gunicorn, request) in (404, 405)


@pytest.mark.parametrize("body", [b"zz\r\n{}\r\n0\r\n\r\n", b"5\r\n{}", b"\n\r\n\r\n", b"2\r\n{}x\r\n0\r\n\r\n"])
@pytest.mark.parametrize("path", ["/api/v1/replays", "/api/v1/consumers/ledger/ack", "/staff/sign-in"])
def test_a_body_that_cannot_be_read_to_its_end_is_refused_wherever_it_goes(
    gunicorn: WebServer, stored: Runtime, path: str, body: bytes
) -> None:
    token = make_token(stored, name=uuid4().hex)["Authorization"].encode()
    kind = b"application/x-www-form-urlencoded" if path.startswith("/staff") else b"application/json"
    headers = [(b"Authorization", token), (b"Content-Type", kind), (b"Transfer-Encoding", b"chunked")]
    request = Request(body, headers, target=path.encode())
    (found,) = answers(exchange(gunicorn, request.bytes(framed=False)))
    assert found.status == 400, found


def test_options_of_the_whole_server_are_not_found(gunicorn: WebServer) -> None:
    assert problem(gunicorn, Request(method=b"OPTIONS", target=b"*")) in (404, 405)


@pytest.mark.parametrize(
    "version", [b"HTTP/0.9", b"HTTP/2.0", b"HTTP/3", b"HTTP/1.1.1", b"HTTP/\xb9.1", b"http/1.1", b""]
)
def test_another_version_is_no_http_known_here(gunicorn: WebServer, version: bytes) -> None:
    assert problem(gunicorn, Request.of(signed(), version=version)) == 400


def test_a_later_http_1_is_answered_in_the_one_that_is_spoken_here(gunicorn: WebServer) -> None:
    raw = exchange(gunicorn, Request.of(signed(), version=b"HTTP/1.5").bytes())
    assert raw.startswith(b"HTTP/1.1 200 ")


# What is not HTTP/1.1 at all

CLIENT_HELLO = bytes.fromhex("16030100f4010000f00303") + bytes(range(0x20, 0x60)) * 3 + bytes(40)


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"GET /webhooks/bcb\r\n", id="HTTP/0.9"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", id="the preface of HTTP/2"),
        pytest.param(b"POST /webhooks/bcb HTTP/1.1\n\n", id="bare line feeds"),
        pytest.param(b"\r\n\r\n\r\n", id="empty lines"),
        pytest.param(b"\x00" * 100 + b"\r\n\r\n", id="NULs"),
        pytest.param(bytes(range(256)) * 4, id="every byte"),
        pytest.param(b"{}\r\n\r\n", id="JSON"),
        pytest.param(b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n", id="the proxy protocol"),
        pytest.param(b"\r\n\r\n\x00\r\nQUIT\n" + bytes(20), id="the binary proxy protocol"),
        pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n", id="SSH"),
    ],
)
def test_what_is_not_http_is_told_so(gunicorn: WebServer, raw: bytes) -> None:
    assert problem(gunicorn, raw) == 400


def test_a_line_without_end_is_refused(gunicorn: WebServer) -> None:
    assert problem(gunicorn, b"A" * 100_000) == 414


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"P", id="one byte"),
        pytest.param(b"POST /webhooks/bcb HTTP/1.1\r\nHost: a\r\n", id="half a head"),
        pytest.param(CLIENT_HELLO, id="the hello of TLS"),
    ],
)
def test_who_hangs_up_before_the_request_is_whole_is_not_answered(gunicorn: WebServer, raw: bytes) -> None:
    assert exchange(gunicorn, raw) == b""


# Slow senders


@pytest.fixture
def connections(gunicorn: WebServer) -> Iterator[Callable[[bytes], socket.socket]]:
    """Opens connections that send something and then stay open, until the test ends."""
    opened = []

    def connect(raw: bytes) -> socket.socket:
        opened.append(socket.create_connection(("127.0.0.1", gunicorn.port), timeout=60))
        opened[-1].sendall(raw)
        return opened[-1]

    yield connect
    for connection in opened:
        connection.close()


HALF_A_HEAD = b"POST /webhooks/bcb HTTP/1.1\r\nHost: a\r\n"


NEVER_FINISHED = [
    HALF_A_HEAD,
    HALF_A_HEAD + b"Content-Length: 1000\r\n\r\n{",
    HALF_A_HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{",
    CLIENT_HELLO,
]


def test_senders_that_never_finish_do_not_keep_others_out_for_good(
    gunicorn: WebServer, connections: Callable[[bytes], socket.socket]
) -> None:
    for number in range(20):
        connections(NEVER_FINISHED[number % len(NEVER_FINISHED)])
    assert answer(gunicorn, Request.of(signed())).json["status"] == "accepted"


def test_a_body_that_never_ends_is_given_up_and_may_be_sent_again(
    connections: Callable[[bytes], socket.socket],
) -> None:
    request = Request.of(signed()).plus((b"Content-Length", b"5000"))
    (found,) = answers(receive(connections(request.bytes(framed=False))))
    assert found.status == 503


def test_chunks_of_one_byte_without_end_are_refused_though_more_could_come(
    connections: Callable[[bytes], socket.socket],
) -> None:
    head = Request.of(signed(b"")).plus((b"Transfer-Encoding", b"chunked")).bytes(framed=False)
    (found,) = answers(receive(connections(head + b"1\r\nx\r\n" * 3000)))
    assert found.status == 400


def test_senders_that_are_answered_and_do_not_hang_up_keep_nobody_waiting(
    gunicorn: WebServer, connections: Callable[[bytes], socket.socket]
) -> None:
    for _ in range(30):
        assert connections(b"garbage\r\n\r\n").recv(12) == b"HTTP/1.1 400"
    started = time.monotonic()
    assert answer(gunicorn, Request.of(signed())).json["status"] == "accepted"
    # One after the other, they would be waited for half a minute.
    assert time.monotonic() - started < 15


# Genuine callbacks in unusual but legal HTTP


def once(gunicorn: WebServer, raw: bytes) -> None:
    """The callback is accepted, and a duplicate when it comes a second time."""
    told = [answer(gunicorn, raw).json for _ in range(2)]
    assert [each["status"] for each in told] == ["accepted", "duplicate"]
    assert told[0]["events"] == told[1]["events"]


def as_chunked(callback: Signed, body: bytes) -> bytes:
    request = Request.of(callback).plus((b"Transfer-Encoding", b"chunked"))
    request.body = body
    return request.bytes(framed=False)


@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_a_chunked_callback_is_accepted_once(gunicorn: WebServer, size: int) -> None:
    callback = signed()
    once(gunicorn, as_chunked(callback, chunked(callback.body, size)))


def test_chunks_with_extensions_and_trailers_are_accepted_once(gunicorn: WebServer) -> None:
    callback = signed()
    body = b'%X;a=b;c="d"\r\n%b\r\n000\r\nX-Checksum: 1\r\n\r\n' % (len(callback.body), callback.body)
    once(gunicorn, as_chunked(callback, body))


def test_a_chunked_callback_of_full_length_is_accepted_once(gunicorn: WebServer) -> None:
    callback = signed(b" " * (MAX_BODY_BYTES - 36) + uuid4().hex.encode() + b"    ")
    once(gunicorn, as_chunked(callback, chunked(callback.body, 65536)))


def test_a_long_callback_in_modest_chunks_is_accepted_once(gunicorn: WebServer) -> None:
    callback = signed(b" " * 900_000 + uuid4().hex.encode())
    once(gunicorn, as_chunked(callback, chunked(callback.body, 100)))


def test_a_chunked_and_packed_callback_is_accepted_once(gunicorn: WebServer) -> None:
    callback = signed()
    packed = chunked(gzip.compress(callback.body))
    once(gunicorn, as_chunked(Signed(PATH, b"", {**callback.headers, "Content-Encoding": "gzip"}), packed))


@pytest.mark.parametrize("coding", [b"gzip", b"GZIP", b"x-gzip", b" gzip ,identity", b"identity, gzip"])
def test_a_packed_callback_is_accepted_once(gunicorn: WebServer, coding: bytes) -> None:
    callback = signed()
    once(gunicorn, coded(callback, gzip.compress(callback.body), coding).bytes())


@pytest.mark.parametrize("write", [bytes.lower, bytes.upper, bytes.swapcase])
def test_header_names_in_any_case_are_accepted_once(gunicorn: WebServer, write: Callable[[bytes], bytes]) -> None:
    request = Request.of(signed())
    request.headers = [(write(name), value) for name, value in request.headers]
    once(gunicorn, request.bytes())


def test_headers_without_and_with_more_space_are_accepted_once(gunicorn: WebServer) -> None:
    raw = Request.of(signed()).bytes()
    raw = raw.replace(b"Bcb-Nonce: ", b"Bcb-Nonce:").replace(b"Bcb-Timestamp: ", b"Bcb-Timestamp: \t  ")
    once(gunicorn, raw)


def test_a_callback_over_http_1_0_is_accepted_once(gunicorn: WebServer) -> None:
    once(gunicorn, Request.of(signed(), version=b"HTTP/1.0").bytes())


def test_a_sender_that_asks_before_it_sends_the_body_is_told_to_go_on(
    connections: Callable[[bytes], socket.socket],
) -> None:
    callback = signed()
    request = Request.of(callback).plus((b"Expect", b"100-continue"), (b"Connection", b"close"))
    connection = connections(request.bytes().removesuffix(callback.body))
    assert connection.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
    connection.sendall(callback.body)
    (found,) = answers(receive(connection))
    assert found.json["status"] == "accepted"


def test_another_expectation_is_not_met(gunicorn: WebServer) -> None:
    assert problem(gunicorn, Request.of(signed()).plus((b"Expect", b"200-ok"))) == 417


def test_callbacks_sent_ahead_over_one_connection_are_each_accepted_once(gunicorn: WebServer) -> None:
    callbacks = [Request.of(signed()).bytes() for _ in range(20)]
    found = answers(exchange(gunicorn, b"".join(callbacks + callbacks)))
    assert [each.json["status"] for each in found] == ["accepted"] * 20 + ["duplicate"] * 20


def test_a_callback_behind_a_refused_one_over_the_same_connection_is_accepted(gunicorn: WebServer) -> None:
    refused = Request.of(signed()).without(b"Bcb-Nonce").bytes()
    unknown = Request.of(signed(path="/webhooks/nobody")).bytes()
    found = answers(exchange(gunicorn, refused + unknown + Request.of(signed()).bytes()))
    assert [each.status for each in found] == [401, 404, 200]


def test_a_request_hidden_in_the_body_of_another_is_not_served(gunicorn: WebServer) -> None:
    hidden = Request.of(signed()).bytes()
    found = answers(exchange(gunicorn, Request.of(signed(b'"' + hidden)).bytes()))
    assert len(found) == 1


def test_a_callback_that_comes_byte_by_byte_is_accepted(connections: Callable[[bytes], socket.socket]) -> None:
    raw = Request.of(signed()).plus((b"Connection", b"close")).bytes()
    connection = connections(raw[:1])
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in raw[1:]:
        connection.sendall(bytes([byte]))
    (found,) = answers(receive(connection))
    assert found.json["status"] == "accepted"
