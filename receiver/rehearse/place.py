"""Where a rehearsal takes place: a throw-away database and a throw-away receiver on this machine, and nothing else.

Everything here is on loopback, and is gone in the end. What is on another machine is refused before anything is done.
"""

import base64
import ipaddress
import os
import re
import secrets
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import psycopg
import requests
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.sql import SQL, Identifier

from receiver.model import ReceiverError
from receiver.server import supervisor

START_SECONDS = 120.0
"""How long the processes may take until they answer, on a machine that is busy."""

POLL_SECONDS = 0.2
PAGE_BYTES = 4096

OF_OTHERS = re.compile(
    r"(RECEIVER_|BCB_|OTEL_|GUNICORN_).*|PROMETHEUS_MULTIPROC_DIR|WEB_CONCURRENCY|FORWARDED_ALLOW_IPS|PORT"
    r"|PG(HOST|HOSTADDR|PORT|DATABASE|SERVICE|SERVICEFILE|OPTIONS)|(HTTPS?|ALL|NO)_PROXY",
    re.IGNORECASE,
)
"""What of the environment is about another receiver or gunicorn, leads to another database, or through a proxy."""

DIE_WITH_PARENT = """
import ctypes, os, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)
os.execv(sys.argv[1], sys.argv[1:])
"""
"""A program that is asked to stop when the rehearsal dies, however it dies (PR_SET_PDEATHSIG, prctl(2))."""


class NotLoopback(ReceiverError):
    """An address is on another machine, or may be."""


class NoDatabaseUrl(ReceiverError):
    """It is written as no database's URL is."""


class PlaceUnusable(ReceiverError):
    """There is no room for a rehearsal here; the text says why."""


def forget_others() -> None:
    """Let nothing of this process's environment reach the rehearsal that is about another receiver."""
    for name in [name for name in os.environ if OF_OTHERS.fullmatch(name)]:
        del os.environ[name]


def local_url(url: str) -> str:
    """Check that a database is on this machine: a SQLite file, or a PostgreSQL on loopback or a unix socket.

    Return the URL to open it by. PostgreSQL's is made of what was checked: libraries read what is written oddly in
    different ways, so that what one of them has checked another one would take for a host elsewhere.

    Raises:
        NotLoopback
        NoDatabaseUrl
    """
    return url if url.startswith("sqlite:///") else url_of(local_parts(url))


def local_parts(url: str) -> dict[str, str]:
    """Return what a PostgreSQL URL says, if it is on this machine.

    Raises:
        NotLoopback
        NoDatabaseUrl
    """
    _, _, rest = url.partition("://")
    behind_host = rest[min(found for mark in "/?" if (found := f"{rest}{mark}".find(mark)) >= 0) :]
    names = [name for name, _ in parse_qsl(urlsplit(url).query)]
    if "@" in behind_host or len(names) != len(set(names)):
        raise NotLoopback("the PostgreSQL URL can be read in two ways: write @ behind its host as %40, each name once")
    given = postgresql_parts(url)
    if given.get("service"):
        raise NotLoopback(
            "a PostgreSQL service may lead anywhere: name its host, 127.0.0.1 or the folder of its socket"
        )
    hosts = [host for name in ("host", "hostaddr") for host in given.get(name, "").split(",") if host]
    if not hosts:
        raise NotLoopback("the PostgreSQL URL names no host: name 127.0.0.1, or the folder of its socket (?host=/…)")
    for host in hosts:
        if not is_loopback(host):
            raise NotLoopback(f"{host} is not on this machine: a rehearsal takes 127.0.0.1, ::1, localhost or a socket")
    return given


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine: an address of loopback, a socket's folder, or a name for these alone."""
    if host.startswith("/"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        pass
    if host != "localhost":
        # Any other name may stand for something else a moment later.
        return False
    found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, None)}
    return all(ipaddress.ip_address(address).is_loopback for address in found)


def url_of(parts: Mapping[str, str]) -> str:
    """Write a PostgreSQL URL, such as RECEIVER_DATABASE_URL takes, that nobody can read in another way."""
    left = dict(parts)
    who = ":".join(quote(left.pop(name), safe="") for name in ("user", "password") if name in left)
    name = quote(left.pop("dbname", ""), safe="")
    return f"postgresql+psycopg://{who}{'@' if who else ''}/{name}?{urlencode(left)}"


