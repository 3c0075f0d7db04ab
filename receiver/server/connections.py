"""One connection: what it is at and since when, and how it is read so that all others have their turn."""

import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import gevent
import gevent.event
from gunicorn.http.body import Body, ChunkedReader, LengthReader
from gunicorn.http.errors import InvalidChunkSize, UnsupportedTransferCoding
from gunicorn.http.message import Request
from gunicorn.http.parser import RequestParser
from gunicorn.http.unreader import SocketUnreader

HEAD_BYTES_MAX = 64 * 1024
"""A head with all its lines; the parser's own bound is the largest line times the number of lines: 800 KB."""

READ_BYTES_MAX = 64 * 1024
"""What is read of a body at once."""

DRAINED_BYTES_MAX = 64 * 1024
"""What is read of a body that was not wanted, to use the connection on; where more is left it is closed."""

CHUNKS_AT_ONCE = 32
"""Chunks after which all others have their turn: each costs the same, however small it is."""

CHUNKS_MAX, CHUNK_BYTES = 1000, 64
"""How many chunks a body may come in, and how many of its bytes allow one more: no bank sends smaller ones."""

PIECE_BYTES_MAX = 64 * 1024
"""What is handed on of an answer at once: whether its reader takes it is seen between two pieces."""

PARTING_SECONDS = 1.0
"""How long a sender has to hang up once it is answered."""

PARTING_BYTES_MAX = 256 * 1024
"""What it may send in that time."""

NEXT_ROUND_SECONDS = 1e-6
"""A timer that has run out by the next round of the event loop. `gevent.sleep(0)` would let those go on who are ready
already, dozens of them or the same one time and again, before the loop looks who else has sent something."""


def turn() -> float:
    """Return what tells one round of the event loop from the next."""
    return float(gevent.get_hub().loop.now())


def next_round() -> None:
    """Let all others go on."""
    gevent.sleep(NEXT_ROUND_SECONDS)


def give_way(since: float) -> None:
    """Let all others go on, unless they could since `turn()` was this: a read that finds data never waits by itself."""
    if turn() == since:
        next_round()


@dataclass(eq=False, slots=True)
class Client:
    """One connection, and what it is at; all times are by the monotonic clock, none where it is not at that."""

    sock: Any
    address: str | None
    """Whose share of the connections it takes; none for a proxy, which stands for many."""
    waiting_since: float | None
    """It has no request under way: it is new, or idle, or its head is coming."""
    head_since: float | None
    served_since: float | None = None
    body_since: float | None = None
    body_bytes: int = 0
    """What of the body was read from the socket."""
    is_reading: bool = False
    """Its body is being waited for."""
    moved_at: float = 0.0
    """When something of its answer was made, or taken, last; when its request came before that."""
    is_writing: bool = False
    """A piece of its answer is being taken by its reader."""
    writing_seconds: float = 0.0
    """How long its reader took for the pieces before."""
    written_bytes: int = 0
    """What of the answer has gone out."""
    was_broken_off: bool = False
    """We have ended its answer before its end."""
    was_served: bool = False
    """It has had an answer."""
    place: gevent.event.Event | None = None
    """Set once there is a place for it, or none will come: its address has had its share."""
    was_cut: bool = False
    """We have stopped reading: what is missing of its request is missing because of us."""
    request: Any = None

    def is_cut(self) -> bool:
        """Tell whether the rest of its request is missing because of us."""
        return self.was_cut

    def is_read(self) -> bool:
        """Tell whether all of the request's body was read, as far as can be told without reading."""
        reader = self.request.body.reader
        return isinstance(reader, LengthReader) and reader.length == 0 and not self.request.body.buf.tell()

    def has_unread(self) -> bool:
        """Tell whether more of the request's body is left than is worth reading."""
        reader = self.request.body.reader
        if isinstance(reader, LengthReader):
            return bool(reader.length > DRAINED_BYTES_MAX)
        return reader.parser is not None

    def taken(self, answer: Iterable[bytes]) -> Iterator[bytes]:
        """Hand on an answer in pieces, and note how its reader takes them: who asks for the next has had the last."""
        for part in answer:
            for start in range(0, len(part) or 1, PIECE_BYTES_MAX):
                piece = part if len(part) <= PIECE_BYTES_MAX else part[start : start + PIECE_BYTES_MAX]
                self.moved_at, self.is_writing = time.monotonic(), True
                yield piece
                now = time.monotonic()
                self.writing_seconds += now - self.moved_at
                self.moved_at, self.is_writing = now, False
                self.written_bytes += len(piece)

    def shut(self, how: int = socket.SHUT_RD) -> None:
        """Let whoever reads from it see its end."""
        # Through a socket of its own: that of TLS would drop the state that another greenlet is using, and
        # gevent's would fail that greenlet with an error instead of letting it see the end.
        with suppress(OSError), socket.fromfd(self.sock.fileno(), self.sock.family, self.sock.type) as other:
            other.shutdown(how)

    def cut(self, how: int = socket.SHUT_RD) -> None:
        """Stop reading its request."""
        self.was_cut = True
        self.shut(how)


