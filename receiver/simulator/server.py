"""The simulator as a server: in a thread for tests, or in a process of its own."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from types import FrameType
from typing import Self

import click
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from receiver.simulator.application import create_app
from receiver.simulator.bcb.bank import Bank
from receiver.simulator.bcb.notifier import Notifier
from receiver.simulator.clock import Clock, Sleep, utc_now
from receiver.simulator.config import SimulatorConfig
from receiver.simulator.faults import Faults
from receiver.simulator.journal import Journal
from receiver.simulator.parts import Parts

_POLL_SECONDS = 0.02


class Simulator:
    """One bank behind one HTTP server. The socket listens as soon as this exists; `start` or `run` begins to answer.

    As a context manager it answers in threads of its own until the block ends. `bank`, `notifier`, `faults` and
    `journal` may be worked on directly, as the control endpoints do.
    """

    def __init__(
        self,
        config: SimulatorConfig | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        clock: Clock = utc_now,
        sleep: Sleep | None = None,
        log_requests: bool = False,
    ) -> None:
        """Listen on `host` and `port` (0: a free one); `sleep` waits in slow answers and between tries."""
        self._stopping = threading.Event()
        sleep = sleep or self._stopping.wait
        self.bank = Bank(config or SimulatorConfig(), clock)
        self.notifier = Notifier(self.bank, sleep)
        self.faults = Faults()
        self.journal = Journal()
        app = create_app(Parts(self.bank, self.notifier, self.faults, self.journal, sleep))
        handler = WSGIRequestHandler if log_requests else _QuietHandler
        self._server: BaseWSGIServer = make_server(host, port, app, threaded=True, request_handler=handler)
        self._threads: list[threading.Thread] = []

    @property
    def url(self) -> str:
        """The bank's base address, without a slash at its end."""
        host = f"[{self._server.host}]" if ":" in self._server.host else self._server.host
        return f"http://{host}:{self._server.port}"

    def start(self) -> None:
        """Answer in threads."""
        self._watch_jobs()
        self._spawn("simulator", lambda: self._server.serve_forever(_POLL_SECONDS))

    def run(self) -> None:
        """Answer until `stop` is called from another thread, or KeyboardInterrupt comes."""
        self._watch_jobs()
        try:
            self._server.serve_forever(_POLL_SECONDS)
        finally:
            self._stopping.set()

    def stop(self) -> None:
        """Stop answering, end every wait and close the socket."""
        self._stopping.set()
        if self._threads:
            self._server.shutdown()
        self._server.server_close()
        for thread in self._threads:
            thread.join()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _watch_jobs(self) -> None:
        self._spawn("job-watch", lambda: self.notifier.watch_jobs(self._stopping))

    def _spawn(self, name: str, target: Callable[[], None]) -> None:
        thread = threading.Thread(target=target, name=name, daemon=True)
        thread.start()
        self._threads.append(thread)


def serve(
    host: str = "127.0.0.1",
    port: int = 0,
    config: SimulatorConfig | None = None,
    *,
    clock: Clock = utc_now,
    announce: Callable[[str], object] = click.echo,
    log_requests: bool = False,
) -> None:
    """Run a simulator in this process until SIGTERM or Ctrl-C; both make this return at once.

    `announce` gets one line with the address once it listens.
    """
    in_main_thread = threading.current_thread() is threading.main_thread()
    try:
        with _interrupted_by_sigterm() if in_main_thread else nullcontext():
            simulator = Simulator(config, host, port, clock=clock, log_requests=log_requests)
            announce(f"BCB simulator listens on {simulator.url}")
            simulator.run()
    except KeyboardInterrupt:
        return


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
