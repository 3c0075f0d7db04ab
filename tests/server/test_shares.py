"""Which connection goes where there is no room, who has a turn before whom, and what is ended for being slow."""

import itertools
import socket
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import gevent
import pytest
from bank import BankSigner, deposit
from conftest import KEY, add_source
from gunicorn.http.unreader import IterUnreader
from raw_http import chunked
from servers import WebServer, environment

from receiver import runtime
from receiver.runtime import Runtime
from receiver.server.connections import CHUNKS_AT_ONCE, Chunks, Client, next_round, turn
from receiver.server.shares import BODY_SECONDS, HEAD_SECONDS, OF_A_ROUND, Connections, Rounds
from receiver.settings import Settings
from receiver.store import schema

REQUEST = SimpleNamespace()


@pytest.fixture
def pairs() -> Iterator[list[tuple[socket.socket, socket.socket]]]:
    """Both ends of connections."""
    made = [socket.socketpair() for _ in range(6)]
    for _, other in made:
        other.settimeout(10)
    yield made
    for ours, theirs in made:
        ours.close()
        theirs.close()


def is_ended(ours: socket.socket) -> bool:
    """Whether whoever reads from it sees its end."""
    ours.setblocking(False)
    try:
        return ours.recv(1) == b""
    except BlockingIOError:
        return False


def served(connections: Connections, client: Client) -> None:
    connections.begin(client, REQUEST)
    connections.end(client)


def admitted(connections: Connections, sock: Any, address: str | None) -> Client:
    client = connections.admit(sock, address)
    assert client is not None
    return client


def test_the_one_that_waited_longest_goes_where_there_are_too_many(pairs: list[Any]) -> None:
    connections = Connections(most=2, of_address=10, bytes_per_second=1)
    first, second = (admitted(connections, ours, None) for ours, _ in pairs[:2])
    served(connections, first)
    third = connections.admit(pairs[2][0], None)
    assert third is not None
    assert [is_ended(ours) for ours, _ in pairs[:3]] == [False, True, False]
    assert connections.of(first.sock) is first
    assert not second.was_cut


def test_none_is_taken_where_all_are_busy(pairs: list[Any]) -> None:
    connections = Connections(most=1, of_address=10, bytes_per_second=1)
    busy = admitted(connections, pairs[0][0], None)
    connections.begin(busy, REQUEST)
    assert connections.admit(pairs[1][0], None) is None
    connections.leave(busy)
    assert connections.admit(pairs[1][0], None) is not None


def test_an_address_beyond_its_share_loses_its_own_idle_one(pairs: list[Any]) -> None:
    connections = Connections(most=10, of_address=2, bytes_per_second=1)
    other = admitted(connections, pairs[0][0], "192.0.2.9")
    own = [admitted(connections, ours, "192.0.2.1") for ours, _ in pairs[1:3]]
    for client in (other, *own):
        served(connections, client)
    new = admitted(connections, pairs[3][0], "192.0.2.1")
    assert connections.has_place(new)
    assert [is_ended(ours) for ours, _ in pairs[:4]] == [False, True, False, False]


def test_who_has_not_asked_for_anything_yet_waits_for_a_place_and_gets_the_next(pairs: list[Any]) -> None:
    connections = Connections(most=10, of_address=1, bytes_per_second=1)
    holder = admitted(connections, pairs[0][0], "192.0.2.1")
    waiting = [admitted(connections, ours, "192.0.2.1") for ours, _ in pairs[1:3]]
    elsewhere = admitted(connections, pairs[3][0], "192.0.2.2")
    assert connections.has_place(elsewhere)
    places = [gevent.spawn(connections.has_place, client) for client in waiting]
    gevent.sleep(0)
    assert not any(place.ready() for place in places)
    connections.leave(holder)
    assert places[0].get(timeout=10)
    assert not places[1].ready()
    connections.leave(waiting[0])
    assert places[1].get(timeout=10)


def test_who_waits_for_a_place_gets_that_of_the_first_that_is_idle(pairs: list[Any]) -> None:
    connections = Connections(most=10, of_address=1, bytes_per_second=1)
    busy = admitted(connections, pairs[0][0], "192.0.2.1")
    connections.begin(busy, REQUEST)
    waiting = admitted(connections, pairs[1][0], "192.0.2.1")
    connections.end(busy)
    assert is_ended(pairs[0][0])
    assert connections.has_place(waiting)


def test_a_proxy_has_no_share(pairs: list[Any]) -> None:
    connections = Connections(most=10, of_address=1, bytes_per_second=1)
    for ours, _ in pairs:
        assert connections.has_place(admitted(connections, ours, None))