class SocketReader(SocketUnreader):
    """Reads from a connection for gunicorn's parser, and notes what comes when."""

    max_body_chunk = READ_BYTES_MAX

    def __init__(self, client: Client) -> None:
        super().__init__(client.sock)
        self._client = client

    def chunk(self, size_hint: int | None = None) -> bytes:
        """Return what comes next; nothing at the end."""
        client = self._client
        if client.was_cut:
            return b""
        if client.served_since is not None:
            return self._of_body(client, size_hint)
        read: bytes = super().chunk(size_hint)  # type: ignore[call-arg]  # the stubs are of an older release
        if client.head_since is None:
            client.head_since = time.monotonic()
        return read

    def _of_body(self, client: Client, size_hint: int | None) -> bytes:
        since = turn()
        if client.body_since is None:
            client.body_since = time.monotonic()
        client.is_reading = True
        try:
            read: bytes = super().chunk(size_hint)  # type: ignore[call-arg]  # the stubs are of an older release
        finally:
            client.is_reading = False
        client.body_bytes += len(read)
        give_way(since)
        return read


class Chunks(ChunkedReader):
    """A body in chunks, of which one read from the socket may bring more than a thousand."""

    def __init__(self, request: Any, unreader: Any) -> None:
        super().__init__(request, unreader)
        self._chunks = self._bytes = 0
        self._since = turn()

    def parse_chunk_size(self, unreader: Any, data: bytes | None = None) -> tuple[int, bytes | None]:
        """Return how long the next chunk is, and what has come of it.

        Raises:
            InvalidChunkSize: the chunks are too many for what they hold, too.
        """
        if self._chunks >= CHUNKS_MAX + self._bytes // CHUNK_BYTES:
            raise InvalidChunkSize(b"%d chunks with %d bytes" % (self._chunks, self._bytes))
        self._chunks += 1
        if self._chunks % CHUNKS_AT_ONCE == 0:
            give_way(self._since)
            self._since = turn()
        size, rest = super().parse_chunk_size(unreader, data)
        self._bytes += size
        return size, rest


class BoundedRequest(Request):
    """A request as it is taken here: its head within bounds, its body in no transfer coding but chunks."""

    def parse(self, unreader: Any) -> Any:
        """Read the head."""
        self.max_buffer_headers = HEAD_BYTES_MAX
        return super().parse(unreader)

    def set_body_reader(self) -> None:
        """Find out where the body ends.

        Raises:
            UnsupportedTransferCoding: it is not `chunked` alone. Gunicorn takes codings before it and hands the body on
                as it comes, and calls others no HTTP.
            ParseException: there is a length besides, or it is none.
        """
        codings = [value for name, value in self.headers if name == "TRANSFER-ENCODING"]
        if codings and [coding.strip(" \t").lower() for coding in codings] != ["chunked"]:
            raise UnsupportedTransferCoding(", ".join(codings))
        super().set_body_reader()
        if self.body is not None and isinstance(self.body.reader, ChunkedReader):
            self.body = Body(Chunks(self, self.unreader))


class Parser(RequestParser):
    """Takes the requests of a connection apart."""

    mesg_class = BoundedRequest

    def __init__(self, cfg: Any, client: Client, peer: Any) -> None:
        super().__init__(cfg, client.sock, peer)
        self.unreader = SocketReader(client)


def linger(client: socket.socket) -> None:
    """Say that no more comes, and wait for the sender to stop: else TCP may take the answer back (RFC 9112, 9.6)."""
    with suppress(OSError):
        client.shutdown(socket.SHUT_WR)
        ends = time.monotonic() + PARTING_SECONDS
        left = PARTING_BYTES_MAX
        while left > 0 and (seconds := ends - time.monotonic()) > 0:
            client.settimeout(seconds)
            received = client.recv(READ_BYTES_MAX)
            if not received:
                break
            left -= len(received)
            next_round()
