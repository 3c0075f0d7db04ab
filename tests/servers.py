"""Real processes of the receiver: gunicorn and the worker, started as an operator starts them."""

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import psutil
import requests

ROOT = Path(__file__).resolve().parent.parent
RECEIVER = (sys.executable, "-c", "from receiver.cli import main; main(prog_name='receiver')")
START_SECONDS = 120

STARTED: set[str] = set()
"""The addresses at which servers of these tests answer, that run the code as it is."""


SHARES, PORTS = 8, 2500
"""Ports of each of pytest's processes, from `FIRST_PORT` on: below those that the system gives out by itself."""

FIRST_PORT = 12000

_next = count(secrets.randbelow(PORTS))


def free_port() -> int:
    """Return a TCP port on loopback that nobody listens on; no other of pytest's processes is given it meanwhile."""
    share = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % SHARES
    while True:
        port = FIRST_PORT + share * PORTS + next(_next) % PORTS
        with suppress(OSError), socket.socket() as found:
            found.bind(("127.0.0.1", port))
            return port


def environment(database_url: str, key: str, **more: str) -> dict[str, str]:
    """The environment of a receiver's process, free of whatever the developer has set."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("RECEIVER_", "BCB_", "OTEL_")) and name != "PORT"
    }
    # One process unless a test is about several: each takes a second to start. No sweeps unless a test is about these.
    given = {"RECEIVER_PROCESSES": "1", "RECEIVER_SWEEP_SECONDS": "0", **more}
    return {**kept, "RECEIVER_DATABASE_URL": database_url, "RECEIVER_SECRET_KEYS": key, **given}


def as_committed(given: Mapping[str, str]) -> dict[str, str]:
    """The same environment with the default number of processes."""
    return {name: value for name, value in given.items() if name != "RECEIVER_PROCESSES"}


@dataclass
class WebServer:
    """Gunicorn with the project's own settings."""

    environment: Mapping[str, str]
    port: int = field(default_factory=free_port)
    scheme: str = "http"
    folder: Path = ROOT
    python: str = sys.executable
    process: subprocess.Popen[bytes] | None = None
    output: Path | None = None
    """Where what it logs goes, if not where the tests' own output goes."""

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    @property
    def processes(self) -> int:
        """How many processes answer requests."""
        assert self.process is not None
        return len(psutil.Process(self.process.pid).children())

    def start(self) -> "WebServer":
        """Start it, and wait until it answers."""
        if self.folder == ROOT:
            STARTED.add(self.url)
        command = [self.python, "-m", "gunicorn", "-c", str(self.folder / "gunicorn.conf.py"), "wsgi:app"]
        with open(self.output or os.devnull, "ab") as log:
            self.process = subprocess.Popen(
                command,
                cwd=self.folder,
                env={**self.environment, "PORT": str(self.port)},
                start_new_session=True,
                stderr=log if self.output else None,
                stdout=log if self.output else None,
            )
        ends = time.monotonic() + START_SECONDS
        while time.monotonic() < ends:
            assert self.process.poll() is None, f"gunicorn ended with {self.process.returncode}"
            try:
                requests.get(f"{self.url}/healthz", timeout=10, verify=False)  # noqa: S501 - only whether it is up
            except requests.RequestException:
                time.sleep(0.05)
            else:
                return self
        raise AssertionError("gunicorn did not start in time")

    def kill(self) -> None:
        """Kill -9 all of it at once."""
        assert self.process is not None
        STARTED.discard(self.url)
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        """End it as an operator does; return its exit code."""
        assert self.process is not None
        STARTED.discard(self.url)
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(90)