@pytest.mark.parametrize(
    ("stage", "seconds", "ended"),
    [
        ("new", HEAD_SECONDS + 1, True),
        ("new", HEAD_SECONDS - 1, False),
        ("idle", HEAD_SECONDS + 1, False),
        ("idle", 76, True),
        ("head", HEAD_SECONDS + 1, True),
        ("served", 39, False),
        ("served", 41, True),
    ],
)
def test_each_stage_has_a_time_of_its_own(pairs: list[Any], stage: str, seconds: float, ended: bool) -> None:
    connections = Connections(most=10, of_address=10, bytes_per_second=1000)
    client = admitted(connections, pairs[0][0], None)
    if stage != "new":
        connections.begin(client, REQUEST)
    if stage in ("idle", "head"):
        connections.end(client)
    if stage == "head":
        client.head_since = time.monotonic()
    connections.end_slow(time.monotonic() + seconds, idle_seconds=75, seconds=40)
    assert is_ended(pairs[0][0]) == ended
    assert client.was_cut == (ended and stage == "served")


@pytest.mark.parametrize(
    ("came", "is_reading", "seconds", "cut"),
    [
        (10_000, True, BODY_SECONDS + 1, True),
        (10_000, True, BODY_SECONDS - 1, False),
        (20_000, True, BODY_SECONDS + 1, False),
        (0, False, BODY_SECONDS + 1, False),
    ],
)
def test_a_body_must_come_at_the_least_rate(
    pairs: list[Any], came: int, is_reading: bool, seconds: float, cut: bool
) -> None:
    connections = Connections(most=10, of_address=10, bytes_per_second=1000)
    client = admitted(connections, pairs[0][0], None)
    connections.begin(client, REQUEST)
    client.body_since, client.body_bytes, client.is_reading = time.monotonic(), came, is_reading
    connections.end_slow(time.monotonic() + seconds, idle_seconds=75, seconds=40)
    assert client.is_cut() == cut


@pytest.mark.parametrize(
    ("moved", "is_writing", "took", "went", "ended"),
    [
        (79, True, 0, 0, False),
        (81, True, 0, 0, True),
        (81, False, 0, 0, True),
        (1, False, 0, 10, False),
        (1, True, 0, 10, False),
        (1, True, 81, 100_000, False),
        (1, True, 81, 80_000, True),
        (79, True, 2, 80_000, True),
        (79, False, 2, 80_000, False),
    ],
)
def test_an_answer_may_take_as_long_as_it_is_made_and_taken(
    pairs: list[Any],
    caplog: pytest.LogCaptureFixture,
    moved: float,
    is_writing: bool,
    took: float,
    went: int,
    ended: bool,
) -> None:
    connections = Connections(most=10, of_address=10, bytes_per_second=1000)
    client = admitted(connections, pairs[0][0], None)
    connections.begin(client, REQUEST)
    now = time.monotonic() + 3600
    client.cut()
    client.moved_at, client.is_writing = now - moved, is_writing
    client.writing_seconds, client.written_bytes = took, went
    for _ in range(2):
        connections.end_slow(now, idle_seconds=75, seconds=40)
    assert is_ended(pairs[0][1]) == ended
    lines = [record.message for record in caplog.records]
    assert len(lines) == ended
    assert all(line.startswith(f"an answer is broken off after {went} bytes") for line in lines)


def test_of_an_answer_is_noted_what_its_reader_took_and_how_long_that_lasted(pairs: list[Any]) -> None:
    client = admitted(Connections(most=10, of_address=10, bytes_per_second=1), pairs[0][0], None)
    made: list[bool] = []

    def answer() -> Iterator[bytes]:
        for piece in (b"", b"a" * 10, b"b" * 200_000):
            made.append(client.is_writing)
            yield piece

    pieces, went = [], []
    for piece in client.taken(answer()):
        assert client.is_writing
        pieces.append(piece)
        went.append(client.written_bytes)
    assert made == [False, False, False]
    assert b"".join(pieces) == b"a" * 10 + b"b" * 200_000
    assert max(map(len, pieces)) <= 64 * 1024
    assert went == [0, 0, *itertools.accumulate(map(len, pieces[1:-1]))]
    assert client.written_bytes == 200_010
    assert client.writing_seconds > 0


def test_one_address_begins_few_requests_in_a_round_and_holds_up_no_other() -> None:
    rounds, began = Rounds(), []

    def ask(address: str) -> None:
        rounds.wait(address)
        began.append(address)

    asked = [gevent.spawn(ask, "loud") for _ in range(3 * OF_A_ROUND)] + [gevent.spawn(ask, "quiet")]
    gevent.joinall(asked, timeout=10, raise_error=True)
    assert began.index("quiet") == OF_A_ROUND
    assert len(began) == 3 * OF_A_ROUND + 1


