"""Senders that go on until nobody listens any more, and note which of their requests got no answer."""

import http.client
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

from bank import BankSigner, deposit

IDLE = 20
"""Connections that are used once and kept."""

HALF_WAY_SECONDS = 0.3
"""How long some let the receiver wait for the second half of a body: longer than a stop takes otherwise."""


@dataclass
class Hurried:
    """What came of the callbacks: the ids of the events that were answered, and the requests that were cut off."""

    port: int
    bank: BankSigner
    answered: list[str] = field(default_factory=list)
    cut: list[str] = field(default_factory=list)
    not_taken_in: list[str] = field(default_factory=list)
    """Requests over connections that the system had opened when the listener was closed: it resets them (RST)."""
    _used: set[http.client.HTTPConnection] = field(default_factory=set)
    idle: list[http.client.HTTPConnection] = field(default_factory=list)

    def send_anew(self, name: str) -> None:
        """Send each callback over a connection of its own."""
        number = 0
        while (connection := self._connect()) is not None:
            self._send(connection, f"{name}-{number}")
            connection.close()
            number += 1

    def send_on(self, name: str) -> None:
        """Send one callback after the other over one connection for as long as it is kept."""
        number = 0
        while (connection := self._connect()) is not None:
            while self._send(connection, f"{name}-{number}"):
                number += 1
            connection.close()
            number += 1

    def send_halves(self, name: str) -> None:
        """Send each body in two halves, with a pause between them."""
        number = 0
        while (connection := self._connect()) is not None:
            self._send(connection, f"{name}-{number}", HALF_WAY_SECONDS)
            connection.close()
            number += 1

    def send_once(self, name: str) -> None:
        """Send one callback and keep the connection, unused, until the end."""
        connection = self._connect()
        assert connection is not None
        self.idle.append(connection)
        assert self._send(connection, name)

    def _connect(self) -> http.client.HTTPConnection | None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.connect()
        except ConnectionError:
            return None
        return connection

    def _send(self, connection: http.client.HTTPConnection, name: str, pause: float = 0.0) -> bool:
        """Send one callback; return whether the connection may be used again."""
        signed = self.bank.sign(deposit(transactionId=name))
        half = len(signed.body) // 2 if pause else 0
        try:
            connection.putrequest("POST", signed.path)
            for header, value in {**signed.headers, "Content-Length": str(len(signed.body))}.items():
                connection.putheader(header, value)
            connection.endheaders(signed.body[:half] or None)
            time.sleep(pause)
            connection.send(signed.body[half:])
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException) as error:
            is_new = isinstance(error, ConnectionResetError) and connection not in self._used
            (self.not_taken_in if is_new else self.cut).append(f"{name}: {error!r}")
            return False
        self._used.add(connection)
        assert answer.status == 200, (answer.status, body)
        self.answered += json.loads(body)["events"]
        return not answer.will_close


@contextmanager
def hurrying(port: int, bank: BankSigner, *, turn: int) -> Iterator[Hurried]:
    """Let senders of each kind go on in the background; in the end they have all found nobody listening."""
    sender = Hurried(port, bank)
    ways = [sender.send_anew] * 6 + [sender.send_on] * 3 + [sender.send_halves] * 3
    with ThreadPoolExecutor(len(ways)) as pool:
        futures = [pool.submit(way, f"{turn}-{number}") for number, way in enumerate(ways)]
        try:
            for number in range(IDLE):
                sender.send_once(f"{turn}-idle-{number}")
            yield sender
        finally:
            for connection in sender.idle:
                connection.close()
    for future in futures:
        future.result()
