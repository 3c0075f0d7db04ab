"""Gunicorn's threaded worker, with problem documents for what never reaches the application, and with bounds of time.

As it comes, it reads from a slow sender for ever (as many of them as there are threads, and nobody else is served),
and waits two seconds for a sender that does not hang up, in the one thread that accepts everybody's connections.
"""

import json
import logging
import socket
import time
from contextlib import suppress
from http import HTTPStatus
from typing import Any

from gunicorn import util
from gunicorn.http import errors
from gunicorn.workers.gthread import TConn, ThreadWorker

log = logging.getLogger(__name__)

STATUSES: dict[type[Exception], int] = {
    errors.LimitRequestLine: 414,
    errors.LimitRequestHeaders: 431,
    errors.ExpectationFailed: 417,
    errors.UnsupportedTransferCoding: 501,
}


PARTING_SECONDS = 1.0
"""How long a sender has to hang up once it is answered."""


class ProblemWorker(ThreadWorker):
    """Answers what can't be parsed as HTTP the way the application answers everything else (RFC 9457)."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """See gunicorn."""
        super().__init__(*args, **kwargs)
        self._served_since: dict[TConn, float] = {}

    def handle(self, conn: TConn) -> Any:
        """Serve one request in a thread of the pool; return whether the connection is kept."""
        self._served_since[conn] = time.monotonic()
        try:
            kept = super().handle(conn)
        finally:
            del self._served_since[conn]
        if not kept:
            _part(conn.sock)
        return kept

    def murder_pending(self) -> None:
        """Once a second: close what waits too long for a request, and end the reading of one that takes too long."""
        super().murder_pending()
        latest = time.monotonic() - self.cfg.timeout
        for conn, since in list(self._served_since.items()):
            if since < latest:
                # The plain socket's method: TLS's own would drop the state that another thread is using.
                with suppress(OSError):
                    socket.socket.shutdown(conn.sock, socket.SHUT_RD)

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


def _part(client: socket.socket) -> None:
    """Say that no more comes, and wait for the sender to stop: else TCP may take the answer back (RFC 9112, 9.6)."""
    with suppress(OSError):
        client.shutdown(socket.SHUT_WR)
        ends = time.monotonic() + PARTING_SECONDS
        while (left := ends - time.monotonic()) > 0:
            client.settimeout(left)
            if not client.recv(65536):
                break
    with suppress(OSError):
        # Gunicorn, which closes it next, then finds nothing to wait for.
        client.shutdown(socket.SHUT_RDWR)


def _answer(status: int) -> bytes:
    phrase = HTTPStatus(status).phrase
    body = json.dumps({"type": "about:blank", "title": phrase, "status": status}).encode()
    head = f"HTTP/1.1 {status} {phrase}\r\nConnection: close\r\nContent-Type: application/problem+json\r\n"
    retry = "Retry-After: 5\r\n" if status == 503 else ""
    return f"{head}{retry}Content-Length: {len(body)}\r\n\r\n".encode() + body
