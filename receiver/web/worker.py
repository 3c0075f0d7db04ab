"""Gunicorn's threaded worker, with problem documents for requests that never reach the application."""

import json
import logging
import socket
from http import HTTPStatus
from typing import Any

from gunicorn import util
from gunicorn.http import errors
from gunicorn.workers.gthread import ThreadWorker

log = logging.getLogger(__name__)

STATUSES: dict[type[Exception], int] = {
    errors.LimitRequestLine: 414,
    errors.LimitRequestHeaders: 431,
    errors.ExpectationFailed: 417,
    errors.UnsupportedTransferCoding: 501,
}


class ProblemWorker(ThreadWorker):
    """Answers what can't be parsed as HTTP the way the application answers everything else (RFC 9457)."""

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


def _answer(status: int) -> bytes:
    phrase = HTTPStatus(status).phrase
    body = json.dumps({"type": "about:blank", "title": phrase, "status": status}).encode()
    head = f"HTTP/1.1 {status} {phrase}\r\nConnection: close\r\nContent-Type: application/problem+json\r\n"
    retry = "Retry-After: 5\r\n" if status == 503 else ""
    return f"{head}{retry}Content-Length: {len(body)}\r\n\r\n".encode() + body
