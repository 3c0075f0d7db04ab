"""HTTP over raw sockets: requests whose every byte can be chosen, and answers as they came over the wire."""

import json
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from bank import Signed
from servers import WebServer
from web.described import Exchange, described, faults, plain_app
from werkzeug.datastructures import Headers

PATH = "/webhooks/bcb"


@contextmanager
def stderr_into(path: Path) -> Iterator[None]:
    """Let processes that are started meanwhile write their standard error into a file."""
    kept = os.dup(2)
    with path.open("ab") as file:
        os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


@dataclass
class Answer:
    """One response as it came over the wire."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Request:
    """A request whose every byte can be chosen."""

    body: bytes = b""
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    method: bytes = b"POST"
    target: bytes = PATH.encode()
    version: bytes = b"HTTP/1.1"

    @classmethod
    def of(cls, callback: Signed, **changes: Any) -> "Request":
        headers = [(name.encode(), value.encode()) for name, value in callback.headers.items()]
        return cls(callback.body, headers, **{"target": callback.path.encode(), **changes})

    def without(self, *names: bytes) -> "Request":
        self.headers = [(name, value) for name, value in self.headers if name not in names]
        return self

    def plus(self, *headers: tuple[bytes, bytes]) -> "Request":
        self.headers = [*self.headers, *headers]
        return self

    def value(self, name: bytes) -> bytes:
        return dict(self.headers)[name]

    def bytes(self, *, framed: bool = True) -> bytes:
        """Write it; unless `framed`, what says where the body ends is up to the headers that are there."""
        framing = [(b"Content-Length", str(len(self.body)).encode())] if framed else []
        lines = [
            self.method + b" " + self.target + b" " + self.version,
            *(name + b": " + value for name, value in [(b"Host", b"127.0.0.1"), *self.headers, *framing]),
        ]
        return b"\r\n".join(lines) + b"\r\n\r\n" + self.body


def exchange(server: WebServer, raw: bytes) -> bytes:
    """Send bytes, close that half of the connection, and return all that comes back."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        # A server that has seen enough answers and closes while this still sends.
        with suppress(OSError):
            connection.sendall(raw)
            connection.shutdown(socket.SHUT_WR)
        return receive(connection)


def receive(connection: socket.socket) -> bytes:
    parts = []
    with suppress(ConnectionError):
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


def answers(raw: bytes) -> list[Answer]:
    """Take the responses apart that came over one connection, interim ones left out."""
    found = []
    while raw:
        head, _, rest = raw.partition(b"\r\n\r\n")
        status_line, *lines = head.decode("latin-1").split("\r\n")
        match = re.fullmatch(r"HTTP/1\.[01] ([0-9]{3}) .*", status_line)
        assert match, raw[:100]
        named = (line.split(": ", 1) for line in lines)
        headers = {name.lower(): value for name, value in named}
        length = int(headers.get("content-length", "0"))
        if match[1] != "100":
            found.append(Answer(int(match[1]), headers, rest[:length]))
        raw = rest[length:]
    return found


def answer(server: WebServer, request: Request | bytes, *, framed: bool = True) -> Answer:
    """Send one request and return its one response."""
    raw = request if isinstance(request, bytes) else request.bytes(framed=framed)
    (found,) = answers(exchange(server, raw))
    if isinstance(request, Request):
        assert differences(request, found) == []
    return found


def differences(request: Request, found: Answer) -> list[str]:
    """How an answer differs from the description of the API."""
    path = unquote(re.sub(r"(?i)^https?://[^/]*", "", request.target.decode("latin-1")).partition("?")[0])
    exchanged = Exchange(
        request.method.decode("latin-1"), path, found.status, Headers(list(found.headers.items())), found.body
    )
    return faults(described(), plain_app().url_map, exchanged)


def problem(server: WebServer, request: Request | bytes, *, framed: bool = True) -> int:
    """Send one request, see that a problem document comes back (RFC 9457), and return its status."""
    found = answer(server, request, framed=framed)
    assert found.headers["content-type"] == "application/problem+json", found
    assert found.json["status"] == found.status
    return found.status


def chunked(body: bytes, size: int = 100) -> bytes:
    parts = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
