"""A simulated bank as a server: in threads for tests, or in a process of its own."""

import signal
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from types import FrameType
from typing import Any, ClassVar, Generic, Self, TypeVar
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import click
from flask import Blueprint
from werkzeug.serving import BaseWSGIServer, ThreadedWSGIServer, WSGIRequestHandler
from werkzeug.wrappers import Response

from receiver.simulator import control
from receiver.simulator.bank import SimulatedBank
from receiver.simulator.gateway import CONTROL_PREFIX, create_app
from receiver.simulator.options import ConfigT
from receiver.simulator.scripts import Clock, SetClock, Sleep, utc_now
from receiver.simulator.tls import TlsServer

_POLL_SECONDS = 0.02

BankT = TypeVar("BankT", bound=SimulatedBank[Any])


class BankServer(Generic[ConfigT, BankT]):
    """One bank behind HTTP, or behind TLS with its control endpoints on a plain port of their own.

    The socket listens as soon as this exists; `start` or `run` begins to answer. As a context manager it answers in
    threads of its own until the block ends. `bank`, and its `options`, `faults`, `requests` and `outbox`, may be worked
    on directly, as the control endpoints do. Each bank names its title, classes and endpoints, and its TLS if any.
    """

    title: ClassVar[str]
    config_class: type[ConfigT]
    bank_class: Callable[[ConfigT, Clock, Sleep], BankT]
    blueprints: ClassVar[tuple[Blueprint, ...]]

    def __init__(
        self,
        config: ConfigT | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        clock: Clock = utc_now,
        sleep: Sleep | None = None,
        log_requests: bool = False,
    ) -> None:
        """Listen on `host` and `port` (0: a free one).

        `sleep` waits in slow answers and between the tries of a callback (default: until the server is stopped).
        """
        config = config or self.config_class()
        self._stopping = threading.Event()
        self._closing = ExitStack()
        self._threads: list[threading.Thread] = []
        self.clock = SetClock(clock)
        self.bank: BankT = type(self).bank_class(config, self.clock, sleep or self._stopping.wait)
        self.options = self.bank.options
        self.faults, self.requests, self.outbox = self.bank.faults, self.bank.requests, self.bank.outbox
        self.app = create_app(self.bank, (control.blueprint, *self.blueprints))
        self._servers: list[BaseWSGIServer] = []
        try:
            self._listen(config, host, port, _Handler if log_requests else _QuietHandler)
        except BaseException:
            self.close()
            raise

    def _listen(self, config: ConfigT, host: str, port: int, handler: type[WSGIRequestHandler]) -> None:
        tls = self.tls(config, host)
        if tls is None:
            self._servers.append(ThreadedWSGIServer(host, port, self.app, handler))
            return
        context, control_port = tls
        control_alone = _control_alone(self.app)
        self._servers.append(TlsServer(host, port, self.app, handler, context))
        self._servers.append(ThreadedWSGIServer(host, control_port, control_alone, handler))

    def tls(self, config: ConfigT, host: str) -> tuple[ssl.SSLContext, int] | None:  # noqa: ARG002 - a bank may use it
        """Return the server's side of TLS and the port of the control endpoints beside it, or None for plain HTTP."""
        return None

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
        text = f"{self.title} simulator listens on {self.url}"
        return text if self.url == self.control_url else f"{text}, its control endpoints on {self.control_url}"

    def start(self) -> None:
        """Answer in threads."""
        for server in self._servers:
            self._spawn(server.serve_forever, _POLL_SECONDS)
        self._spawn(self._watch)

    def run(self) -> None:
        """Answer until KeyboardInterrupt comes."""
        self._spawn(self._watch)
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
        """Answer in threads."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop answering."""
        self.stop()

    def _watch(self) -> None:
        while not self._stopping.wait(_POLL_SECONDS):
            self.bank.announce_changes()
            self.outbox.send_due()

    def _spawn(self, target: Callable[..., None], *given: object) -> None:
        thread = threading.Thread(target=target, args=given, name="simulator", daemon=True)
        thread.start()
        self._threads.append(thread)


def serve(start: Callable[[], BankServer[Any, Any]]) -> None:
    """Run the simulator that `start` makes in this process until SIGTERM or Ctrl-C; both make this return at once.

    Once it listens it prints its addresses.
    """
    in_main_thread = threading.current_thread() is threading.main_thread()
    server: BankServer[Any, Any] | None = None
    try:
        with _interrupted_by_sigterm() if in_main_thread else nullcontext():
            server = start()
            click.echo(server.announcement)
            server.run()
    except KeyboardInterrupt:
        return
    finally:
        if server is not None:
            server.close()


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


class _Handler(WSGIRequestHandler):
    """Sends an answer's body beside its head: it would wait 40 ms for a client that acknowledges the head late."""

    disable_nagle_algorithm = True


class _QuietHandler(_Handler):
    """Says nothing of requests, only of errors."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing."""
