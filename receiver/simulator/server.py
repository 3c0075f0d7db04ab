"""A simulated bank as a server: in threads for tests, or in a process of its own."""

import signal
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from types import FrameType
from typing import Any, ClassVar, Self
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import click
from flask import Flask
from werkzeug.serving import BaseWSGIServer, ThreadedWSGIServer, WSGIRequestHandler
from werkzeug.wrappers import Response

from receiver.simulator.clock import Clock, Sleep
from receiver.simulator.errors import Errors
from receiver.simulator.fittings import Fittings
from receiver.simulator.gateway import CONTROL_PREFIX
from receiver.simulator.options import Options
from receiver.simulator.tls import TlsServer

_POLL_SECONDS = 0.02

Watch = Callable[[threading.Event], None]
"""What a bank does by itself until the event is set."""


class BankServer:
    """One bank behind HTTP, or behind TLS with its control endpoints on a plain port of their own.

    The socket listens as soon as this exists; `start` or `run` begins to answer. As a context manager it answers in
    threads of its own until the block ends. `faults` and `journal` may be worked on directly, as the control endpoints
    do.
    """

    title: ClassVar[str]

    def __init__(
        self, errors: Errors, *, clock: Clock, sleep: Sleep | None, options: Options[Any] | None = None
    ) -> None:
        """Set the shared parts up; `sleep` waits in slow answers and between tries (default: until it is stopped)."""
        self._stopping = threading.Event()
        self.fittings = Fittings(clock, sleep or self._stopping.wait, errors, options)
        self.faults = self.fittings.faults
        self.journal = self.fittings.journal
        self._closing = ExitStack()
        self.app: Flask
        self._servers: list[BaseWSGIServer] = []
        self._threads: list[threading.Thread] = []
        self._watch: Watch | None = None

    def listen(
        self,
        app: Flask,
        host: str,
        port: int,
        *,
        tls: ssl.SSLContext | None = None,
        control_port: int = 0,
        watch: Watch | None = None,
        log_requests: bool = False,
    ) -> None:
        """Listen on `host` and `port` (0: a free one); with `tls` also, for control alone, on `control_port`."""
        handler = WSGIRequestHandler if log_requests else _QuietHandler
        self.app = app
        self._watch = watch
        if tls is None:
            self._servers.append(ThreadedWSGIServer(host, port, app, handler))
            return
        self._servers.append(TlsServer(host, port, app, handler, tls))
        self._servers.append(ThreadedWSGIServer(host, control_port, _control_alone(app), handler))

    @property
    def url(self) -> str:
        """The bank's base address, without a slash at its end."""
        return _address(self._servers[0])

    @property
    def control_url(self) -> str:
        """The base address of the control endpoints, without `/_simulator`; always plain HTTP."""
        return _address(self._servers[-1])

    @property
    def announcement(self) -> str:
        """One line that says where it listens."""
        told = f"{self.title} simulator listens on {self.url}"
        return told if self.url == self.control_url else f"{told}, its control endpoints on {self.control_url}"

    def start(self) -> None:
        """Answer in threads."""
        for server in self._servers:
            self._spawn(server.serve_forever, _POLL_SECONDS)
        self._spawn_watch()

    def run(self) -> None:
        """Answer until KeyboardInterrupt comes."""
        self._spawn_watch()
        for server in self._servers[1:]:
            self._spawn(server.serve_forever, _POLL_SECONDS)
        try:
            self._servers[0].serve_forever(_POLL_SECONDS)
        finally:
            self._stopping.set()
            for server in self._servers[1:]:
                server.shutdown()
            self.close()

    def folder(self, given: str | None) -> Path:
        """Return the folder that files of the run go to: the one given, or one that goes when the server does."""
        return Path(given or self._closing.enter_context(tempfile.TemporaryDirectory(prefix="bank-")))

    def close(self) -> None:
        """Close the sockets and clear away what was made for the run; safe to repeat."""
        for server in self._servers:
            server.server_close()
        self._closing.close()

    def stop(self) -> None:
        """Stop answering, end every wait and close the sockets."""
        self._stopping.set()
        for server in self._servers:
            if self._threads:
                server.shutdown()
        for thread in self._threads:
            thread.join()
        self.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _spawn_watch(self) -> None:
        if self._watch is not None:
            self._spawn(self._watch, self._stopping)

    def _spawn(self, target: Callable[..., None], *given: object) -> None:
        thread = threading.Thread(target=target, args=given, name="simulator", daemon=True)
        thread.start()
        self._threads.append(thread)


def serve(start: Callable[[], BankServer], announce: Callable[[BankServer], object] | None = None) -> None:
    """Run the simulator that `start` makes in this process until SIGTERM or Ctrl-C; both make this return at once.

    `announce` is called once it listens; by default it prints the addresses.
    """
    in_main_thread = threading.current_thread() is threading.main_thread()
    server: BankServer | None = None
    try:
        with _interrupted_by_sigterm() if in_main_thread else nullcontext():
            server = start()
            (announce or _announce)(server)
            server.run()
    except KeyboardInterrupt:
        return
    finally:
        if server is not None:
            server.close()


def _announce(server: BankServer) -> None:
    click.echo(server.announcement)


def _address(server: BaseWSGIServer) -> str:
    host = f"[{server.host}]" if ":" in server.host else server.host
    return f"{'https' if server.ssl_context else 'http'}://{host}:{server.port}"


def _control_alone(app: WSGIApplication) -> WSGIApplication:
    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if str(environ.get("PATH_INFO", "")).startswith(CONTROL_PREFIX):
            return app(environ, start_response)
        return Response("The bank itself speaks TLS only.\n", 404, content_type="text/plain")(environ, start_response)

    return answer


@contextmanager
def _interrupted_by_sigterm() -> Iterator[None]:
    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class _QuietHandler(WSGIRequestHandler):
    """Says nothing of requests, only of errors."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing."""
