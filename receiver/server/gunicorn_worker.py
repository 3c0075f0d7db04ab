"""Gunicorn's gevent worker, with problem documents for what never reaches the application, and with bounds of time.

As it comes, it waits for ever for a slow sender's TLS handshake and body, serves a sender that never pauses before all
others, reads to its end what nobody wants, cuts off what the parser refuses before the sender has read the answer, and
at a graceful stop resets connections that the system has taken in for it and waits for those on which nothing is under
way. What each connection is at stands in `receiver.server.connections`, whose it is in
`receiver.server.shares`.
"""

import errno
import gc
import json
import logging
import socket
import ssl
import time
from collections import Counter
from collections.abc import Iterable, MutableMapping
from contextlib import nullcontext, suppress
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
from werkzeug.wsgi import ClosingIterator

from receiver.model import CUT_SHORT
from receiver.server.connections import (
    DRAINED_BYTES_MAX,
    PARTING_SECONDS,
    Client,
    Parser,
    give_way,
    linger,
    turn,
)
from receiver.server.shares import Connections, Rounds, SharingServer
from receiver.settings import load_settings
from receiver.signing import addresses

log = logging.getLogger(__name__)

STATUSES: dict[type[Exception], int] = {
    errors.LimitRequestLine: 414,
    errors.LimitRequestHeaders: 431,
    errors.ExpectationFailed: 417,
    errors.UnsupportedTransferCoding: 501,
}

PARTING_AT_ONCE = 16
"""How many connections of an address have that time at once."""

HTTP_MAX = (1, 1)

REQUESTS_MAX = 1000
"""Requests over one connection; whoever has more opens another."""

SPARE_CONNECTIONS = 100
"""So many fewer than gunicorn takes: where it had none left, it would accept none for which another could go."""

GONE = (
    *(errno.EPIPE, errno.ECONNRESET, errno.ECONNABORTED, errno.ENOTCONN, errno.EBADF),
    *(errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN),
)
"""The errors of a sender that has hung up, or of the way to it."""

CALLBACKS = "/webhooks/"
"""What is answered 200 below this was proven genuine."""

IDLE_SECONDS = 2.0
"""At a graceful stop, how long a connection may be without a request before it is closed."""

LAST_SECONDS = 5.0
"""How long before the grace time ends the rest of a request is no longer waited for: time enough to answer it."""

LOOK_SECONDS = 0.2
"""At a graceful stop, how soon it is noticed that all is done."""


@dataclass(frozen=True)
class _Address:
    """What a connection still wants to know of its listener when that is closed."""

    name: Any

    def getsockname(self) -> Any:
        return self.name


