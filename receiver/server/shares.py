"""Whose connections a process takes: which goes where there is no room, and who has a turn before whom.

Whoever has proven nothing may open a connection and leave it, or send a head or a body byte by byte, or ask without
pause. So each stage of a connection has a time of its own, each client address has a share of the connections and of
each round of the event loop, and where there are too many the one that has been idle the longest goes first.
"""

import logging
import socket
import time
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import gevent
import gevent.event
from gevent.server import StreamServer

from receiver.server.connections import Client, next_round, turn

log = logging.getLogger(__name__)

HEAD_SECONDS = 10.0
"""How long a request's head may take from its first byte on; with a new connection, from when it was opened on."""

BODY_SECONDS = 10.0
"""How long a body may take however slow it comes; from then on it must have come at the least rate."""

SHARING_SECONDS = 0.0001
"""How long the next connection is left to the other processes, after one was accepted, at least; up to a millisecond
where nothing else is to do."""

LATE_SECONDS = 0.001
"""Each time that it looks later than it meant to by so much it takes one connection more: it is busy, and whoever waits
to be taken would wait for a round of the event loop each."""

ROW_SECONDS, ROW = 0.005, 64
"""Looks no further apart than this are a row; after so many of them it is a flood, and others wait behind it."""

AT_ONCE_MAX = 64

OF_A_ROUND = 1
"""Requests of one address that begin in a round of the event loop, before others have had theirs ..."""

PROVEN_SECONDS = 60.0
"""... unless a callback from it was accepted within this time: only who has proven nothing waits."""


@dataclass
class Share:
    """The connections of one client address, and those that wait for a place among them, the first one first."""

    clients: dict[Client, None] = field(default_factory=dict)
    waiting: dict[Client, None] = field(default_factory=dict)


@dataclass
class Connections:
    """All connections of a process: no more than `most`, and of one client address no more than `of_address`."""

    most: int
    of_address: int
    bytes_per_second: int
    """The least rate of a body, and of an answer that its reader has to be waited for."""
    _all: dict[Any, Client] = field(default_factory=dict)
    """By their sockets."""
    _waiting: dict[Client, None] = field(default_factory=dict)
    """Those without a request under way, the longest first."""
    _shares: dict[str, Share] = field(default_factory=dict)

    def admit(self, sock: Any, address: str | None) -> Client | None:
        """Take a new connection, and let one go for it where there are too many; none where all others are busy."""
        if len(self._all) >= self.most and not self._let_go(next(iter(self._waiting), None)):
            return None
        now = time.monotonic()
        client = Client(sock, address, waiting_since=now, head_since=now)
        self._all[sock] = client
        self._waiting[client] = None
        if address is not None:
            self._place(client, address)
        return client

    def _place(self, client: Client, address: str) -> None:
        """Give a connection a place among those of its address, or have it wait for one."""
        share = self._shares.setdefault(address, Share())
        if len(share.clients) >= self.of_address:
            self._let_go(_longest_idle(share.clients))
            share = self._shares.setdefault(address, share)
        if len(share.clients) < self.of_address:
            share.clients[client] = None
        else:
            client.place = gevent.event.Event()
            share.waiting[client] = None

    def has_place(self, client: Client) -> bool:
        """Wait for a place among the connections of its address; false where none came free.

        To close another one that has not said anything yet would only have the sender open it anew.
        """
        if client.place is None:
            return True
        client.place.wait(HEAD_SECONDS)
        return client.address in self._shares and client in self._shares[client.address].clients

    def leave(self, client: Client) -> None:
        """Forget a connection that has ended."""
        self._all.pop(client.sock, None)
        self._forget(client)

    def of(self, sock: Any) -> Client:
        """Return the connection of a socket."""
        return self._all[sock]

    def begin(self, client: Client, request: Any) -> None:
        """Note that a request is under way: its head has come."""
        self._waiting.pop(client, None)
        client.waiting_since = client.head_since = client.body_since = None
        client.served_since, client.request, client.body_bytes = time.monotonic(), request, 0
        client.moved_at, client.is_writing = client.served_since, False
        client.writing_seconds, client.written_bytes = 0.0, 0

    def end(self, client: Client) -> None:
        """Note that the request is answered."""
        client.served_since = client.request = None
        client.was_cut, client.was_served = False, True
        client.waiting_since = time.monotonic()
        if client.sock in self._all:
            self._waiting[client] = None
            share = self._shares.get(client.address or "")
            if share is not None and share.waiting:
                self._let_go(client)

    def end_slow(self, now: float, *, idle_seconds: float, seconds: float) -> None:
        """End what takes too long: an idle connection, a head, a body below the least rate, a request altogether.

        An answer may take as long as it is made and taken: what is ended is one of which nothing goes out for twice
        `seconds`, or whose reader, once waited for so long altogether, has taken it below the least rate.
        """
        for client in list(self._all.values()):
            if client.served_since is not None:
                is_late = now - client.served_since > seconds
                if (is_late or self._is_slow(client, now)) and not client.was_cut:
                    client.cut()
                elif self._is_stuck(client, now, 2 * seconds) and not client.was_broken_off:
                    client.was_broken_off = True
                    log.warning(
                        "an answer is broken off after %d bytes: its reader takes too little of it, "
                        "or nothing more of it came to be",
                        client.written_bytes,
                    )
                    client.cut(socket.SHUT_RDWR)
            elif client.head_since is not None:
                if now - client.head_since > min(HEAD_SECONDS, seconds):
                    client.shut()
            elif client.waiting_since is not None and now - client.waiting_since > idle_seconds:
                client.shut()

    def _is_slow(self, client: Client, now: float) -> bool:
        if not client.is_reading or client.body_since is None:
            return False
        took = now - client.body_since
        return took > BODY_SECONDS and client.body_bytes < took * self.bytes_per_second

    def _is_stuck(self, client: Client, now: float, seconds: float) -> bool:
        """Tell whether nothing of an answer goes out, or its reader takes too little of it."""
        moves_since = now - client.moved_at
        waited = client.writing_seconds + (moves_since if client.is_writing else 0)
        return moves_since > seconds or (waited > seconds and client.written_bytes < waited * self.bytes_per_second)

    def end_waiting(self, before: float) -> None:
        """End the connections that have had no request under way since a time."""
        for client in list(self._waiting):
            if client.waiting_since is not None and client.waiting_since < before:
                client.shut()

    def cut_served(self) -> None:
        """Stop reading all requests that are under way."""
        for client in list(self._all.values()):
            if client.served_since is not None and not client.was_cut:
                client.cut()

    def _let_go(self, client: Client | None) -> bool:
        """End a connection to make room; false where there is none."""
        if client is None:
            return False
        self._forget(client)
        client.shut()
        if client.place is not None:
            client.place.set()
        return True

    def _forget(self, client: Client) -> None:
        """Take a connection out of all lists, and give its place to the next that waits for one."""
        self._waiting.pop(client, None)
        share = self._shares.get(client.address or "")
        if share is None or client.address is None:
            return
        share.waiting.pop(client, None)
        if client in share.clients:
            del share.clients[client]
            heir = next(iter(share.waiting), None)
            if heir is not None and heir.place is not None:
                del share.waiting[heir]
                share.clients[heir] = None
                heir.head_since = time.monotonic()
                heir.place.set()
        if not share.clients and not share.waiting:
            del self._shares[client.address]