def test_who_has_proven_something_waits_for_no_round() -> None:
    rounds, began = Rounds(), []
    rounds.note_accepted("bank")

    def ask(address: str) -> None:
        rounds.wait(address)
        began.append(address)

    asked = [gevent.spawn(ask, "bank") for _ in range(3 * OF_A_ROUND)] + [gevent.spawn(ask, "other")]
    gevent.joinall(asked, timeout=10, raise_error=True)
    assert began.index("other") == 3 * OF_A_ROUND


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebServer]:
    """One that gives an address two connections."""
    url = f"sqlite:///{tmp_path_factory.mktemp('shares')}/receiver.db"
    parts: Runtime = runtime.start(Settings(_env_file=None, secret_keys=KEY, database_url=url))
    schema.upgrade(parts.database, parts.encryption)
    add_source(parts)
    more = {"RECEIVER_LOG_LEVEL": "WARNING", "RECEIVER_CONNECTIONS_PER_ADDRESS": "2"}
    started = WebServer(environment(url, KEY, **more)).start()
    yield started
    started.stop()
    parts.database.close()


def connect(server: WebServer, address: str = "127.0.0.1") -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=20, source_address=(address, 0))


GET = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"


def ask(connection: socket.socket, request: bytes = GET) -> bytes:
    """Send a request, and return its whole answer."""
    connection.sendall(request)
    received = connection.recv(65536)
    while b"\r\n\r\n" not in received or not received.endswith(b"}"):
        received += connection.recv(65536)
    return received


def test_a_third_connection_takes_the_place_of_the_idle_one(server: WebServer) -> None:
    first, second, third = (connect(server, "127.0.0.5") for _ in range(3))
    with first, second, third:
        assert [ask(each)[:12] for each in (first, second, third)] == [b"HTTP/1.1 200"] * 3
        assert first.recv(1) == b""
        assert ask(second)[:12] == b"HTTP/1.1 200"


def test_those_who_say_nothing_keep_out_nobody_but_their_own(server: WebServer, live_bank: BankSigner) -> None:
    silent = [connect(server, "127.0.0.6") for _ in range(20)]
    signed = live_bank.sign(deposit())
    head = "".join(f"{name}: {value}\r\n" for name, value in signed.headers.items())
    raw = f"POST {signed.path} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(signed.body)}\r\n{head}\r\n".encode()
    with connect(server, "127.0.0.7") as genuine:
        assert ask(genuine, raw + signed.body)[:12] == b"HTTP/1.1 200"
    for each in silent:
        each.close()


def test_a_connection_is_closed_after_a_thousand_requests(server: WebServer) -> None:
    with connect(server, "127.0.0.8") as connection:
        connection.sendall(GET * 1100)
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    assert received.count(b"HTTP/1.1 200") == 1000
    assert received.count(b"Connection: close") == 1


@pytest.mark.parametrize("framing", [b"Content-Length: 1000000000000", b"Transfer-Encoding: chunked"])
def test_a_body_that_nobody_wants_is_not_read_to_its_end(server: WebServer, framing: bytes) -> None:
    with connect(server, "127.0.0.9") as connection:
        received = ask(connection, b"POST /webhooks/nobody HTTP/1.1\r\nHost: a\r\n" + framing + b"\r\n\r\n")
        assert received[:12] == b"HTTP/1.1 404"
        assert b"Connection: close" in received
        with pytest.raises(OSError, match=r"reset|pipe"):
            connection.sendall(bytes(100_000_000))


def test_a_small_body_that_nobody_wants_leaves_the_connection(server: WebServer) -> None:
    small = b"POST /webhooks/nobody HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n" + bytes(1000)
    with connect(server, "127.0.0.10") as connection:
        assert ask(connection, small)[:12] == b"HTTP/1.1 404"
        assert ask(connection)[:12] == b"HTTP/1.1 200"


def test_a_head_has_a_bound_as_a_whole(server: WebServer) -> None:
    lines = b"".join(b"X-%d: %s\r\n" % (number, b"a" * 8000) for number in range(10))
    with connect(server, "127.0.0.11") as connection:
        assert ask(connection, b"GET /healthz HTTP/1.1\r\nHost: a\r\n" + lines + b"\r\n")[:12] == b"HTTP/1.1 431"


def test_many_small_chunks_that_came_at_once_let_all_others_go_on() -> None:
    rounds = []

    def other() -> None:
        while True:
            rounds.append(turn())
            next_round()

    reader = Chunks(SimpleNamespace(), IterUnreader([chunked(b"x" * 900, 1)]))
    beside = gevent.spawn(other)
    assert reader.read(1000) == b"x" * 900
    beside.kill()
    assert len(rounds) >= 900 // CHUNKS_AT_ONCE
