"""A throw-away receiver on this machine, for a rehearsal: its processes, their settings, and what they take.

Everything here is on loopback, and is gone in the end.
"""

import base64
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import requests

from receiver.rehearse.databases import PlaceUnusable
from receiver.server import supervisor, throwaway

START_SECONDS = 120.0
"""How long the processes may take until they answer, on a machine that is busy."""

POLL_SECONDS = 0.2
PAGE_BYTES = 4096

DIE_WITH_PARENT = """
import ctypes, os, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)
os.execv(sys.argv[1], sys.argv[1:])
"""
"""A program that is asked to stop when the rehearsal dies, however it dies (PR_SET_PDEATHSIG, prctl(2))."""


class Receiver:
    """The processes of `receiver run`, each started anew where it dies, as systemd would do it."""

    def __init__(self, folder: Path, database_url: str, processes: int) -> None:
        """Say where; `folder` holds the log, and goes with the rehearsal."""
        self.folder, self.port = folder, throwaway.free_port()
        self.log = folder / "receiver.log"
        self.key = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
        self.environment = {
            **throwaway.environment(),
            **self.settings(database_url, processes),
        }
        self.restarts = {"web": 0, "worker": 0}
        # On the command line it stands above all that gunicorn reads elsewhere.
        web = (*supervisor.WEB, "--bind", f"127.0.0.1:{self.port}")
        self._commands: Mapping[str, Sequence[str]] = {"web": web, "worker": supervisor.WORKER}
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._stopping = threading.Event()
        self._watch: threading.Thread | None = None

    def settings(self, database_url: str, processes: int) -> dict[str, str]:
        """Return its settings: as they come, but for what would take hours of a day that has minutes."""
        return {
            "RECEIVER_DATABASE_URL": database_url,
            "RECEIVER_SECRET_KEYS": self.key,
            "PORT": str(self.port),
            "RECEIVER_BIND": "127.0.0.1",
            "RECEIVER_PROCESSES": str(processes),
            "RECEIVER_METRICS_DIRECTORY": str(self.folder / "metrics"),
            "RECEIVER_LOG_LEVEL": "WARNING",
            "RECEIVER_RECHECK_SECONDS": "1",
            "RECEIVER_RECHECK_MAX_SECONDS": "5",
            "RECEIVER_LEASE_SECONDS": "10",
            "RECEIVER_CIRCUIT_SECONDS": "1",
            "RECEIVER_CIRCUIT_MAX_SECONDS": "5",
            "RECEIVER_REPLAY_APPROVAL_ABOVE": "1000000000",
            "RECEIVER_RETENTION_PAYLOAD_DAYS": "1",
            "RECEIVER_RETENTION_HEADERS_DAYS": "1",
            "RECEIVER_RETENTION_REJECTED_DAYS": "1",
            "RECEIVER_RETENTION_CHECKS_DAYS": "1",
        }

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    def start(self, token: str, is_asked_to_stop: Callable[[], bool]) -> None:
        """Start the processes, and wait until they answer, or until it is asked to stop.

        Another program may have taken the port meanwhile; what knows the `token` is ours.

        Raises:
            PlaceUnusable: they do not.
        """
        # A process of its own is told to stop when the thread dies that started it: this one lives until `stop`.
        self._watch = threading.Thread(target=self._keep_running, name="processes", daemon=True)
        self._watch.start()
        ends = time.monotonic() + START_SECONDS
        while time.monotonic() < ends:
            with suppress(requests.RequestException):
                if is_asked_to_stop() or self._is_answering(token):
                    return
            time.sleep(POLL_SECONDS)
        said = self.log.read_text(errors="replace")[-400:] if self.log.exists() else ""
        raise PlaceUnusable(f"the receiver did not start: {' '.join(said.split())}")

    def _is_answering(self, token: str) -> bool:
        if not throwaway.call("GET", f"{self.url}/readyz", timeout=5).ok:
            return False
        headers = {"Authorization": f"Bearer {token}"}
        answer = throwaway.call("GET", f"{self.url}/api/v1/feed", params={"limit": 1}, headers=headers, timeout=10)
        if answer.ok and "next" in _json_object(answer):
            return True
        if answer.status_code == requests.codes.unavailable:
            return False
        raise PlaceUnusable(f"another program answers at {self.url}: try again, which takes another port")

    def stop(self) -> None:
        """Stop them all; safe to repeat."""
        self._stopping.set()
        if self._watch is not None:
            self._watch.join()
        supervisor.stop(list(self._running.values()))

    def command(self, *words: str, seconds: float = 120) -> subprocess.CompletedProcess[str]:
        """Run one command of the receiver, as an operator does."""
        return subprocess.run(  # noqa: S603 - commands of our own
            [*supervisor.RECEIVER, *words],
            env=self.environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
            start_new_session=True,
        )

    def kill(self, what: str) -> bool:
        """Kill -9 one process that answers (`web`), or the `worker`; tell whether there was one."""
        process = self._running[what]
        if what == "worker":
            # It knows whether the process has ended, and its number may be another one's.
            process.kill()
            return True
        numbers = _children(process.pid)
        for number in numbers[:1]:
            with suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        return bool(numbers)

    def limit_files(self, most: int | None) -> None:
        """Let no file of the processes grow beyond so many bytes (None: as before); Linux alone has this."""
        import resource

        whole = resource.getrlimit(resource.RLIMIT_FSIZE)
        limits = (whole[0] if most is None else most, whole[1])

        def limit(numbers: Sequence[int]) -> None:
            for number in numbers:
                with suppress(ProcessLookupError):
                    resource.prlimit(number, resource.RLIMIT_FSIZE, limits)

        # Those that start others first: who is started afterwards has the same limit, and who was before is found.
        parents = self._parents()
        limit(parents)
        limit([child for number in parents for child in _children(number)])

    def memory_bytes(self) -> tuple[int, int] | None:
        """Return how much memory the processes that answer hold, and the worker; None where that is unknown.

        Pages that processes share are counted once (PSS).
        """
        web, worker = (sum(map(_memory, self._family([what]))) for what in ("web", "worker"))
        return (web, worker) if web + worker else None

    def _family(self, what: Sequence[str] = ("web", "worker")) -> list[int]:
        running = self._parents(what)
        return [*running, *(child for number in running for child in _children(number))]

    def _parents(self, what: Sequence[str] = ("web", "worker")) -> list[int]:
        found = [self._running[each] for each in what if each in self._running]
        return [process.pid for process in found if process.poll() is None]

    def _keep_running(self) -> None:
        while not self._stopping.is_set():
            for what, command in self._commands.items():
                process = self._running.get(what)
                if process is None or process.poll() is not None:
                    self.restarts[what] += process is not None
                    self._running[what] = self._spawn(command)
            self._stopping.wait(POLL_SECONDS)

    def _spawn(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(  # noqa: S603 - commands of our own
                [sys.executable, "-c", DIE_WITH_PARENT, *command],
                env=self.environment,
                cwd=self.folder,
                start_new_session=True,
                stdout=log,
                stderr=log,
            )


def _json_object(answer: requests.Response) -> dict[str, Any]:
    try:
        found = answer.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _children(pid: int) -> list[int]:
    """Return a process's children (Linux; elsewhere none are known)."""
    try:
        return [int(number) for number in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _memory(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)
