"""Senders that send one byte a second, a thousand of them from one thread."""

import selectors
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

HEAD = b"POST /webhooks/bcb HTTP/1.1\r\nHost: slow\r\nX-Padding: " + b"a" * 1000
BODY = b"POST /webhooks/bcb HTTP/1.1\r\nHost: slow\r\nContent-Length: 1000\r\n\r\n" + b" " * 1000
HANDSHAKE = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 1000
"""The beginning of a TLS ClientHello of 512 bytes (RFC 8446, 4.1.2)."""

FORMS = {"head": (HEAD, 40), "body": (BODY, BODY.index(b"\r\n\r\n") + 4), "handshake": (HANDSHAKE, 5)}
"""What they send, and how much of it at once."""


ADDRESSES = 20
"""They come from so many: what one address may hold is its share, and those beyond it only wait among themselves."""


@dataclass
class SlowSenders:
    """Counts, by form, the connections that are open, and those that the receiver has ended."""

    opened: Counter[str] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)
    _selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)
    _left: dict[socket.socket, tuple[str, bytes]] = field(default_factory=dict)

    def open(self, port: int, form: str) -> None:
        whole, at_once = FORMS[form]
        source = f"127.0.0.{2 + self.opened.total() % ADDRESSES}"
        connection = socket.create_connection(("127.0.0.1", port), timeout=30, source_address=(source, 0))
        connection.sendall(whole[:at_once])
        connection.setblocking(False)
        self._left[connection] = form, whole[at_once:]
        self._selector.register(connection, selectors.EVENT_READ)
        self.opened[form] += 1

    def send_bytes(self) -> None:
        """Send the next byte over each connection that is still there."""
        for connection, (form, left) in list(self._left.items()):
            # One that was cut is noticed by `look`.
            with suppress(OSError):
                connection.send(left[:1])
            self._left[connection] = form, left[1:]

    def look(self, seconds: float) -> None:
        """Notice, for so long, which connections are ended."""
        ends = time.monotonic() + seconds
        while (left := ends - time.monotonic()) > 0:
            for key, _ in self._selector.select(left):
                assert isinstance(key.fileobj, socket.socket)
                self._read(key.fileobj)

    def _read(self, connection: socket.socket) -> None:
        try:
            if connection.recv(65536):
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        self.ended[self._left[connection][0]] += 1
        self._close(connection)

    def _close(self, connection: socket.socket) -> None:
        self._selector.unregister(connection)
        del self._left[connection]
        connection.close()

    def close(self) -> None:
        for connection in list(self._left):
            self._close(connection)
        self._selector.close()


@contextmanager
def dawdling(port: int, forms: Sequence[str], number: int) -> Iterator[SlowSenders]:
    """Let so many senders be slow, in these forms by turns, until the block ends."""
    senders = SlowSenders()
    stop = threading.Event()
    faults: list[BaseException] = []

    def go_on() -> None:
        try:
            while not stop.is_set():
                senders.send_bytes()
                senders.look(1)
        except BaseException as fault:
            faults.append(fault)

    thread = threading.Thread(target=go_on)
    try:
        for turn in range(number):
            senders.open(port, forms[turn % len(forms)])
        thread.start()
        yield senders
    finally:
        stop.set()
        if thread.ident is not None:
            thread.join()
        senders.close()
    assert not faults
