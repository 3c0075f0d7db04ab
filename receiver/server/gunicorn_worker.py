"""Gunicorn's gevent worker, with problem documents for what never reaches the application, and with bounds of time.

As it comes, it waits for ever for a slow sender's TLS handshake and body, cuts off what the parser refuses before the
sender has read the answer, and at a graceful stop resets connections that the system has taken in for it and waits for
those on which nothing is under way.
"""

import gc
import json
import logging
import socket
import time
from collections.abc import Iterable, MutableMapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any

import gevent
import gevent.socket
from gevent.pool import Pool
from gevent.server import StreamServer
from gunicorn import util
from gunicorn.http import errors
from gunicorn.sock import ssl_context
from gunicorn.workers.ggevent import GeventWorker

from receiver.model import CUT_SHORT

log = logging.getLogger(__name__)

STATUSES: dict[type[Exception], int] = {
    errors.LimitRequestLine: 414,
    errors.LimitRequestHeaders: 431,
    errors.ExpectationFailed: 417,
    errors.UnsupportedTransferCoding: 501,
}

PARTING_SECONDS = 1.0
"""How long a sender has to hang up once it is answered."""

IDLE_SECONDS = 2.0
"""At a graceful stop, how long a connection may be without a request before it is closed."""

LAST_SECONDS = 5.0
"""How long before the grace time ends the rest of a request is no longer waited for: time enough to answer it."""

LOOK_SECONDS = 0.2
"""At a graceful stop, how soon it is noticed that all is done."""


SHARING_SECONDS = 0.0001
"""How long the next connection is left to the other processes, after one was accepted, at least; up to a millisecond
where nothing else is to do."""


class SharingServer(StreamServer):
    """Leaves connections to the other processes that listen: else the first to wake up may take a burst alone."""

    max_accept = 1

    def do_handle(self, *args: Any) -> None:
        """Hand a connection over, and look away for a moment."""
        super().do_handle(*args)
        self.stop_accepting()
        # Which ends with `stop_accepting`, as the server's own timer after an error does.
        self._timer: Any = self.loop.timer(SHARING_SECONDS)
        self._timer.start(self._resume_accepting)

    def _resume_accepting(self) -> None:
        if self.started:
            self.start_accepting()


@dataclass(frozen=True)
class _Address:
    """What a connection still wants to know of its listener when that is closed."""

    name: Any

    def getsockname(self) -> Any:
        return self.name