def postgresql_parts(url: str) -> dict[str, str]:
    """Return what a PostgreSQL URL says.

    Raises:
        NoDatabaseUrl
    """
    if not url.startswith(("postgresql://", "postgresql+psycopg://")):
        raise NoDatabaseUrl("a database is sqlite:///PATH or postgresql://USER@127.0.0.1/NAME")
    try:
        found = conninfo_to_dict(url.replace("postgresql+psycopg://", "postgresql://", 1))
    except psycopg.Error:
        # The library's own text repeats the URL, which may hold a password.
        raise NoDatabaseUrl("that is no PostgreSQL URL") from None
    parts = {name: str(value) for name, value in found.items()}
    if not all(port.isdecimal() for port in parts.get("port", "").split(",") if port):
        raise NoDatabaseUrl("the PostgreSQL URL's port is no number")
    return parts


class ThrowAway(Protocol):
    """A database of the rehearsal's own."""

    kind: str
    url: str
    name: str

    def gone(self) -> Any:
        """Return a context in which the database can't be used."""

    def drop(self) -> None:
        """Remove it."""


class SqliteFile:
    """A file in a folder that goes with the rehearsal."""

    kind = "sqlite"

    def __init__(self, folder: Path) -> None:
        self._path = folder / "rehearsal.db"
        self.name = str(self._path)
        self.url = f"sqlite:///{self._path}"

    @contextmanager
    def gone(self) -> Iterator[None]:
        """Hold its write lock, as another program might: nobody can write meanwhile."""
        other = sqlite3.connect(self._path, timeout=30, isolation_level=None)
        try:
            other.execute("BEGIN IMMEDIATE")
            yield
            other.execute("ROLLBACK")
        finally:
            other.close()

    def drop(self) -> None:
        """Nothing is left to do: the folder goes."""


class PostgresDatabase:
    """A database of its own in a PostgreSQL on this machine, next to others that it never touches."""

    kind = "postgresql"

    def __init__(self, server_url: str) -> None:
        """Make it.

        Raises:
            NotLoopback
            NoDatabaseUrl
            PlaceUnusable: it can't be made.
        """
        parts = local_parts(server_url)
        self._server = make_conninfo(**parts)
        self.name = f"receiver_rehearsal_{secrets.token_hex(6)}"
        self.url = url_of({**parts, "dbname": self.name})
        self._run("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8'")

    @contextmanager
    def gone(self) -> Iterator[None]:
        """End all its sessions and refuse new ones, as a server does that goes away."""
        self._run("ALTER DATABASE {} ALLOW_CONNECTIONS false")
        try:
            self._end_sessions()
            yield
        finally:
            self._run("ALTER DATABASE {} ALLOW_CONNECTIONS true")

    def drop(self) -> None:
        """Drop it, whoever still uses it."""
        self._run("DROP DATABASE IF EXISTS {} WITH (FORCE)")

    def _run(self, statement: str) -> None:
        try:
            with psycopg.connect(self._server, autocommit=True, connect_timeout=30) as connection:
                connection.execute(SQL(statement).format(Identifier(self.name)))
        except psycopg.Error as error:
            text = " ".join(str(error).split())[:200]
            raise PlaceUnusable(f"PostgreSQL refused {statement.partition(' {}')[0]}: {text}") from None

    def _end_sessions(self) -> None:
        with psycopg.connect(self._server, autocommit=True, connect_timeout=30) as connection:
            query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
            connection.execute(query, [self.name])


def free_port() -> int:
    """Return a port of loopback that nobody listens on now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


class Receiver:
    """The processes of `receiver run`, each started anew where it dies, as systemd would do it."""

    def __init__(self, folder: Path, database_url: str, processes: int) -> None:
        """Say where; `folder` holds the log, and goes with the rehearsal."""
        self.folder, self.port = folder, free_port()
        self.log = folder / "receiver.log"
        self.key = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
        self.environment = {
            **{name: text for name, text in os.environ.items() if not OF_OTHERS.fullmatch(name)},
            "NO_PROXY": "*",
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
        if not call("GET", f"{self.url}/readyz", timeout=5).ok:
            return False
        headers = {"Authorization": f"Bearer {token}"}
        answer = call("GET", f"{self.url}/api/v1/feed", params={"limit": 1}, headers=headers, timeout=10)
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


def call(method: str, url: str, **given: Any) -> requests.Response:
    """Make a request on loopback: no proxy, and nothing out of ~/.netrc in the token's place.

    Raises:
        requests.RequestException
    """
    with requests.Session() as session:
        session.trust_env = False
        return session.request(method, url, **given)


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
