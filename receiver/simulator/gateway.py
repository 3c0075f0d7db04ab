"""What stands in front of the bank's endpoints, in WSGI: it writes down each request, and spoils those a fault fits.

It stands before Flask, because some faults (hanging up, cutting an answer in the middle) are no answers at all.
"""

import socket
from collections.abc import Iterable, Iterator
from datetime import datetime
from http import HTTPStatus
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from flask import Blueprint, Flask
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response

from receiver.simulator.answers import Refusal
from receiver.simulator.bank import EXTENSION, ReceivedRequest, SimulatedBank, current_bank
from receiver.simulator.faults import Fault

CONTROL_PREFIX = "/_simulator"

BODY_BYTES_MAX = 16_000_000

_CHUNK = b"x" * 65536


class Gateway:
    """A WSGI application around the bank's own."""

    def __init__(self, app: WSGIApplication, bank: SimulatedBank[Any]) -> None:
        """Stand in front of `app`, which answers for `bank`."""
        self._app = app
        self._bank = bank

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request; the control endpoints are neither written down nor spoilt.

        Raises:
            ConnectionAbortedError: after a `hang-up`; the server takes it for a client that has gone.
        """
        path = str(environ.get("PATH_INFO", "")).encode("latin-1").decode("utf-8", "replace")
        if path.startswith(CONTROL_PREFIX):
            return self._app(environ, start_response)
        at = self._bank.clock()
        fault = self._bank.faults.take(path)
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
            self._bank.sleep(1.0 if fault.seconds is None else fault.seconds)
        spoilt = None if fault is None else self._spoilt(fault)
        return Response.from_app(self._app, environ, buffered=True) if spoilt is None else spoilt

    def _spoilt(self, fault: Fault) -> Response | None:
        bank = self._bank
        match fault.kind:
            case "429":
                return bank.too_many(3600.0 if fault.seconds is None else fault.seconds, fault.shape, fault.retry_after)
            case "500":
                return bank.error(500, "Internal server error", "An unknown error occurred", fault.shape)
            case "503":
                return self._unavailable(fault)
            case "error":
                return bank.error(fault.status, HTTPStatus(fault.status).phrase, "On demand", fault.shape)
            case "expired-token":
                return bank.error(401, "Unauthorized", "Authentication failed", fault.shape)
            case "not-json":
                return Response("<html><body><h1>Maintenance</h1></body></html>", 200, content_type="text/html")
            case "huge":
                return _huge(fault.size)
            case _:
                return None

    def _unavailable(self, fault: Fault) -> Response:
        answer = self._bank.error(503, "Service unavailable", "Please try again later", fault.shape)
        if fault.seconds is not None:
            answer.headers["Retry-After"] = str(round(fault.seconds))
        return answer

    def _write_down(
        self, environ: WSGIEnvironment, *, at: datetime, path: str, status: int | None, fault: Fault | None
    ) -> None:
        kind = None if fault is None else fault.kind
        query = str(environ.get("QUERY_STRING", ""))
        self._bank.requests.add(ReceivedRequest(at, str(environ["REQUEST_METHOD"]), path, query, status, kind))


def create_app(bank: SimulatedBank[Any], blueprints: Iterable[Blueprint]) -> Flask:
    """Return the Flask application of one bank, with the gateway in front of it."""
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = BODY_BYTES_MAX
    app.extensions[EXTENSION] = bank
    for blueprint in blueprints:
        app.register_blueprint(blueprint)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Refusal, bank.refuse)
    app.wsgi_app = Gateway(app.wsgi_app, bank)  # type: ignore[method-assign]
    return app


def _http_error(error: HTTPException) -> Response:
    answer = current_bank().error(error.code or 500, error.name, error.description or error.name)
    answer.headers.extend(
        header for header in error.get_headers() if header[0] not in ("Content-Type", "Content-Length")
    )
    return answer


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
