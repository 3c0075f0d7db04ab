"""The bank's front door, in WSGI: it writes down each request, and spoils those that a fault fits.

It stands before Flask, because some faults (hanging up, cutting an answer in the middle) are no answers at all.
"""

import socket
from collections.abc import Iterable, Iterator
from datetime import datetime
from http import HTTPStatus
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from werkzeug.wrappers import Response

from receiver.simulator.faults import Fault
from receiver.simulator.fittings import Fittings
from receiver.simulator.journal import Entry

CONTROL_PREFIX = "/_simulator"

_CHUNK = b"x" * 65536


class Gateway:
    """A WSGI application around the bank's own."""

    def __init__(self, app: WSGIApplication, fittings: Fittings) -> None:
        self._app = app
        self._faults = fittings.faults
        self._journal = fittings.journal
        self._clock = fittings.clock
        self._sleep = fittings.sleep
        self._errors = fittings.errors

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request; the control endpoints are neither written down nor spoilt.

        Raises:
            ConnectionAbortedError: after a `hang-up`; the server takes it for a client that has gone.
        """
        path = str(environ.get("PATH_INFO", "")).encode("latin-1").decode("utf-8", "replace")
        if path.startswith(CONTROL_PREFIX):
            return self._app(environ, start_response)
        at = self._clock()
        fault = self._faults.take(path)
        if fault is not None and fault.kind == "hang-up":
            self._write_down(environ, at=at, path=path, status=None, fault=fault)
            _hang_up(environ)
        answer = self._answer(environ, fault)
        self._write_down(environ, at=at, path=path, status=answer.status_code, fault=fault)
        if fault is not None and fault.kind == "truncated":
            return _half(answer, start_response)
        return answer(environ, start_response)

    def _answer(self, environ: WSGIEnvironment, fault: Fault | None) -> Response:
        if fault is not None and fault.kind == "slow":
            self._sleep(1.0 if fault.seconds is None else fault.seconds)
        spoilt = None if fault is None else self._spoilt(fault)
        return Response.from_app(self._app, environ, buffered=True) if spoilt is None else spoilt

    def _spoilt(self, fault: Fault) -> Response | None:
        match fault.kind:
            case "429":
                seconds = 3600.0 if fault.seconds is None else fault.seconds
                return self._errors.too_many(seconds, self._clock(), fault.shape, fault.retry_after)
            case "500":
                return self._errors.answer(500, "Internal server error", "An unknown error occurred", fault.shape)
            case "503":
                return self._unavailable(fault)
            case "error":
                return self._errors.answer(fault.status, HTTPStatus(fault.status).phrase, "On demand", fault.shape)
            case "expired-token":
                return self._errors.answer(401, "Unauthorized", "Authentication failed", fault.shape)
            case "not-json":
                return Response("<html><body><h1>Maintenance</h1></body></html>", 200, content_type="text/html")
            case "huge":
                return _huge(fault.size)
            case _:
                return None

    def _unavailable(self, fault: Fault) -> Response:
        answer = self._errors.answer(503, "Service unavailable", "Please try again later", fault.shape)
        if fault.seconds is not None:
            answer.headers["Retry-After"] = str(round(fault.seconds))
        return answer

    def _write_down(
        self, environ: WSGIEnvironment, *, at: datetime, path: str, status: int | None, fault: Fault | None
    ) -> None:
        kind = None if fault is None else fault.kind
        query = str(environ.get("QUERY_STRING", ""))
        self._journal.add(Entry(at, str(environ["REQUEST_METHOD"]), path, query, status, kind))


def _huge(size: int) -> Response:
    head, tail = b'{"padding":"', b'"}'
    fill = max(0, size - len(head) - len(tail))
    answer = Response(_stream(head, fill, tail), 200, content_type="application/json")
    answer.content_length = fill + len(head) + len(tail)
    return answer


def _stream(head: bytes, fill: int, tail: bytes) -> Iterator[bytes]:
    yield head
    for _ in range(fill // len(_CHUNK)):
        yield _CHUNK
    yield _CHUNK[: fill % len(_CHUNK)]
    yield tail


def _half(answer: Response, start_response: StartResponse) -> Iterable[bytes]:
    body = answer.get_data()
    answer.content_length = len(body)
    start_response(answer.status, list(answer.headers))
    return [body[: len(body) // 2]]


def _hang_up(environ: WSGIEnvironment) -> None:
    connection = environ.get("werkzeug.socket")
    # Without this the server would wait for a next request on the same connection, and the client for an answer.
    if isinstance(connection, socket.socket):
        connection.shutdown(socket.SHUT_RDWR)
    raise ConnectionAbortedError("hung up on demand")
