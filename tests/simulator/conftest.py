"""A simulator on a free port, a caller of its API, and a receiver that writes down what it is sent."""

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests

from receiver.simulator import Simulator, SimulatorConfig


class FakeClock:
    """Stands still until it is told to move."""

    def __init__(self):
        self.now = datetime(2026, 3, 2, 12, 0, 0, tzinfo=UTC)

    def __call__(self):
        return self.now

    def advance(self, seconds):
        self.now += timedelta(seconds=seconds)


class Caller:
    """Calls one simulator: its bank with a token, its control endpoints without."""

    def __init__(self, simulator):
        self.simulator = simulator
        self.session = requests.Session()
        self.session.trust_env = False
        self.token = None

    def request(self, method, path, **more):
        return self.session.request(method, self.simulator.url + path, timeout=10, **more)

    def sign_in(self, secret=None):
        secret = SimulatorConfig().client_secret if secret is None else secret
        answer = self.request("POST", "/auth/token", json={"clientId": "simulator-client", "clientSecret": secret})
        self.token = answer.json().get("token")
        return answer

    def bank(self, path, method="GET", **more):
        if self.token is None:
            self.sign_in()
        return self.request(method, path, headers={"Authorization": f"Bearer {self.token}"}, **more)

    def control(self, path, body=None, method="POST"):
        answer = self.request(method, f"/_simulator{path}", json=body)
        assert answer.status_code in (200, 202), answer.text
        return answer.json()


class Received:
    """One request that reached the receiver."""

    def __init__(self, path, headers, body, port):
        self.path, self.headers, self.body, self.port = path, headers, body, port


class Receiver:
    """Answers with the statuses put into `statuses`, then 200; `None` breaks the connection."""

    def __init__(self):
        self.received = []
        self.statuses = []
        self.answer = b'{"status":"seen"}'
        self.pause = 0
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
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

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/webhooks/bcb"

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


@pytest.fixture
def start(clock) -> Iterator[Callable[..., Caller]]:
    """Starts simulators with other settings, or waits that are written down instead of waited for."""
    callers = []

    def starter(*, sleep=None, **settings):
        simulator = Simulator(SimulatorConfig(**settings), clock=clock, sleep=sleep)
        simulator.start()
        callers.append(Caller(simulator))
        return callers[-1]

    yield starter
    for caller in callers:
        caller.session.close()
        caller.simulator.stop()


@pytest.fixture
def caller(start) -> Caller:
    return start()


@pytest.fixture
def start_bank(clock) -> Iterator[Callable]:
    """Starts other banks: `start_bank(caller, Simulator, Config(…))`."""
    callers = []

    def starter(kind, simulator, config, *, sleep=None):
        made = simulator(config, clock=clock, sleep=sleep)
        made.start()
        callers.append(kind(made))
        return callers[-1]

    yield starter
    for caller in callers:
        caller.session.close()
        caller.simulator.stop()