class ProblemWorker(GeventWorker):
    """Answers what can't be parsed as HTTP the way the application answers everything else (RFC 9457)."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Start without a connection, and without a time at which to stop."""
        super().__init__(*args, **kwargs)
        self._new_since: dict[gevent.socket.socket, float] = {}
        self._idle_since: dict[gevent.socket.socket, float] = {}
        self._served_since: dict[gevent.socket.socket, float] = {}
        self._cut_short: set[gevent.socket.socket] = set()
        self._stops_at: float | None = None

    def load_wsgi(self) -> None:
        """Load the application to stay, and let it ask whether the rest of a request is missing because of us."""
        super().load_wsgi()
        application = self.wsgi

        def wsgi(environ: MutableMapping[str, Any], start_response: Any) -> Iterable[bytes]:
            environ[CUT_SHORT] = partial(self._cut_short.__contains__, environ["gunicorn.socket"])
            return application(environ, start_response)

        self.wsgi = wsgi
        # What was loaded stays: to look through it for garbage would stop all requests for 60 ms, time and again.
        gc.collect()
        gc.freeze()

    def run(self) -> None:
        """Serve until a signal ends it; then take no more connections, and answer what comes over those there are."""
        servers = [self._listen(listener) for listener in self.sockets]
        for server in servers:
            server.start()
        while self.alive:
            self.notify()
            gevent.sleep(1.0)
        self._stops_at = time.monotonic() + self.cfg.graceful_timeout
        for server in servers:
            _close(server)
        while any(server.pool for server in servers) and time.monotonic() < self._stops_at:
            self.notify()
            gevent.sleep(LOOK_SECONDS)

    def _listen(self, listener: gevent.socket.socket) -> StreamServer:
        listener.setblocking(True)
        # The handshake is left to `handle`, which is watched; its time would be nobody's otherwise.
        secured: dict[str, Any] = (
            {"ssl_context": ssl_context(self.cfg), "do_handshake_on_connect": False} if self.cfg.is_ssl else {}
        )
        serve = partial(self.handle, _Address(listener.getsockname()))
        kind = SharingServer if self.cfg.workers > 1 else StreamServer
        server: StreamServer = kind(listener, handle=serve, spawn=Pool(self.worker_connections), **secured)
        return server

    def handle(self, listener: Any, client: gevent.socket.socket, addr: Any) -> None:
        """Serve a connection, one request after the other."""
        self._new_since[client] = time.monotonic()
        try:
            super().handle(listener, client, addr)
        finally:
            self._new_since.pop(client, None)
            self._idle_since.pop(client, None)
            self._cut_short.discard(client)

    def handle_request(self, listener_name: Any, req: Any, sock: gevent.socket.socket, addr: Any) -> Any:
        """Serve one request; raise `StopIteration` where the connection is not kept."""
        self._new_since.pop(sock, None)
        self._idle_since.pop(sock, None)
        self._served_since[sock] = time.monotonic()
        try:
            return super().handle_request(listener_name, req, sock, addr)
        except StopIteration:
            _linger(sock)
            raise
        finally:
            del self._served_since[sock]
            self._cut_short.discard(sock)
            self._idle_since[sock] = time.monotonic()

    def notify(self) -> None:
        """Once a second: end the reading of what takes too long, and at a stop let idle connections go."""
        super().notify()
        now = time.monotonic()
        for since in (self._new_since, self._served_since):
            self._cut_short.update(_shut(since, socket.SHUT_RD, before=now - self.cfg.timeout))
        # The answer has not been taken away either.
        _shut(self._served_since, socket.SHUT_RDWR, before=now - 2 * self.cfg.timeout)
        if self._stops_at is not None:
            for since in (self._new_since, self._idle_since):
                _shut(since, socket.SHUT_RD, before=now - IDLE_SECONDS)
            if now > self._stops_at - LAST_SECONDS:
                self._cut_short.update(_shut(self._served_since, socket.SHUT_RD, before=now))

    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: BaseException) -> None:  # noqa: ARG002
        """Answer 4xx for the sender's faults; a fault of ours is logged, and is 503 so that a bank sends again."""
        if isinstance(exc, errors.ParseException | OSError):
            status = next((status for kind, status in STATUSES.items() if isinstance(exc, kind)), 400)
            log.info("a request that is not HTTP: %s", type(exc).__name__)
        else:
            status = 503
            log.error("a request failed outside the application", exc_info=exc)
        try:
            util.write_nonblock(client, _answer(status))
        except OSError:
            log.debug("the sender of a broken request has gone")
        _linger(client)


def _close(server: StreamServer) -> None:
    """Accept what the system has taken in already, and close the listener, which would reset it."""
    server.stop_accepting()
    pool: Any = server.pool
    taken: list[Any] = []
    while len(taken) < pool.free_count() and (accepted := server.do_read()):
        taken.append(accepted)
    # At once: whoever comes between the last look and this is reset all the same.
    server.socket.close()
    for accepted in taken:
        server.do_handle(*accepted)
    server.close()


def _shut(since: dict[gevent.socket.socket, float], how: int, before: float) -> list[gevent.socket.socket]:
    late = [client for client, started in since.items() if started < before]
    for client in late:
        # Through a socket of its own: that of TLS would drop the state that another greenlet is using, and
        # gevent's would fail that greenlet with an error instead of letting it see the end.
        with suppress(OSError), socket.fromfd(client.fileno(), client.family, client.type) as other:
            other.shutdown(how)
    return late


def _linger(client: socket.socket) -> None:
    """Say that no more comes, and wait for the sender to stop: else TCP may take the answer back (RFC 9112, 9.6)."""
    with suppress(OSError):
        client.shutdown(socket.SHUT_WR)
        ends = time.monotonic() + PARTING_SECONDS
        while (left := ends - time.monotonic()) > 0:
            client.settimeout(left)
            if not client.recv(65536):
                break


def _answer(status: int) -> bytes:
    phrase = HTTPStatus(status).phrase
    detail = "The receiver can't answer this just now." if status == 503 else "The request is not HTTP as taken here."
    body = json.dumps({"type": "about:blank", "title": phrase, "status": status, "detail": detail}).encode()
    head = f"HTTP/1.1 {status} {phrase}\r\nConnection: close\r\nContent-Type: application/problem+json\r\n"
    retry = "Retry-After: 5\r\n" if status == 503 else ""
    private = "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
    return f"{head}{private}{retry}Content-Length: {len(body)}\r\n\r\n".encode() + body
