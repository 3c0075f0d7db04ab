"""Calls the simulated banks, at a time that stands still, and receives what they send."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Generic, Protocol, TypeVar

import requests

from receiver.simulator.bcb import Config as BcbConfig
from receiver.simulator.bcb import Simulator as Bcb
from receiver.simulator.options import BankConfig
from receiver.simulator.scripts import Sleep
from receiver.simulator.server import BankServer

ServerT = TypeVar("ServerT", bound=BankServer[Any, Any])
CallerT = TypeVar("CallerT", bound="BankCaller[Any]", covariant=True)


class FakeClock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 2, 12, 0, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class BankCaller(Generic[ServerT]):
    """Calls one bank and its control endpoints."""

    def __init__(self, simulator: ServerT) -> None:
        self.simulator = simulator
        self.session = requests.Session()
        self.session.trust_env = False
        self.token: str | None = None

    def request(self, method: str, path: str, **more: Any) -> requests.Response:
        return self.session.request(method, self.simulator.url + path, timeout=60, **more)

    def control(self, path: str, body: object = None, method: str = "POST", status: int = 200) -> Any:
        answer = self.session.request(
            method, f"{self.simulator.control_url}/_simulator{path}", data=json.dumps(body or {}), timeout=30
        )
        assert answer.status_code == status, answer.text
        return answer.json()

    def change(self, **options: object) -> Any:
        return self.control("/options", options, "PATCH")["options"]


class Caller(BankCaller[Bcb]):
    """Calls BCB with a token."""

    def sign_in(self, secret: str | None = None) -> requests.Response:
        secret = BcbConfig().client_secret if secret is None else secret
        answer = self.request("POST", "/auth/token", json={"clientId": "simulator-client", "clientSecret": secret})
        self.token = answer.json().get("token")
        return answer

    def bank(self, path: str, method: str = "GET", **more: Any) -> requests.Response:
        if self.token is None:
            self.sign_in()
        return self.request(method, path, headers={"Authorization": f"Bearer {self.token}"}, **more)


class Received:
    """One request that reached the receiver."""

    def __init__(self, path: str, headers: Message, body: bytes, port: int) -> None:
        self.path, self.headers, self.body, self.port = path, headers, body, port


class Receiver:
    """Answers with the statuses put into `statuses`, then 200; `None` breaks the connection."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.statuses: list[int | None] = []
        self.answer = b'{"status":"seen"}'
        self.pause = 0.0
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.received.append(Received(self.path, self.headers, body, self.client_address[1]))
                time.sleep(receiver.pause)
                status = receiver.statuses.pop(0) if receiver.statuses else 200
                if status is None:
                    self.close_connection = True
                    return
                self.send_response(status)
                self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", str(len(receiver.answer)))
                self.end_headers()
                self.wfile.write(receiver.answer)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/webhooks/bcb"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


class Start(Protocol[CallerT]):
    """Starts one bank with options of its own."""

    def __call__(self, *, sleep: Sleep | None = None, **options: Any) -> CallerT: ...


class StartBank:
    """Starts banks at one clock."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.callers: list[BankCaller[Any]] = []

    def __call__(
        self,
        kind: Callable[[ServerT], CallerT],
        simulator: Callable[..., ServerT],
        config: BankConfig,
        *,
        sleep: Sleep | None = None,
    ) -> CallerT:
        made = simulator(config, clock=self.clock, sleep=sleep)
        made.start()
        caller = kind(made)
        self.callers.append(caller)
        return caller


@contextmanager
def started(clock: FakeClock) -> Iterator[StartBank]:
    """Yield what starts banks, and stop them in the end."""
    starter = StartBank(clock)
    yield starter
    for caller in starter.callers:
        caller.session.close()
        caller.simulator.stop()


def until(condition: Callable[[], object]) -> None:
    """Wait, briefly and in real time, until something holds."""
    ends = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.01)
