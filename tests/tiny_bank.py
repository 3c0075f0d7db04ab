"""A bank of a few lines: a real server that answers as a test says, and keeps what it was asked, to the byte."""

import json
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class TinyBank(ThreadingHTTPServer):
    """Answers every request as the test says; keeps what was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        self.lines: list[str] = []
        """The first line of each request, as it was sent."""
        self.answer: Callable[[BaseHTTPRequestHandler], None] = lambda handler: answer(handler, 200, b"{}")

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of whoever hung up, or was killed."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    """Hands each request to the test."""

    protocol_version = "HTTP/1.1"
    # Else a body waits 40 ms for the acknowledgement of its head.
    disable_nagle_algorithm = True
    server: TinyBank

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.server.lines.append(self.requestline)
        self.server.asked.append((self.command, self.path, dict(self.headers), body))
        with suppress(ConnectionError):
            self.server.answer(self)

    do_POST = do_PATCH = do_DELETE = do_GET  # noqa: N815 - the names that http.server looks for

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def answer(handler: BaseHTTPRequestHandler, status: int, body: bytes, **headers: str) -> None:
    handler.send_response(status)
    for name, value in {"Content-Length": str(len(body)), **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


def gives(bank: TinyBank, status: int, body: bytes | Any, **headers: str) -> None:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    bank.answer = lambda handler: answer(handler, status, raw, **headers)


@contextmanager
def serving() -> Iterator[TinyBank]:
    """Such a bank, for as long as the block lasts."""
    with TinyBank() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
