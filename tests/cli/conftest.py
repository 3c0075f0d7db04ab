"""The command line over a fresh SQLite database: in this process, and as a process of its own."""

import json
import logging
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from bank import BankSigner
from cli.commands import Cli, Send
from conftest import KEY, add_source
from flask.testing import FlaskClient

from receiver.runtime import Runtime
from receiver.store.sources import SourceRecord
from receiver.web import create_app


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Commands hold no SQL, so one kind of database is enough here."""
    return sqlite_url


@pytest.fixture
def cli(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cli]:
    monkeypatch.setenv("RECEIVER_DATABASE_URL", database_url)
    monkeypatch.setenv("RECEIVER_SECRET_KEYS", KEY)
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield Cli()
    # Commands point the log at the runner's standard error, which is gone by now.
    root.handlers[:] = before
    root.setLevel(level)


@pytest.fixture
def known(live: Runtime) -> SourceRecord:
    """The source `bcb` with the published example secret."""
    return add_source(live)


@pytest.fixture
def web(live: Runtime, known: SourceRecord) -> FlaskClient:  # noqa: ARG001 - the source must be there
    return create_app(live).test_client()


@pytest.fixture
def send(web: FlaskClient) -> Send:
    """Delivers a signed callback to the receiver."""
    return lambda signed: web.post(signed.path, data=signed.body, headers=signed.headers)


@pytest.fixture
def signer(live_bank: BankSigner) -> BankSigner:
    return live_bank


@pytest.fixture
def hostile_bank() -> Iterator[str]:
    """The address of a bank whose every answer is a failure with a terminal's escape sequences in it."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            answer = json.dumps("\x1b]0;owned\x07\x9b31m\u202e\nFAKE: line").encode()
            self.send_response(500)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_POST  # noqa: N815 - the name that the library calls

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()