class ProblemWorker(GeventWorker):
    """Answers what can't be parsed as HTTP the way the application answers everything else (RFC 9457)."""

    def load_wsgi(self) -> None:
        """Load the application to stay, and let it ask whether the rest of a request is missing because of us."""
        # What is loaded stays: to look through it for garbage takes an eighth of the time until then, and would later
        # stop all requests for 60 ms, time and again.
        gc.disable()
        # Not before: it is made in the master, which ends where that fails. By now gevent has patched what it needs.
        from receiver.server.start import replacing

        # The first ones have the ages from 1 on.
        with replacing() if self.age > self.cfg.workers else nullcontext():
            super().load_wsgi()
            settings = load_settings()
        self._trusted = settings.trusted_proxies
        self._connections = Connections(
            most=max(1, self.worker_connections - SPARE_CONNECTIONS),
            of_address=settings.connections_per_address,
            bytes_per_second=settings.body_bytes_per_second,
        )
        self._rounds = Rounds()
        self._parting: Counter[str] = Counter()
        self._stops_at: float | None = None
        application = self.wsgi

        def wsgi(environ: MutableMapping[str, Any], start_response: Any) -> Iterable[bytes]:
            client = self._connections.of(environ["gunicorn.socket"])
            environ[CUT_SHORT] = client.is_cut
            answered = application(environ, start_response)
            # Gunicorn's own object, which has the status by now.
            if getattr(start_response.__self__, "status_code", None) == HTTPStatus.OK and environ[
                "PATH_INFO"
            ].startswith(CALLBACKS):
                self._rounds.note_accepted(client.address)
            if client.has_unread():
                # The head of the answer is not written yet, and says so.
                client.request.force_close()
            return ClosingIterator(client.taken(answered), getattr(answered, "close", None))

        self.wsgi = wsgi
        gc.collect()
        gc.freeze()
        gc.enable()

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
        client.setblocking(True)
        admitted = self._connections.admit(client, self._address_of(addr))
        if admitted is None:
            _turn_away(client)
            util.close(client)
            return
        try:
            if not self._connections.has_place(admitted):
                _turn_away(client)
                return
            self._serve(listener.getsockname(), admitted, addr)
        except (StopIteration, errors.NoMoreData):
            log.debug("a connection has ended")
        except ssl.SSLError as error:
            if error.args[0] != ssl.SSL_ERROR_EOF:
                self.handle_error(None, client, addr, error)
        except OSError as error:
            if error.errno not in GONE:
                log.exception("a connection failed")
        except Exception as error:
            self.handle_error(None, client, addr, error)
        finally:
            self._connections.leave(admitted)
            util.close(client)

    def _address_of(self, addr: Any) -> str | None:
        """Return whose share of the connections one takes; none for a trusted proxy, and on a unix socket."""
        if not isinstance(addr, tuple) or addresses.is_trusted(addr[0], self._trusted):
            return None
        return addresses.party(addr[0])

    def _serve(self, listener_name: Any, client: Client, addr: Any) -> None:
        """Serve requests until one of the two ends it; after each of them all others have their turn.

        Raises:
            StopIteration
            OSError
            ParseException: it is no HTTP.
        """
        if isinstance(client.sock, ssl.SSLSocket):
            client.sock.do_handshake()
        parser: Any = Parser(self.cfg, client, addr)
        proxied: Any = {}
        for number in range(1, REQUESTS_MAX + 1):
            since = turn()
            request = next(parser)
            # Gunicorn would answer HTTP/1.5 in kind, which is not spoken here (RFC 9110 section 2.5).
            request.version = min(request.version, HTTP_MAX)
            request.proxy_protocol_info = proxied = request.proxy_protocol_info or proxied
            if number == REQUESTS_MAX:
                request.force_close()
            self._connections.begin(client, request)
            self._rounds.wait(client.address)
            try:
                self.handle_request(listener_name, request, client.sock, addr)
                is_drained = client.is_read() or parser.finish_body(
                    time.monotonic() + PARTING_SECONDS, DRAINED_BYTES_MAX
                )
            except StopIteration:
                self._part(client)
                raise
            finally:
                self._connections.end(client)
            if not is_drained:
                self._part(client)
                return
            give_way(since)

    def _part(self, client: Client) -> None:
        """Let a sender read its answer; of one address few at a time, whose bodies would be read for nothing."""
        if client.address is None:
            linger(client.sock)
        elif self._parting[client.address] < PARTING_AT_ONCE:
            self._parting[client.address] += 1
            try:
                linger(client.sock)
            finally:
                self._parting.subtract((client.address,))
                if not self._parting[client.address]:
                    del self._parting[client.address]

    def notify(self) -> None:
        """Once a second: end what takes too long, and at a stop let idle connections go."""
        super().notify()
        now = time.monotonic()
        self._connections.end_slow(now, idle_seconds=self.cfg.keepalive, seconds=self.cfg.timeout)
        if self._stops_at is not None:
            self._connections.end_waiting(before=now - IDLE_SECONDS)
            if now > self._stops_at - LAST_SECONDS:
                self._connections.cut_served()

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
        linger(client)


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


def _turn_away(client: gevent.socket.socket) -> None:
    """Say that there is no room, where that can be said without waiting."""
    if not isinstance(client, ssl.SSLSocket):
        with suppress(OSError):
            util.write_nonblock(client, _answer(503))


def _answer(status: int) -> bytes:
    phrase = HTTPStatus(status).phrase
    detail = "The receiver can't answer this just now." if status == 503 else "The request is not HTTP as taken here."
    body = json.dumps({"type": "about:blank", "title": phrase, "status": status, "detail": detail}).encode()
    head = f"HTTP/1.1 {status} {phrase}\r\nConnection: close\r\nContent-Type: application/problem+json\r\n"
    retry = "Retry-After: 5\r\n" if status == 503 else ""
    private = "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
    return f"{head}{private}{retry}Content-Length: {len(body)}\r\n\r\n".encode() + body