def _longest_idle(clients: Iterable[Client]) -> Client | None:
    """Return the connection that has waited the longest for another request."""
    idle = (client for client in clients if client.was_served and client.waiting_since is not None)
    return min(idle, key=lambda client: client.waiting_since or 0, default=None)


class Rounds:
    """Lets the requests of one client address begin a few in a round of the event loop, those of others beside them."""

    def __init__(self) -> None:
        self._since = 0.0
        self._proven: dict[str, float] = {}
        self._begun: Counter[str] = Counter()
        self._queues: dict[str, deque[gevent.event.Event]] = {}

    def wait(self, address: str | None) -> None:
        """Wait until a request may begin; at once where its address has begun few in this round."""
        if address is None or self._is_proven(address):
            return
        now = turn()
        if now != self._since:
            self._since = now
            self._begun.clear()
        queue = self._queues.get(address)
        if queue is None and self._begun[address] < OF_A_ROUND:
            self._begun[address] += 1
            return
        if not self._queues:
            gevent.spawn(self._go_round)
        begins = gevent.event.Event()
        self._queues.setdefault(address, deque()).append(begins)
        begins.wait()

    def note_accepted(self, address: str | None) -> None:
        """Note that a callback from an address was accepted."""
        if address is not None:
            self._proven[address] = time.monotonic()

    def _is_proven(self, address: str) -> bool:
        accepted = self._proven.get(address)
        return accepted is not None and time.monotonic() - accepted < PROVEN_SECONDS

    def _go_round(self) -> None:
        while self._queues:
            next_round()
            for address, queue in list(self._queues.items()):
                for _ in range(min(OF_A_ROUND, len(queue))):
                    queue.popleft().set()
                if not queue:
                    del self._queues[address]


class SharingServer(StreamServer):
    """Leaves connections to the other processes that listen: else the first to wake up may take a burst alone."""

    max_accept = 1
    _left = 1
    """How many it takes before it looks away."""
    _in_row = 0
    _away_since = 0.0

    def do_handle(self, *args: Any) -> None:
        """Hand a connection over, and look away for a moment."""
        super().do_handle(*args)
        self._left -= 1
        if self._left > 0:
            return
        self.stop_accepting()
        now = time.monotonic()
        self._in_row = self._in_row + 1 if now - self._away_since < ROW_SECONDS else 0
        self._away_since = now
        # Which ends with `stop_accepting`, as the server's own timer after an error does.
        self._timer: Any = self.loop.timer(SHARING_SECONDS)
        self._timer.start(self._resume_accepting)

    def _resume_accepting(self) -> None:
        late = time.monotonic() - self._away_since - SHARING_SECONDS
        at_once = AT_ONCE_MAX if self._in_row > ROW else 1 + int(late / LATE_SECONDS)
        self.max_accept = self._left = min(AT_ONCE_MAX, at_once)
        if self.started:
            self.start_accepting()
