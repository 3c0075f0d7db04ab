"""Gunicorn's gevent worker, with problem documents for what never reaches the application, and with bounds of time.

As it comes, it reads the body of a slow sender for ever, cuts off what the parser refuses before the sender has read
the answer, and at a graceful stop waits for connections on which nothing is under way.
"""

import json
import logging
import socket
import time
from contextlib import suppress
from http import HTTPStatus
from typing import Any

import gevent.socket
from gunicorn import util
from gunicorn.http import errors
from gunicorn.workers.ggevent import GeventWorker

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


class ProblemWorker(GeventWorker):
    """Answers what can't be parsed as HTTP the way the application answers everything else (RFC 9457)."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """See gunicorn."""
        super().__init__(*args, **kwargs)
        self._idle_since: dict[gevent.socket.socket, float] = {}
        self._served_since: dict[gevent.socket.socket, float] = {}

    def handle(self, listener: Any, client: gevent.socket.socket, addr: Any) -> None:
        """Serve a connection, one request after the other."""
        self._idle_since[client] = time.monotonic()
        try:
            super().handle(listener, client, addr)
        finally:
            self._idle_since.pop(client, None)

    def handle_request(self, listener_name: Any, req: Any, sock: gevent.socket.socket, addr: Any) -> Any:
        """Serve one request; raise `StopIteration` where the connection is not kept."""
        self._idle_since.pop(sock, None)
        self._served_since[sock] = time.monotonic()
        try:
            return super().handle_request(listener_name, req, sock, addr)
        except StopIteration:
            _part(sock)
            raise
        finally:
            del self._served_since[sock]
            self._idle_since[sock] = time.monotonic()

    def notify(self) -> None:
        """Once a second: end the reading of what takes too long, and at a stop let idle connections go."""
        super().notify()
        now = time.monotonic()
        _stop_reading(self._served_since, before=now - self.cfg.timeout)
        if not self.alive:
            _stop_reading(self._idle_since, before=now - IDLE_SECONDS)

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
        _part(client)


def _stop_reading(since: dict[gevent.socket.socket, float], before: float) -> None:
    for client, started in list(since.items()):
        if started < before:
            # The plain socket's method: TLS's own would drop the state that another greenlet is using.
            with suppress(OSError):
                gevent.socket.socket.shutdown(client, socket.SHUT_RD)


def _part(client: socket.socket) -> None:
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
    body = json.dumps({"type": "about:blank", "title": phrase, "status": status}).encode()
    head = f"HTTP/1.1 {status} {phrase}\r\nConnection: close\r\nContent-Type: application/problem+json\r\n"
    retry = "Retry-After: 5\r\n" if status == 503 else ""
    return f"{head}{retry}Content-Length: {len(body)}\r\n\r\n".encode() + body
